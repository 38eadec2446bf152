"""A job's life: from SUBMITTED to SUCCEEDED or FAILED. No thread waits for a job that is not running."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from toolchain.docker.container import Container
from toolchain.docker.container import Job as Told
from toolchain.localaws.batch.attempt import NOT_STARTED, Attempt, LogPlace, NotStartedError
from toolchain.localaws.batch.host import Host, task_id
from toolchain.localaws.batch.placing import Environment, Queue, Ticket
from toolchain.localaws.batch.rules import Ending
from toolchain.localaws.batch.submission import Submission

Status = Literal["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]
STATUSES: Final[tuple[Status, ...]] = (
    "SUBMITTED",
    "PENDING",
    "RUNNABLE",
    "STARTING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
)


class NamedQueue(Queue, Protocol):
    """A queue that a job is told the name of."""

    name: str
    arn: str

    @property
    def by_priority(self) -> bool:
        """Whether its jobs go by their priorities, and not in the order they came in."""
        ...

    def time_limit(self, reason: str) -> "TimeLimit | None":
        """How long a job may be RUNNABLE for a reason; none if for ever."""
        ...


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """One of a queue's jobStateTimeLimitActions.

    Attributes:
        seconds: How long a job may wait.
        reason: What it is cancelled with.
    """

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a job stands.

    Attributes:
        host: Where it runs.
        queue: The queue that it waits in.
        logs: moto's logs backend.
        arn_prefix: `arn:aws:ecs:<region>:<account>`.
        number: Jobs are served in the order of their numbers.
        exports: Whether its role lets it export.
    """

    host: Host
    queue: NamedQueue
    logs: Any
    arn_prefix: str
    number: int
    exports: bool


@dataclass(kw_only=True)
class Record:
    """One entry of a job's attempts; times are milliseconds since 1970."""

    log_stream: str
    task: str
    instance: str
    started: int | None = None
    stopped: int | None = None
    ending: Ending = field(default_factory=Ending)


class Job:
    """A job with one container, or one child of an array job."""

    def __init__(self, *, job_id: str, arn: str, submission: Submission, setting: Setting, index: int | None) -> None:
        self.job_id = job_id
        self.arn = arn
        self.submission = submission
        self.setting = setting
        self.index = index
        self.status: Status = "SUBMITTED"
        self.records: list[Record] = []
        self.created = _now()
        self.started: int | None = None
        self.stopped: int | None = None
        self.ended_because: str | None = None
        self.cancelled = False
        self.terminated = False
        self._guard = threading.RLock()
        self._attempt: Attempt | None = None
        self._awaited = 0
        self._when_ended: list[Callable[[Job], None]] = []
        number = (-submission.priority if setting.queue.by_priority else 0, setting.number)
        self._limit: threading.Timer | None = None
        self._ticket = Ticket(
            queue=setting.queue, need=submission.need, number=number, place=self._placed, misfit=self._misfit
        )

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self.status in {"SUCCEEDED", "FAILED"}

    @property
    def status_reason(self) -> str | None:
        """Why its status is what it is, where there is something to say."""
        if self.status == "RUNNABLE" and (stuck := self.setting.host.placing.stuck(self._ticket)):
            return stuck
        return self.ended_because

    def begin(self, awaited: Sequence["Job"]) -> None:
        """Queues it, or lets it wait for other jobs first."""
        self._awaited = len(awaited)
        if not awaited:
            self._queue()
            return
        self.status = "PENDING"
        for other in awaited:
            other.when_ended(self._dependency_ended)

    def when_ended(self, tell: Callable[["Job"], None]) -> None:
        """Tells someone when it has ended, at once if it has."""
        with self._guard:
            if not self.ended:
                self._when_ended.append(tell)
                return
        tell(self)

    def wait(self, seconds: float) -> bool:
        """Waits for its end, and says whether it came."""
        over = threading.Event()
        self.when_ended(lambda _: over.set())
        return over.wait(seconds)

    def cancel(self, reason: str) -> None:
        """Ends it unless it starts or runs already."""
        with self._guard:
            if self.status not in {"SUBMITTED", "PENDING", "RUNNABLE"}:
                return
            self.cancelled = True
        self._end("FAILED", reason)

    def terminate(self, reason: str) -> None:
        """Ends it whatever it does."""
        with self._guard:
            if self.ended or self.terminated:
                return
            self.terminated = True
            self.ended_because = reason
            attempt = self._attempt
            waiting = self.status in {"SUBMITTED", "PENDING", "RUNNABLE"}
        if attempt:
            attempt.stop()
        elif waiting:
            self._end("FAILED", reason)

    def _dependency_ended(self, other: "Job") -> None:
        if other.status == "FAILED":
            self._end("FAILED", "Dependent Job failed")
            return
        with self._guard:
            self._awaited -= 1
            ready = not self._awaited and self.status == "PENDING"
        if ready:
            self._queue()

    def _queue(self) -> None:
        with self._guard:
            over = self.ended or self.terminated
            if not over:
                self.status = "RUNNABLE"
        if over:
            self._end("FAILED", self.ended_because)
        else:
            self.setting.host.placing.enter(self._ticket)

    def _placed(self, environment: Environment) -> None:
        with self._guard:
            if not self.ended:
                self.status = "STARTING"
        threading.Thread(target=self._run, args=(environment,), name=f"job {self.job_id}", daemon=True).start()

    def _misfit(self, reason: str) -> None:
        """Starts the time that the queue gives to a job which cannot be placed."""
        limit = self.setting.queue.time_limit(reason)
        with self._guard:
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None
            if limit is not None and not self.ended:
                self._limit = threading.Timer(limit.seconds, self._overdue, (limit.reason,))
                self._limit.daemon = True
                self._limit.start()

    def _overdue(self, reason: str) -> None:
        if self.setting.host.placing.stuck(self._ticket):
            self.cancel(reason)

    def _run(self, environment: Environment) -> None:
        try:
            ending, expired = self._try(environment)
        except BaseException as error:  # the thread ends here: whatever it is, the job must not run for ever
            self._end("FAILED", f"{type(error).__name__}: {error}")
            raise
        if ending.exit_code == 0 and not expired and not self.terminated:
            self._end("SUCCEEDED", ending.status_reason)
        elif self.terminated:
            self._end("FAILED", self.ended_because)
        elif not expired and self.submission.strategy.tries_again(ending, attempt=len(self.records)):
            self._queue()
        else:
            self._end("FAILED", ending.status_reason)

    def _try(self, environment: Environment) -> tuple[Ending, bool]:
        """Runs one attempt in an environment.

        Returns:
            How it ended, and whether it took too long.
        """
        host, submission, placing = self.setting.host, self.submission, self.setting.host.placing
        task = task_id()
        logs = LogPlace.of(
            self.setting.logs, submission.properties, name=submission.definition["jobDefinitionName"], task=task
        )
        attempt = Attempt(
            host=host,
            job_id=self.job_id,
            container=self._container(environment),
            logs=logs,
            name=f"{submission.name}-{task[:12]}",
            exports=self.setting.exports,
        )
        cluster = f"{environment.name}_Batch"
        record = Record(
            log_stream=logs.stream,
            task=f"{self.setting.arn_prefix}:task/{cluster}/{task}",
            instance=f"{self.setting.arn_prefix}:container-instance/{cluster}/{host.instance}",
        )
        with self._guard:
            self._attempt = attempt
            stop = self.terminated or self.ended
        if stop:
            placing.leave(self._ticket)
            return Ending(status_reason=self.ended_because), False
        self.records.append(record)
        timer = threading.Timer(submission.timeout, attempt.expire) if submission.timeout else None
        try:
            attempt.start()
            record.started = self.started = _now()
            self.status = "RUNNING"
            if timer:
                timer.daemon = True
                timer.start()
            attempt.follow()
        except NotStartedError as error:
            record.ending = Ending(reason=str(error)[:1024], status_reason=NOT_STARTED)
        finally:
            # Before anything else: the next job waits for this.
            placing.leave(self._ticket)
            if timer:
                timer.cancel()
            record.stopped = _now()
            if record.started is not None:
                record.ending = attempt.ending()
            # Nobody waits for what is left to clear away.
            threading.Thread(target=attempt.remove, daemon=True).start()
            with self._guard:
                self._attempt = None
        return record.ending, attempt.expired

    def _container(self, environment: Environment) -> Container:
        return self.submission.container(
            Told(
                job_id=self.job_id,
                queue=self.setting.queue.name,
                compute_environment=environment.name,
                attempt=len(self.records) + 1,
                array_index=self.index,
            )
        )

    def _end(self, status: Literal["SUCCEEDED", "FAILED"], because: str | None) -> None:
        with self._guard:
            if self.ended:
                return
            self.ended_because = because
            self.stopped = _now()
            self.status = status
            told, self._when_ended = self._when_ended, []
            if self._limit is not None:
                self._limit.cancel()
        self.setting.host.placing.leave(self._ticket)
        for tell in told:
            tell(self)


def _now() -> int:
    return time.time_ns() // 1_000_000
