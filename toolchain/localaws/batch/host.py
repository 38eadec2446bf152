"""The machine that stands for every instance of every compute environment, and its Docker engine."""

import contextlib
import hashlib
import threading
import uuid
from typing import Final

from toolchain.docker.container import Container
from toolchain.docker.engine import LABEL, Engine
from toolchain.errors import UnavailableError
from toolchain.localaws.access import Access
from toolchain.localaws.batch import guard
from toolchain.localaws.batch.export import with_fsx
from toolchain.localaws.batch.placing import Placing
from toolchain.localaws.config import LocalConfig

JOB_LABEL: Final = "genomics.localaws.job"
ROOT_LABEL: Final = "genomics.localaws.root"


class Host:
    """Where jobs run."""

    def __init__(self, world: LocalConfig, access: Access) -> None:
        self.world = world
        self.access = access
        self.placing = Placing(vcpus=world.vcpus, memory=world.memory)
        self._root = str(world.root.resolve())
        self._engine: Engine | None = None
        self._guard = threading.Lock()

    @property
    def instance(self) -> str:
        """The id of the EC2 instance that this machine stands for."""
        return "i-" + hashlib.sha256(self._root.encode()).hexdigest()[:17]

    def confined(self, container: Container, *, exports: bool) -> Container:
        """What the engine is asked to run for a job.

        Args:
            container: What its definition asks for.
            exports: Whether its role lets it export.

        Raises:
            ForbiddenError: It asks for more than a job may have.
            docker.errors.ImageNotFound: The engine has no such image.
        """
        user = container.user
        if not user:
            image = self.engine().client.images.get(container.image)
            user = str((image.attrs.get("Config") or {}).get("User") or "")
        allowed = guard.confined(container, user, self.world)
        return with_fsx(allowed, self.world, self.access) if exports else allowed

    def labels(self, job_id: str) -> dict[str, str]:
        """What a job's containers carry."""
        return {LABEL: "1", JOB_LABEL: job_id, ROOT_LABEL: self._root}

    def engine(self) -> Engine:
        """The engine, looked for when a job first needs it.

        Raises:
            UnavailableError: None answers.
        """
        with self._guard:
            if self._engine is None:
                self._engine = Engine.connect()
            return self._engine

    def sweep(self) -> None:
        """Removes every container of this root: those that a server which died left, or that still run."""
        from docker.errors import DockerException

        with contextlib.suppress(UnavailableError, DockerException):  # without an engine there are none
            containers = self.engine().client.api.containers(
                all=True, quiet=True, filters={"label": f"{ROOT_LABEL}={self._root}"}
            )
            for container in containers:
                with contextlib.suppress(DockerException):  # it may be gone by now
                    self.engine().client.api.remove_container(container["Id"], force=True, v=True)

    def close(self) -> None:
        """Lets go of the engine; it is looked for again when a job needs it."""
        with self._guard:
            engine, self._engine = self._engine, None
        if engine:
            engine.client.close()


def task_id() -> str:
    """An id as ECS gives one to a task."""
    return uuid.uuid4().hex
