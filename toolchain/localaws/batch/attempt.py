"""One attempt of a job: one container, from before it is made to after it is gone."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from toolchain.errors import UnavailableError
from toolchain.localaws.batch.guard import ForbiddenError
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.logs import Stream
from toolchain.localaws.batch.rules import Ending

if TYPE_CHECKING:
    from docker.models.containers import Container as DockerContainer

    from toolchain.docker.container import Container

EXITED: Final = "Essential container in task exited"
NOT_STARTED: Final = "Task failed to start"
TIMED_OUT: Final = "Job attempt duration exceeded timeout"
OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"
# As the ECS agent gives a container between SIGTERM and SIGKILL.
STOP_SECONDS: Final = 30
NO_SUCH_GROUP: Final = (
    "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create "
    "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
)


class NotStartedError(Exception):
    """A container that could not be made or started; the text is the reason as ECS gives it."""


@dataclass(frozen=True, kw_only=True)
class LogPlace:
    """Where a container's output goes: moto's logs backend, a group, a stream."""

    backend: Any
    group: str
    stream: str

    @classmethod
    def of(cls, backend: Any, properties: Mapping[str, Any], *, name: str, task: str) -> "LogPlace":  # noqa: ANN401  # moto's LogsBackend
        """From a job definition's logConfiguration; `name` is the definition's and `task` the ECS task's id."""
        options = (properties.get("logConfiguration") or {}).get("options") or {}
        place = cls(
            backend=backend,
            group=options.get("awslogs-group", "/aws/batch/job"),
            stream=f"{options.get('awslogs-stream-prefix', name)}/default/{task}",
        )
        # The group that Batch makes by itself is its own; every other has to be there.
        if "awslogs-group" not in options or options.get("awslogs-create-group") == "true":
            backend.ensure_log_group(place.group)
        return place

    def open(self) -> Stream:
        """The stream, made.

        Raises:
            NotStartedError: There is no such group.
        """
        if self.group not in self.backend.groups:
            raise NotStartedError(NO_SUCH_GROUP)
        self.backend.ensure_log_stream(self.group, self.stream)
        return Stream(self.backend, self.group, self.stream)


class Attempt:
    """A container that runs at most once.

    Args:
        host: Where it runs.
        job_id: Whose it is.
        container: What the engine is asked to run.
        logs: Where its output goes.
        name: The container's name.
        exports: Whether the job's role lets it export.
    """

    def __init__(
        self, *, host: Host, job_id: str, container: "Container", logs: LogPlace, name: str, exports: bool
    ) -> None:
        self._host = host
        self._job_id = job_id
        self._asked = container
        self._logs = logs
        self._name = name
        self._exports = exports
        self._guard = threading.Lock()
        self._made: DockerContainer | None = None
        self._output: Any = None
        self._stopping = False
        self._started = False
        self._status_reason = EXITED
        self._exit_code: int | None = None

    def start(self) -> None:
        """Makes the container and starts it, unless it was stopped before.

        Raises:
            NotStartedError: It does not start.
        """
        from docker.types import LogConfig

        with _not_started("CannotCreateContainerError"):
            container = self._host.confined(self._asked, exports=self._exports)
            # What it says is read as it says it, and kept in its log stream: the engine need not keep it too.
            arguments = {**container.docker_arguments(), "log_config": LogConfig(type="none")}
            self._made = self._host.engine().client.containers.create(
                container.image,
                list(container.command) or None,
                name=self._name,
                labels=self._host.labels(self._job_id),
                **arguments,
            )
        # Docker makes the stream when it starts a container: one that has no image has no log.
        stream = self._logs.open()
        with _not_started("CannotStartContainerError"):
            # Attached before it starts: nothing of what it says is missed, or waits for a file to be read.
            self._output = stream, self._made.attach(stdout=True, stderr=True, stream=True, demux=True)
            with self._guard:
                if not self._stopping:
                    self._made.start()
                    self._started = True

    def follow(self) -> None:
        """Carries its output into the log stream until it ends."""
        import requests
        from docker.errors import DockerException

        if self._made is None or not self._started:
            return
        stream, output = self._output
        try:
            for channels in output:
                stream.feed(*channels)
            self._exit_code = int(self._made.wait()["StatusCode"])
        except (DockerException, requests.RequestException, OSError):
            # It was removed from under us, or the engine is gone: a Batch host is lost with all that ran on it.
            self._lost()
        finally:
            stream.end()

    def ending(self) -> Ending:
        """How it ended, in Batch's words."""
        import requests
        from docker.errors import DockerException

        reason = None
        if self._made is not None and self._exit_code is not None:
            try:
                self._made.reload()
            except (DockerException, requests.RequestException):
                self._lost()
            else:
                state = self._made.attrs["State"]
                if state["Status"] in {"removing", "dead"}:
                    self._lost()
                elif state["OOMKilled"]:
                    reason = OUT_OF_MEMORY
        return Ending(exit_code=self._exit_code, reason=reason, status_reason=self._status_reason)

    def stop(self) -> None:
        """Ends it, as TerminateJob does: it is told to stop, and killed if it does not."""
        threading.Thread(target=self._stop, daemon=True).start()

    def expire(self) -> None:
        """Ends it because it took too long."""
        self._status_reason = TIMED_OUT
        self.stop()

    @property
    def expired(self) -> bool:
        """Whether it took too long."""
        return self._status_reason == TIMED_OUT

    def remove(self) -> None:
        """Leaves nothing of it on the machine."""
        import requests
        from docker.errors import DockerException

        if self._output is not None:
            # docker-py's own close() leaves the file that it reads from to the garbage collector.
            self._output[1]._response.close()  # noqa: SLF001  # and there is no other way to it
        if self._made is not None:
            with contextlib.suppress(DockerException, requests.RequestException):  # it may be gone
                self._made.remove(force=True, v=True)

    def _stop(self) -> None:
        import requests
        from docker.errors import DockerException

        with self._guard:
            self._stopping = True
        if self._made is not None and self._started:
            with contextlib.suppress(DockerException, requests.RequestException):  # it may have ended by itself
                self._made.stop(timeout=STOP_SECONDS)

    def _lost(self) -> None:
        self._exit_code = None
        if not self.expired:
            self._status_reason = f"Host EC2 (instance {self._host.instance}) terminated."


@contextmanager
def _not_started(kind: str) -> Iterator[None]:
    import requests
    from docker.errors import APIError, DockerException, ImageNotFound

    try:
        yield
    except ImageNotFound as error:
        raise NotStartedError(f"CannotPullContainerError: {_daemon(error)}") from error
    except APIError as error:
        raise NotStartedError(f"{kind}: {_daemon(error)}") from error
    except (DockerException, requests.RequestException, UnavailableError, ForbiddenError) as error:
        raise NotStartedError(f"{kind}: {error}") from error


def _daemon(error: Any) -> str:  # noqa: ANN401  # docker's APIError
    return f"Error response from daemon: {error.explanation or error}"
