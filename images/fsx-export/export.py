"""Runs an export: creates or resumes its task, waits for the end, checks the result and writes a receipt.

A task continues if the step dies. A step that runs again for the same content resumes that task, or creates another one
if it ended badly.
"""

import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path

from aws_errors import one_line
from service import QUIET_SECONDS, Service, Timeouts
from task import Export, Task

from step.errors import BadDataError, InputOutputError, ToolFailedError, TryAgainError
from step.steps import log

MAX_TASKS = 20  # for the same content; each follows one that ended badly
FIRST_POLL = 0.25  # seconds before the second look at a task; doubles each time


def run(service: Service, export: Export, timeouts: Timeouts) -> Task:
    """Exports, and returns the task once every file is in S3. Raises StepError."""
    task = follow(service, create_or_resume(service, export), timeouts)
    check(export, task)
    return task


def create_or_resume(service: Service, export: Export) -> Task:
    """Creates the task, or resumes that of an earlier attempt unless it ended badly. Raises StepError."""
    for attempt in range(MAX_TASKS):
        task = service.create(export, attempt)
        if not service.predates(task):
            log(f"export: {task.task_id} exports {export.path} of {export.file_system}")
            return task
        task = service.describe(task.task_id)
        if not task.has_ended or task.is_complete:
            log(f"export: {task.task_id} of an earlier attempt is {task.lifecycle}: taking it up")
            return task
        log(f"export: {task.progress}; that was an earlier attempt: making another task")
    raise ToolFailedError(
        f"{export.path} cannot be exported",
        why=f"{MAX_TASKS} tasks for the same files ended badly",
        fix="See the failures of the last one (aws fsx describe-data-repository-tasks).",
    )


def follow(service: Service, task: Task, timeouts: Timeouts) -> Task:
    """Polls a task until it has ended, logging its progress. Raises TryAgainError after the timeout."""
    end = time.monotonic() + timeouts.wait
    logged, logged_at = "", -math.inf
    interval = FIRST_POLL
    while True:
        task = service.describe(task.task_id)
        now = time.monotonic()
        if task.lifecycle != logged or now - logged_at >= QUIET_SECONDS:
            logged, logged_at = task.lifecycle, now
            log(f"export: {task.progress}")
        if task.has_ended:
            return task
        if now >= end:
            raise TryAgainError(
                f"{task.task_id} is still {task.lifecycle}",
                why=f"the {timeouts.wait:.0f} s to wait for it are over",
                fix="Run the step again to go on waiting for the same task, or raise EXPORT_WAIT_SECONDS.",
            )
        time.sleep(min(interval, timeouts.poll, max(0.0, end - now)))
        interval *= 2


def check(export: Export, task: Task) -> None:
    """Checks that the task ended with every file in S3. Raises StepError."""
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
        failure_list = export.failure_list(task)
        see = f"See {failure_list}"
        if not failure_list:
            see = "Set EXPORT_REPORT to an s3:// path beneath the file system's link for a list"
        raise BadDataError(
            f"{task.failed} of {task.total or '?'} files were not exported",
            why=f"{task.task_id} ended, but these failed",
            fix=f"{see}; the step, run again, makes a new task for them.",
        )


def write_receipt(file: Path, export: Export, task: Task) -> None:
    """Writes the receipt as JSON. Raises InputOutputError."""
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
        "report": export.failure_list(task),
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
    """ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
