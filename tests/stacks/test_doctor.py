"""`doctor`: a set that is whole is green all over, and each fault is red by itself, with its fix."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import doctor_aws as wards
from support.doctor_aws import GIVEN, QUOTAS, Ward, quota

from toolchain.cli import doctor
from toolchain.cli import main as cli
from toolchain.docker.engine import Engine
from toolchain.doctor import hosts
from toolchain.doctor import run_checks as examination
from toolchain.doctor.checks import caller, machine
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.hosts import HostType
from toolchain.doctor.result import Check, Finding, green
from toolchain.errors import UnavailableError
from toolchain.images import catalog
from toolchain.paths import HERE, Checkout

Json = dict[str, Any]
ROLLBACK = "ROLLBACK_COMPLETE"

TOOLS = sorted(catalog.load(HERE.images).tools)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with wards.deployed(tmp_path_factory.mktemp("doctor")) as checkout:
        yield checkout


class Docker:
    """An engine that answers."""

    def __init__(self, *, architecture: str = "amd64", root: str = "/") -> None:
        self.client = SimpleNamespace(
            version=lambda: {"Version": "28.0", "Arch": architecture}, info=lambda: {"DockerRootDir": root}
        )


@pytest.fixture(autouse=True)
def docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with room; the one of this machine may have none."""
    monkeypatch.setattr(Engine, "connect", Docker)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * 1024**3))


@pytest.fixture
def ward(deployed: Checkout) -> Iterator[Ward]:
    yield Ward(deployed)
    deployed.settings.write_text(GIVEN, encoding="utf-8")


def only_red(found: list[Finding]) -> Finding:
    [one] = [finding for finding in found if finding.status == "red"]
    assert one.fix
    return one


def first(key: str, change: Callable[[Json], object]) -> Callable[[Json], None]:
    """A change to the first of what is listed."""

    def changed(answer: Json) -> None:
        change(answer[key][0])

    return changed


# ---- the whole ----


def test_a_set_that_is_whole_is_green_all_over_and_no_check_is_silent(ward: Ward) -> None:
    found = ward.examine()
    assert [one for one in found if one.status != "green"] == []
    assert [one for one in found if one.fix] == []
    assert list(dict.fromkeys(one.check for one in found)) == [one.name for one in examination.CHECKS]


def test_doctor_changes_nothing(ward: Ward) -> None:
    ward.examine()
    assert [name for name in ward.calls if not name.startswith(("Describe", "Get", "List", "BatchGet"))] == []


def test_a_permission_that_is_missing_leaves_one_check_unseen_and_the_others_as_they_were(ward: Ward) -> None:
    whole = ward.examine()
    ward.refuse("DescribeDataRepositoryAssociations", "AccessDeniedException")
    found = ward.examine()
    [unseen] = [one for one in found if one.status != "green"]
    assert (unseen.check, unseen.status) == ("link to S3", "yellow")
    assert unseen.what.startswith("could not look: looking at the links of file system fs-")
    assert unseen.what.endswith("failed: AccessDeniedException: so it is")
    assert unseen.fix == "Ask for this permission, or use another AWS_PROFILE."
    assert [one for one in found if one != unseen] == [one for one in whole if one.check != "link to S3"]


def test_a_fault_of_a_check_hides_no_other() -> None:
    def fails(_: DoctorContext) -> Iterator[Finding]:
        yield green("x", "so far")
        raise KeyError("nobody")

    found = list(examination.look(Check(name="x", look=fails), DoctorContext(checkout=HERE)))
    assert [one.status for one in found] == ["green", "yellow"]
    assert "KeyError: 'nobody'" in found[1].what


# ---- this machine ----


def test_no_engine_is_red(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_answers() -> None:
        raise UnavailableError("no Docker engine answers", why="refused", fix="Type: make setup.")

    monkeypatch.setattr(Engine, "connect", none_answers)
    assert only_red(ward.look("docker")).fix == "Type: make setup."


def test_an_engine_of_another_architecture_is_red(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: Docker(architecture="arm64"))
    assert "engine 28.0 for arm64: hosts are x86_64" in only_red(ward.look("docker")).what


def test_an_engine_without_room_is_red(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=machine.LEAST_FREE - 1))
    assert "docker system prune" in only_red(ward.look("docker")).fix


def test_the_room_of_an_engine_elsewhere_is_not_asked_of_this_machine(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: Path) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(shutil, "disk_usage", missing)
    assert ward.says("docker") == ["green engine 28.0 for amd64; its disk is not this machine's"]


def test_a_package_of_another_version_is_red(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = machine._installed  # noqa: SLF001  # what the machine has, but for one
    monkeypatch.setattr(machine, "_installed", lambda name: "0.1" if name == "boto3" else installed(name))
    found = only_red(ward.look("python packages"))
    assert found.what.startswith("boto3 0.1 is not 1.")
    assert found.fix == "Type: make setup"


def test_settings_that_deploy_would_refuse_are_red_one_by_one(ward: Ward) -> None:
    ward.checkout.settings.write_text(
        'project = "genomics"\nworkflow = "germline"\n[stack.storage]\nDataPath = "reads"\n', encoding="utf-8"
    )
    found = ward.look("genomics.toml")
    assert [one.status for one in found] == ["red", "red"]
    assert "'stack.storage.DataPath' is \"reads\"; allowed is what matches" in found[0].what
    assert found[1].what.startswith("'stack.storage.ReferencePath' is missing")


def test_settings_that_are_no_toml_are_red(ward: Ward) -> None:
    ward.checkout.settings.write_text("project =", encoding="utf-8")
    assert "it is not TOML" in only_red(ward.look("genomics.toml")).what


def test_settings_that_cannot_be_read_are_one_red_line_and_no_cascade(ward: Ward) -> None:
    ward.checkout.settings.write_text("project =", encoding="utf-8")
    found = [one for one in ward.examine() if one.status != "green"]
    assert [(one.check, one.status) for one in found] == [("genomics.toml", "red"), ("AWS", "yellow")]


def test_what_cannot_be_read_of_the_settings_is_red_once(ward: Ward) -> None:
    more = 'DeploymentType = "SCRATCH_9"\nWorkingCapacity = "much"\n[stack.compute]\nSpotMaxvCpus = "many"\n'
    ward.checkout.settings.write_text(GIVEN + more, encoding="utf-8")
    found = [one for one in ward.examine() if one.status != "green"]
    assert {one.check for one in found if one.status == "red"} == {"genomics.toml"}
    assert [one.what for one in found if "nobody has thought of" in one.what] == []


# ---- who asks ----


@pytest.mark.parametrize(
    ("code", "fix"),
    [("ExpiredToken", "Log in to AWS again."), ("InvalidClientTokenId", "Log in to AWS again.")],
)
def test_credentials_that_have_ended_are_the_one_red_thing_in_aws(ward: Ward, code: str, fix: str) -> None:
    ward.refuse("GetCallerIdentity", code)
    found = [one for one in ward.examine() if one.status != "green"]
    assert [(one.check, one.status) for one in found] == [("credentials", "red"), ("AWS", "yellow")]
    assert f"{code}: so it is" in found[0].what
    assert found[0].fix == fix
    assert ward.calls == ["GetCallerIdentity"]


def test_no_credentials_and_no_region_are_red_with_what_to_set(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = only_red(ward.examine())
    assert (found.check, found.fix) == ("credentials", "Type: aws configure, or set AWS_PROFILE.")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    found = only_red(ward.examine())
    assert (found.check, found.what) == ("credentials", "no AWS region: the environment names none")


def test_a_profile_that_does_not_exist_is_red(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert only_red(ward.examine()).fix == "Correct AWS_PROFILE."


@pytest.mark.parametrize(("ahead", "said"), [(400.0, "ahead of"), (-400.0, "behind")])
def test_a_clock_that_makes_signatures_fail_is_red(ward: Ward, ahead: float, said: str) -> None:
    ward.ahead = ahead
    found = only_red(ward.look("clock"))
    assert f" s {said} AWS's: from 300 s AWS refuses signatures" in found.what
    assert "timedatectl" in found.fix


def test_a_clock_that_is_off_by_little_is_noted(ward: Ward) -> None:
    ward.ahead = 30
    [found] = ward.says("clock")
    assert found.startswith(("green 28 s ahead", "green 29 s ahead", "green 30 s ahead"))


def test_a_slow_answer_is_no_wrong_clock() -> None:
    headers = {"date": "Thu, 01 Jan 2026 00:00:10 GMT"}
    written = 1767225610.0
    ahead = caller._ahead  # noqa: SLF001  # times of one's own choosing
    assert ahead(headers, written - 20, written + 20) == 0
    assert ahead(headers, written + 0.9, written + 0.9) == 0
    assert ahead(headers, written + 6, written + 7) == 5
    assert ahead(headers, written - 7, written - 5) == -5
    assert ahead({}, written, written) is None


# ---- quotas ----


def test_a_quota_below_what_the_environments_may_take_is_red_with_the_command_for_more(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUOTAS, "L-34B43A08", (QUOTAS["L-34B43A08"][0], 5.0))
    found = only_red(ward.look("quota of vCPUs"))
    assert found.what.endswith("Spot Instance Requests: 5 vCPUs, and SpotMaxvCpus is 256")
    assert "--service-code ec2 --quota-code L-34B43A08 --desired-value 256" in found.fix
    assert "stack.compute.SpotMaxvCpus" in found.fix


def test_a_quota_that_the_account_never_had_raised_is_aws_s_default(ward: Ward) -> None:
    ward.refuse("GetServiceQuota", "NoSuchResourceException")
    ward.answer("GetAWSDefaultServiceQuota", lambda asked: {"Quota": {**quota(asked["QuotaCode"]), "Value": 5.0}})
    assert [one.status for one in ward.look("quota of vCPUs")] == ["red", "red"]


def test_families_that_ec2_counts_by_themselves_are_held_against_their_own_quota(ward: Ward) -> None:
    ward.checkout.settings.write_text(f'{GIVEN}[stack.compute]\nInstanceTypes = ["m5", "x2idn"]\n', encoding="utf-8")
    found = ward.look("quota of vCPUs")
    assert [one.status for one in found] == ["red", "green", "red", "green"]
    assert found[0].what.startswith("All X Spot Instance Requests: 0 vCPUs")


def test_capacity_beyond_the_quota_is_red_and_that_of_others_counts(ward: Ward) -> None:
    [found] = ward.says("quota of Lustre")
    assert found == (
        "green Lustre Scratch storage capacity: 100800 GiB; the parameters ask for 4800, and others have 0"
    )

    def another(answer: Json) -> None:
        one = {**answer["FileSystems"][0], "FileSystemId": "fs-0123456789abcdef0", "StorageCapacity": 98400}
        answer["FileSystems"].append(one)

    ward.alter("DescribeFileSystems", another)
    found_red = only_red(ward.look("quota of Lustre"))
    assert found_red.what.endswith("the parameters ask for 4800, and others have 98400")
    assert "--service-code fsx --quota-code L-AD2FC696 --desired-value 103200" in found_red.fix


def test_each_kind_of_file_system_has_its_own_quota(ward: Ward) -> None:
    more = 'DeploymentType = "PERSISTENT_2"\nFileSystems = "one"\nScratchCapacity = 7200\n'
    ward.checkout.settings.write_text(GIVEN + more, encoding="utf-8")
    found = only_red(ward.look("quota of Lustre"))
    assert found.what.startswith("Lustre Persistent_2 storage capacity: 4800 GiB; the parameters ask for 7200")
    assert "lower ScratchCapacity" in found.fix


def test_a_quota_that_service_quotas_does_not_list_could_not_be_looked_at(ward: Ward) -> None:
    for operation in ("ListServiceQuotas", "ListAWSDefaultServiceQuotas"):
        ward.answer(operation, lambda _: {"Quotas": []})
    [found] = ward.says("quota of Lustre")
    assert found == "yellow could not look: Service Quotas lists no 'Lustre Scratch storage capacity'"


# ---- stacks ----


def test_stacks_that_are_not_deployed_are_one_line_and_no_cascade(ward: Ward) -> None:
    wanted = {"genomics-registry", "genomics-network", "genomics-storage", "genomics-compute", "genomics-workflow"}

    def none(asked: Json) -> Json:
        assert asked["StackName"] in wanted
        raise wards.RefusedError("does not exist")

    ward.answer("DescribeStacks", none)
    found = [one for one in ward.examine() if one.status != "green"]
    [unseen] = found
    assert unseen.what == "not deployed, and so not looked into: registry, network, storage, compute, workflow"
    assert unseen.fix == "Type: python build.py deploy"


@pytest.mark.parametrize("status", [ROLLBACK, "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"])
def test_a_stack_that_is_not_whole_is_red(ward: Ward, status: str) -> None:
    def broken(answer: Json) -> None:
        if answer["Stacks"][0]["StackName"] == "genomics-network":
            answer["Stacks"][0]["StackStatus"] = status

    ward.alter("DescribeStacks", broken)
    found = only_red(ward.look("stacks"))
    assert found.what.startswith(f"genomics-network is {status}")
    assert "python build.py deploy network" in found.fix


def test_a_stack_that_is_being_changed_is_unseen(ward: Ward) -> None:
    ward.alter("DescribeStacks", first("Stacks", lambda one: one.update(StackStatus="UPDATE_IN_PROGRESS")))
    assert {one.status for one in ward.look("stacks")} == {"yellow"}


# ---- room for jobs ----


def asks(tool: str, **resources: str) -> Callable[[Json], None]:
    """Lets a tool's jobs ask for something else."""

    def changed(answer: Json) -> None:
        for one in answer["jobDefinitions"]:
            if one["jobDefinitionName"] == f"genomics-{tool}":
                for entry in one["containerProperties"]["resourceRequirements"]:
                    entry["value"] = resources.get(entry["type"].lower(), entry["value"])

    return changed


def types(*names: str, most: int = 256) -> Callable[[Json], None]:
    """Lets the environments take other instances."""

    def changed(answer: Json) -> None:
        for one in answer["computeEnvironments"]:
            one["computeResources"].update(instanceTypes=list(names), maxvCpus=most)

    return changed


def test_a_job_that_no_host_has_the_memory_for_is_red(ward: Ward) -> None:
    ward.alter("DescribeComputeEnvironments", types("m5.large", "m5.2xlarge"))
    ward.alter("DescribeJobDefinitions", asks("bwa", memory="32768"))
    found = only_red(ward.look("room for jobs"))
    assert found.what.startswith(
        "bwa:1 asks for 8 vCPUs and 32768 MiB, which no host has: on Spot the largest is m5.2xl"
    )
    assert "about 31201 MiB for jobs" in found.what
    assert found.fix.startswith("Lower jobs.bwa in genomics.toml")


def test_a_job_that_fits_by_the_nominal_memory_only_needs_the_next_size(ward: Ward) -> None:
    ward.alter("DescribeComputeEnvironments", types("m5"))
    ward.alter("DescribeJobDefinitions", asks("bwa", memory="32000"))
    [found] = [one for one in ward.says("room for jobs") if "bwa:" in one]
    assert "MiB: m5.4xlarge and larger, on Spot and on demand; not on m5.2xlarge, whose 32768 MiB" in found


def test_a_job_of_more_vcpus_than_an_environment_runs_is_red(ward: Ward) -> None:
    ward.alter("DescribeComputeEnvironments", types("m5", most=4))
    red = [one for one in ward.look("room for jobs") if one.status == "red"]
    assert [one.what.split(":")[0] for one in red] == ["bwa", "bwa-mem3"]
    for found in red:
        assert "on Spot at most 4 vCPUs run at a time; on demand at most 4 vCPUs" in found.what


def test_one_environment_that_is_large_enough_will_do_and_the_other_is_noted(ward: Ward) -> None:
    def small(answer: Json) -> None:
        for one in answer["computeEnvironments"]:
            if one["computeResources"]["type"] == "EC2":
                one["computeResources"]["maxvCpus"] = 1

    ward.alter("DescribeComputeEnvironments", small)
    found = ward.look("room for jobs")
    assert {one.status for one in found} == {"green"}
    assert found[1].what.endswith("m5.2xlarge and larger, on Spot; but on demand at most 1 vCPUs run at a time")


def test_types_that_the_zone_has_not_and_other_architectures_do_not_count(ward: Ward) -> None:
    ward.alter("DescribeComputeEnvironments", types("m6g"))
    assert {one.status for one in ward.look("room for jobs")} == {"red"}
    ward.alter("DescribeComputeEnvironments", types("m5"))
    ward.alter("DescribeInstanceTypeOfferings", lambda answer: answer.update(InstanceTypeOfferings=[]))
    [found, *_] = ward.look("room for jobs")
    assert "on Spot there is no x86_64 instance type m5" in found.what


def test_a_second_attempt_that_may_ask_for_more_than_any_host_has_is_red(ward: Ward) -> None:
    [found] = ward.look("memory of second attempts")
    assert found.status == "green"
    ward.alter("DescribeComputeEnvironments", types("m5.large", "m5.2xlarge"))
    found = only_red(ward.look("memory of second attempts"))
    assert found.what == "MaxJobMemory is 500000 MiB, and the largest host has about 31201 for jobs"
    assert found.fix.startswith("Set it to 31201 in [stack.workflow] of genomics.toml")


@pytest.mark.parametrize("group", ["default_x86_64", "optimal"])
def test_groups_of_families_are_known(ward: Ward, group: str) -> None:
    ward.alter("DescribeComputeEnvironments", types(group))
    assert {one.status for one in ward.look("room for jobs")} == {"green"}


def test_before_anything_is_deployed_the_parameters_and_this_checkout_say_what_fits(ward: Ward) -> None:
    ward.refuse("DescribeStacks", "does not exist")
    ward.answer("DescribeJobDefinitions", lambda _: {"jobDefinitions": []})
    assert {one.status for one in ward.look("room for jobs")} == {"green"}
    ward.checkout.settings.write_text(
        f"{GIVEN}[stack.compute]\nInstanceTypes = 'm5.large'\n[jobs.samtools]\nvcpus = 2\n", encoding="utf-8"
    )
    red = [one.what for one in ward.look("room for jobs") if one.status == "red"]
    assert [one.split(" asks")[0] for one in red] == ["bwa", "bwa-mem3", "samtools"]


def test_what_a_host_registers_is_less_than_it_is_sold_with() -> None:
    assert hosts.reserved("ECS_CLUSTER=x\n  ECS_RESERVED_MEMORY=256\n") == 256
    assert hosts.reserved("") == hosts.RESERVED
    # What those who measured it have found: never less than is estimated here.
    assert HostType(name="m4.large", vcpus=2, nominal=8192).registered(32) <= 7985 - 32
    assert HostType(name="r5d.xlarge", vcpus=4, nominal=32768).registered(32) <= 31672


# ---- job definitions and state machines ----


def test_an_image_that_is_gone_from_ecr_is_red(ward: Ward) -> None:
    ward.alter("BatchGetImage", lambda answer: answer.update(images=[]))
    found = ward.look("job definition")
    assert [one.what.split()[0] for one in found] == [f"{tool}:1" for tool in TOOLS]
    assert {one.status for one in found} == {"red"}
    assert "which is not in ECR" in found[0].what
    assert "python build.py push; python build.py register" in found[0].fix


def test_what_is_not_registered_is_one_line(ward: Ward) -> None:
    ward.answer("DescribeJobDefinitions", lambda _: {"jobDefinitions": []})
    found = only_red(ward.look("job definition"))
    assert found.what == f"not registered: {', '.join(TOOLS)}"


def test_a_state_machine_that_names_a_deregistered_revision_is_red(ward: Ward) -> None:
    def inactive(answer: Json) -> None:
        for one in answer["jobDefinitions"]:
            if one["jobDefinitionName"] == "genomics-bwa":
                one["status"] = "INACTIVE"

    ward.alter("DescribeJobDefinitions", inactive)
    found = only_red(ward.look("state machine"))
    assert found.what == "genomics-job names genomics-bwa:1, which cannot be submitted"
    assert "python build.py deploy workflow" in found.fix


def test_a_revision_that_is_newer_than_the_one_a_state_machine_names_is_noted(ward: Ward) -> None:
    def newer(answer: Json) -> None:
        for one in list(answer["jobDefinitions"]):
            if one["jobDefinitionName"] == "genomics-bwa":
                answer["jobDefinitions"].append(
                    {**one, "revision": 2, "jobDefinitionArn": f"{one['jobDefinitionArn']}2"}
                )

    ward.alter("DescribeJobDefinitions", newer)
    found = ward.look("state machine")
    assert {one.status for one in found} == {"green"}
    assert found[1].what.endswith("all of them active; python build.py deploy workflow takes genomics-bwa:2")


def test_a_state_machine_that_is_being_deleted_is_red(ward: Ward) -> None:
    ward.alter("DescribeStateMachine", lambda answer: answer.update(status="DELETING"))
    assert [one.status for one in ward.look("state machine")] == ["red", "red"]


# ---- Batch ----


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        ({"status": "INVALID", "statusReason": "no such role"}, "is INVALID: no such role", "deploy compute"),
        ({"state": "DISABLED"}, "is DISABLED: it takes no jobs", "update-compute-environment"),
    ],
)
def test_an_environment_that_takes_no_jobs_is_red(ward: Ward, change: Json, what: str, fix: str) -> None:
    ward.alter("DescribeComputeEnvironments", first("computeEnvironments", lambda one: one.update(change)))
    found = only_red(ward.look("compute environment"))
    assert what in found.what
    assert fix in found.fix


def test_an_environment_whose_hosts_cannot_mount_is_red(ward: Ward) -> None:
    ward.alter(
        "DescribeComputeEnvironments",
        first("computeEnvironments", lambda one: one["computeResources"].update(securityGroupIds=["sg-1"])),
    )
    assert "security groups are sg-1, and not sg-" in only_red(ward.look("compute environment")).what


def test_an_environment_that_is_gone_is_red(ward: Ward) -> None:
    ward.alter("DescribeComputeEnvironments", lambda answer: answer["computeEnvironments"].pop(0))
    assert "is gone: somebody deleted it" in only_red(ward.look("compute environment")).what


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"status": "INVALID", "statusReason": "no environment"}, "is INVALID: no environment"),
        ({"state": "DISABLED"}, "is DISABLED: it takes no jobs"),
        ({"computeEnvironmentOrder": []}, "tries nothing, and not SPOT, then EC2"),
    ],
)
def test_a_queue_that_takes_no_jobs_is_red(ward: Ward, change: Json, what: str) -> None:
    ward.alter("DescribeJobQueues", first("jobQueues", lambda one: one.update(change)))
    assert what in only_red(ward.look("job queue")).what


def test_a_queue_that_tries_on_demand_first_is_red(ward: Ward) -> None:
    def swapped(one: Json) -> None:
        for entry, order in zip(one["computeEnvironmentOrder"], (2, 1), strict=True):
            entry["order"] = order

    ward.alter("DescribeJobQueues", first("jobQueues", swapped))
    assert "tries EC2, SPOT, and not SPOT, then EC2" in only_red(ward.look("job queue")).what


def test_a_queue_that_is_gone_is_red(ward: Ward) -> None:
    ward.alter("DescribeJobQueues", lambda answer: answer.update(jobQueues=[]))
    assert "is gone" in only_red(ward.look("job queue")).what


def test_a_launch_template_with_a_newer_version_is_red(ward: Ward) -> None:
    def newer(asked: Json) -> Json:
        number = 2 if asked["Versions"] == ["$Latest"] else 1
        return {"LaunchTemplateVersions": [{"LaunchTemplateId": asked["LaunchTemplateId"], "VersionNumber": number}]}

    ward.answer("DescribeLaunchTemplateVersions", newer)
    found = ward.look("launch template")
    assert [one.status for one in found] == ["red", "red"]
    assert "starts hosts with version 1 of lt-" in found[0].what
    assert found[0].what.endswith("and the latest is 2")


# ---- roles ----


def test_a_policy_that_was_attached_by_hand_is_red(ward: Ward) -> None:
    by_hand = "arn:aws:iam::aws:policy/AdministratorAccess"

    def attached(asked: Json) -> Json:
        here = "JobRole" in asked["RoleName"]
        return {"AttachedPolicies": [{"PolicyName": "AdministratorAccess", "PolicyArn": by_hand}] if here else []}

    ward.answer("ListAttachedRolePolicies", attached)
    found = [one for one in ward.look("role") if "JobRole of compute" in one.what]
    assert f"{by_hand} is attached by hand" in only_red(found).what


def test_a_policy_that_was_written_by_hand_is_red(ward: Ward) -> None:
    anything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

    def added(answer: Json) -> None:
        if "export" in answer["PolicyNames"]:
            answer["PolicyNames"].append("more")

    ward.alter("ListRolePolicies", added)
    ward.answer(
        "GetRolePolicy",
        lambda asked: {
            **{key: asked[key] for key in ("RoleName", "PolicyName")},
            "PolicyDocument": json.dumps(anything),
        },
    )
    found = [one for one in ward.look("role") if "ExportRole" in one.what]
    what = only_red(found).what
    assert "more is there, which the template does not have" in what
    assert "export says something else" in what


def test_a_role_that_others_may_take_is_red(ward: Ward) -> None:
    def opened(answer: Json) -> None:
        answer["Role"]["AssumeRolePolicyDocument"]["Statement"][0].pop("Condition", None)

    ward.alter("GetRole", opened)
    red = [one.what.split()[0] for one in ward.look("role") if one.status == "red"]
    assert {"JobRole", "ExportRole"} <= set(red)


def test_a_role_that_is_gone_is_red(ward: Ward) -> None:
    ward.refuse("GetRole", "NoSuchEntity")
    found = ward.look("role")
    assert {one.status for one in found} == {"red"}
    assert all("is gone" in one.what for one in found)


def test_an_instance_profile_without_its_role_is_red(ward: Ward) -> None:
    ward.alter("GetInstanceProfile", lambda answer: answer["InstanceProfile"].update(Roles=[]))
    assert "holds no role, and not arn:aws:iam::" in only_red(ward.look("instance profile")).what
    ward.refuse("GetInstanceProfile", "NoSuchEntity")
    assert "is gone: no host can start" in only_red(ward.look("instance profile")).what


# ---- file systems ----


def test_a_file_system_that_is_gone_is_red_once(ward: Ward) -> None:
    gone = ward.case.outputs["DataFileSystemId"]
    real = ward.case.file_systems

    def described(asked: Json) -> Json:
        [wanted] = asked["FileSystemIds"]
        if wanted == gone:
            raise wards.RefusedError("FileSystemNotFound")
        return {"FileSystems": [real[wanted]]}

    ward.answer("DescribeFileSystems", described)
    assert f"{gone} of /scratch/data is gone" in only_red(ward.look("file system")).what
    for other in ("mount", "link to S3", "zone", "Lustre ports"):
        assert {one.status for one in ward.look(other)} == {"green"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"Lifecycle": "FAILED", "FailureDetails": {"Message": "no capacity"}}, "is FAILED: no capacity"),
        ({"FileSystemTypeVersion": "2.10"}, "is Lustre 2.10, and hosts speak 2.15"),
    ],
)
def test_a_file_system_that_cannot_be_mounted_is_red(ward: Ward, change: Json, what: str) -> None:
    one = ward.case.outputs["WorkingFileSystemId"]

    def changed(answer: Json) -> None:
        if answer["FileSystems"][0]["FileSystemId"] == one:
            answer["FileSystems"][0].update(change)

    ward.alter("DescribeFileSystems", changed)
    assert only_red(ward.look("file system")).what == f"{one} of /scratch/working {what}"


def test_a_file_system_in_another_zone_is_red(ward: Ward) -> None:
    subnet = ward.case.outputs["SubnetId"]
    real = ward.case.subnets([subnet])[subnet]

    def described(asked: Json) -> Json:
        zones = {"subnet-00000000": "eu-central-1b"}
        return {
            "Subnets": [
                {**real, "SubnetId": one, "AvailabilityZone": zones.get(one, real["AvailabilityZone"])}
                for one in asked["SubnetIds"]
            ]
        }

    ward.answer("DescribeSubnets", described)
    assert [one.status for one in ward.look("zone")] == ["green"]
    ward.alter("DescribeFileSystems", first("FileSystems", lambda one: one.update(SubnetIds=["subnet-00000000"])))
    found = ward.look("zone")
    assert {one.status for one in found} == {"red"}
    assert found[0].what.endswith("is in eu-central-1b, and hosts are in eu-central-1a")


def test_a_mount_that_names_another_file_system_is_red(ward: Ward) -> None:
    one = ward.case.outputs["ReferenceFileSystemId"]

    def renamed(answer: Json) -> None:
        if answer["FileSystems"][0]["FileSystemId"] == one:
            answer["FileSystems"][0]["LustreConfiguration"]["MountName"] = "another"

    ward.alter("DescribeFileSystems", renamed)
    found = only_red(ward.look("mount"))
    assert found.what.startswith("/scratch/reference is to be ")
    assert found.what.endswith("@tcp:/another")


def test_hosts_that_would_mount_something_else_are_red(ward: Ward) -> None:
    ward.alter(
        "DescribeLaunchTemplateVersions",
        first("LaunchTemplateVersions", lambda one: one["LaunchTemplateData"].update(UserData="IyEvYmluL3NoCg==")),
    )
    found = ward.look("mount")
    assert [one.status for one in found] == ["red"] * 3
    assert found[2].what.startswith("new hosts of genomics-compute-Spot")


def test_a_link_that_does_not_work_is_red_with_the_reason(ward: Ward) -> None:
    def broken(one: Json) -> None:
        one.update(Lifecycle="MISCONFIGURED", FailureDetails={"Message": "no access to the bucket"})

    ward.alter("DescribeDataRepositoryAssociations", first("Associations", broken))
    found = ward.look("link to S3")
    assert [one.status for one in found] == ["red"] * 3
    assert "is MISCONFIGURED: no access to the bucket" in found[0].what


def test_a_working_directory_that_is_exported_elsewhere_is_red(ward: Ward) -> None:
    def elsewhere(one: Json) -> None:
        one["DataRepositoryPath"] = "s3://elsewhere"

    ward.alter("DescribeDataRepositoryAssociations", first("Associations", elsewhere))
    assert "and results are to go to s3://genomics-storage-" in only_red(ward.look("link to S3")).what


def test_a_directory_that_is_linked_to_nothing_is_red_unless_it_was_imported(ward: Ward) -> None:
    ward.alter("DescribeDataRepositoryAssociations", lambda answer: answer.update(Associations=[]))
    assert [one.status for one in ward.look("link to S3")] == ["red"] * 3
    imported = {"DataRepositoryConfiguration": {"ImportPath": "s3://public/hg38"}}
    ward.alter("DescribeFileSystems", first("FileSystems", lambda one: one["LustreConfiguration"].update(imported)))
    found = ward.says("link to S3")
    assert found[0] == "green /scratch/reference was imported from s3://public/hg38"
    assert [one.split()[0] for one in found] == ["green", "green", "red"]


# ---- ports ----


@pytest.mark.parametrize("direction", ["IpPermissions", "IpPermissionsEgress"])
def test_a_rule_that_somebody_removed_is_red_with_what_is_closed(ward: Ward, direction: str) -> None:
    client = ward.case.outputs["LustreClientSecurityGroupId"]

    def removed(answer: Json) -> None:
        for group in answer["SecurityGroups"]:
            if group["GroupId"] == client:
                group[direction] = [rule for rule in group[direction] if rule.get("FromPort") != 1018]

    ward.alter("DescribeSecurityGroups", removed)
    way = "from" if direction == "IpPermissions" else "to"
    found = only_red(ward.look("Lustre ports"))
    assert found.what == f"closed: {way} file systems, on hosts, TCP 1018-1023"


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}, "green"),
        ({"IpProtocol": "tcp", "FromPort": 900, "ToPort": 1100, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "green"),
        ({"IpProtocol": "udp", "FromPort": 900, "ToPort": 1100, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "red"),
        ({"IpProtocol": "tcp", "FromPort": 988, "ToPort": 1022, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "red"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.20.0.0/24"}]}, "red"),
    ],
)
def test_a_rule_for_addresses_counts_where_it_takes_in_all_of_them(ward: Ward, rule: Json, status: str) -> None:
    def replaced(answer: Json) -> None:
        for group in answer["SecurityGroups"]:
            group.update(IpPermissions=[rule], IpPermissionsEgress=[rule])

    ward.alter("DescribeSecurityGroups", replaced)
    assert [one.status for one in ward.look("Lustre ports")] == [status]


# ---- the command ----


@pytest.fixture
def command(ward: Ward, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    monkeypatch.setattr("toolchain.cli.doctor.DoctorContext", lambda **_: ward.case)

    def run(*words: str) -> Any:  # noqa: ANN401  # exit code, stdout and stderr
        code = cli.main(["doctor", *words])
        return (code, *capsys.readouterr())

    return run


def test_a_line_says_by_a_mark_and_a_word_what_is_so_and_the_fix(ward: Ward, command: Callable[..., Any]) -> None:
    code, out, err = command()
    assert code == 0
    assert [line[:9] for line in out.splitlines()] == ["✓ green  "] * len(out.splitlines())
    assert err == f"{len(out.splitlines())} green, 0 red, 0 could not be looked at\n"

    ward.alter("DescribeJobQueues", first("jobQueues", lambda one: one.update(state="DISABLED")))
    ward.refuse("GetRole", "AccessDenied")
    code, out, err = command()
    assert code == 1
    [red] = [line for line in out.splitlines() if line.startswith("✗ red    job queue: ")]
    assert red.endswith("--state ENABLED")
    [unseen] = [line for line in out.splitlines() if line.startswith("? yellow role: could not look: ")]
    assert unseen.endswith("Ask for this permission, or use another AWS_PROFILE.")
    assert err.endswith(" green, 1 red, 1 could not be looked at\n")


def test_what_could_not_be_looked_at_alone_is_no_failure(ward: Ward, command: Callable[..., Any]) -> None:
    ward.refuse("GetRole", "AccessDenied")
    assert command()[0] == 0


def test_json_holds_the_same_and_nothing_else_is_printed(ward: Ward, command: Callable[..., Any]) -> None:
    ward.alter("DescribeJobQueues", first("jobQueues", lambda one: one.update(state="DISABLED")))
    code, out, err = command("--json")
    said = json.loads(out)
    assert (code, err, said["red"], said["yellow"]) == (1, "", 1, 0)
    assert {tuple(one) for one in said["findings"]} == {("check", "status", "what", "fix")}
    [red] = [one for one in said["findings"] if one["status"] == "red"]
    assert red["check"] == "job queue"
    assert red["fix"].startswith("Type: aws batch update-job-queue --job-queue genomics-")


def test_every_status_has_a_mark_of_its_own() -> None:
    assert len(set(doctor._MARKS.values())) == 3  # noqa: SLF001  # what the lines begin with
