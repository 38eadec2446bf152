"""`destroy`: in the opposite order, and never at the cost of what is nowhere else."""

import json
from datetime import timedelta
from typing import Any

import pytest
from stacks.conftest import Site
from support.scripted_cloudformation import EPOCH, FakeStack, RefusedError, steps

from toolchain.errors import SeveralFailedError, StackFailedError, StoppedError, TryAgainError, WrongUsageError


def at(hour: float) -> Any:  # noqa: ANN401  # a datetime
    return EPOCH + timedelta(hours=hour)


def stack(site: Site, name: str) -> FakeStack:
    found = site.cloud.named(site.name(name))
    assert found is not None
    return found


@pytest.fixture
def used(standing: Site) -> Site:
    """Four stacks, and a file system that was made at 1 o'clock."""
    standing.cloud.file_systems = {"fs-0123456789abcdef0": at(1)}
    return standing


def execution(site: Site, name: str, status: str = "SUCCEEDED", *, start: float = 2, end: float | None = 4) -> None:
    """A run, from 2 to 4 o'clock."""
    arn = "arn:aws:states:x:1:"
    site.cloud.executions.append(
        {
            "executionArn": f"{arn}execution:germline:{name}",
            "stateMachineArn": f"{arn}stateMachine:germline",
            "name": name,
            "status": status,
            "startDate": at(start),
            **({} if end is None else {"stopDate": at(end)}),
        }
    )


def task(
    site: Site, *paths: str, created: float = 3, lifecycle: str = "SUCCEEDED", failed: int = 0, **more: str
) -> str:
    """An export, at 3 o'clock."""
    name = f"task-{len(site.cloud.tasks)}"
    site.cloud.tasks.append(
        {
            "TaskId": name,
            "Lifecycle": lifecycle,
            "Type": "EXPORT_TO_REPOSITORY",
            "CreationTime": at(created),
            "FileSystemId": "fs-0123456789abcdef0",
            "Status": {"FailedCount": failed},
            **({"Paths": list(paths)} if paths else {}),
            **more,
        }
    )
    return name


def blockers(site: Site, *names: str, discard: tuple[str, ...] = ()) -> list[str]:
    """What is in the way; nothing is deleted while something is."""
    with pytest.raises(SeveralFailedError) as caught:
        site.destroy(*names, discard=discard)
    assert site.cloud.said("DeleteStack") == []
    return [str(one) for one in caught.value.errors]


# ---- what it does when nothing is in the way ----


def test_stacks_go_in_the_opposite_order(used: Site) -> None:
    assert used.destroy() == ["workflow", "storage", "network", "registry"]
    assert all(one.status == "DELETE_COMPLETE" for one in used.cloud.stacks)
    assert json.loads((used.checkout.dist / "outputs.json").read_text(encoding="utf-8")) == {}


def test_what_goes_and_what_stays_is_said_first(used: Site) -> None:
    plan = used.destroyer().plan(("storage", "workflow"))
    assert plan.lines() == [
        f"goes: stack {used.name('workflow')}",
        f"goes: stack {used.name('storage')}, with file system fs-0123456789abcdef0",
        "stays: bucket s3://results-1, which stack storage does not take with it",
        f"stays: stack {used.name('registry')}",
        f"stays: stack {used.name('network')}",
    ]
    assert used.cloud.said("DeleteStack") == []


def test_the_file_systems_go_with_what_mounts_them_and_nothing_else(used: Site) -> None:
    assert used.destroyer().with_file_systems() == ("storage", "workflow")


def test_nothing_there_is_nothing_to_do(site: Site) -> None:
    assert site.destroyer().plan(()).deleted == ()
    assert site.destroy() == []


def test_only_what_is_protected_is_freed_and_only_then(used: Site) -> None:
    used.destroy()
    assert [
        (one["StackName"], one["EnableTerminationProtection"]) for one in used.cloud.said("UpdateTerminationProtection")
    ] == [(next(one.id for one in used.cloud.stacks if one.name == used.name("storage")), False)]


# ---- what is in the way ----


def test_a_run_that_was_exported_is_not_in_the_way(used: Site) -> None:
    execution(used, "run-1")
    task(used, "test/run-1")
    assert used.destroy("workflow", "storage") == ["workflow", "storage"]


def test_a_run_that_was_not_exported_is_named(used: Site) -> None:
    execution(used, "run-1")
    execution(used, "run-2")
    task(used, "test/run-1")
    [said] = blockers(used, "workflow", "storage")
    assert "execution run-2 (SUCCEEDED): no task exported it. Export it: aws fsx create-data-repository-task" in said
    assert "--paths test/run-2 --report" in said
    assert said.endswith("python build.py destroy --discard run-2")


def test_what_is_in_the_way_has_a_code_that_says_try_again(used: Site) -> None:
    execution(used, "run-1")
    with pytest.raises(SeveralFailedError) as caught:
        used.destroy()
    assert caught.value.exit_code == 75


@pytest.mark.parametrize(
    "paths",
    [("/test/run-1/",), ("test",), ("/",), (), ("other", "test/run-1")],
    ids=lambda paths: ",".join(paths) or "-",
)
def test_an_export_of_anything_above_is_enough(used: Site, paths: tuple[str, ...]) -> None:
    execution(used, "run-1")
    task(used, *paths)
    assert blockers_of(used) == []


@pytest.mark.parametrize("path", ["test/run-1/NA12878", "test/run-10", "run-1", "other/run-1"])
def test_an_export_of_anything_else_is_not(used: Site, path: str) -> None:
    execution(used, "run-1")
    task(used, path)
    assert len(blockers_of(used)) == 1


def blockers_of(site: Site) -> list[str]:
    return [str(one) for one in site.destroyer().plan(("workflow", "storage")).blockers]


def test_in_the_shape_of_one_file_system_the_working_directory_is_part_of_the_path(used: Site) -> None:
    stack(used, "storage").outputs = {"WorkingFileSystemId": "fs-0123456789abcdef0", "WorkingPath": "working"}
    execution(used, "run-1")
    task(used, "test/run-1")
    assert len(blockers_of(used)) == 1
    task(used, "working/test/run-1")
    assert blockers_of(used) == []


def test_an_export_with_files_that_failed_is_none(used: Site) -> None:
    execution(used, "run-1")
    name = task(used, "test/run-1", failed=2)
    [said] = blockers_of(used)
    assert f"its last export, {name}, ended SUCCEEDED, and 2 files failed" in said


def test_an_import_is_no_export(used: Site) -> None:
    execution(used, "run-1")
    task(used, "test/run-1", Type="IMPORT_METADATA_FROM_REPOSITORY")
    assert len(blockers_of(used)) == 1


def test_a_run_that_failed_may_have_written_after_its_export(used: Site) -> None:
    execution(used, "run-1", "FAILED")
    name = task(used, "test/run-1", created=3)
    [said] = blockers_of(used)
    assert f"its last export, {name}, was before its end" in said
    task(used, "test/run-1", created=5)
    assert blockers_of(used) == []


def test_an_export_from_before_a_run_is_none(used: Site) -> None:
    execution(used, "run-1")
    task(used, "test", created=1.5)
    assert len(blockers_of(used)) == 1


def test_what_ran_before_the_file_system_was_made_left_nothing_on_it(used: Site) -> None:
    execution(used, "run-1", start=0.2, end=0.5)
    assert blockers_of(used) == []


def test_what_may_be_lost_is_not_in_the_way(used: Site) -> None:
    execution(used, "run-1", "FAILED")
    assert used.destroy("workflow", "storage", discard=("run-1",)) == ["workflow", "storage"]


def test_a_run_that_goes_on_is_named_whatever_goes(used: Site) -> None:
    execution(used, "run-1", "RUNNING", end=None)
    for names in (("workflow", "storage"), ("workflow",), ("registry",)):
        [said] = blockers(used, *names, discard=("run-1",))
        assert said.startswith("execution run-1 is running: it began at 2026-01-01 02:00:00")


@pytest.mark.parametrize("lifecycle", ["PENDING", "EXECUTING", "CANCELING"])
def test_a_task_that_goes_on_is_named(used: Site, lifecycle: str) -> None:
    name = task(used, "test/run-1", lifecycle=lifecycle)
    [said] = blockers_of(used)
    assert said.startswith(
        f"data repository task {name} is {lifecycle}: it works on file system fs-0123456789abcdef0: test/run-1"
    )


def test_the_state_machine_does_not_go_while_it_alone_knows_what_ran(used: Site) -> None:
    execution(used, "run-1")
    [said] = blockers(used, "workflow")
    assert "execution run-1 (SUCCEEDED): no task exported it" in said


def test_without_a_state_machine_the_last_exports_tell(used: Site) -> None:
    used.destroy("workflow")
    used.cloud.calls.clear()
    task(used, "test/run-1", failed=1)
    [said] = blockers(used, "storage")
    assert "test/run-1: its last export, task-0, ended SUCCEEDED, and 1 files failed" in said
    task(used, "test/run-1", created=4)
    assert used.destroy("storage") == ["storage"]


def test_a_state_machine_that_somebody_deleted_is_as_if_there_were_none(used: Site) -> None:
    used.cloud.fails("ListExecutions", RefusedError("StateMachineDoesNotExist"))
    assert used.destroy("workflow", "storage") == ["workflow", "storage"]


def test_a_file_system_that_is_gone_holds_nothing(used: Site) -> None:
    used.cloud.file_systems = {}
    execution(used, "run-1")
    assert blockers_of(used) == []


def test_a_bucket_that_would_go_is_named(used: Site) -> None:
    del stack(used, "storage").template["Resources"]["Results"]["DeletionPolicy"]
    [said] = blockers(used, "workflow", "storage")
    assert "does not retain Results (bucket s3://results-1)" in said
    assert "python build.py deploy storage" in said


def test_what_is_still_needed_does_not_go_alone(used: Site) -> None:
    with pytest.raises(SeveralFailedError) as caught:
        used.destroy("network")
    [error] = caught.value.errors
    assert isinstance(error, WrongUsageError)
    assert "stack storage is there, and imports from it" in error.why


def test_a_stack_that_somebody_else_changes_is_in_the_way(used: Site) -> None:
    stack(used, "registry").status = "UPDATE_IN_PROGRESS"
    with pytest.raises(SeveralFailedError) as caught:
        used.destroy()
    [error] = caught.value.errors
    assert isinstance(error, TryAgainError)
    assert "is busy" in error.what


def test_everything_that_is_in_the_way_is_said_at_once(used: Site) -> None:
    execution(used, "run-1")
    execution(used, "run-2", "RUNNING", end=None)
    task(used, "x", lifecycle="EXECUTING")
    assert len(blockers(used)) == 3


def test_a_storage_that_was_never_made_is_not_asked_for_runs(used: Site) -> None:
    stack(used, "storage").status = "ROLLBACK_FAILED"
    execution(used, "run-1")
    assert used.destroy("workflow", "storage") == ["workflow", "storage"]


# ---- faults ----

STUCK = steps(
    [
        ("", "", "DELETE_IN_PROGRESS", "User Initiated"),
        ("RepositoryX", "AWS::ECR::Repository", "DELETE_FAILED", "not empty"),
    ],
    [("", "", "DELETE_FAILED", "The following resource(s) failed to delete: [RepositoryX].")],
)


def test_what_cannot_be_deleted_is_named_with_the_way_to_leave_it(used: Site) -> None:
    used.cloud.plays[f"delete {used.name('registry')}"] = STUCK
    with pytest.raises(StackFailedError) as caught:
        used.destroy("registry")
    assert caught.value.why == "RepositoryX (AWS::ECR::Repository) DELETE_FAILED: not empty"
    assert "python build.py destroy registry --retain RepositoryX" in caught.value.fix


def test_after_that_the_same_command_tries_again(used: Site) -> None:
    used.cloud.plays[f"delete {used.name('registry')}"] = STUCK
    with pytest.raises(StackFailedError):
        used.destroy("registry")
    assert used.destroy("registry") == ["registry"]


def test_what_is_left_behind_is_said(used: Site, capsys: pytest.CaptureFixture[str]) -> None:
    stack(used, "registry").status = "DELETE_FAILED"
    assert used.destroy("registry", retain=("RepositoryX",)) == ["registry"]
    assert used.cloud.said("DeleteStack")[-1]["RetainResources"] == ["RepositoryX"]
    assert "registry: RepositoryX is left behind" in capsys.readouterr().err


def test_what_may_be_left_behind_is_deleted_if_it_can_be(used: Site) -> None:
    used.cloud.plays[f"delete {used.name('registry')}"] = STUCK
    assert used.destroy("registry", retain=("RepositoryX", "Other")) == ["registry"]
    assert [one["RetainResources"] for one in used.cloud.said("DeleteStack")] == [[], ["RepositoryX"]]


def test_ctrl_c_says_what_goes_on_and_the_same_command_follows_it(used: Site) -> None:
    used.cloud.fails("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError, match="CloudFormation goes on"):
        used.destroy("registry")
    assert used.destroy("registry") == ["registry"]
    assert len(used.cloud.said("DeleteStack")) == 1


def test_a_review_that_nobody_went_through_with_goes_too(site: Site) -> None:
    site.cloud.stack(site.name("network"), "REVIEW_IN_PROGRESS")
    assert site.destroy("network") == ["network"]
    assert site.cloud.named(site.name("network")) is None
