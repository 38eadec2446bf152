"""The FSx API, with retries of temporary errors."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import boto3
from aws_errors import BUSY, code_of, is_temporary, message_of, one_line, step_error
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError
from task import Export, Task

from step.errors import StepError, TryAgainError, UsageError, printable
from step.steps import log

QUIET_SECONDS = 60.0  # between two log lines that say the same
_MAX_FACTOR = 32  # of the longest delay to the first one


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds.

    Their sum must be less than the job's timeout: Batch retries a job that exits with 75, but none that timed out.

    Attributes:
        poll: The longest interval between two looks at a task.
        pause: The first delay before a call is retried; it doubles each time.
        fault: In total for throttling, 5xx and lost connections.
        busy: In total for another task on the same file system.
        wait: For the task itself.
    """

    poll: float
    pause: float
    fault: float
    busy: float
    wait: float

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> "Timeouts":
        """Parses the environment variables. Raises UsageError unless each is a number above 0."""
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
    """The operations of boto3's FSx client that are used here."""

    def create_data_repository_task(self, **parameters: object) -> dict[str, Any]:
        """Creates a task."""

    def describe_data_repository_tasks(self, **parameters: object) -> dict[str, Any]:
        """Describes tasks."""


class Service:
    """FSx's operations on tasks. Each raises StepError for permanent errors, and for others after their timeout."""

    def __init__(self, client: FsxClient, timeouts: Timeouts) -> None:
        """Starts the clock that tells this attempt's tasks from those of earlier ones."""
        self._client = client
        self._timeouts = timeouts
        self._start_clock = time.monotonic()
        self._started: datetime | None = None

    @classmethod
    def connect(cls, environment: Mapping[str, str], timeouts: Timeouts) -> "Service":
        """Connects to FSx in the job's region. Raises StepError without a region or credentials."""
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        if not region:
            raise UsageError(
                "no region",
                why="AWS_REGION is not set",
                fix="Set it in the job's environment (containerOverrides.environment).",
            )
        # No retries by botocore: `_call` retries within the timeouts and logs the reason.
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
        return cls(client, timeouts)

    def create(self, export: Export, attempt: int) -> Task:
        """Creates the task of this attempt, or returns the one that its idempotency token created before.

        Waits while another task runs on the file system.
        """
        backoff = Backoff(self._timeouts.pause, self._timeouts.busy)
        while True:
            try:
                answer = self._call(
                    "CreateDataRepositoryTask", self._client.create_data_repository_task, export.parameters(attempt)
                )
            except aws.ClientError as error:
                why = f"another data repository task still runs after {backoff.timeout:.0f} s ({message_of(error)})"
                backoff.sleep(
                    f"another data repository task runs on {export.file_system}",
                    TryAgainError(
                        f"{export.file_system} is busy",
                        why=why,
                        fix="Run the step again when it has ended, or raise EXPORT_BUSY_SECONDS.",
                    ),
                )
            else:
                return Task.parse(answer["DataRepositoryTask"])

    def describe(self, task_id: str) -> Task:
        """The current state of a task."""
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
        """Whether a task was created before this process started, by the service's clock."""
        return self._started is not None and task.created < self._started

    def _call(
        self, operation: str, method: Callable[..., dict[str, Any]], parameters: Mapping[str, object]
    ) -> dict[str, Any]:
        """Calls an operation, retrying temporary errors. Raises TryAgainError after the timeout, else StepError.

        The ClientError of a busy file system is passed on, since it has a timeout of its own.
        """
        backoff = Backoff(self._timeouts.pause, self._timeouts.fault)
        while True:
            try:
                answer = method(**parameters)
            except (aws.BotoCoreError, aws.ClientError, ResponseParserError) as error:
                if code_of(error) == BUSY:
                    raise
                if not is_temporary(error):
                    raise step_error(operation, error) from error
                backoff.sleep(
                    f"{operation}: {message_of(error)}",
                    TryAgainError(
                        f"FSx does not answer {operation}",
                        why=f"{backoff.timeout:.0f} s of trying ended with: {message_of(error)}",
                        fix="Run the step again; it takes up its task where that stands.",
                    ),
                )
            else:
                self._note_clock(answer)
                return answer

    def _note_clock(self, answer: Mapping[str, Any]) -> None:
        """Computes from the first answer when this process started by the service's clock."""
        if self._started is None:
            date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            now = parsedate_to_datetime(date) if date else datetime.now(tz=UTC)
            self._started = now - timedelta(seconds=time.monotonic() - self._start_clock)


class Backoff:
    """Exponential backoff with full jitter and a total timeout."""

    def __init__(self, first: float, timeout: float) -> None:
        """Takes the first delay and the timeout in seconds."""
        self.timeout = timeout
        self._end = time.monotonic() + timeout
        self._delay, self._longest = first, first * _MAX_FACTOR
        self._random = random.SystemRandom()
        self._logged = -math.inf

    def sleep(self, reason: str, timeout_error: StepError) -> None:
        """Sleeps, logging the reason from time to time; raises the given error after the timeout."""
        now = time.monotonic()
        if now >= self._end:
            raise timeout_error
        if now - self._logged >= QUIET_SECONDS:
            self._logged = now
            log(f"export: {reason}: trying again for {self._end - now:.0f} s")
        time.sleep(min(self._random.uniform(0, self._delay), self._end - now))
        self._delay = min(2 * self._delay, self._longest)
