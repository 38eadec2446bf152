"""The request for a data repository task, and the task that FSx describes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task, as FSx describes it.

    Attributes:
        lifecycle: PENDING, EXECUTING, CANCELING, or one of ENDED.
        total: The number of files to export; None until FSx has counted them.
        succeeded: The number of files in S3; None likewise.
        failed: The number of files that could not be exported.
        failure: FSx's reason for a failed task.
    """

    task_id: str
    lifecycle: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    total: int | None
    succeeded: int | None
    failed: int
    failure: str

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> "Task":
        """Parses botocore's DataRepositoryTask. Raises KeyError if a member is missing that FSx always sends."""
        status = answer.get("Status") or {}
        return cls(
            task_id=answer["TaskId"],
            lifecycle=answer["Lifecycle"],
            created=answer["CreationTime"],
            started=answer.get("StartTime"),
            ended=answer.get("EndTime"),
            total=status.get("TotalCount"),
            succeeded=status.get("SucceededCount"),
            failed=status.get("FailedCount") or 0,
            failure=(answer.get("FailureDetails") or {}).get("Message") or "FSx gives no reason",
        )

    @property
    def has_ended(self) -> bool:
        """Whether the task has ended, well or not."""
        return self.lifecycle in ENDED

    @property
    def is_complete(self) -> bool:
        """Whether every file is in S3, which SUCCEEDED alone does not guarantee."""
        return self.lifecycle == "SUCCEEDED" and self.failed == 0

    @property
    def progress(self) -> str:
        """The state on one line."""
        total = "?" if self.total is None else self.total
        return f"{self.task_id} {self.lifecycle}: {self.succeeded or 0} of {total} files, {self.failed} failed"


@dataclass(frozen=True, kw_only=True)
class Export:
    """A request for an export.

    Attributes:
        file_system: The file system's id.
        path: Relative to the file system's root, independent of the mount point.
        contents: A digest of what is exported, so that changed content gets a new task.
        report: The s3:// URI for FSx's list of files that failed; None for no list.
    """

    file_system: str
    path: str
    contents: str
    report: str | None

    def token(self, attempt: int) -> str:
        """The idempotency token of an attempt's task: 1 to 63 of A-Za-z0-9, `_`, `.` and `-`."""
        text = "\n".join((self.file_system, self.path, self.contents, self.report or ""))
        return f"export-{hashlib.sha256(text.encode()).hexdigest()[:48]}-{attempt}"

    def parameters(self, attempt: int) -> dict[str, object]:
        """The parameters of CreateDataRepositoryTask, which requires Report even if it is disabled."""
        report: dict[str, object] = {"Enabled": False}
        if self.report:
            report = {
                "Enabled": True,
                "Path": self.report,
                "Format": "REPORT_CSV_20191124",
                "Scope": "FAILED_FILES_ONLY",
            }
        return {
            "Type": "EXPORT_TO_REPOSITORY",
            "FileSystemId": self.file_system,
            "Paths": [self.path],
            "Report": report,
            "ClientRequestToken": self.token(attempt),
        }

    def failure_list(self, task: Task) -> str | None:
        """The URI of FSx's list of a task's files that failed; None without a report."""
        return f"{self.report}/{task.task_id}/failures.csv" if self.report else None
