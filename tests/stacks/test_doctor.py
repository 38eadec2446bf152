"""`doctor`: a deployment without faults is green, and each fault is red in its check, with its fix."""

import json
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
from support import doctor_aws
from support.aws_double import Json, RefusedError
from support.doctor_aws import DoctorAws, quota

from toolchain.aws import Account
from toolchain.cli import doctor
from toolchain.cli.main import main
from toolchain.docker.engine import Engine
from toolchain.doctor import run_checks
from toolchain.doctor.checks import caller
from toolchain.doctor.checks import stacks as stack_checks
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult, green
from toolchain.doctor.run_checks import Check
from toolchain.errors import UnavailableError
from toolchain.images import catalog
from toolchain.paths import HERE
from toolchain.stacks import host_images, hosts
from toolchain.stacks.hosts import HostType

TOOLS = sorted(catalog.load(HERE.images).tools)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorAws]:
    with doctor_aws.deployed(tmp_path_factory.mktemp("doctor")) as aws:
        yield aws


class Docker:
    """An engine, as far as `doctor` asks it."""

    def __init__(self, architecture: str = "amd64", root: str = "/") -> None:
        information = {"DockerRootDir": root}
        version = {"Version": "28.0", "Arch": architecture}
        self.client = SimpleNamespace(version=lambda: version, info=lambda: information)


@pytest.fixture
def aws(deployed: DoctorAws, monkeypatch: pytest.MonkeyPatch) -> DoctorAws:
    """A deployment without faults, and an engine with room."""
    monkeypatch.setattr(Engine, "connect", Docker)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * 1024**3))
    deployed.reset()
    return deployed


def only_red(results: list[CheckResult]) -> CheckResult:
    [red] = [result for result in results if result.status == "red"]
    assert red.fix
    return red


def statuses(results: list[CheckResult]) -> list[str]:
    return [result.status for result in results]


def not_green(results: list[CheckResult]) -> list[CheckResult]:
    return [result for result in results if result.status != "green"]


# ---- all checks ----


def test_a_deployment_without_faults_is_green_in_every_check_and_nothing_is_changed(aws: DoctorAws) -> None:
    results = aws.run_all()
    assert not_green(results) == []
    assert [result for result in results if result.fix] == []
    names = [check.name for check in run_checks.CHECKS]
    names.insert(names.index("credentials") + 1, "clock")
    assert list(dict.fromkeys(result.check for result in results)) == names
    assert [name for name, _ in aws.calls if not name.startswith(("Describe", "Get", "List", "BatchGet"))] == []


def test_a_missing_permission_makes_one_check_yellow_and_no_other(aws: DoctorAws) -> None:
    before = [result for result in aws.run_all() if result.check != "link to S3"]
    aws.refuse("DescribeDataRepositoryAssociations", "AccessDeniedException")
    results = aws.run_all()
    [yellow] = not_green(results)
    assert (yellow.check, yellow.status) == ("link to S3", "yellow")
    assert yellow.what.startswith("could not look: looking at the links of file system fs-")
    assert yellow.what.endswith("failed: AccessDeniedException: so it is")
    assert yellow.fix == "Ask for this permission, or use another AWS_PROFILE."
    assert [result for result in results if result != yellow] == before


def test_a_bug_in_a_check_hides_no_other_result() -> None:
    def fails(_: DoctorContext) -> Iterator[CheckResult]:
        yield green("so far")
        raise KeyError("nobody")

    results = list(run_checks.run(Check(name="x", run=fails), DoctorContext(checkout=HERE)))
    assert statuses(results) == ["green", "yellow"]
    assert "KeyError: 'nobody'" in results[1].what


# ---- this machine ----

NO_ENGINE = UnavailableError("no Docker engine answers", why="refused", fix="Type: make setup.")


@pytest.mark.parametrize(
    ("docker", "free", "status", "text"),
    [
        (NO_ENGINE, 50, "red", "no Docker engine answers: refused. Type: make setup."),
        (Docker("arm64"), 50, "red", "engine 28.0 for arm64: hosts are x86_64. Point DOCKER_HOST to an engine on"),
        (Docker(), 2.9, "red", "2.9 GiB free of the 3 that builds take. Type: docker system prune"),
        (Docker(), 3, "green", "engine 28.0 for amd64, 3 GiB free"),
        (Docker(), None, "green", "engine 28.0 for amd64; its disk is not this machine's"),
        (Docker(root="C:\\docker"), 0, "green", "its disk is not this machine's"),
    ],
)
def test_an_engine_builds_for_the_hosts_and_has_room(
    aws: DoctorAws, monkeypatch: pytest.MonkeyPatch, docker: object, free: float | None, status: str, text: str
) -> None:
    def answer(result: object) -> object:
        if isinstance(result, Exception):
            raise result
        return result

    usage = FileNotFoundError() if free is None else SimpleNamespace(free=free * 1024**3)
    monkeypatch.setattr(Engine, "connect", lambda: answer(docker))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: answer(usage))
    [result] = aws.run("docker")
    assert result.status == status
    assert text in f"{result.what}. {result.fix}"


def test_a_package_of_another_version_is_red(aws: DoctorAws, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version

    def version(name: str) -> str:
        if name == "click":
            raise metadata.PackageNotFoundError
        return "0.1" if name == "boto3" else installed(name)

    monkeypatch.setattr(metadata, "version", version)
    red = only_red(aws.run("python packages"))
    assert red.what.startswith("boto3 0.1 is not 1.")
    assert "click (missing) is not " in red.what
    assert red.fix == "Type: make setup"


def test_settings_that_deploy_would_refuse_are_red_one_by_one_and_in_no_other_check(aws: DoctorAws) -> None:
    aws.settings('DeploymentType = "SCRATCH_9"\nWorkingCapacity = "much"\n[stack.compute]\nSpotMaxvCpus = "many"\n')
    results = not_green(aws.run_all())
    red = [result for result in results if result.status == "red"]
    assert [result.check for result in red] == ["genomics.toml"] * 3
    assert red[1].what.startswith("'stack.storage.DeploymentType' is \"SCRATCH_9\"; allowed are ")
    assert [result.what for result in results if "nobody has thought of" in result.what] == []


def test_settings_that_cannot_be_read_are_one_red_line_and_nothing_else_is_checked(aws: DoctorAws) -> None:
    aws.checkout.settings.write_text("project =", encoding="utf-8")
    results = not_green(aws.run_all())
    assert [(result.check, result.status) for result in results] == [("genomics.toml", "red"), ("AWS", "yellow")]
    assert "it is not TOML" in results[0].what


# ---- the caller ----


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_without_valid_credentials_nothing_else_is_asked(aws: DoctorAws, code: str) -> None:
    aws.refuse("GetCallerIdentity", code)
    results = not_green(aws.run_all())
    assert [(result.check, result.status) for result in results] == [("credentials", "red"), ("AWS", "yellow")]
    assert f"{code}: so it is" in results[0].what
    assert results[0].fix == "Log in to AWS again."
    assert [operation for operation, _ in aws.calls] == ["GetCallerIdentity"]


def test_no_credentials_no_region_and_an_unknown_profile_are_red(
    aws: DoctorAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.open_account = Account
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert only_red(aws.run_all()).fix == "Type: aws configure, or set AWS_PROFILE."
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert only_red(aws.run_all()).what == "no AWS region: the environment names none"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert only_red(aws.run_all()).fix == "Correct AWS_PROFILE."


@pytest.mark.parametrize(
    ("ahead", "status", "text"),
    [
        (400.0, "red", " s ahead of AWS's: from 300 s AWS refuses signatures. Set the clock: timedatectl"),
        (-400.0, "red", " s behind AWS's: from 300 s AWS refuses signatures. Set the clock: timedatectl"),
        (30.0, "green", " s ahead of AWS's; from 300 s AWS refuses signatures"),
    ],
)
def test_a_clock_that_makes_signatures_fail_is_red(aws: DoctorAws, ahead: float, status: str, text: str) -> None:
    aws.clock_ahead = ahead
    [_, result] = aws.run("credentials")
    assert (result.check, result.status) == ("clock", status)
    assert text in f"{result.what}. {result.fix}"


def test_a_slow_answer_does_not_count_as_a_wrong_clock() -> None:
    headers = {"date": "Thu, 01 Jan 2026 00:00:10 GMT"}
    written = 1767225610.0
    times = ((-20, 20), (0.9, 0.9), (6, 7), (-7, -5))
    assert [caller.clock_ahead(headers, written + before, written + after) for before, after in times] == [0, 0, 5, -5]
    assert caller.clock_ahead({}, written, written) is None


# ---- what is deployed ----


def test_stacks_that_are_not_deployed_are_one_line_and_nothing_of_them_is_checked(aws: DoctorAws) -> None:
    aws.refuse("DescribeStacks", "does not exist")
    [result] = not_green(aws.run_all())
    assert (
        result.what
        == "not deployed, and so not looked into: registry, network, results, compute, workflow, watch, storage"
    )
    assert result.fix == "Type: python build.py deploy"
    aws.refuse("DescribeStacks", "AccessDenied")
    results = not_green(aws.run_all())
    assert set(statuses(results)) == {"yellow"}
    assert not {result.check for result in results} & {"compute environment", "file system", "state machine"}


STATUSES = {
    "ROLLBACK_COMPLETE": "red",
    "UPDATE_ROLLBACK_FAILED": "red",
    "DELETE_FAILED": "red",
    "UPDATE_IN_PROGRESS": "yellow",
    "UPDATE_ROLLBACK_COMPLETE": "green",
}


@pytest.mark.parametrize("status", STATUSES)
def test_the_state_of_a_stack(aws: DoctorAws, status: str) -> None:
    aws.put("DescribeStacks", "Stacks[0].StackStatus", status)
    aws.put("DescribeStacks", "Stacks[0].StackStatusReason", "so it is")
    result = aws.run("stacks")[1]
    assert result.status == STATUSES[status]
    assert result.what.startswith(f"genomics-network is {status}: so it is")
    assert ("python build.py deploy network" in result.fix) == (result.status == "red")


# Operations that a case alters; a path in their answer (JSONPath) to a value; or genomics.toml.
ENVIRONMENTS = "DescribeComputeEnvironments"
QUEUES = "DescribeJobQueues"
TEMPLATES = "DescribeLaunchTemplateVersions"
FILE_SYSTEMS = "DescribeFileSystems"
LINKS = "DescribeDataRepositoryAssociations"
DEFINITIONS = "DescribeJobDefinitions"
QUOTA = "GetServiceQuota"
OFFERINGS = "DescribeInstanceTypeOfferings"
GROUPS = "DescribeSecurityGroups"
SETTINGS = "settings"

TYPES = "computeEnvironments[*].computeResources.instanceTypes"
MOST = "computeEnvironments[*].computeResources.maxvCpus"
FIRST = "computeEnvironments[0]"
IMAGES = "computeEnvironments[*].computeResources.ec2Configuration[*]"
MOUNT_NAME = "FileSystems[0].LustreConfiguration.MountName"
ORDER = "jobQueues[0].computeEnvironmentOrder"
BWA = 'jobDefinitions[?(@.jobDefinitionName=="genomics-bwa")]'
BWA_MEMORY = f'{BWA}.containerProperties.resourceRequirements[?(@.type=="MEMORY")].value'
TRUST = "Role.AssumeRolePolicyDocument.Statement[0].Action"
INWARDS, OUTWARDS = "SecurityGroups[*].IpPermissions", "SecurityGroups[*].IpPermissionsEgress"
DEPLOY_COMPUTE = ". Type: python build.py deploy compute"
GONE = f"is gone: somebody deleted it{DEPLOY_COMPUTE}"
UNREGISTERED = f"not registered: {', '.join(TOOLS)}. Type: python build.py push; python build.py register"
PERSISTENT = 'DeploymentType = "PERSISTENT_2"\nFileSystems = "one"\nScratchCapacity = 7200\n'


def tcp(first: int, last: int, addresses: str, protocol: str = "tcp") -> list[Json]:
    return [{"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges": [{"CidrIp": addresses}]}]


SMALL_HOSTS = {ENVIRONMENTS: {TYPES: ["m5.large", "m5.2xlarge"]}, DEFINITIONS: {BWA_MEMORY: "32768"}}
NEARLY_FITTING = {ENVIRONMENTS: {TYPES: ["m5"]}, DEFINITIONS: {BWA_MEMORY: "32000"}}
ONE_VCPU = {f"{FIRST}.computeResources.instanceTypes": ["m5.4xlarge"], MOST.replace("*", "1"): 1}
INVALID = {"status": "INVALID", "statusReason": "no such role"}
FAILED = {"Lifecycle": "FAILED", "FailureDetails": {"Message": "no capacity"}}
# What is altered, the number of red results, and what one of those says; what a green one says if there are none.
CASES: dict[str, list[tuple[dict[str, Any], int, str]]] = {
    "quota of vCPUs": [
        ({}, 0, "Spot Instance Requests: 640 vCPUs, and SpotMaxvCpus is 256"),
        ({QUOTA: {"Quota.Value": 5}}, 2, "5 vCPUs, and SpotMaxvCpus is 256. Type: aws service-quotas request-service"),
        ({QUOTA: {"Quota.Value": 5}}, 2, "ec2 --quota-code L-34B43A08 --desired-value 256; or lower stack."),
        ({SETTINGS: '[stack.compute]\nInstanceTypes = ["m5", "x2idn"]\n'}, 2, "All X Spot Instance Requests: 0 vCPUs"),
    ],
    "quota of Lustre": [
        ({}, 0, "capacity: 100800 GiB; the parameters ask for 3600, and others have 0"),
        ({SETTINGS: PERSISTENT}, 1, "Lustre Persistent_2 storage capacity: 4800 GiB; the parameters ask for 7200, "),
        ({SETTINGS: PERSISTENT}, 1, "--desired-value 7200; or lower ScratchCapacity in genomics.toml."),
    ],
    "room for jobs": [
        ({ENVIRONMENTS: {TYPES: ["default_x86_64"]}}, 0, "2xlarge and larger, on Spot and on demand"),
        ({ENVIRONMENTS: {TYPES: ["optimal"]}}, 0, "2xlarge and larger, on Spot and on demand"),
        ({ENVIRONMENTS: {TYPES: ["m6g"]}}, len(TOOLS), "on Spot there is no x86_64 instance type m6g"),
        ({OFFERINGS: {"InstanceTypeOfferings": []}}, 5, "on Spot there is no x86_64 instance type m5, "),
        ({ENVIRONMENTS: {MOST: 4}}, 2, "on Spot at most 4 vCPUs run at a time; on demand at most 4 vCPUs"),
        ({ENVIRONMENTS: ONE_VCPU}, 0, "m5.4xlarge and larger, on Spot; but on demand at most 1 vCPUs run at a time"),
        ({ENVIRONMENTS: ONE_VCPU}, 0, "m5.4xlarge and larger on Spot, "),
        (SMALL_HOSTS, 1, "about 31201 MiB for jobs. Lower jobs.bwa in genomics.toml, or allow larger hosts or more "),
        (SMALL_HOSTS, 1, "bwa:1 asks for 8 vCPUs and 32768 MiB, which no host has: on Spot the largest is m5.2xl"),
        (NEARLY_FITTING, 0, "m5.4xlarge and larger, on Spot and on demand; not on m5.2xlarge, whose 32768 MiB"),
    ],
    "memory of second attempts": [
        ({}, 0, "MaxJobMemory is 500000 MiB, and the largest host has about "),
        ({ENVIRONMENTS: {TYPES: ["m5.2xlarge"]}}, 1, "about 31201 for jobs. Set it to 31201 in [stack.workflow]"),
    ],
    "compute environment": [
        ({ENVIRONMENTS: {FIRST: INVALID}}, 1, "is INVALID: no such role. Mend what it says. Type: python"),
        ({ENVIRONMENTS: {f"{FIRST}.state": "DISABLED"}}, 1, "is DISABLED: it takes no jobs. Type: aws batch"),
        ({ENVIRONMENTS: {f"{FIRST}.computeResources.subnets": ["s"]}}, 1, "subnets are s, and not subnet"),
        ({ENVIRONMENTS: {"computeEnvironments": []}}, 2, GONE),
    ],
    "image of hosts": [
        ({}, 0, "has started no hosts yet, and so Batch does not say how old their image is"),
        ({ENVIRONMENTS: {IMAGES: {"batchImageStatus": "LATEST"}}}, 0, "start from the latest image"),
        (
            {ENVIRONMENTS: {IMAGES: {"batchImageStatus": "UPDATE_AVAILABLE"}}},
            2,
            "an old image, without the latest security patches. Type: ",
        ),
    ],
    "service-linked role": [
        ({}, 0, "every service that the stacks use has its role"),
        ({"ListRoles": {"Roles": []}}, 5, "fsx.amazonaws.com has none in this account, and cannot act for it. "),
        (
            {"ListRoles": {"Roles": []}},
            5,
            "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
        ),
    ],
    "job queue": [
        ({QUEUES: {"jobQueues[0]": INVALID}}, 1, "is INVALID: no such role. Mend what it says. Type: "),
        ({QUEUES: {"jobQueues[0].state": "DISABLED"}}, 1, "is DISABLED: it takes no jobs. Type: aws batch update-job-"),
        ({QUEUES: {ORDER: []}}, 1, "tries nothing, and not SPOT, then EC2"),
        ({QUEUES: {f"{ORDER}[0].order": 3}}, 1, f"EC2, SPOT, and not SPOT, then EC2{DEPLOY_COMPUTE}"),
        ({QUEUES: {"jobQueues": []}}, 2, GONE),
    ],
    "launch template": [
        ({ENVIRONMENTS: {f"{FIRST}.computeResources.launchTemplate": {}}}, 1, "has none: its hosts mount nothing."),
        ({TEMPLATES: {"LaunchTemplateVersions": []}}, 2, f", which is gone{DEPLOY_COMPUTE}"),
    ],
    "instance profile": [
        ({"GetInstanceProfile": {"InstanceProfile.Roles": []}}, 1, "holds no role, and not arn:aws:iam::")
    ],
    "role": [
        ({"GetRole": {TRUST: "*"}}, 7, "others may take it than the template says. Undo it with `aws iam`"),
        ({"ListRolePolicies": {"PolicyNames": []}}, 6, "export is gone"),
        ({"GetRolePolicy": {"PolicyDocument.Statement": []}}, 5, "export says something else"),
    ],
    "file system": [
        ({FILE_SYSTEMS: {"FileSystems[0]": FAILED}}, 3, "/scratch/data is FAILED: no capacity. Wait if it is new; see"),
        ({FILE_SYSTEMS: {"FileSystems[0].FileSystemTypeVersion": "2.10"}}, 3, "Lustre 2.10, and hosts speak 2.15"),
    ],
    "mount": [
        ({FILE_SYSTEMS: {MOUNT_NAME: "x"}}, 3, "@tcp:/x. Type: python build.py deploy storage"),
        ({"GetParameter": {"Parameter.Value": "x"}}, 3, "hosts mount x at /scratch/"),
    ],
    "link to S3": [
        ({LINKS: {"Associations[0]": FAILED}}, 3, "is FAILED: no capacity. Correct what it says; see aws fsx "),
        ({LINKS: {"Associations[0].DataRepositoryPath": "s3://x"}}, 1, "s3://x, and results are to go to"),
        ({LINKS: {"Associations": []}}, 3, ") is linked to nothing. Type: python build.py deploy storage"),
    ],
    "Lustre ports": [
        ({GROUPS: {INWARDS: tcp(900, 1100, "0.0.0.0/0")}}, 0, "TCP 988 and 1018-1023 are open between sg-"),
        ({GROUPS: {INWARDS: tcp(0, 0, "10.20.0.0/16", "-1")}}, 0, "TCP 988 and 1018-1023 are open between sg-"),
        ({GROUPS: {INWARDS: tcp(0, 0, "10.20.0.0/24", "-1")}}, 1, "closed: from file systems, on hosts, TCP 988; from"),
        ({GROUPS: {OUTWARDS: tcp(900, 1100, "0.0.0.0/0", "udp")}}, 1, "closed: to file systems, on hosts, TCP 988"),
        ({GROUPS: {OUTWARDS: tcp(988, 1022, "0.0.0.0/0")}}, 1, "file systems, TCP 1018-1023. Somebody changed a rule"),
    ],
    "job definition": [
        ({"BatchGetImage": {"images": []}}, len(TOOLS), "which is not in ECR; says that it runs "),
        ({DEFINITIONS: {"jobDefinitions": []}}, 1, UNREGISTERED),
    ],
    "state machine": [
        ({DEFINITIONS: {f"{BWA}.jobDefinitionArn": "x"}}, 1, "genomics-job names genomics-bwa:1, which cannot be subm"),
        (
            {"DescribeStateMachine": {"status": "DELETING"}},
            2,
            "genomics-germline is DELETING. Type: python build.py de",
        ),
    ],
}


@pytest.mark.parametrize(("check", "case"), [(check, case) for check, cases in CASES.items() for case in cases])
def test_a_fault_is_red_with_its_fix(aws: DoctorAws, check: str, case: tuple[dict[str, Any], int, str]) -> None:
    changes, count, text = case
    aws.settings(changes.get(SETTINGS, ""))
    for operation in changes.keys() - {SETTINGS}:
        for path, value in changes[operation].items():
            aws.put(operation, path, value)
    results = aws.run(check)
    assert statuses(results).count("red") == count
    said = [f"{result.what}. {result.fix}" for result in results if result.status == ("red" if count else "green")]
    assert any(text in line for line in said), said


def test_hosts_get_the_latest_image_unless_they_have_it(aws: DoctorAws) -> None:
    for number, status in enumerate(("LATEST", "UPDATE_AVAILABLE")):
        aws.put(ENVIRONMENTS, IMAGES.replace("[*]", f"[{number}]", 1), {"batchImageStatus": status})
    aws.answer("UpdateComputeEnvironment", lambda _: {})
    lines = list(host_images.update(aws.account, aws.context.outputs))
    assert [line.rpartition(" ")[2] for line in lines] == ["unchanged", "updating"]
    _, outdated = (environment["computeEnvironmentArn"] for environment in aws.context.compute_environments)
    request = {"computeEnvironment": outdated, "computeResources": {"updateToLatestImageVersion": True}}
    assert aws.requests("UpdateComputeEnvironment") == [request]


def test_the_capacity_of_other_file_systems_counts_against_the_quota(aws: DoctorAws) -> None:
    def add_another(answer: Json) -> None:
        another = {**answer["FileSystems"][0], "FileSystemId": "fs-0123456789abcdef0", "StorageCapacity": 98400}
        answer["FileSystems"].append(another)

    aws.alter(FILE_SYSTEMS, add_another)
    red = only_red(aws.run("quota of Lustre"))
    assert red.what.endswith("the parameters ask for 3600, and others have 98400")
    assert "--service-code fsx --quota-code L-AD2FC696 --desired-value 102000" in red.fix


def test_a_quota_that_the_account_never_had_raised_is_aws_s_default(aws: DoctorAws) -> None:
    aws.refuse(QUOTA, "NoSuchResourceException")
    aws.answer("GetAWSDefaultServiceQuota", lambda request: {"Quota": quota(request["QuotaCode"], 5.0)})
    assert statuses(aws.run("quota of vCPUs")) == ["red", "red"]
    aws.refuse(QUOTA, "AccessDeniedException")
    assert statuses(aws.run("quota of vCPUs")) == ["yellow"]


def test_a_quota_that_cannot_be_found_is_yellow(aws: DoctorAws) -> None:
    for operation in ("ListServiceQuotas", "ListAWSDefaultServiceQuotas"):
        aws.answer(operation, lambda _: {"Quotas": []})
    [result] = aws.run("quota of Lustre")
    assert result.status == "yellow"
    assert result.what == "could not look: Service Quotas lists no 'Lustre Scratch storage capacity'"
    aws.settings('DeploymentType = "PERSISTENT_9"\n')
    [result] = aws.run("quota of Lustre")
    assert (result.status, result.fix) == ("yellow", "Mend genomics.toml.")


def test_before_anything_is_deployed_the_checkout_says_what_fits(aws: DoctorAws) -> None:
    aws.refuse("DescribeStacks", "does not exist")
    aws.answer(DEFINITIONS, lambda _: {"jobDefinitions": []})
    assert set(statuses(aws.run("room for jobs"))) == {"green"}
    aws.settings("[stack.compute]\nInstanceTypes = 'm5.large'\n[jobs.samtools]\nvcpus = 2\n")
    red = [result.what for result in aws.run("room for jobs") if result.status == "red"]
    assert [what.split(" asks")[0] for what in red] == ["bwa", "bwa-mem3", "samtools"]


def test_what_a_host_registers_is_less_than_its_nominal_memory() -> None:
    assert hosts.reserved_memory("ECS_CLUSTER=x\n  ECS_RESERVED_MEMORY=256\n") == 256
    assert hosts.reserved_memory("") == hosts.DEFAULT_RESERVED
    # Measured by others: never less than is estimated here.
    assert HostType(name="m4.large", vcpus=2, nominal=8192).registered(32) <= 7985 - 32
    assert HostType(name="r5d.xlarge", vcpus=4, nominal=32768).registered(32) <= 31672


def test_a_launch_template_with_a_newer_version_is_red(aws: DoctorAws) -> None:
    def versions(request: Json) -> Json:
        number = 2 if request["Versions"] == ["$Latest"] else 1
        return {"LaunchTemplateVersions": [{"LaunchTemplateId": request["LaunchTemplateId"], "VersionNumber": number}]}

    aws.answer(TEMPLATES, versions)
    results = aws.run("launch template")
    assert statuses(results) == ["red", "red"]
    assert "starts hosts with version 1 of lt-" in results[0].what
    assert results[0].what.endswith("and the latest is 2")


def test_a_newer_revision_than_the_one_that_a_state_machine_names_is_noted(aws: DoctorAws) -> None:
    def register_another(answer: Json) -> None:
        [bwa] = [entry for entry in answer["jobDefinitions"] if entry["jobDefinitionName"] == "genomics-bwa"]
        answer["jobDefinitions"].append({**bwa, "revision": 2, "jobDefinitionArn": f"{bwa['jobDefinitionArn']}2"})

    aws.alter(DEFINITIONS, register_another)
    results = aws.run("state machine")
    assert set(statuses(results)) == {"green"}
    assert results[1].what.endswith("all of them active; python build.py deploy workflow takes genomics-bwa:2")


def test_a_policy_that_was_added_attached_or_detached_by_hand_is_red(aws: DoctorAws) -> None:
    by_hand = "arn:aws:iam::aws:policy/AdministratorAccess"

    def attached(request: Json) -> Json:
        policy = {"PolicyName": "AdministratorAccess", "PolicyArn": by_hand}
        return {"AttachedPolicies": [policy] if "JobRole" in request["RoleName"] else []}

    def add(answer: Json) -> None:
        if "export" in answer["PolicyNames"]:
            answer["PolicyNames"].append("more")

    empty = json.dumps({"Version": "2012-10-17", "Statement": []})
    aws.alter("ListRolePolicies", add)
    aws.answer("GetRolePolicy", lambda request: {**request, "PolicyDocument": empty})
    aws.answer("ListAttachedRolePolicies", attached)
    red = {result.what.split()[0]: result.what for result in aws.run("role") if result.status == "red"}
    assert f"{by_hand} is attached by hand" in red["JobRole"]
    assert "more is there, which the template does not have" in red["ExportRole"]
    assert any("was detached" in what for what in red.values())


def test_a_role_or_an_instance_profile_that_is_gone_is_red(aws: DoctorAws) -> None:
    aws.refuse("GetRole", "NoSuchEntity")
    results = aws.run("role")
    assert set(statuses(results)) == {"red"}
    assert all("is gone: somebody deleted it" in result.what for result in results)
    aws.refuse("GetInstanceProfile", "NoSuchEntity")
    assert "is gone: no host can start" in only_red(aws.run("instance profile")).what


def test_file_systems_that_are_down_are_yellow_with_what_brings_them_up(aws: DoctorAws) -> None:
    context = aws.context
    context.states = {name: state for name, state in context.states.items() if name != "storage"}
    [result] = [result for result in stack_checks.statuses(context) if result.status == "yellow"]
    assert result.what == "the file systems are down, and so not looked into"
    assert result.fix.endswith("python build.py storage up")


def test_a_file_system_that_is_gone_is_red_once(aws: DoctorAws) -> None:
    gone = aws.context.outputs["DataFileSystemId"]
    existing = aws.context.file_systems

    def described(request: Json) -> Json:
        [identifier] = request["FileSystemIds"]
        if identifier == gone:
            raise RefusedError("FileSystemNotFound")
        return {"FileSystems": [existing[identifier]]}

    aws.answer(FILE_SYSTEMS, described)
    assert f"{gone} of /scratch/data is gone" in only_red(aws.run("file system")).what
    for other in ("mount", "link to S3", "zone", "Lustre ports"):
        assert set(statuses(aws.run(other))) == {"green"}


def test_a_file_system_in_another_zone_is_red(aws: DoctorAws) -> None:
    def described(request: Json) -> Json:
        zones = {"subnet-00000000": "eu-central-1b"}
        subnets = [
            {"SubnetId": name, "AvailabilityZone": zones.get(name, "eu-central-1a")} for name in request["SubnetIds"]
        ]
        return {"Subnets": subnets}

    aws.answer("DescribeSubnets", described)
    assert statuses(aws.run("zone")) == ["green"]
    aws.put(FILE_SYSTEMS, "FileSystems[0].SubnetIds", ["subnet-00000000"])
    results = aws.run("zone")
    assert set(statuses(results)) == {"red"}
    assert results[0].what.endswith("is in eu-central-1b, and hosts are in eu-central-1a")


def test_a_directory_that_was_imported_needs_no_link(aws: DoctorAws) -> None:
    aws.put(LINKS, "Associations", [])
    imported = {"DataRepositoryConfiguration": {"ImportPath": "s3://public/hg38"}}
    aws.put(FILE_SYSTEMS, "FileSystems[0].LustreConfiguration", imported)
    results = aws.run("link to S3")
    assert results[0].what == "/scratch/reference was imported from s3://public/hg38"
    assert statuses(results) == ["green", "green", "red"]


def test_the_links_of_a_file_system_may_be_on_several_pages(aws: DoctorAws) -> None:
    association = {"FileSystemPath": "/", "DataRepositoryPath": "s3://reads", "Lifecycle": "AVAILABLE"}
    pages: dict[bool, Json] = {False: {"Associations": [], "NextToken": "x"}, True: {"Associations": [association]}}
    aws.answer(LINKS, lambda request: pages["NextToken" in request])
    assert statuses(aws.run("link to S3"))[:2] == ["green", "green"]


@pytest.mark.parametrize(("direction", "preposition"), [("IpPermissions", "from"), ("IpPermissionsEgress", "to")])
def test_a_rule_that_somebody_removed_is_red_with_what_is_closed(
    aws: DoctorAws, direction: str, preposition: str
) -> None:
    client = aws.context.outputs["LustreClientSecurityGroupId"]

    def remove(answer: Json) -> None:
        [group] = [group for group in answer["SecurityGroups"] if group["GroupId"] == client]
        group[direction] = [rule for rule in group[direction] if rule.get("FromPort") != 1018]

    aws.alter(GROUPS, remove)
    assert only_red(aws.run("Lustre ports")).what == f"closed: {preposition} file systems, on hosts, TCP 1018-1023"


# ---- the command ----


@pytest.fixture
def command(aws: DoctorAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `doctor`; returns exit code, stdout and stderr."""
    monkeypatch.setattr(doctor, "DoctorContext", lambda **_: aws.context)
    return lambda *words: (main(["doctor", *words]), *capsys.readouterr())


def test_a_line_has_a_mark_the_status_and_the_fix(aws: DoctorAws, command: Callable[..., Any]) -> None:
    code, out, err = command()
    assert code == 0
    assert [line[:9] for line in out.splitlines()] == ["✓ green  "] * len(out.splitlines())
    assert err == f"{len(out.splitlines())} green, 0 red, 0 could not be looked at\n"

    aws.refuse("GetRole", "AccessDenied")
    code, out, err = command()
    assert code == 0, "yellow alone is no failure"
    [yellow] = [line for line in out.splitlines() if line.startswith("? yellow role: could not look: ")]
    assert yellow.endswith("Ask for this permission, or use another AWS_PROFILE.")

    aws.put(QUEUES, "jobQueues[0].state", "DISABLED")
    code, out, err = command()
    assert code == 1
    [red] = [line for line in out.splitlines() if line.startswith("✗ red    job queue: ")]
    assert red.endswith("--state ENABLED")
    assert err.endswith(" green, 1 red, 1 could not be looked at\n")

    code, out, err = command("--json")
    document = json.loads(out)
    assert (code, err, document["red"], document["yellow"]) == (1, "", 1, 1)
    assert {tuple(result) for result in document["findings"]} == {("check", "status", "what", "fix")}
    [result] = [result for result in document["findings"] if result["status"] == "red"]
    assert (result["check"], result["fix"].split()[:3]) == ("job queue", ["Type:", "aws", "batch"])
