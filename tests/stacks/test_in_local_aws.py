"""The templates of stack/ in the embedded AWS: deployed, changed, found unchanged, and destroyed.

The tests of the project `genomics` share one deployment, and follow each other.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from support.aws_clients import lead
from support.fault_proxy import fault_proxy

from toolchain.aws import Account
from toolchain.errors import SeveralFailedError, StackFailedError, WrongUsageError
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve
from toolchain.paths import HERE, Checkout
from toolchain.runs.target import AwsTarget
from toolchain.stacks import outputs
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.destroy import Destroyer
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Lane, Sample

STACKS = ["registry", "network", "results", "compute", "workflow", "watch", "storage"]


@dataclass(frozen=True, kw_only=True)
class Project:
    """A checkout of the stacks, images and job definitions, with settings and outputs of its own."""

    root: Path
    name: str

    @classmethod
    def make(cls, root: Path, name: str) -> "Project":
        for folder in ("images", "jobdefs"):
            (root / folder).parent.mkdir(exist_ok=True)
            (root / folder).symlink_to(HERE.root / folder)
        shutil.copytree(HERE.stacks, root / "stack")
        project = cls(root=root, name=name)
        project.settings()
        return project

    @property
    def target(self) -> AwsTarget:
        return AwsTarget(checkout=Checkout(root=self.root))

    def settings(self, more: str = "") -> None:
        storage = '[stack.storage]\nReferencePath = "s3://references/hg38"\nDataPath = "s3://reads/run1"\n'
        text = f'project = "{self.name}"\nworkflow = "germline"\n{storage}{more}'
        (self.root / "genomics.toml").write_text(text, encoding="utf-8")

    def deploy(self, *names: str, replace: tuple[str, ...] = ()) -> list[str]:
        deployer = Deployer(target=self.target, account=Account(), replace=replace)
        return [str(deployed) for deployed in deployer.deploy(names)]

    def destroy(self, *names: str, discard: tuple[str, ...] = ()) -> list[str]:
        destroyer = Destroyer(target=self.target, account=Account(), discard=discard)
        plan = destroyer.plan(names)
        plan.require_no_blockers()
        return [str(stack) for stack in destroyer.destroy(plan)]

    @property
    def outputs(self) -> dict[str, str]:
        return outputs.read(Account(), self.target.checkout)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """An embedded AWS with the buckets of references and reads, and every job definition's third revision."""
    config = LocalConfig(root=tmp_path_factory.mktemp("aws"), vcpus=2, memory=2048)
    with pytest.MonkeyPatch.context() as patch, serve(config) as server:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        lead(patch, {**server.environment, "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"})
        for bucket in ("references", "reads"):
            boto3.client("s3").create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        for tool in 3 * jobdefs.names(HERE.jobdefs):
            boto3.client("batch").register_job_definition(
                jobDefinitionName=f"genomics-{tool}",
                type="container",
                containerProperties={
                    "image": "x",
                    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
                },
            )
        yield server.environment


@pytest.fixture(scope="module")
def genomics(embedded: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose stacks are all deployed."""
    del embedded
    project = Project.make(tmp_path_factory.mktemp("checkout") / "checkout", "genomics")
    assert project.deploy(*STACKS) == [f"{name} created" for name in STACKS]
    return project


def file_systems() -> list[str]:
    described = boto3.client("fsx").describe_file_systems()["FileSystems"]
    return [file_system["FileSystemId"] for file_system in described]


def test_every_resource_is_made_by_its_service_and_has_its_outputs(genomics: Project) -> None:
    client = boto3.client("cloudformation")
    for name in STACKS:
        resources = client.list_stack_resources(StackName=f"genomics-{name}")["StackResourceSummaries"]
        assert resources
        assert [resource for resource in resources if not resource.get("PhysicalResourceId")] == []
    assert genomics.outputs["WorkingPath"] == "-"
    assert genomics.outputs["ExportPath"] == f"s3://{genomics.outputs['ResultsBucket']}/results"
    assert genomics.outputs["StateMachineArn"].startswith("arn:aws:states:eu-central-1:")
    assert genomics.outputs["WorkingFileSystemId"] in file_systems()


def test_only_what_differs_is_deployed_again(genomics: Project) -> None:
    assert genomics.deploy() == [f"{name} unchanged" for name in STACKS]
    before = genomics.outputs
    genomics.settings("FreePercent = 20\n")
    assert genomics.deploy() == [f"{name} {'updated' if name == 'storage' else 'unchanged'}" for name in STACKS]
    assert genomics.outputs == before


def test_a_file_system_is_replaced_only_if_it_is_named(genomics: Project) -> None:
    genomics.settings('DeploymentType = "PERSISTENT_2"\n')
    with pytest.raises(WrongUsageError) as caught:
        genomics.deploy("storage")
    assert "WorkingFileSystem (AWS::FSx::FileSystem)" in caught.value.why
    assert "--replace WorkingFileSystem" in caught.value.fix
    genomics.settings()


def mounts() -> dict[str, str]:
    found = boto3.client("ssm").get_parameters_by_path(Path="/genomics/scratch")["Parameters"]
    return {parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in found}


def others() -> list[str]:
    return [f"{name} unchanged" for name in STACKS if name != "storage"]


def test_file_systems_that_are_named_are_replaced_while_hosts_and_workflow_stay(genomics: Project) -> None:
    before, systems = mounts(), file_systems()
    genomics.settings('DeploymentType = "PERSISTENT_2"\n')
    replaced = tuple(f"{name}FileSystem" for name in ("Reference", "Data", "Working"))
    assert genomics.deploy(replace=replaced) == [*others(), "storage updated"]
    assert set(file_systems()).isdisjoint(systems)
    assert all(mounts()[name] != before[name] for name in before)
    working = genomics.outputs["WorkingFileSystemId"]
    assert (mounts()["export"], mounts()["working"].partition(".")[0]) == (f"{working}/-", working)
    genomics.settings()
    genomics.deploy("storage", replace=replaced)


def run(genomics: Project, name: str) -> str:
    """Runs the workflow with an input that it refuses, or without file systems; returns the error."""
    client, machine = boto3.client("stepfunctions"), genomics.outputs["StateMachineArn"]
    lane = {"name": "L", "r1": "1", "r2": "2"}
    order = {"reference": "r", "shards": 1, "ploidy": 2, "samples": [{"name": "NA1", "lanes": [lane]}]}
    text = json.dumps(order if not file_systems() else {})
    execution = client.start_execution(stateMachineArn=machine, name=name, input=text)["executionArn"]
    end = time.monotonic() + 30
    while (described := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.1)
    return f"{described['error']}: {described['cause']}"


def test_a_run_that_was_not_exported_keeps_its_file_system(genomics: Project) -> None:
    assert run(genomics, "run-1").startswith("WrongInput")
    with pytest.raises(SeveralFailedError, match="run-1"):
        genomics.destroy("storage")
    assert len(file_systems()) == 3


def test_storage_goes_and_comes_back_and_everything_else_stays(genomics: Project) -> None:
    before = genomics.outputs
    assert genomics.destroy("storage", discard=("run-1",)) == ["storage"]
    assert (file_systems(), mounts()) == ([], {})
    # What is down stays down, and a run submits no job that no host could take.
    assert genomics.deploy() == others()
    assert run(genomics, "run-2").startswith(
        "ScratchFailed: The file systems are down: there is no parameter /genomics/"
    )
    lane = Lane(name="L1", r1="1.fq", r2="2.fq")
    run_input = RunInput(reference="r.fa", samples=(Sample(name="a", lanes=(lane,)),), shards=1, ploidy=2)
    with pytest.raises(SeveralFailedError, match=r"1\.fq does not exist: it is not in s3://reads/run1"):
        genomics.target.prepare_run(Account(), "", "run-3", run_input)
    assert file_systems() == []
    for name in (lane.r1, lane.r2):
        boto3.client("s3").put_object(Bucket="reads", Key=f"run1/{name}", Body=name.encode())
    genomics.target.prepare_run(Account(), "", "run-3", run_input)
    after = genomics.outputs
    assert after["WorkingFileSystemId"] != before["WorkingFileSystemId"]
    assert {name: before[name] for name in before if "FileSystem" not in name}.items() <= after.items()
    assert genomics.deploy() == [*others(), "storage unchanged"]


def test_everything_is_destroyed_but_the_results(genomics: Project) -> None:
    bucket = genomics.outputs["ResultsBucket"]
    assert genomics.destroy() == STACKS[::-1]
    assert genomics.outputs == {}
    assert bucket in [entry["Name"] for entry in boto3.client("s3").list_buckets()["Buckets"]]
    assert file_systems() == []


def test_what_was_retained_is_taken_in_by_the_next_stack(genomics: Project) -> None:
    repositories = boto3.client("ecr").describe_repositories()["repositories"]
    boto3.client("logs").create_log_stream(logGroupName="/genomics/jobs", logStreamName="of an earlier run")
    deployer = Deployer(target=genomics.target, account=Account())
    changes = [change for plan in deployer.plan(("registry", "results")) for change in plan.changes]
    imported = [change.type for change in changes if change.action == "Import"]
    assert imported == [*["AWS::ECR::Repository"] * len(repositories), "AWS::Logs::LogGroup"]
    assert genomics.deploy("registry", "results") == ["registry created", "results created"]
    assert boto3.client("ecr").describe_repositories()["repositories"] == repositories
    streams = boto3.client("logs").describe_log_streams(logGroupName="/genomics/jobs")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["of an earlier run"]
    assert genomics.outputs["JobLogGroup"] == "/genomics/jobs"
    assert genomics.deploy("registry", "results") == ["registry unchanged", "results unchanged"]


@pytest.mark.usefixtures("embedded")
def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "checkout", "planned")
    planned = Deployer(target=project.target, account=Account()).plan(("registry", "network"))
    assert [(str(plan.stack), plan.changes != ()) for plan in planned] == [("registry", True), ("network", True)]
    stacks = boto3.client("cloudformation").describe_stacks()["Stacks"]
    assert [stack["StackName"] for stack in stacks if "planned" in stack["StackName"]] == []


@pytest.mark.usefixtures("embedded")
def test_a_stack_that_fails_is_rolled_back_and_the_same_command_goes_on(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "checkout", "broken")
    network = project.root / "stack" / "network.yaml"
    text = network.read_text(encoding="utf-8")
    broken = "Resources:\n  Broken: {Type: AWS::EC2::Subnet, Properties: {CidrBlock: 10.0.0.0/24, VpcId: vpc-0}}\n"
    network.write_text(text.replace("Resources:\n", broken, 1), encoding="utf-8")
    with pytest.raises(StackFailedError, match=r"broken-network was not deployed \(ROLLBACK_COMPLETE\).*Broken"):
        project.deploy("network")
    network.write_text(text, encoding="utf-8")
    assert project.deploy("network") == ["network created"]


THROTTLED = b"""<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>
<RequestId>1</RequestId></ErrorResponse>"""


def test_throttled_calls_and_dropped_connections_are_made_again(
    tmp_path: Path, embedded: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_proxy(embedded["AWS_ENDPOINT_URL"].removeprefix("http://")) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        faults = []
        for operation in ("DescribeStacks", "CreateChangeSet", "ExecuteChangeSet", "DescribeStackEvents"):
            body = f"Action={operation}&"
            faults.append(proxy.fails(body=body, status=400, answer=THROTTLED, content_type="text/xml"))
            faults.append(proxy.fails(body=body))
        assert Project.make(tmp_path / "checkout", "throttled").deploy("network") == ["network created"]
    assert [fault.hits for fault in faults] == [1] * 8
