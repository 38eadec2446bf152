"""FSx, with its passing faults waited out."""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError
from faults import BUSY, code_of, explained, message_of, one_line, passes
from task import Export, Task

from step.errors import StepError, TryAgainError, UsageError, printable
from step.steps import say

QUIET_SECONDS = 60.0  # the least between two lines that say the same
_LONGEST_PAUSE = 32  # times the first one


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long to wait for what, in seconds.

    All together are to be less than the job's timeout, for Batch tries a job again that ends with 75, but none that it
    had to end.

    Attributes:
        poll: The longest between two looks at a task.
        pause: The first pause before a call is made again; each next one may be twice as long.
        fault: For a service that does not answer, or answers with throttling or 5xx.
        busy: For another task on the same file system.
        wait: For the task itself.
    """

    poll: float
    pause: float
    fault: float
    busy: float
    wait: float

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Bounds":
        """Those that the environment gives. Raises UsageError unless each is a number above 0."""
        return cls(
            poll=_seconds(environment, "EXPORT_POLL_SECONDS", 10),
            pause=_seconds(environment, "EXPORT_PAUSE_SECONDS", 1),
            fault=_seconds(environment, "EXPORT_FAULT_SECONDS", 300),
            busy=_seconds(environment, "EXPORT_BUSY_SECONDS", 3600),
            wait=_seconds(environment, "EXPORT_WAIT_SECONDS", 14400),
        )


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"bad {name} '{printable(text)}'", why="it is not a number above 0", fix="Give it in seconds.")
    return value


class FsxClient(Protocol):
    """The two operations of boto3's FSx client that are used here."""

    def create_data_repository_task(self, **parameters: object) -> dict[str, Any]:
        """Creates a task."""

    def describe_data_repository_tasks(self, **parameters: object) -> dict[str, Any]:
        """Describes tasks."""


class Service:
    """FSx's operations on tasks. Each raises StepError for what does not pass within its bound."""

    def __init__(self, client: FsxClient, bounds: Bounds) -> None:
        """Starts the clock that tells tasks of this run from those of an earlier one."""
        self._client = client
        self._bounds = bounds
        self._born = time.monotonic()
        self._started: datetime | None = None

    @classmethod
    def connect(cls, environment: Mapping[str, str], bounds: Bounds) -> "Service":
        """FSx in the job's region.

        Raises:
            StepError: There is no region, or no credentials come.
        """
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        if not region:
            raise UsageError(
                "no region",
                why="AWS_REGION is not set",
                fix="Set it in the job's environment (containerOverrides.environment).",
            )
        # botocore's own retries are off: `_call` waits by the bounds, and tells why.
        config = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 1})
        try:
            client: Any = boto3.client("fsx", region_name=region, config=config)
        except aws.CredentialRetrievalError as error:
            raise TryAgainError(
                "no AWS credentials",
                why=one_line(str(error)),
                fix="Run the step again; if that is of no use, check the ECS agent of the host.",
            ) from error
        except (ValueError, aws.BotoCoreError) as error:
            raise UsageError(
                "no way to FSx", why=one_line(str(error)), fix="Check AWS_REGION and AWS_ENDPOINT_URL_FSX."
            ) from error
        return cls(client, bounds)

    def create(self, export: Export, attempt: int) -> Task:
        """Creates the task of this attempt, or finds the one that its token made before.

        Waits while another task runs on the file system.
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
                        f"{export.file_system} is busy",
                        why=f"another data repository task still runs after {pauses.bound:.0f} s ({message_of(error)})",
                        fix="Run the step again when it has ended, or raise EXPORT_BUSY_SECONDS.",
                    ),
                )
            else:
                return Task.parse(answer["DataRepositoryTask"])

    def describe(self, task_id: str) -> Task:
        """A task as it is now."""
        answer = self._call(
            "DescribeDataRepositoryTasks", self._client.describe_data_repository_tasks, {"TaskIds": [task_id]}
        )
        tasks = answer.get("DataRepositoryTasks") or []
        if not tasks:
            raise TryAgainError(
                f"no {task_id}", why="FSx does not list the task that it made", fix="Run the step again."
            )
        return Task.parse(tasks[0])

    def predates(self, task: Task) -> bool:
        """Whether a task was made before this process began, by the service's own clock."""
        return self._started is not None and task.created < self._started

    def _call(
        self, operation: str, method: Callable[..., dict[str, Any]], parameters: Mapping[str, object]
    ) -> dict[str, Any]:
        """Calls until it answers, the bound is reached (TryAgainError), or it will never answer (StepError).

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
                        f"FSx does not answer {operation}",
                        why=f"{pauses.bound:.0f} s of trying ended with: {message_of(error)}",
                        fix="Run the step again; it takes up its task where that stands.",
                    ),
                )
            else:
                self._note_clock(answer)
                return answer

    def _note_clock(self, answer: Mapping[str, Any]) -> None:
        """Learns from the first answer what time it was for the service when this process began."""
        if self._started is None:
            date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            now = parsedate_to_datetime(date) if date else datetime.now(tz=UTC)
            self._started = now - timedelta(seconds=time.monotonic() - self._born)


class Pauses:
    """Exponential backoff with full jitter, for a bounded time in all."""

    def __init__(self, first: float, bound: float) -> None:
        """Takes the length of the first pause, and of all together, in seconds."""
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
            factor = min(2 * factor, _LONGEST_PAUSE)

    def sleep(self, reason: str, at_the_end: StepError) -> None:
        """Sleeps, having told why from time to time; raises the given error once the time is up."""
        now = time.monotonic()
        if now >= self._end:
            raise at_the_end
        if now - self._told >= QUIET_SECONDS:
            self._told = now
            say(f"export: {reason}: trying again for {self._end - now:.0f} s")
        time.sleep(min(self._random.uniform(0, next(self._lengths)), self._end - now))
