"""One export: its task made or taken up, followed to its end, checked, and put on record.

A task goes on if the step dies. A step that runs again for the same content takes up that task instead of making a
second one; if it ended badly, it makes another.
"""

import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path

from faults import one_line
from service import QUIET_SECONDS, Bounds, Service
from task import Export, Task

from step.errors import BadDataError, InputOutputError, ToolFailedError, TryAgainError
from step.steps import say

MOST_TASKS = 20  # for the same content: each beyond the first means that the one before ended badly
SHORTEST_POLL = 0.25  # seconds before the second look at a task, then twice as long each time


def run(service: Service, export: Export, bounds: Bounds) -> Task:
    """Exports, and returns the task once every file is in S3. Raises StepError."""
    task = follow(service, obtain(service, export), bounds)
    check(export, task)
    return task


def obtain(service: Service, export: Export) -> Task:
    """Makes the task, or takes up that of an earlier attempt unless it ended badly. Raises StepError."""
    for attempt in range(MOST_TASKS):
        task = service.create(export, attempt)
        if not service.predates(task):
            say(f"export: {task.task_id} exports {export.path} of {export.file_system}")
            return task
        task = service.describe(task.task_id)
        if not task.has_ended or task.is_complete:
            say(f"export: {task.task_id} of an earlier attempt is {task.lifecycle}: taking it up")
            return task
        say(f"export: {task.progress}; that was an earlier attempt: making another task")
    raise ToolFailedError(
        f"{export.path} cannot be exported",
        why=f"{MOST_TASKS} tasks for the same files ended badly",
        fix="See the failures of the last one (aws fsx describe-data-repository-tasks).",
    )


def follow(service: Service, task: Task, bounds: Bounds) -> Task:
    """Looks at a task until it has ended, telling its progress. Raises TryAgainError if that takes too long."""
    end = time.monotonic() + bounds.wait
    told, told_at = "", -math.inf
    pause = SHORTEST_POLL
    while True:
        task = service.describe(task.task_id)
        now = time.monotonic()
        if task.lifecycle != told or now - told_at >= QUIET_SECONDS:
            told, told_at = task.lifecycle, now
            say(f"export: {task.progress}")
        if task.has_ended:
            return task
        if now >= end:
            raise TryAgainError(
                f"{task.task_id} is still {task.lifecycle}",
                why=f"the {bounds.wait:.0f} s to wait for it are over",
                fix="Run the step again to go on waiting for the same task, or raise EXPORT_WAIT_SECONDS.",
            )
        time.sleep(min(pause, bounds.poll, max(0.0, end - now)))
        pause *= 2


def check(export: Export, task: Task) -> None:
    """Raises StepError unless the task ended with every file in S3."""
    if task.lifecycle == "FAILED":
        raise ToolFailedError(
            f"{task.task_id} failed",
            why=one_line(task.failure),
            fix="Mend that, then run the step again: it makes a new task, for what is not yet in S3.",
        )
    if task.lifecycle == "CANCELED":
        raise ToolFailedError(
            f"{task.task_id} was canceled", why="someone stopped it", fix="Run the step again: it makes a new task."
        )
    if task.failed:
        listed = export.failures(task)
        see = f"See {listed}"
        if not listed:
            see = "Set EXPORT_REPORT to an s3:// path beneath the file system's link for a list"
        raise BadDataError(
            f"{task.failed} of {task.total or '?'} files were not exported",
            why=f"{task.task_id} ended, but these failed",
            fix=f"{see}; the step, run again, makes a new task for them.",
        )


def write_receipt(file: Path, export: Export, task: Task) -> None:
    """Writes what was exported, as JSON. Raises InputOutputError."""
    receipt = {
        "task": task.task_id,
        "lifecycle": task.lifecycle,
        "file_system": export.file_system,
        "paths": [export.path],
        "contents_sha256": export.contents,
        "files": {"total": task.total, "succeeded": task.succeeded, "failed": task.failed},
        "created": _timestamp(task.created),
        "start": _timestamp(task.started),
        "end": _timestamp(task.ended),
        "report": export.failures(task),
    }
    try:
        file.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputOutputError(
            f"cannot write {file}",
            why=f"{error.strerror}, though {task.task_id} has ended well",
            fix="Check the space of /scratch/working, and run the step again: it exports nothing twice.",
        ) from error


def _timestamp(moment: datetime | None) -> str | None:
    """A moment in UTC, to the second, as ISO 8601."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
