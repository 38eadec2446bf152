"""Exports one directory of an FSx for Lustre file system to the S3 bucket behind it, and waits for the end.

Creates a data repository task, follows it until it ends, checks that no file failed, and writes a receipt.
The task goes on if this program dies. Started again for the same content, it takes up that task instead of
making a second one; if that task ended badly it makes a new one.

Exit codes (sysexits.h): 64 usage, 65 some files were not exported, 70 the task failed or is not allowed,
74 the receipt cannot be written, 75 try again. Narration and the one line of an error go to stderr.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FILE_SYSTEM = re.compile(r"fs-[0-9a-f]{8,18}")
PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
DIGEST = re.compile(r"[0-9a-f]{64}")
REPORT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._+=@-]+)*")

BUSY = "DataRepositoryTaskExecuting"
# Not found: a task that was made a moment ago may not be there yet for the server that is asked.
PASSING = frozenset(
    {
        "DataRepositoryTaskNotFound",
        "InternalServerError",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})
LONGEST_PAUSE = 32  # times the first one
MOST_TASKS = 20  # for the same content: each beyond the first means that the one before ended badly
QUIET_SECONDS = 60.0
SHORTEST_POLL = 0.25  # seconds before the second look at a task, then twice as long each time


class ExportError(Exception):
    """An error to show: what happened, why, and what to do next. The class gives the exit code."""

    code: ClassVar[int]

    def __init__(self, *, what: str, why: str, fix: str) -> None:
        """Join the three parts, of which only the last ends in a full stop."""
        super().__init__(f"{what}: {why}. {fix}")


class UsageError(ExportError):
    """The arguments or the environment are wrong: trying again cannot help."""

    code = 64


class FilesFailedError(ExportError):
    """The task ended, but some files are not in S3."""

    code = 65


class TaskError(ExportError):
    """The task failed, or may not be made at all: trying again cannot help by itself."""

    code = 70


class ReceiptError(ExportError):
    """The export is done, but its receipt cannot be written."""

    code = 74


class TryAgainError(ExportError):
    """Nothing is wrong for good: the same step, run again later, may well succeed."""

    code = 75


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What an error of the service means to who runs the step."""

    kind: type[ExportError]
    what: str
    fix: str


NO_CREDENTIALS = Explanation(
    kind=TaskError, what="no AWS credentials", fix="Give the job definition a role (jobRoleArn)."
)
BAD_CREDENTIALS = Explanation(
    kind=TaskError, what="AWS does not accept the credentials", fix="Check the job's role (jobRoleArn)."
)
EXPIRED = Explanation(
    kind=TryAgainError, what="the credentials have expired", fix="Run the step again with fresh ones."
)
EXPLANATIONS = {
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "RequestExpired": EXPIRED,
    "IncompleteSignature": BAD_CREDENTIALS,
    "InvalidClientTokenId": BAD_CREDENTIALS,
    "InvalidSignatureException": BAD_CREDENTIALS,
    "SignatureDoesNotMatch": BAD_CREDENTIALS,
    "UnrecognizedClientException": BAD_CREDENTIALS,
    "FileSystemNotFound": Explanation(
        kind=UsageError,
        what="no such file system",
        fix="Check FILE_SYSTEM_ID, and that AWS_REGION and the account are its own.",
    ),
    "ServiceLimitExceeded": Explanation(
        kind=TryAgainError, what="a limit of the account is reached", fix="Run the step again later."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Export:
    """What is to be exported. `path` is relative to the file system's root, never a host's mount path."""

    file_system: str
    path: str
    contents: str  # digest over what there is to export: other content, other task
    report: str | None

    def token(self, attempt: int) -> str:
        """Return the idempotency token (at most 63 of A-Za-z0-9_.-) of the task made at this attempt."""
        what = "\n".join((self.file_system, self.path, self.contents, self.report or ""))
        return f"export-{hashlib.sha256(what.encode()).hexdigest()[:48]}-{attempt}"

    def parameters(self, attempt: int) -> dict[str, object]:
        """Return the parameters of CreateDataRepositoryTask. The report's are required, wanted or not."""
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
        """Return where FSx lists the files that failed; None if no report was asked for."""
        return f"{self.report}/{task.id}/failures.csv" if self.report else None


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long to wait for what, in seconds.

    All together are to be less than the job's timeout, for Batch tries a job again that ends with 75, but none
    that it had to end.
    """

    poll: float  # between two looks at a task
    pause: float  # the first pause before a call is made again; each next one may be twice as long
    fault: float  # for a service that does not answer, or answers with throttling or 5xx
    busy: float  # for another task on the same file system
    wait: float  # for the task itself


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data repository task, as FSx describes it. Counts are None where it gives none."""

    id: str
    lifecycle: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    total: int | None
    succeeded: int | None
    failed: int
    failure: str

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Task:
        """Read a DataRepositoryTask of botocore's. A missing member that FSx always sends is a KeyError."""
        status = answer.get("Status") or {}
        return cls(
            id=answer["TaskId"],
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
    def done(self) -> bool:
        """Whether the task ended with every file in S3: SUCCEEDED alone does not say that."""
        return self.lifecycle == "SUCCEEDED" and self.failed == 0

    @property
    def progress(self) -> str:
        """One line on how far the task is."""
        total = "?" if self.total is None else self.total
        return f"{self.id} {self.lifecycle}: {self.succeeded or 0} of {total} files, {self.failed} failed"


class FsxClient(Protocol):
    """The two operations of boto3's FSx client that are used here."""

    def create_data_repository_task(self, **parameters: object) -> dict[str, Any]:
        """Create a task."""

    def describe_data_repository_tasks(self, **parameters: object) -> dict[str, Any]:
        """Describe tasks."""


class Service:
    """FSx, with its passing faults waited out."""

    def __init__(self, client: FsxClient, bounds: Bounds) -> None:
        """Start the clock that tells tasks of this run from those of an earlier one."""
        self._client = client
        self._bounds = bounds
        self._born = time.monotonic()
        self._started: datetime | None = None

    def create(self, export: Export, attempt: int) -> Task:
        """Create the task of this attempt, or get the one that its token made before.

        Waits, within bounds, while another task runs on the file system. Raises ExportError.
        """
        pauses = Pauses(self._bounds.pause, self._bounds.busy)
        while True:
            try:
                answer = self._call(
                    "CreateDataRepositoryTask", self._client.create_data_repository_task, export.parameters(attempt)
                )
            except aws.ClientError as error:
                pauses.sleep(
                    f"another data repository task runs on {export.file_system}",
                    TryAgainError(
                        what=f"{export.file_system} is busy",
                        why=f"another data repository task still runs after {pauses.bound:.0f} s ({message_of(error)})",
                        fix="Run the step again when it has ended, or raise EXPORT_BUSY_SECONDS.",
                    ),
                )
            else:
                return Task.parse(answer["DataRepositoryTask"])

    def describe(self, task_id: str) -> Task:
        """Describe a task. Raises ExportError."""
        answer = self._call(
            "DescribeDataRepositoryTasks", self._client.describe_data_repository_tasks, {"TaskIds": [task_id]}
        )
        tasks = answer.get("DataRepositoryTasks") or []
        if not tasks:
            raise TryAgainError(
                what=f"no {task_id}", why="FSx does not list the task that it made", fix="Run the step again."
            )
        return Task.parse(tasks[0])

    def predates(self, task: Task) -> bool:
        """Whether a task was made before this program began, by the service's own clock."""
        return self._started is not None and task.created < self._started

    def _call(
        self, operation: str, method: Callable[..., dict[str, Any]], parameters: Mapping[str, object]
    ) -> dict[str, Any]:
        """Call until it answers, the bound is reached (TryAgainError), or it will never answer (ExportError).

        A busy file system's ClientError is let through: how long to wait for that is another question.
        """
        pauses = Pauses(self._bounds.pause, self._bounds.fault)
        while True:
            try:
                answer = method(**parameters)
            except (aws.BotoCoreError, aws.ClientError, ResponseParserError) as error:
                if code_of(error) == BUSY:
                    raise
                if not passes(error):
                    raise explained(operation, error) from error
                pauses.sleep(
                    f"{operation}: {message_of(error)}",
                    TryAgainError(
                        what=f"FSx does not answer {operation}",
                        why=f"{pauses.bound:.0f} s of trying ended with: {message_of(error)}",
                        fix="Run the step again; it takes up its task where that stands.",
                    ),
                )
            else:
                self._note_clock(answer)
                return answer

    def _note_clock(self, answer: Mapping[str, Any]) -> None:
        """Learn from the first answer what time it was for the service when this program began."""
        if self._started is None:
            date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            now = parsedate_to_datetime(date) if date else datetime.now(tz=UTC)
            self._started = now - timedelta(seconds=time.monotonic() - self._born)


class Pauses:
    """Pauses that double, each of a random part of its length (full jitter), for a bounded time in all."""

    def __init__(self, first: float, bound: float) -> None:
        """Take the length of the first pause, and of all together, in seconds."""
        self.bound = bound
        self._end = time.monotonic() + bound
        self._lengths = self._doubling(first)
        self._random = random.SystemRandom()
        self._told = -math.inf

    @staticmethod
    def _doubling(first: float) -> Iterator[float]:
        factor = 1
        while True:
            yield first * factor
            factor = min(2 * factor, LONGEST_PAUSE)

    def sleep(self, reason: str, at_the_end: ExportError) -> None:
        """Sleep, having told why from time to time; raise the given error once the time is up."""
        now = time.monotonic()
        if now >= self._end:
            raise at_the_end
        if now - self._told >= QUIET_SECONDS:
            self._told = now
            say(f"{reason}: trying again for {self._end - now:.0f} s")
        time.sleep(min(self._random.uniform(0, next(self._lengths)), self._end - now))


def code_of(error: Exception) -> str:
    """Return the service's code of an error; the empty string if it never came to the service."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, aws.ClientError) else ""


def message_of(error: Exception) -> str:
    """Return an error's text, with its code, fit for one line. The service's texts name no secrets."""
    text = str(error)
    if isinstance(error, aws.ClientError):
        text = f"{code_of(error)}: {error.response['Error'].get('Message') or 'no message'}"
    return one_line(text)


def one_line(text: str) -> str:
    """Make any text one printable line of at most 600 characters, without its last full stop."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:600].strip().rstrip(".")


def passes(error: Exception) -> bool:
    """Whether an error is one that goes away by itself."""
    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (
            code_of(error) in PASSING
            or status == HTTPStatus.TOO_MANY_REQUESTS
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
    if isinstance(error, aws.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(
        error, aws.ConnectionError | aws.HTTPClientError | aws.CredentialRetrievalError | ResponseParserError
    )


def explained(operation: str, error: Exception) -> ExportError:
    """Turn an error that does not pass into one to show."""
    code, message = code_of(error), message_of(error)
    known = EXPLANATIONS.get(code)
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        known = NO_CREDENTIALS
    if known:
        return known.kind(what=known.what, why=message, fix=known.fix)
    if code in DENIED:
        named = re.search(r"perform: (\w+:\w+)", message)
        permission = named[1] if named else f"fsx:{operation}"
        return TaskError(
            what=f"not allowed to call {operation}",
            why=message,
            fix=f"Allow {permission} in the policy of the job's role (jobRoleArn): see README.md.",
        )
    if code:
        return TaskError(
            what=f"FSx refuses {operation}",
            why=message,
            fix="Check that the file system is linked to S3, and that the path and EXPORT_REPORT lie beneath the link.",
        )
    return TaskError(
        what=f"cannot call {operation}",
        why=message,
        fix="Check the network, AWS_ENDPOINT_URL_FSX and AWS_CA_BUNDLE of the job.",
    )


def say(text: str) -> None:
    """Narrate on stderr."""
    sys.stderr.write(f"step: export: {text}\n")
    sys.stderr.flush()


def obtain(service: Service, export: Export) -> Task:
    """Make the task, or take up that of an earlier attempt unless it ended badly. Raises ExportError."""
    for attempt in range(MOST_TASKS):
        task = service.create(export, attempt)
        if not service.predates(task):
            say(f"{task.id} exports {export.path} of {export.file_system}")
            return task
        task = service.describe(task.id)
        if task.lifecycle not in ENDED or task.done:
            say(f"{task.id} of an earlier attempt is {task.lifecycle}: taking it up")
            return task
        say(f"{task.progress}; that was an earlier attempt: making another task")
    raise TaskError(
        what=f"{export.path} cannot be exported",
        why=f"{MOST_TASKS} tasks for the same files ended badly",
        fix="See the failures of the last one (aws fsx describe-data-repository-tasks).",
    )


def follow(service: Service, task: Task, bounds: Bounds) -> Task:
    """Look at a task until it has ended, telling its progress. Raises TryAgainError if that takes too long."""
    end = time.monotonic() + bounds.wait
    told, told_at = "", -math.inf
    pause = SHORTEST_POLL
    while True:
        task = service.describe(task.id)
        now = time.monotonic()
        if task.lifecycle != told or now - told_at >= QUIET_SECONDS:
            told, told_at = task.lifecycle, now
            say(task.progress)
        if task.lifecycle in ENDED:
            return task
        if now >= end:
            raise TryAgainError(
                what=f"{task.id} is still {task.lifecycle}",
                why=f"the {bounds.wait:.0f} s to wait for it are over",
                fix="Run the step again to go on waiting for the same task, or raise EXPORT_WAIT_SECONDS.",
            )
        time.sleep(min(pause, bounds.poll, max(0.0, end - now)))
        pause *= 2


def check(export: Export, task: Task) -> None:
    """Raise an ExportError unless the task ended with every file in S3."""
    if task.lifecycle == "FAILED":
        raise TaskError(
            what=f"{task.id} failed",
            why=one_line(task.failure),
            fix="Mend that, then run the step again: it makes a new task, for what is not yet in S3.",
        )
    if task.lifecycle == "CANCELED":
        raise TaskError(
            what=f"{task.id} was canceled", why="someone stopped it", fix="Run the step again: it makes a new task."
        )
    if task.failed:
        listed = export.failures(task)
        see = (
            f"See {listed}"
            if listed
            else "Set EXPORT_REPORT to an s3:// path beneath the file system's link for a list"
        )
        raise FilesFailedError(
            what=f"{task.failed} of {task.total or '?'} files were not exported",
            why=f"{task.id} ended, but these failed",
            fix=f"{see}; the step, run again, makes a new task for them.",
        )


def write_receipt(path: Path, export: Export, task: Task) -> None:
    """Write what was exported, as JSON. Raises ReceiptError."""
    receipt = {
        "task": task.id,
        "lifecycle": task.lifecycle,
        "file_system": export.file_system,
        "paths": [export.path],
        "contents_sha256": export.contents,
        "files": {"total": task.total, "succeeded": task.succeeded, "failed": task.failed},
        "created": timestamp(task.created),
        "start": timestamp(task.started),
        "end": timestamp(task.ended),
        "report": export.failures(task),
    }
    try:
        path.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ReceiptError(
            what=f"cannot write {path}",
            why=f"{error.strerror}, though {task.id} has ended well",
            fix="Check the space of /scratch/working, and run the step again: it exports nothing twice.",
        ) from error


def timestamp(moment: datetime | None) -> str | None:
    """Return a moment in UTC, to the second, as ISO 8601."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


class Arguments(argparse.ArgumentParser):
    """The command line; its errors are ours."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError rather than print the usage and exit with 2."""
        raise UsageError(what="bad arguments", why=one_line(message), fix="See README.md.")


def matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    """Return a type for an argument that must match a pattern as a whole."""

    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            reason = f"{text[:80]!r} does not match {pattern.pattern}"
            raise argparse.ArgumentTypeError(reason)
        return text

    return checked


def seconds(name: str, default: float) -> float:
    """Return a bound, in seconds, from the environment. Raises UsageError unless it is a positive number."""
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(
            what=f"bad {name} {one_line(text)!r}", why="it is not a number above 0", fix="Give it in seconds."
        )
    return value


def beneath() -> str:
    """Return what WORKING_PATH puts before a path, for the file system's root. Raises UsageError if it is bad."""
    text = os.environ.get("WORKING_PATH") or "-"
    if text == "-":
        return ""
    if not PATH.fullmatch(text):
        raise UsageError(
            what=f"bad WORKING_PATH {one_line(text[:80])!r}",
            why=f"it does not match {PATH.pattern}",
            fix="Give the working directory's path in its file system, or '-' where it is the root.",
        )
    return f"{text}/"


def connect() -> FsxClient:
    """Make the client for the job's region. Raises ExportError if there is none, or no credentials come.

    botocore's own retries are off: `Service` waits by the bounds, and tells why.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise UsageError(
            what="no region",
            why="AWS_REGION is not set",
            fix="Set it in the job's environment (containerOverrides.environment).",
        )
    config = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 1})
    try:
        client: FsxClient = boto3.client("fsx", region_name=region, config=config)
    except aws.CredentialRetrievalError as error:
        raise TryAgainError(
            what="no AWS credentials",
            why=one_line(str(error)),
            fix="Run the step again; if that is of no use, check the ECS agent of the host.",
        ) from error
    except (ValueError, aws.BotoCoreError) as error:
        raise UsageError(
            what="no way to FSx", why=one_line(str(error)), fix="Check AWS_REGION and AWS_ENDPOINT_URL_FSX."
        ) from error
    return client


def run(arguments: Sequence[str] | None) -> None:
    """Export as the arguments say. Raises ExportError."""
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file-system", required=True, metavar="ID", type=matching(FILE_SYSTEM))
    parser.add_argument("--path", required=True, help="relative to the working directory", type=matching(PATH))
    parser.add_argument("--contents", required=True, metavar="SHA256", type=matching(DIGEST))
    parser.add_argument("--report", metavar="S3-URI", help="where to list failures", type=matching(REPORT))
    parser.add_argument("--receipt", required=True, metavar="FILE", type=Path)
    options = parser.parse_args(arguments)
    export = Export(
        file_system=options.file_system,
        path=beneath() + options.path,
        contents=options.contents,
        report=options.report,
    )
    bounds = Bounds(
        poll=seconds("EXPORT_POLL_SECONDS", 10),
        pause=seconds("EXPORT_PAUSE_SECONDS", 1),
        fault=seconds("EXPORT_FAULT_SECONDS", 300),
        busy=seconds("EXPORT_BUSY_SECONDS", 3600),
        wait=seconds("EXPORT_WAIT_SECONDS", 14400),
    )
    service = Service(connect(), bounds)
    task = follow(service, obtain(service, export), bounds)
    check(export, task)
    write_receipt(options.receipt, export, task)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, and return the exit code."""
    try:
        run(arguments)
    except ExportError as error:
        sys.stderr.write(f"step: error: {error}\n")
        return error.code
    except Exception as error:
        if os.environ.get("EXPORT_DEBUG"):
            raise
        what = f"{type(error).__name__}: {one_line(str(error))}"
        sys.stderr.write(f"step: error: {what}. This was not foreseen: set EXPORT_DEBUG=1 to see where.\n")
        return TaskError.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
