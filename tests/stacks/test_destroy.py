"""`destroy`: in reverse order, and never at the cost of files that are nowhere else."""

from datetime import datetime, timedelta

import pytest
from support.aws_double import RefusedError
from support.scripted_cloudformation import EPOCH, FILE_SYSTEM, Script
from support.scripted_project import Project, name_of

from toolchain.errors import SeveralFailedError, StackFailedError, StoppedError
from toolchain.stacks.watch import Polling


def at(hour: float) -> datetime:
    return EPOCH + timedelta(hours=hour)


@pytest.fixture
def used(deployed: Project) -> Project:
    """Four stacks, and a file system that was created at 1 o'clock."""
    deployed.aws.file_systems = {FILE_SYSTEM: at(1)}
    return deployed


def add_run(project: Project, name: str, status: str = "SUCCEEDED", *, start: float = 2, end: float | None = 4) -> None:
    """A run, from 2 to 4 o'clock."""
    project.aws.executions.append(
        {
            "executionArn": f"arn:aws:states:x:1:execution:germline:{name}",
            "stateMachineArn": "arn:aws:states:x:1:stateMachine:germline",
            "name": name,
            "status": status,
            "startDate": at(start),
            **({} if end is None else {"stopDate": at(end)}),
        }
    )


def add_task(
    project: Project,
    *paths: str,
    created: float = 3,
    lifecycle: str = "SUCCEEDED",
    failed: int = 0,
    kind: str = "EXPORT_TO_REPOSITORY",
) -> str:
    """A data repository task, at 3 o'clock."""
    name = f"task-0123456789abcde{len(project.aws.tasks)}"
    project.aws.tasks.append(
        {
            "TaskId": name,
            "Lifecycle": lifecycle,
            "Type": kind,
            "CreationTime": at(created),
            "FileSystemId": FILE_SYSTEM,
            "Status": {"FailedCount": failed},
            **({"Paths": list(paths)} if paths else {}),
        }
    )
    return name


def blockers(project: Project, *names: str, discard: tuple[str, ...] = ()) -> list[str]:
    """What is in the way of destroying stacks; by default of those of the working file system."""
    plan = project.destroyer(discard=discard).plan(names or ("workflow", "storage"))
    assert project.aws.requests("DeleteStack") == []
    return [str(error) for error in plan.blockers]


# ---- without blockers ----


def test_stacks_are_deleted_in_reverse_order_and_outputs_forgotten(used: Project) -> None:
    arn = used.stack("storage").id
    assert used.destroy() == ["storage", "workflow", "network", "registry"]
    assert {stack.status for stack in used.aws.stacks} == {"DELETE_COMPLETE"}
    assert used.outputs == {}
    [protection] = used.aws.requests("UpdateTerminationProtection")
    assert (protection["StackName"], protection["EnableTerminationProtection"]) == (arn, False)
    assert used.destroy() == []


def test_the_plan_says_what_goes_and_what_stays(used: Project) -> None:
    assert used.destroyer().plan(("storage",)).lines() == [
        f"goes: stack genomics-storage, with file system {FILE_SYSTEM}",
        "stays: bucket s3://results-1, which stack storage does not take with it; it costs by use",
        "stays: stack genomics-registry",
        "stays: stack genomics-network",
        "stays: stack genomics-workflow",
    ]


def test_a_stack_that_was_never_created_is_deleted_too(project: Project) -> None:
    project.aws.add(name_of("network"), "REVIEW_IN_PROGRESS")
    assert project.destroy("network") == ["network"]
    assert project.aws.find(name_of("network")) is None


# ---- results that were not exported ----


def test_a_run_that_was_not_exported_is_named_with_the_commands_that_help(used: Project) -> None:
    add_run(used, "run-1")
    add_run(used, "run-2")
    add_task(used, "test/run-1")
    with pytest.raises(SeveralFailedError) as caught:
        used.destroy("workflow", "storage")
    assert used.aws.requests("DeleteStack") == []
    assert caught.value.exit_code == 75
    [error] = caught.value.errors
    assert error.why == "execution run-2 (SUCCEEDED): no task exported it"
    assert error.fix == (
        "Export it: aws fsx create-data-repository-task --type EXPORT_TO_REPOSITORY "
        f"--file-system-id {FILE_SYSTEM} --paths test/run-2 --report Enabled=false; "
        "or, if it can go: python build.py destroy --discard run-2"
    )
    assert used.destroy("workflow", "storage", discard=("run-2",)) == ["storage", "workflow"]


@pytest.mark.parametrize(
    ("paths", "is_safe"),
    [
        (("test/run-1",), True),
        (("/test/run-1/",), True),
        (("test",), True),
        (("/",), True),
        ((), True),
        (("other", "test/run-1"), True),
        (("test/run-1/NA12878",), False),
        (("test/run-10",), False),
        (("run-1",), False),
        (("other/run-1",), False),
    ],
)
def test_a_run_is_safe_if_its_directory_or_one_above_was_exported(
    used: Project, paths: tuple[str, ...], *, is_safe: bool
) -> None:
    add_run(used, "run-1")
    add_task(used, *paths)
    assert (blockers(used) == []) == is_safe


def test_on_a_shared_file_system_the_working_directory_is_part_of_the_path(used: Project) -> None:
    used.stack("storage").outputs = {"WorkingFileSystemId": FILE_SYSTEM, "WorkingPath": "working"}
    add_run(used, "run-1")
    add_task(used, "test/run-1")
    assert len(blockers(used)) == 1
    add_task(used, "working/test/run-1")
    assert blockers(used) == []


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ({"failed": 2}, "its last export, task-0123456789abcde0, ended SUCCEEDED, and 2 files failed"),
        ({"lifecycle": "FAILED"}, "its last export, task-0123456789abcde0, ended FAILED, and 0 files failed"),
        ({"kind": "IMPORT_METADATA_FROM_REPOSITORY"}, "no task exported it"),
        ({"created": 1.5}, "its last export, task-0123456789abcde0, was before its end"),
    ],
)
def test_only_a_whole_export_during_or_after_the_run_counts(used: Project, task: dict[str, object], text: str) -> None:
    add_run(used, "run-1")
    add_task(used, "test/run-1", **task)  # type: ignore[arg-type]  # of several types
    [error] = blockers(used)
    assert text in error


def test_a_run_that_failed_may_have_written_after_its_export(used: Project) -> None:
    add_run(used, "run-1", "FAILED")
    name = add_task(used, "test/run-1", created=3)
    [error] = blockers(used)
    assert f"its last export, {name}, was before its end" in error
    add_task(used, "test/run-1", created=5)
    assert blockers(used) == []


def test_runs_before_the_file_system_was_created_left_nothing_on_it(used: Project) -> None:
    add_run(used, "run-1", start=0.2, end=0.5)
    assert blockers(used) == []
    used.aws.file_systems = {}
    add_run(used, "run-2")
    assert blockers(used) == []


def test_the_state_machine_is_kept_while_it_alone_knows_what_ran(used: Project) -> None:
    add_run(used, "run-1")
    [error] = blockers(used, "workflow")
    assert "execution run-1 (SUCCEEDED): no task exported it" in error


def test_without_a_state_machine_the_last_exports_tell(used: Project) -> None:
    used.destroy("workflow")
    used.aws.calls.clear()
    add_task(used, "test/run-1", failed=1)
    [error] = blockers(used, "storage")
    assert "test/run-1: its last export, task-0123456789abcde0, ended SUCCEEDED, and 1 files failed" in error
    assert blockers(used, "storage", discard=("run-1",)) == []
    add_task(used, "test/run-1", created=4)
    assert blockers(used, "storage") == []
    add_task(used, lifecycle="FAILED", created=5)
    [error] = blockers(used, "storage")
    assert "everything: its last export" in error
    assert "--paths" not in error


def test_a_state_machine_that_somebody_deleted_is_as_if_there_were_none(used: Project) -> None:
    used.aws.fail("ListExecutions", RefusedError("StateMachineDoesNotExist"))
    assert used.destroy("workflow", "storage") == ["storage", "workflow"]
    used.deploy()
    used.aws.fail("ListExecutions", RefusedError("AccessDenied"))
    with pytest.raises(Exception, match="listing executions of germline failed: AccessDenied"):
        used.destroy()


# ---- other blockers ----


@pytest.mark.parametrize("names", [("workflow", "storage"), ("workflow",), ("registry",)])
def test_a_running_execution_needs_all_stacks(used: Project, names: tuple[str, ...]) -> None:
    add_run(used, "run-1", "RUNNING", end=None)
    [error] = blockers(used, *names, discard=("run-1",))
    assert error.startswith("execution run-1 is running: it began at 2026-01-01 02:00:00")


def test_a_host_that_may_have_the_file_systems_mounted_is_waited_for(
    used: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    used.stack("network").outputs["LustreClientSecurityGroupId"] = "sg-1"
    used.aws.hosts = [["i-1", "i-2"], ["i-1"], ["i-1"], []]
    [error] = blockers(used, "storage")
    assert error.startswith("2 hosts may have the file systems mounted: Batch keeps hosts for a while")
    [request] = used.aws.requests("DescribeInstances")
    assert request["Filters"][0] == {"Name": "instance.group-id", "Values": ["sg-1"]}
    assert used.destroyer().wait_until_idle(("storage",)).blockers == ()
    assert capsys.readouterr().err == "waiting: 1 host may have the file systems mounted\n"
    assert used.slept[-2:] == [30, 30]


def test_only_what_ends_by_itself_is_waited_for(used: Project) -> None:
    add_run(used, "run-1")
    [error] = used.destroyer().wait_until_idle(("storage",)).blockers
    assert "run-1 (SUCCEEDED): no task exported it" in str(error)
    add_run(used, "run-2", "RUNNING", end=None)
    task = add_task(used, "test/run-1", "test/run-2", lifecycle="EXECUTING")

    def end(_: float) -> None:
        used.aws.executions[-1] |= {"status": "SUCCEEDED", "stopDate": at(4)}
        used.aws.tasks[-1]["Lifecycle"] = "SUCCEEDED"

    destroyer = used.destroyer()
    destroyer.polling = Polling(sleep=end)
    assert destroyer.wait_until_idle(("storage",)).blockers == ()
    assert used.aws.tasks[-1]["TaskId"] == task


@pytest.mark.parametrize("lifecycle", ["PENDING", "EXECUTING", "CANCELING"])
def test_a_task_that_works_needs_its_file_system(used: Project, lifecycle: str) -> None:
    name = add_task(used, "test/run-1", lifecycle=lifecycle)
    [error] = blockers(used)
    assert error.startswith(f"data repository task {name} is {lifecycle}: it works on file system {FILE_SYSTEM}: test/")


def test_a_bucket_that_would_be_deleted_is_named(used: Project) -> None:
    del used.stack("storage").template["Resources"]["Results"]["DeletionPolicy"]
    [error] = blockers(used)
    assert "does not retain Results (bucket s3://results-1)" in error
    assert "python build.py deploy storage" in error


def test_a_stack_that_another_imports_from_is_not_deleted_alone(used: Project) -> None:
    [error] = blockers(used, "network")
    assert "stack storage is there, and imports from it" in error
    assert error.endswith("python build.py destroy storage")


def test_a_stack_that_somebody_else_changes_is_left_alone(used: Project) -> None:
    used.stack("registry").status = "UPDATE_IN_PROGRESS"
    [error] = blockers(used, "registry")
    assert error.startswith("stack genomics-registry is busy")


def test_all_blockers_are_named_at_once(used: Project) -> None:
    add_run(used, "run-1")
    add_run(used, "run-2", "RUNNING", end=None)
    add_task(used, "x", lifecycle="EXECUTING")
    assert len(blockers(used)) == 3


def test_a_storage_stack_that_was_never_complete_has_no_results(used: Project) -> None:
    used.stack("storage").status = "ROLLBACK_FAILED"
    add_run(used, "run-1")
    assert used.destroy("workflow", "storage") == ["storage", "workflow"]


# ---- faults ----

STUCK: Script = [
    [
        ("", "", "DELETE_IN_PROGRESS", "User Initiated"),
        ("RepositoryX", "AWS::ECR::Repository", "DELETE_FAILED", "not empty"),
    ],
    [("", "", "DELETE_FAILED", "The following resource(s) failed to delete: [RepositoryX].")],
]


def test_a_resource_that_cannot_be_deleted_is_named_and_the_same_command_tries_again(used: Project) -> None:
    used.aws.scripts[f"delete {name_of('registry')}"] = STUCK
    with pytest.raises(StackFailedError) as caught:
        used.destroy("registry")
    assert caught.value.why == "RepositoryX (AWS::ECR::Repository) DELETE_FAILED: not empty"
    assert "python build.py destroy registry --retain RepositoryX" in caught.value.fix
    assert used.destroy("registry") == ["registry"]


def test_a_resource_is_left_behind_only_if_it_cannot_be_deleted(
    used: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    used.aws.scripts[f"delete {name_of('registry')}"] = STUCK
    assert used.destroy("registry", retain=("RepositoryX", "Other")) == ["registry"]
    assert [request["RetainResources"] for request in used.aws.requests("DeleteStack")] == [[], ["RepositoryX"]]
    assert "registry: RepositoryX is left behind" in capsys.readouterr().err
    used.aws.add(name_of("registry"), "DELETE_FAILED")
    assert used.destroy("registry", retain=("RepositoryX",)) == ["registry"]
    assert used.aws.requests("DeleteStack")[-1]["RetainResources"] == ["RepositoryX"]


def test_after_ctrl_c_the_deletion_goes_on_and_the_same_command_watches_it(used: Project) -> None:
    used.aws.fail("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError, match="CloudFormation goes on"):
        used.destroy("registry")
    assert used.destroy("registry") == ["registry"]
    assert len(used.aws.requests("DeleteStack")) == 1
