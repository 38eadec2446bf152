"""Jobs: from SUBMITTED to SUCCEEDED or FAILED. Only a job that has a container has a thread."""

import threading
from typing import Any, Final, Literal, get_args

from moto.batch.models import BatchBackend, ComputeEnvironment
from moto.batch.utils import make_arn_for_job

from toolchain.docker.container import Job as JobVariables
from toolchain.localaws.batch.attempt import Attempt, now
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.retry import should_retry
from toolchain.localaws.batch.scheduler import Queue
from toolchain.localaws.batch.submission import Submission

Status = Literal["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)


class Job:
    """A single job, or a child of an array job. moto 5.2.5: a job has no limits, user, retries or OutOfMemoryError.

    Args:
        number: Jobs of a queue are served in the order of their numbers.
        index: A child's index in its array.
    """

    def __init__(
        self,
        *,
        host: Host,
        backend: BatchBackend,
        queue: Queue,
        submission: Submission,
        job_id: str,
        number: int,
        index: int | None = None,
    ) -> None:
        self.job_id = job_id
        self.arn = make_arn_for_job(backend.account_id, job_id, backend.region_name)
        self.queue = queue
        self.submission = submission
        self.index = index
        container = submission.container()
        self.vcpus = container.vcpus
        self.memory = container.memory
        self.share = submission.share
        self.order = (-submission.priority if queue.schedule_policy else 0, number)
        self.status: Status = "SUBMITTED"
        self.attempts: list[Attempt] = []
        self.created = now()
        self.stopped: int | None = None
        self.is_cancelled = False
        self.is_terminated = False
        self._host = host
        self._backend = backend
        self._reason: str | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._time_limit: threading.Timer | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is SUCCEEDED or FAILED."""
        return self.status in {"SUCCEEDED", "FAILED"}

    @property
    def status_reason(self) -> str | None:
        """Why it ended, or why it is never placed."""
        return self._host.scheduler.misfit(self) if self.status == "RUNNABLE" else self._reason

    @property
    def started(self) -> int | None:
        """When its last container started."""
        return max((attempt.started for attempt in self.attempts if attempt.started), default=None)

    @property
    def array_properties(self) -> dict[str, Any] | None:
        """DescribeJobs' arrayProperties."""
        return None if self.index is None else {"index": self.index, "statusSummary": {}}

    def enqueue(self) -> None:
        """Lets it wait for its turn, or for the queue's time limit if it can never be placed."""
        with self._lock:
            if not self.is_terminated:
                self.status = "RUNNABLE"
        if self.is_terminated:
            self._end("FAILED", self._reason)
            return
        misfit = self._host.scheduler.misfit(self)
        if misfit and (limit := self.queue.time_limit(misfit)):
            seconds, reason = limit
            self._time_limit = threading.Timer(seconds, self._exceed_time_limit, (reason,))
            self._time_limit.daemon = True
            self._time_limit.start()
        self._host.scheduler.enter(self)

    def wait(self, seconds: float) -> bool:
        """Waits for the end of the job, and says whether it came."""
        return self._ended.wait(seconds)

    def cancel(self, reason: str) -> None:
        """Ends a job that waits; one that has started goes on, as in Batch."""
        with self._lock:
            if self._has_started():
                return
            self.is_cancelled = True
            self._reason = reason
        self._end("FAILED", reason)

    def terminate(self, reason: str) -> None:
        """Ends a job, and its container if it has one."""
        with self._lock:
            if self.has_ended or self.is_terminated:
                return
            self.is_terminated = True
            self._reason = reason
            has_started = self._has_started()
        if not has_started:
            self._end("FAILED", reason)
        elif self.attempts:
            self.attempts[-1].stop()

    def _has_started(self) -> bool:
        return self.status not in {"SUBMITTED", "RUNNABLE"}

    def _exceed_time_limit(self, reason: str) -> None:
        if self._host.scheduler.misfit(self):
            self.cancel(reason)

    def place(self, environment: ComputeEnvironment) -> None:
        """Starts an attempt in a compute environment."""
        with self._lock:
            if not self.has_ended:
                self.status = "STARTING"
        threading.Thread(target=self._run, args=(environment,), name=f"job {self.job_id}", daemon=True).start()

    def _run(self, environment: ComputeEnvironment) -> None:
        """Runs an attempt; the job's thread."""
        try:
            attempt = self._new_attempt(environment)
            if attempt:
                attempt.run(on_start=self._set_running)
        except BaseException as error:  # the thread ends here, and the job must not run for ever
            self._end("FAILED", f"{type(error).__name__}: {error}")
            raise
        finally:
            # The next job waits for this.
            self._host.scheduler.leave(self)
        if attempt is None or self.is_terminated:
            self._end("FAILED", self._reason)
        elif attempt.outcome.exit_code == 0 and not attempt.timed_out:
            self._end("SUCCEEDED", attempt.outcome.status_reason)
        elif not attempt.timed_out and should_retry(
            self.submission.retry_strategy, attempt.outcome, attempt=len(self.attempts)
        ):
            self.enqueue()
        else:
            self._end("FAILED", attempt.outcome.status_reason)

    def _new_attempt(self, environment: ComputeEnvironment) -> Attempt | None:
        """The next attempt; none if the job was ended meanwhile."""
        variables = JobVariables(
            job_id=self.job_id,
            queue=self.queue.name,
            compute_environment=environment.name,
            attempt=len(self.attempts) + 1,
            array_index=self.index,
        )
        attempt = Attempt(self._host, self._backend, self.submission, variables)
        with self._lock:
            if self.is_cancelled or self.is_terminated:
                return None
            self.attempts.append(attempt)
        return attempt

    def _set_running(self) -> None:
        self.status = "RUNNING"

    def _end(self, status: Literal["SUCCEEDED", "FAILED"], reason: str | None) -> None:
        with self._lock:
            if self.has_ended:
                return
            self._reason = reason
            self.stopped = now()
            self.status = status
            if self._time_limit:
                self._time_limit.cancel()
        self._host.scheduler.leave(self)
        self._ended.set()
