"""Whether what is on the working file system is in S3: what stands in the way of deleting it.

This machine does not mount the file system, so AWS is asked. FSx knows its export tasks, Step Functions the runs: a
run is safe if a task exported its directory, and no file failed. What else is there can be made again: references
that were prepared for all runs, and what runs work in.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from toolchain.aws import code, doing

if TYPE_CHECKING:
    from types_boto3_fsx import FSxClient
    from types_boto3_fsx.type_defs import DataRepositoryTaskFilterTypeDef, DataRepositoryTaskTypeDef
    from types_boto3_stepfunctions import SFNClient

_UNFINISHED = frozenset({"PENDING", "EXECUTING", "CANCELING"})
_RUNNING = frozenset({"RUNNING", "PENDING_REDRIVE"})


@dataclass(frozen=True, kw_only=True)
class Working:
    """The working file system.

    Attributes:
        file_system: Its id.
        path: Where the working directory lies in it: empty for its root.
        workflow: The directory in it that holds the runs.
    """

    file_system: str
    path: str
    workflow: str

    def directory(self, execution: str) -> str:
        """A run's directory, as an export task names it."""
        return "/".join(part for part in (self.path, self.workflow, execution) if part)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A run.

    Attributes:
        name: Its name.
        status: As Step Functions has it.
        start: When it began.
        end: When it ended; none if it runs.
    """

    name: str
    status: str
    start: datetime
    end: datetime | None

    @property
    def runs(self) -> bool:
        """Whether it goes on."""
        return self.status in _RUNNING


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data repository task.

    Attributes:
        id: Its id.
        lifecycle: As FSx has it.
        kind: As `EXPORT_TO_REPOSITORY`.
        created: When it was made.
        failed: How many files failed.
        paths: What it exports; everything if it names nothing.
    """

    id: str
    lifecycle: str
    kind: str
    created: datetime
    failed: int
    paths: tuple[str, ...]

    @property
    def unfinished(self) -> bool:
        """Whether it goes on, or will."""
        return self.lifecycle in _UNFINISHED

    @property
    def exports(self) -> bool:
        """Whether it is an export."""
        return self.kind == "EXPORT_TO_REPOSITORY"

    @property
    def exported_all(self) -> bool:
        """Whether all that it was told to export is in S3: SUCCEEDED alone does not say that."""
        return self.exports and self.lifecycle == "SUCCEEDED" and self.failed == 0

    @property
    def fault(self) -> str:
        """How it ended, if not well."""
        return f"its last export, {self.id}, ended {self.lifecycle}, and {self.failed} files failed"

    def covers(self, directory: str) -> bool:
        """Whether a directory is among what it exports."""
        return not self.paths or any(path in ("", directory) or directory.startswith(f"{path}/") for path in self.paths)


@dataclass(frozen=True, kw_only=True)
class Unexported:
    """A directory that may hold what is nowhere else.

    Attributes:
        name: The run's name, as `--discard` takes it.
        directory: Where it lies in the file system.
        why: What speaks for that.
    """

    name: str
    directory: str
    why: str


def executions(machines: "SFNClient", state_machine: str) -> list[Execution]:
    """All runs of a state machine that Step Functions still knows: those of the last 90 days, and those that run."""
    with doing(f"listing executions of {state_machine.rpartition(':')[2]}"):
        pages = machines.get_paginator("list_executions").paginate(stateMachineArn=state_machine)
        return [
            Execution(name=one["name"], status=one["status"], start=one["startDate"], end=one.get("stopDate"))
            for page in pages
            for one in page["executions"]
        ]


def tasks(fsx: "FSxClient", file_system: str) -> list[Task]:
    """All data repository tasks of a file system."""
    filters: list[DataRepositoryTaskFilterTypeDef] = [{"Name": "file-system-id", "Values": [file_system]}]
    with doing(f"listing data repository tasks of {file_system}"):
        # botocore has no paginator for it.
        page = fsx.describe_data_repository_tasks(Filters=filters)
        found = [*page["DataRepositoryTasks"]]
        while token := page.get("NextToken"):
            page = fsx.describe_data_repository_tasks(Filters=filters, NextToken=token)
            found += page["DataRepositoryTasks"]
    return [_task(one) for one in found]


def created(fsx: "FSxClient", file_system: str) -> datetime | None:
    """When a file system was made; none if it is not there."""
    from botocore.exceptions import ClientError

    with doing(f"looking at file system {file_system}"):
        try:
            found = fsx.describe_file_systems(FileSystemIds=[file_system])["FileSystems"]
        except ClientError as error:
            if code(error) == "FileSystemNotFound":
                return None
            raise
    return found[0]["CreationTime"] if found else None


def unexported(
    runs: Sequence[Execution], known: Sequence[Task], working: Working, *, since: datetime, discard: Collection[str]
) -> Iterator[Unexported]:
    """The runs of which something may be lost.

    A run that succeeded has ended with its export. One that did not may have written until its end, and only a task
    that was made after that has seen everything.

    Args:
        runs: All runs.
        known: All tasks of the file system.
        working: The file system.
        since: When it was made: what ran before left nothing on it.
        discard: The names of those that may be lost.
    """
    for run in runs:
        if run.runs or run.name in discard or run.end is None or run.end < since:
            continue
        directory = working.directory(run.name)
        exports = [task for task in known if task.exports and task.covers(directory)]
        written = run.start if run.status == "SUCCEEDED" else run.end
        if any(task.exported_all and task.created >= written for task in exports):
            continue
        latest = max(exports, key=lambda task: task.created, default=None)
        why = "no task exported it"
        if latest is not None:
            why = f"its last export, {latest.id}, was before its end" if latest.exported_all else latest.fault
        yield Unexported(name=run.name, directory=directory, why=f"execution {run.name} ({run.status}): {why}")


def failed(known: Sequence[Task], *, discard: Collection[str]) -> Iterator[Unexported]:
    """What can be said where there is no state machine: the directories whose last export did not end well.

    Args:
        known: All tasks of the file system.
        discard: The names of runs that may be lost.
    """
    latest: dict[str, Task] = {}
    for task in sorted(known, key=lambda task: task.created):
        if task.exports:
            latest.update(dict.fromkeys(task.paths or ("",), task))
    for directory, task in latest.items():
        name = directory.rpartition("/")[2] or "everything"
        if not task.exported_all and name not in discard:
            yield Unexported(name=name, directory=directory, why=f"{directory or 'everything'}: {task.fault}")


def _task(one: "DataRepositoryTaskTypeDef") -> Task:
    status = one.get("Status") or {}
    return Task(
        id=one["TaskId"],
        lifecycle=one["Lifecycle"],
        kind=one["Type"],
        created=one["CreationTime"],
        failed=status.get("FailedCount") or 0,
        paths=tuple(path.strip("/") for path in one.get("Paths") or ()),
    )
