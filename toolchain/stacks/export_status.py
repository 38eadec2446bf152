"""Whether the results on the working file system are in S3, as far as AWS can tell: nothing here mounts it.

FSx knows its export tasks, Step Functions the runs. A run is safe if a task exported its directory and no file failed.
Everything else on the file system can be made again: prepared references, and runs' work directories.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from toolchain.aws import doing

if TYPE_CHECKING:
    from types_boto3_fsx import FSxClient
    from types_boto3_fsx.type_defs import DataRepositoryTaskFilterTypeDef, DataRepositoryTaskTypeDef
    from types_boto3_stepfunctions import SFNClient
    from types_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data repository task; `failed` counts files, and no `paths` are the whole file system."""

    id: str
    lifecycle: str
    is_export: bool
    created: datetime
    failed: int
    paths: tuple[str, ...]

    @property
    def is_unfinished(self) -> bool:
        """Whether it works, or will."""
        return self.lifecycle in {"PENDING", "EXECUTING", "CANCELING"}

    @property
    def exported_everything(self) -> bool:
        """Whether everything that it was to export is in S3; SUCCEEDED alone does not say that."""
        return self.is_export and self.lifecycle == "SUCCEEDED" and self.failed == 0

    @property
    def fault(self) -> str:
        """How it failed."""
        return f"its last export, {self.id}, ended {self.lifecycle}, and {self.failed} files failed"

    def covers(self, directory: str) -> bool:
        """Whether it exports a directory."""
        return not self.paths or any(path in ("", directory) or directory.startswith(f"{path}/") for path in self.paths)


@dataclass(frozen=True, kw_only=True)
class Unexported:
    """A run's directory whose files may be on the file system only, and the evidence for that."""

    name: str
    directory: str
    why: str


def list_runs(step_functions: "SFNClient", state_machine: str) -> "list[ExecutionListItemTypeDef] | None":
    """All runs of the last 90 days, and those that still run; None if there is no such state machine."""
    with doing(f"listing executions of {state_machine.rpartition(':')[2]}"):
        try:
            pages = step_functions.get_paginator("list_executions").paginate(stateMachineArn=state_machine)
            return [run for page in pages for run in page["executions"]]
        except step_functions.exceptions.StateMachineDoesNotExist:
            return None


def is_running(run: "ExecutionListItemTypeDef") -> bool:
    """Whether a run may still write."""
    return run["status"] in {"RUNNING", "PENDING_REDRIVE"}


def list_tasks(fsx: "FSxClient", file_system: str) -> list[Task]:
    """All data repository tasks of a file system."""
    filters: list[DataRepositoryTaskFilterTypeDef] = [{"Name": "file-system-id", "Values": [file_system]}]
    with doing(f"listing data repository tasks of {file_system}"):
        # botocore has no paginator for it.
        page = fsx.describe_data_repository_tasks(Filters=filters)
        tasks = [*page["DataRepositoryTasks"]]
        while token := page.get("NextToken"):
            page = fsx.describe_data_repository_tasks(Filters=filters, NextToken=token)
            tasks += page["DataRepositoryTasks"]
    return [_task(task) for task in tasks]


def creation_time(fsx: "FSxClient", file_system: str) -> datetime | None:
    """When a file system was created; None if it does not exist."""
    with doing(f"looking at file system {file_system}"):
        try:
            [described] = fsx.describe_file_systems(FileSystemIds=[file_system])["FileSystems"]
        except fsx.exceptions.FileSystemNotFound:
            return None
    return described["CreationTime"]


def unexported_runs(
    runs: "Sequence[ExecutionListItemTypeDef]",
    tasks: Sequence[Task],
    *,
    parent: str,
    since: datetime,
    discard: Collection[str],
) -> Iterator[Unexported]:
    """The runs of which files may be lost.

    A run that succeeded ended with its export. One that failed may have written until its end, and only a task that was
    created later has exported everything.

    Args:
        runs: All runs.
        tasks: All tasks of the working file system.
        parent: The directory on it that holds the runs' directories.
        since: When it was created: earlier runs left nothing on it.
        discard: The names of runs whose files may be lost.
    """
    for run in runs:
        name, end = run["name"], run.get("stopDate")
        if is_running(run) or name in discard or end is None or end < since:
            continue
        directory = f"{parent}/{name}"
        exports = [task for task in tasks if task.is_export and task.covers(directory)]
        last_write = run["startDate"] if run["status"] == "SUCCEEDED" else end
        if any(task.exported_everything and task.created >= last_write for task in exports):
            continue
        last = max(exports, key=lambda task: task.created, default=None)
        why = "no task exported it"
        if last is not None:
            why = f"its last export, {last.id}, was before its end" if last.exported_everything else last.fault
        yield Unexported(name=name, directory=directory, why=f"execution {name} ({run['status']}): {why}")


def failed_exports(tasks: Sequence[Task], *, discard: Collection[str]) -> Iterator[Unexported]:
    """The directories whose last export failed: what is known without a state machine."""
    last_export: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda task: task.created):
        if task.is_export:
            last_export.update(dict.fromkeys(task.paths or ("",), task))
    for directory, task in last_export.items():
        name = directory.rpartition("/")[2] or "everything"
        if not task.exported_everything and name not in discard:
            yield Unexported(name=name, directory=directory, why=f"{directory or 'everything'}: {task.fault}")


def _task(task: "DataRepositoryTaskTypeDef") -> Task:
    return Task(
        id=task["TaskId"],
        lifecycle=task["Lifecycle"],
        is_export=task["Type"] == "EXPORT_TO_REPOSITORY",
        created=task["CreationTime"],
        failed=(task.get("Status") or {}).get("FailedCount") or 0,
        paths=tuple(path.strip("/") for path in task.get("Paths") or ()),
    )
