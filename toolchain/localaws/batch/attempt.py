"""One attempt of a job: one container, from its creation to its removal."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container as DockerContainer
from docker.types import LogConfig
from moto.batch.models import BatchBackend
from moto.logs.exceptions import ResourceNotFoundException

from toolchain.docker.container import Job as JobVariables
from toolchain.errors import UnavailableError
from toolchain.localaws.batch.guard import ForbiddenError, may_export
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.logs import LogStream
from toolchain.localaws.batch.retry import Outcome
from toolchain.localaws.batch.submission import Submission

EXITED: Final = "Essential container in task exited"
NOT_STARTED: Final = "Task failed to start"
TIMED_OUT: Final = "Job attempt duration exceeded timeout"
OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"
NO_SUCH_GROUP: Final = (
    "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create "
    "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
)
_MAX_REASON: Final = 1024
# Between SIGTERM and SIGKILL, as the ECS agent has it.
_STOP_SECONDS: Final = 30


class NotStartedError(Exception):
    """A container that could not be created or started; the text is the reason as ECS words it."""


class Attempt:
    """A container that runs at most once.

    Attributes:
        started: When the container was started, in milliseconds since 1970.
        stopped: When it had ended, likewise.
        timed_out: Whether it exceeded the job's timeout.
    """

    def __init__(self, host: Host, backend: BatchBackend, submission: Submission, variables: JobVariables) -> None:
        task = uuid.uuid4().hex
        self.log = LogStream.of_task(backend.logs_backend, submission, task)
        self.started: int | None = None
        self.stopped: int | None = None
        self.outcome = Outcome(status_reason=EXITED)
        self.timed_out = False
        self._host = host
        self._backend = backend
        self._submission = submission
        self._variables = variables
        self._name = f"{submission.name}-{task[:12]}"
        self._lock = threading.Lock()
        self._container: DockerContainer | None = None
        self._output: Any = None
        self._stopping = False

    def run(self, on_start: Callable[[], None]) -> None:
        """Runs the container to its end; `on_start` is called when it has started."""
        timer = threading.Timer(self._submission.timeout or 0, self._time_out)
        timer.daemon = True
        try:
            container = self._create()
            if self._start(container):
                on_start()
                if self._submission.timeout:
                    timer.start()
                self.outcome = self._follow(container)
        except NotStartedError as error:
            self.outcome = Outcome(reason=str(error)[:_MAX_REASON], status_reason=NOT_STARTED)
        finally:
            timer.cancel()
            self.stopped = now()
            # The next job need not wait for this.
            threading.Thread(target=self._remove, daemon=True).start()

    def stop(self) -> None:
        """Stops the container as TerminateJob does: SIGTERM, and SIGKILL if it goes on."""
        self._stopping = True
        threading.Thread(target=self._stop, daemon=True).start()

    def _create(self) -> DockerContainer:
        exports = may_export(self._backend.iam_backend, self._submission.properties.get("jobRoleArn"))
        with _not_started("CannotCreateContainerError"):
            container = self._host.confine(self._submission.container(self._variables), exports=exports)
            # The output is read as it comes: the engine need not keep it too.
            arguments = {**container.docker_arguments(), "log_config": LogConfig(type="none")}
            self._container = self._host.engine().client.containers.create(
                container.image,
                list(container.command) or None,
                name=self._name,
                labels=self._host.labels(self._variables.job_id),
                **arguments,
            )
        return self._container

    def _start(self, container: DockerContainer) -> bool:
        """Starts the container, unless it was stopped before."""
        # Docker makes the log stream when it starts a container: one that has no image has none.
        try:
            self.log.create()
        except ResourceNotFoundException as error:
            raise NotStartedError(NO_SUCH_GROUP) from error
        with _not_started("CannotStartContainerError"), self._lock:
            # Attached first, so that no output is missed.
            self._output = container.attach(stdout=True, stderr=True, stream=True, demux=True)
            if not self._stopping:
                container.start()
                self.started = now()
        return self.started is not None

    def _follow(self, container: DockerContainer) -> Outcome:
        """Writes the output to the log until the container ends."""
        try:
            for stdout, stderr in self._output:
                self.log.feed(stdout, stderr)
            container.wait()
            container.reload()
            state = container.attrs["State"]
        except (DockerException, requests.RequestException, OSError):
            # It was removed under us, or the engine is gone.
            state = {"Status": "dead"}
        finally:
            self.log.end()
        if state["Status"] in {"removing", "dead"}:
            # In the cloud, what takes away a container that runs is the loss of its host.
            lost = f"Host EC2 (instance {self._host.instance_id}) terminated."
            return Outcome(status_reason=TIMED_OUT if self.timed_out else lost)
        return Outcome(
            exit_code=int(state["ExitCode"]),
            reason=OUT_OF_MEMORY if state["OOMKilled"] else None,
            status_reason=TIMED_OUT if self.timed_out else EXITED,
        )

    def _time_out(self) -> None:
        self.timed_out = True
        self._stop()

    def _stop(self) -> None:
        with self._lock:  # not while it is being started
            container = self._container if self.started else None
        if container:
            with contextlib.suppress(DockerException, requests.RequestException):  # it may have ended by itself
                container.stop(timeout=_STOP_SECONDS)

    def _remove(self) -> None:
        if self._output is not None:
            # docker-py's own close() leaves the file that it reads from to the garbage collector.
            self._output._response.close()  # noqa: SLF001  # and there is no other way to it
        if self._container is not None:
            with contextlib.suppress(DockerException, requests.RequestException):  # it may be gone
                self._container.remove(force=True, v=True)
        # The attempt is kept for DescribeJobs.
        self._container = self._output = None


@contextmanager
def _not_started(kind: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        kind = "CannotPullContainerError" if isinstance(error, ImageNotFound) else kind
        raise NotStartedError(f"{kind}: Error response from daemon: {error.explanation or error}") from error
    except (DockerException, requests.RequestException, UnavailableError, ForbiddenError) as error:
        raise NotStartedError(f"{kind}: {error}") from error


def now() -> int:
    """The time in milliseconds since 1970, as Batch gives times."""
    return time.time_ns() // 1_000_000
