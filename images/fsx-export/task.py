"""A data repository task: what is asked of FSx, and what it answers."""

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
        task_id: Its id.
        lifecycle: PENDING, EXECUTING, CANCELING, or one of ENDED.
        created: When it was made.
        started: When it began; None before.
        ended: When it ended; None before.
        total: How many files it exports; None until FSx has counted.
        succeeded: How many are in S3; None likewise.
        failed: How many could not be exported.
        failure: Why it failed, in FSx's words.
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
        """Reads a DataRepositoryTask of botocore's. A missing member that FSx always sends is a KeyError."""
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
        """Whether nothing more will come of it."""
        return self.lifecycle in ENDED

    @property
    def is_complete(self) -> bool:
        """Whether every file is in S3: SUCCEEDED alone does not say that."""
        return self.lifecycle == "SUCCEEDED" and self.failed == 0

    @property
    def progress(self) -> str:
        """How far it is, on one line."""
        total = "?" if self.total is None else self.total
        return f"{self.task_id} {self.lifecycle}: {self.succeeded or 0} of {total} files, {self.failed} failed"


@dataclass(frozen=True, kw_only=True)
class Export:
    """What is to be exported.

    Attributes:
        file_system: The file system's id.
        path: Relative to the file system's root, whatever the mount is called.
        contents: Digest over what there is to export: other content is another task.
        report: Where FSx is to list the files that failed, an s3:// URI; None for no list.
    """

    file_system: str
    path: str
    contents: str
    report: str | None

    def token(self, attempt: int) -> str:
        """The idempotency token of the task that an attempt makes: 1 to 63 of A-Za-z0-9, `_`, `.` and `-`."""
        what = "\n".join((self.file_system, self.path, self.contents, self.report or ""))
        return f"export-{hashlib.sha256(what.encode()).hexdigest()[:48]}-{attempt}"

    def parameters(self, attempt: int) -> dict[str, object]:
        """The parameters of CreateDataRepositoryTask. It requires Report, wanted or not."""
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

    def failures(self, task: Task) -> str | None:
        """Where FSx lists the files of a task that failed; None if no report was asked for."""
        return f"{self.report}/{task.task_id}/failures.csv" if self.report else None
