"""The whole set of templates in the embedded AWS: made, changed, found unchanged, and destroyed."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
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
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.destroy import Destroyer

STACKS = ["registry", "network", "storage", "compute", "workflow"]
GIVEN = """
project = "genomics"
workflow = "germline"
[stack.storage]
ReferencePath = "s3://references/hg38"
DataPath = "s3://reads/run1"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """This checkout's stacks, images and job definitions, with settings and a dist of its own."""
    made = Checkout(root=tmp_path / "checkout")
    for name in ("stack", "images", "jobdefs"):
        shutil.copytree(HERE.root / name, made.root / name)
    made.settings.write_text(GIVEN, encoding="utf-8")
    return made


@pytest.fixture
def embedded(tmp_path: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """An embedded AWS that holds the buckets that are read, and every job definition's third revision."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with serve(LocalConfig(root=tmp_path / "world", vcpus=2, memory=2048)) as server:
        lead(monkeypatch, server.environment)
        s3 = boto3.client("s3")
        for bucket in ("references", "reads"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for tool in jobdefs.names(checkout.jobdefs):
            for _ in range(3):
                boto3.client("batch").register_job_definition(
                    jobDefinitionName=f"genomics-{tool}",
                    type="container",
                    containerProperties={
                        "image": "x",
                        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
                    },
                )
        yield server.environment


def deploy(checkout: Checkout, *names: str, replace: tuple[str, ...] = ()) -> list[str]:
    deployer = Deployer(target=AwsTarget(checkout=checkout), account=Account(), replace=frozenset(replace))
    return [str(one) for one in deployer.deploy(names)]


def destroy(checkout: Checkout, *names: str, storage: bool = False) -> list[str]:
    destroyer = Destroyer(target=AwsTarget(checkout=checkout), account=Account())
    plan = destroyer.plan(destroyer.with_file_systems() if storage else names)
    plan.require_no_blockers()
    return [str(one) for one in destroyer.destroy(plan)]


def outputs(checkout: Checkout) -> dict[str, str]:
    found: dict[str, str] = json.loads((checkout.dist / "outputs.json").read_text(encoding="utf-8"))
    return found


def give(checkout: Checkout, text: str) -> None:
    checkout.settings.write_text(GIVEN + text, encoding="utf-8")


@pytest.mark.usefixtures("embedded")
def test_the_whole_set_is_made_changed_found_unchanged_and_destroyed(checkout: Checkout) -> None:
    assert deploy(checkout) == [f"{name} created" for name in STACKS]
    found = outputs(checkout)
    assert found["WorkingPath"] == "-"
    assert found["ExportPath"] == f"s3://{found['ResultsBucket']}/results"
    assert found["StateMachineArn"].startswith("arn:aws:states:eu-central-1:")
    assert deploy(checkout) == [f"{name} unchanged" for name in STACKS]

    give(checkout, "FreePercent = 20\n")
    assert deploy(checkout) == [f"{name} {'updated' if name == 'storage' else 'unchanged'}" for name in STACKS]
    assert outputs(checkout) == found

    assert destroy(checkout) == STACKS[::-1]
    assert outputs(checkout) == {}
    assert found["ResultsBucket"] in [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]]
    assert boto3.client("fsx").describe_file_systems()["FileSystems"] == []


@pytest.mark.usefixtures("embedded")
def test_every_resource_of_a_stack_is_made_by_its_service(checkout: Checkout) -> None:
    deploy(checkout)
    client = boto3.client("cloudformation")
    for name in STACKS:
        held = client.list_stack_resources(StackName=f"genomics-{name}")["StackResourceSummaries"]
        assert held
        assert [one["LogicalResourceId"] for one in held if not one.get("PhysicalResourceId")] == []


@pytest.mark.usefixtures("embedded")
def test_storage_goes_and_comes_back_with_what_mounts_it(checkout: Checkout) -> None:
    deploy(checkout)
    before = outputs(checkout)
    assert destroy(checkout, storage=True) == ["workflow", "compute", "storage"]
    assert boto3.client("fsx").describe_file_systems()["FileSystems"] == []
    assert deploy(checkout) == [
        f"{name} {'unchanged' if name in {'registry', 'network'} else 'created'}" for name in STACKS
    ]
    assert outputs(checkout)["WorkingFileSystemId"] != before["WorkingFileSystemId"]


@pytest.mark.usefixtures("embedded")
def test_a_file_system_of_another_size_needs_to_be_named(checkout: Checkout) -> None:
    deploy(checkout)
    give(checkout, 'DeploymentType = "PERSISTENT_2"\n')
    with pytest.raises(WrongUsageError) as caught:
        deploy(checkout, "storage")
    assert "WorkingFileSystem (AWS::FSx::FileSystem)" in caught.value.why
    assert "--replace WorkingFileSystem" in caught.value.fix


@pytest.mark.usefixtures("embedded")
def test_what_fails_is_rolled_back_and_the_same_command_goes_on(checkout: Checkout) -> None:
    network = checkout.stacks / "network.yaml"
    text = network.read_text(encoding="utf-8")
    broken = "Resources:\n  Broken: {Type: AWS::EC2::Subnet, Properties: {CidrBlock: 10.0.0.0/24, VpcId: vpc-0}}\n"
    network.write_text(text.replace("Resources:\n", broken, 1), encoding="utf-8")
    with pytest.raises(StackFailedError, match=r"genomics-network was not deployed \(ROLLBACK_COMPLETE\).*Broken"):
        deploy(checkout, "network")
    network.write_text(text, encoding="utf-8")
    assert deploy(checkout, "network") == ["network created"]


@pytest.mark.usefixtures("embedded")
def test_a_dry_run_leaves_nothing(checkout: Checkout) -> None:
    planned = Deployer(target=AwsTarget(checkout=checkout), account=Account()).plan(())
    assert [str(one.stack) for one in planned] == STACKS
    assert all(one.changes for one in planned)
    assert boto3.client("cloudformation").describe_stacks()["Stacks"] == []


@pytest.mark.usefixtures("embedded")
def test_a_run_that_is_not_exported_keeps_its_file_system(checkout: Checkout) -> None:
    deploy(checkout)
    found = outputs(checkout)
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=found["StateMachineArn"], name="run-1", input=json.dumps({"samples": []})
    )
    with pytest.raises(SeveralFailedError, match="run-1"):
        destroy(checkout, storage=True)
    assert len(boto3.client("fsx").describe_file_systems()["FileSystems"]) == 3


THROTTLED = b"""<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>
<RequestId>1</RequestId></ErrorResponse>"""


@pytest.mark.parametrize("operation", ["DescribeStacks", "CreateChangeSet", "ExecuteChangeSet", "DescribeStackEvents"])
def test_throttled_calls_and_dropped_connections_are_made_again(
    checkout: Checkout, embedded: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    with fault_proxy(embedded["AWS_ENDPOINT_URL"].removeprefix("http://")) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        throttled = proxy.fails(
            body=f"Action={operation}&", status=400, answer=THROTTLED, content_type="text/xml", times=2
        )
        dropped = proxy.fails(body=f"Action={operation}&")
        assert deploy(checkout, "network") == ["network created"]
    assert (throttled.hits, dropped.hits) == (2, 1)
