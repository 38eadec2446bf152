"""`doctor`: a deployment without faults is green, and each fault is red in its check, with its fix."""

import json
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import doctor_aws
from support.aws_double import Json, RefusedError
from support.doctor_aws import DoctorAws, quota

from toolchain.aws import Account
from toolchain.cli import doctor
from toolchain.cli import main as cli
from toolchain.docker.engine import Engine
from toolchain.doctor import hosts, run_checks
from toolchain.doctor.checks import caller
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.hosts import HostType
from toolchain.doctor.result import CheckResult, green
from toolchain.doctor.run_checks import Check
from toolchain.errors import UnavailableError
from toolchain.images import catalog
from toolchain.paths import HERE

Change = Callable[[Json], object]
GIB = 1024**3
TOOLS = sorted(catalog.load(HERE.images).tools)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorAws]:
    with doctor_aws.deployed(tmp_path_factory.mktemp("doctor")) as aws:
        yield aws


def engine(*, architecture: str = "amd64", root: str = "/") -> Callable[[], SimpleNamespace]:
    client = SimpleNamespace(
        version=lambda: {"Version": "28.0", "Arch": architecture}, info=lambda: {"DockerRootDir": root}
    )
    return lambda: SimpleNamespace(client=client)


@pytest.fixture
def aws(deployed: DoctorAws, monkeypatch: pytest.MonkeyPatch) -> DoctorAws:
    """A deployment without faults, and an engine with room."""
    monkeypatch.setattr(Engine, "connect", engine())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * GIB))
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


def listed(answer: Json) -> list[Json]:
    """What an answer lists."""
    [items] = [value for value in answer.values() if isinstance(value, list)]
    return items


def first(**values: object) -> Change:
    """A change to the first of what is listed."""
    return lambda answer: listed(answer)[0].update(values)


def each(part: str, **values: object) -> Change:
    """A change to a part of everything that is listed."""
    return lambda answer: [item[part].update(values) for item in listed(answer)]


def nothing(answer: Json) -> None:
    """Nothing is listed."""
    listed(answer).clear()


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
    before = aws.run_all()
    aws.refuse("DescribeDataRepositoryAssociations", "AccessDeniedException")
    results = aws.run_all()
    [yellow] = not_green(results)
    assert (yellow.check, yellow.status) == ("link to S3", "yellow")
    assert yellow.what.startswith("could not look: looking at the links of file system fs-")
    assert yellow.what.endswith("failed: AccessDeniedException: so it is")
    assert yellow.fix == "Ask for this permission, or use another AWS_PROFILE."
    assert [result for result in results if result != yellow] == [
        result for result in before if result.check != "link to S3"
    ]


def test_a_bug_in_a_check_hides_no_other_result() -> None:
    def fails(_: DoctorContext) -> Iterator[CheckResult]:
        yield green("so far")
        raise KeyError("nobody")

    results = list(run_checks.run(Check(name="x", run=fails), DoctorContext(checkout=HERE)))
    assert statuses(results) == ["green", "yellow"]
    assert "KeyError: 'nobody'" in results[1].what


# ---- this machine ----


def test_no_engine_is_red(aws: DoctorAws, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_answers() -> None:
        raise UnavailableError("no Docker engine answers", why="refused", fix="Type: make setup.")

    monkeypatch.setattr(Engine, "connect", none_answers)
    assert only_red(aws.run("docker")).fix == "Type: make setup."


@pytest.mark.parametrize(
    ("connect", "free", "status", "what", "fix"),
    [
        (engine(architecture="arm64"), 50, "red", "engine 28.0 for arm64: hosts are x86_64", "DOCKER_HOST"),
        (engine(), 2.9, "red", "2.9 GiB free of the 3 that builds take", "docker system prune"),
        (engine(), 3, "green", "engine 28.0 for amd64, 3 GiB free", ""),
        (engine(), None, "green", "engine 28.0 for amd64; its disk is not this machine's", ""),
        (engine(root="C:\\docker"), 0, "green", "its disk is not this machine's", ""),
    ],
)
def test_an_engine_builds_for_the_hosts_and_has_room(
    aws: DoctorAws,
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[], SimpleNamespace],
    free: float | None,
    status: str,
    what: str,
    fix: str,
) -> None:
    def disk_usage(_: Path) -> SimpleNamespace:
        if free is None:
            raise FileNotFoundError
        return SimpleNamespace(free=free * GIB)

    monkeypatch.setattr(Engine, "connect", connect)
    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    [result] = aws.run("docker")
    assert result.status == status
    assert what in result.what
    assert fix in result.fix


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


def test_settings_that_deploy_would_refuse_are_red_one_by_one(aws: DoctorAws) -> None:
    aws.checkout.settings.write_text(
        'project = "genomics"\nworkflow = "germline"\n[stack.storage]\nDataPath = "reads"\n', encoding="utf-8"
    )
    results = aws.run("genomics.toml")
    assert statuses(results) == ["red", "red"]
    assert "'stack.storage.DataPath' is \"reads\"; allowed is what matches" in results[0].what
    assert results[1].what.startswith("'stack.storage.ReferencePath' is missing")


def test_settings_that_cannot_be_read_are_one_red_line_and_nothing_else_is_checked(aws: DoctorAws) -> None:
    aws.checkout.settings.write_text("project =", encoding="utf-8")
    results = not_green(aws.run_all())
    assert [(result.check, result.status) for result in results] == [("genomics.toml", "red"), ("AWS", "yellow")]
    assert "it is not TOML" in results[0].what


def test_values_that_are_wrong_are_red_in_the_check_of_the_settings_only(aws: DoctorAws) -> None:
    aws.settings('DeploymentType = "SCRATCH_9"\nWorkingCapacity = "much"\n[stack.compute]\nSpotMaxvCpus = "many"\n')
    results = not_green(aws.run_all())
    assert {result.check for result in results if result.status == "red"} == {"genomics.toml"}
    assert [result.what for result in results if "nobody has thought of" in result.what] == []


# ---- the caller ----


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_without_valid_credentials_nothing_else_is_asked(aws: DoctorAws, code: str) -> None:
    aws.refuse("GetCallerIdentity", code)
    results = not_green(aws.run_all())
    assert [(result.check, result.status) for result in results] == [("credentials", "red"), ("AWS", "yellow")]
    assert f"{code}: so it is" in results[0].what
    assert results[0].fix == "Log in to AWS again."
    assert [operation for operation, _ in aws.calls] == ["GetCallerIdentity"]


def test_no_credentials_no_region_and_an_unknown_profile_are_red_with_what_to_set(
    aws: DoctorAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.open_account = Account
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    red = only_red(aws.run_all())
    assert (red.check, red.fix) == ("credentials", "Type: aws configure, or set AWS_PROFILE.")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    red = only_red(aws.run_all())
    assert (red.check, red.what) == ("credentials", "no AWS region: the environment names none")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert only_red(aws.run_all()).fix == "Correct AWS_PROFILE."


@pytest.mark.parametrize(("ahead", "direction"), [(400.0, "ahead of"), (-400.0, "behind")])
def test_a_clock_that_makes_signatures_fail_is_red(aws: DoctorAws, ahead: float, direction: str) -> None:
    aws.clock_ahead = ahead
    red = only_red(aws.run("credentials"))
    assert red.check == "clock"
    assert f" s {direction} AWS's: from 300 s AWS refuses signatures" in red.what
    assert "timedatectl" in red.fix


def test_a_clock_that_is_off_by_little_is_noted(aws: DoctorAws) -> None:
    aws.clock_ahead = 30
    [_, result] = aws.run("credentials")
    assert result.status == "green"
    assert result.what.startswith(("28 s ahead", "29 s ahead", "30 s ahead"))


def test_a_slow_answer_does_not_count_as_a_wrong_clock() -> None:
    headers = {"date": "Thu, 01 Jan 2026 00:00:10 GMT"}
    written = 1767225610.0
    assert caller.clock_ahead(headers, written - 20, written + 20) == 0
    assert caller.clock_ahead(headers, written + 0.9, written + 0.9) == 0
    assert caller.clock_ahead(headers, written + 6, written + 7) == 5
    assert caller.clock_ahead(headers, written - 7, written - 5) == -5
    assert caller.clock_ahead({}, written, written) is None


# ---- stacks ----


def test_stacks_that_are_not_deployed_are_one_line_and_nothing_of_them_is_checked(aws: DoctorAws) -> None:
    aws.refuse("DescribeStacks", "does not exist")
    [result] = not_green(aws.run_all())
    assert result.what == "not deployed, and so not looked into: registry, network, storage, compute, workflow"
    assert result.fix == "Type: python build.py deploy"


def test_stacks_that_cannot_be_looked_at_are_one_line(aws: DoctorAws) -> None:
    aws.refuse("DescribeStacks", "AccessDenied")
    results = not_green(aws.run_all())
    assert {result.status for result in results} == {"yellow"}
    assert not {result.check for result in results} & {"compute environment", "file system", "state machine"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("ROLLBACK_COMPLETE", "red"),
        ("UPDATE_ROLLBACK_FAILED", "red"),
        ("DELETE_FAILED", "red"),
        ("UPDATE_IN_PROGRESS", "yellow"),
        ("UPDATE_ROLLBACK_COMPLETE", "green"),
    ],
)
def test_the_state_of_a_stack(aws: DoctorAws, status: str, expected: str) -> None:
    aws.alter("DescribeStacks", first(StackStatus=status, StackStatusReason="so it is"))
    result = aws.run("stacks")[1]
    assert result.status == expected
    assert result.what.startswith(f"genomics-network is {status}: so it is")
    assert ("python build.py deploy network" in result.fix) == (expected == "red")


# ---- what is deployed ----

ENVIRONMENTS = "DescribeComputeEnvironments"
QUEUES = "DescribeJobQueues"
TEMPLATES = "DescribeLaunchTemplateVersions"
FILE_SYSTEMS = "DescribeFileSystems"
LINKS = "DescribeDataRepositoryAssociations"
DEFINITIONS = "DescribeJobDefinitions"
QUOTA = "GetServiceQuota"
OFFERINGS = "DescribeInstanceTypeOfferings"
GROUPS = "DescribeSecurityGroups"
INWARDS, OUTWARDS = "IpPermissions", "IpPermissionsEgress"

DEPLOY_COMPUTE = ". Type: python build.py deploy compute"
GONE = f"is gone: somebody deleted it{DEPLOY_COMPUTE}"
UNREGISTERED = f"not registered: {', '.join(TOOLS)}. Type: python build.py push; python build.py register"
INVALID = {"status": "INVALID", "statusReason": "no such role"}
FAILED = {"Lifecycle": "FAILED", "FailureDetails": {"Message": "no capacity"}}
ANOTHER_MOUNT = {"LustreConfiguration": {"MountName": "another"}}
NO_SUCH_TYPE = 'DeploymentType = "PERSISTENT_9"\n'


def on_demand_first(answer: Json) -> None:
    for entry, order in zip(listed(answer)[0]["computeEnvironmentOrder"], (2, 1), strict=True):
        entry["order"] = order


def one_vcpu_on_demand(answer: Json) -> None:
    spot, on_demand = (environment["computeResources"] for environment in listed(answer))
    spot["instanceTypes"] = ["m5.4xlarge"]
    on_demand["maxvCpus"] = 1


def types(*names: str, most: int = 256) -> Change:
    return each("computeResources", instanceTypes=list(names), maxvCpus=most)


def bwa_memory(mebibytes: int) -> Change:
    def change(answer: Json) -> None:
        for definition in listed(answer):
            if definition["jobDefinitionName"] == "genomics-bwa":
                for requirement in definition["containerProperties"]["resourceRequirements"]:
                    if requirement["type"] == "MEMORY":
                        requirement["value"] = str(mebibytes)

    return change


def without_bwa(answer: Json) -> None:
    listed(answer)[:] = [entry for entry in listed(answer) if entry["jobDefinitionName"] != "genomics-bwa"]


def newer_bwa(answer: Json) -> None:
    for definition in [*listed(answer)]:
        if definition["jobDefinitionName"] == "genomics-bwa":
            arn = f"{definition['jobDefinitionArn']}2"
            listed(answer).append({**definition, "revision": 2, "jobDefinitionArn": arn})


def without_template(answer: Json) -> None:
    for environment in listed(answer):
        del environment["computeResources"]["launchTemplate"]


def without_roles(answer: Json) -> None:
    answer["InstanceProfile"]["Roles"] = []


def trusting(answer: Json) -> None:
    answer["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Action"] = "*"


def deleting(answer: Json) -> None:
    answer["status"] = "DELETING"


def five(answer: Json) -> None:
    answer["Quota"]["Value"] = 5


def another_file_system(answer: Json) -> None:
    another = {**listed(answer)[0], "FileSystemId": "fs-0123456789abcdef0", "StorageCapacity": 98400}
    listed(answer).append(another)


def rules(direction: str, rule: Json) -> Change:
    """A change of the rules that all security groups have."""
    return lambda answer: [group.update({direction: [rule]}) for group in listed(answer)]


def tcp(first_port: int, last_port: int, addresses: str, protocol: str = "tcp") -> Json:
    ranges = [{"CidrIp": addresses}]
    return {"IpProtocol": protocol, "FromPort": first_port, "ToPort": last_port, "IpRanges": ranges}


SMALL_HOSTS = {ENVIRONMENTS: types("m5.large", "m5.2xlarge"), DEFINITIONS: bwa_memory(32768)}
NEARLY_FITTING = {ENVIRONMENTS: types("m5"), DEFINITIONS: bwa_memory(32000)}
# Changed answers, the number of red results, and what one of those says; what a green one says if there are none.
CASES: dict[str, list[tuple[dict[str, Change], int, str]]] = {
    "quota of vCPUs": [
        ({}, 0, "Spot Instance Requests: 640 vCPUs, and SpotMaxvCpus is 256"),
        ({QUOTA: five}, 2, "5 vCPUs, and SpotMaxvCpus is 256. Type: aws service-quotas request-service"),
        ({QUOTA: five}, 2, "ec2 --quota-code L-34B43A08 --desired-value 256; or lower stack.compute.Spot"),
    ],
    "quota of Lustre": [
        ({}, 0, "capacity: 100800 GiB; the parameters ask for 4800, and others have 0"),
        ({FILE_SYSTEMS: another_file_system}, 1, "the parameters ask for 4800, and others have 98400"),
        ({FILE_SYSTEMS: another_file_system}, 1, "--quota-code L-AD2FC696 --desired-value 103200"),
    ],
    "room for jobs": [
        ({ENVIRONMENTS: types("default_x86_64")}, 0, "2xlarge and larger, on Spot and on demand"),
        ({ENVIRONMENTS: types("optimal")}, 0, "2xlarge and larger, on Spot and on demand"),
        ({ENVIRONMENTS: types("m6g")}, len(TOOLS), "on Spot there is no x86_64 instance type m6g"),
        ({OFFERINGS: nothing}, len(TOOLS), "on Spot there is no x86_64 instance type m5, m5a, "),
        ({ENVIRONMENTS: types("m5", most=4)}, 2, "on Spot at most 4 vCPUs run at a time; on demand at "),
        ({ENVIRONMENTS: one_vcpu_on_demand}, 0, "m5.4xlarge and larger, on Spot; but on demand at most 1"),
        ({ENVIRONMENTS: one_vcpu_on_demand}, 0, "m5.4xlarge and larger on Spot, "),
        (SMALL_HOSTS, 1, "about 31201 MiB for jobs. Lower jobs.bwa in genomics.toml, or allow larger hosts or more "),
        (SMALL_HOSTS, 1, "bwa:1 asks for 8 vCPUs and 32768 MiB, which no host has: on Spot the largest is m5.2xl"),
        (NEARLY_FITTING, 0, "m5.4xlarge and larger, on Spot and on demand; not on m5.2xlarge, whose 32768 MiB"),
    ],
    "memory of second attempts": [
        ({}, 0, "MaxJobMemory is 500000 MiB, and the largest host has about "),
        ({ENVIRONMENTS: types("m5.2xlarge")}, 1, "about 31201 for jobs. Set it to 31201 in "),
    ],
    "compute environment": [
        ({ENVIRONMENTS: first(**INVALID)}, 1, "is INVALID: no such role. Mend what it says. Type:"),
        ({ENVIRONMENTS: first(state="DISABLED")}, 1, "is DISABLED: it takes no jobs. Type: aws "),
        ({ENVIRONMENTS: each("computeResources", subnets=["s"])}, 2, "subnets are s, and not subnet"),
        ({ENVIRONMENTS: lambda answer: listed(answer).pop()}, 1, GONE),
    ],
    "job queue": [
        ({QUEUES: first(**INVALID)}, 1, "is INVALID: no such role. Mend what it says. Type: "),
        ({QUEUES: first(state="DISABLED")}, 1, "is DISABLED: it takes no jobs. Type: aws batch update-job-"),
        ({QUEUES: first(computeEnvironmentOrder=[])}, 1, "tries nothing, and not SPOT, then EC2"),
        ({QUEUES: on_demand_first}, 1, f"tries EC2, SPOT, and not SPOT, then EC2{DEPLOY_COMPUTE}"),
        ({QUEUES: nothing}, 1, GONE),
    ],
    "launch template": [
        ({ENVIRONMENTS: without_template}, 2, f"has none: its hosts mount nothing{DEPLOY_COMPUTE}"),
        ({TEMPLATES: nothing}, 2, f", which is gone{DEPLOY_COMPUTE}"),
    ],
    "instance profile": [
        ({"GetInstanceProfile": without_roles}, 1, "holds no role, and not arn:aws:iam::"),
    ],
    "role": [
        ({"GetRole": trusting}, 5, "others may take it than the template says. Undo it with `aws iam`, or write "),
    ],
    "file system": [
        ({FILE_SYSTEMS: first(**FAILED)}, 3, "/scratch/data is FAILED: no capacity. Wait if it is new; see"),
        ({FILE_SYSTEMS: first(FileSystemTypeVersion="2.10")}, 3, "Lustre 2.10, and hosts speak 2.15. Type: "),
    ],
    "mount": [
        ({FILE_SYSTEMS: first(**ANOTHER_MOUNT)}, 3, "@tcp:/another. Type: python build.py deploy storage compute"),
        ({TEMPLATES: each("LaunchTemplateData", UserData="")}, 3, "new hosts of genomics-compute-Spot"),
    ],
    "link to S3": [
        ({LINKS: first(**FAILED)}, 3, "is FAILED: no capacity. Correct what it says; see aws fsx describe-"),
        ({LINKS: first(DataRepositoryPath="s3://x")}, 1, "/scratch/working and s3://x, and results are to go"),
        ({LINKS: nothing}, 3, ") is linked to nothing. Type: python build.py deploy storage"),
    ],
    "Lustre ports": [
        ({GROUPS: rules(INWARDS, tcp(900, 1100, "0.0.0.0/0"))}, 0, "TCP 988 and 1018-1023 are open"),
        ({GROUPS: rules(INWARDS, tcp(0, 0, "10.20.0.0/16", "-1"))}, 0, "TCP 988 and 1018-1023 are open"),
        ({GROUPS: rules(INWARDS, tcp(0, 0, "10.20.0.0/24", "-1"))}, 1, "from file systems, on hosts, TCP"),
        ({GROUPS: rules(OUTWARDS, tcp(900, 1100, "0.0.0.0/0", "udp"))}, 1, "closed: to file systems, on "),
        ({GROUPS: rules(OUTWARDS, tcp(988, 1022, "0.0.0.0/0"))}, 1, "file systems, TCP 1018-1023. Somebody"),
    ],
    "job definition": [
        ({"BatchGetImage": nothing}, len(TOOLS), "which is not in ECR; says that it runs "),
        ({DEFINITIONS: nothing}, 1, UNREGISTERED),
    ],
    "state machine": [
        ({DEFINITIONS: without_bwa}, 1, "genomics-job names genomics-bwa:1, which cannot be submitted"),
        ({DEFINITIONS: newer_bwa}, 0, "active; python build.py deploy workflow takes genomics-bwa:2"),
        ({"DescribeStateMachine": deleting}, 2, "genomics-germline is DELETING. Type: python build.py de"),
    ],
}


@pytest.mark.parametrize(
    ("check", "changes", "count", "text"), [(check, *case) for check, cases in CASES.items() for case in cases]
)
def test_a_fault_is_red_with_its_fix(
    aws: DoctorAws, check: str, changes: dict[str, Change], count: int, text: str
) -> None:
    for operation, change in changes.items():
        aws.alter(operation, change)
    results = aws.run(check)
    assert statuses(results).count("red") == count
    said = [f"{result.what}. {result.fix}" for result in results if result.status == ("red" if count else "green")]
    assert any(text in line for line in said), said


def test_the_parameters_say_which_quotas_count(aws: DoctorAws) -> None:
    aws.settings('[stack.compute]\nInstanceTypes = ["m5", "x2idn"]\n')
    results = aws.run("quota of vCPUs")
    assert statuses(results) == ["red", "green", "red", "green"]
    assert results[0].what.startswith("All X Spot Instance Requests: 0 vCPUs")
    aws.settings('DeploymentType = "PERSISTENT_2"\nFileSystems = "one"\nScratchCapacity = 7200\n')
    [result] = aws.run("quota of Lustre")
    assert result.what.startswith("Lustre Persistent_2 storage capacity: 4800 GiB; the parameters ask for 7200, ")
    assert result.fix.endswith("--desired-value 7200; or lower ScratchCapacity in genomics.toml.")


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


# ---- roles ----


def test_a_policy_that_was_attached_or_detached_by_hand_is_red(aws: DoctorAws) -> None:
    by_hand = "arn:aws:iam::aws:policy/AdministratorAccess"

    def attached(request: Json) -> Json:
        policy = {"PolicyName": "AdministratorAccess", "PolicyArn": by_hand}
        return {"AttachedPolicies": [policy] if "JobRole" in request["RoleName"] else []}

    aws.answer("ListAttachedRolePolicies", attached)
    red = {result.what.split()[0]: result.what for result in aws.run("role") if result.status == "red"}
    assert f"{by_hand} is attached by hand" in red["JobRole"]
    assert any("was detached" in what for what in red.values())


def test_a_policy_that_was_written_by_hand_is_red(aws: DoctorAws) -> None:
    anything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

    def add(answer: Json) -> None:
        if "export" in answer["PolicyNames"]:
            answer["PolicyNames"].append("more")

    aws.alter("ListRolePolicies", add)
    aws.answer(
        "GetRolePolicy",
        lambda request: {
            "RoleName": request["RoleName"],
            "PolicyName": request["PolicyName"],
            "PolicyDocument": json.dumps(anything),
        },
    )
    what = only_red([result for result in aws.run("role") if "ExportRole" in result.what]).what
    assert "more is there, which the template does not have" in what
    assert "export says something else" in what
    aws.alter("ListRolePolicies", lambda answer: answer.update(PolicyNames=[]))
    what = only_red([result for result in aws.run("role") if "ExportRole" in result.what]).what
    assert "export is gone" in what


def test_a_role_or_an_instance_profile_that_is_gone_is_red(aws: DoctorAws) -> None:
    aws.refuse("GetRole", "NoSuchEntity")
    results = aws.run("role")
    assert set(statuses(results)) == {"red"}
    assert all("is gone: somebody deleted it" in result.what for result in results)
    aws.refuse("GetInstanceProfile", "NoSuchEntity")
    assert "is gone: no host can start" in only_red(aws.run("instance profile")).what


# ---- file systems ----


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
    [subnet] = aws.context.subnets([aws.context.outputs["SubnetId"]])

    def described(request: Json) -> Json:
        zones = {"subnet-00000000": "eu-central-1b"}
        return {
            "Subnets": [
                {
                    **subnet,
                    "SubnetId": identifier,
                    "AvailabilityZone": zones.get(identifier, subnet["AvailabilityZone"]),
                }
                for identifier in request["SubnetIds"]
            ]
        }

    aws.answer("DescribeSubnets", described)
    assert statuses(aws.run("zone")) == ["green"]
    aws.alter(FILE_SYSTEMS, first(SubnetIds=["subnet-00000000"]))
    results = aws.run("zone")
    assert set(statuses(results)) == {"red"}
    assert results[0].what.endswith("is in eu-central-1b, and hosts are in eu-central-1a")


def test_a_directory_that_was_imported_needs_no_link(aws: DoctorAws) -> None:
    aws.alter(LINKS, nothing)
    imported = {"DataRepositoryConfiguration": {"ImportPath": "s3://public/hg38"}}
    aws.alter(FILE_SYSTEMS, lambda answer: answer["FileSystems"][0]["LustreConfiguration"].update(imported))
    results = aws.run("link to S3")
    assert results[0].what == "/scratch/reference was imported from s3://public/hg38"
    assert statuses(results) == ["green", "green", "red"]


def test_the_links_of_a_file_system_may_be_on_several_pages(aws: DoctorAws) -> None:
    association = {"FileSystemPath": "/", "DataRepositoryPath": "s3://reads", "Lifecycle": "AVAILABLE"}
    aws.answer(
        LINKS,
        lambda request: (
            {"Associations": [association]} if "NextToken" in request else {"Associations": [], "NextToken": "x"}
        ),
    )
    assert statuses(aws.run("link to S3"))[:2] == ["green", "green"]


# ---- the command ----


@pytest.fixture
def command(aws: DoctorAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `doctor`; returns exit code, stdout and stderr."""
    monkeypatch.setattr(doctor, "DoctorContext", lambda **_: aws.context)
    return lambda *words: (cli.main(["doctor", *words]), *capsys.readouterr())


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

    aws.alter(QUEUES, first(state="DISABLED"))
    code, out, err = command()
    assert code == 1
    [red] = [line for line in out.splitlines() if line.startswith("✗ red    job queue: ")]
    assert red.endswith("--state ENABLED")
    assert err.endswith(" green, 1 red, 1 could not be looked at\n")


def test_json_holds_the_same_and_nothing_else_is_printed(aws: DoctorAws, command: Callable[..., Any]) -> None:
    aws.alter(QUEUES, first(state="DISABLED"))
    code, out, err = command("--json")
    document = json.loads(out)
    assert (code, err, document["red"], document["yellow"]) == (1, "", 1, 0)
    assert {tuple(result) for result in document["findings"]} == {("check", "status", "what", "fix")}
    [red] = [result for result in document["findings"] if result["status"] == "red"]
    assert red["check"] == "job queue"
    assert red["fix"].startswith("Type: aws batch update-job-queue --job-queue genomics-")
