"""The machine that stands for every instance of every compute environment, and its Docker engine."""

import contextlib
import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

from docker.errors import DockerException

from toolchain.docker.container import Container, Mount
from toolchain.docker.engine import LABEL, Engine
from toolchain.errors import UnavailableError
from toolchain.localaws.access import Access
from toolchain.localaws.batch import forward, guard
from toolchain.localaws.batch.scheduler import Scheduler
from toolchain.localaws.config import EXPORT_SOCKET, LocalConfig

JOB_LABEL: Final = "genomics.localaws.job"
ROOT_LABEL: Final = "genomics.localaws.root"
_SOCKET_FOLDER: Final = "/run/embedded-aws"


class Host:
    """Where jobs run."""

    def __init__(self, config: LocalConfig, access: Access) -> None:
        self.config = config
        self.access = access
        self.scheduler = Scheduler(vcpus=config.vcpus, memory=config.memory)
        self._root = str(config.root.resolve())
        self.instance_id = "i-" + hashlib.sha256(self._root.encode()).hexdigest()[:17]
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def confine(self, container: Container, *, exports: bool) -> Container:
        """A job's container as the engine may run it; `exports` gives it FSx.

        Raises:
            ForbiddenError: It asks for more than a job may have.
            docker.errors.ImageNotFound: The engine has no such image.
        """
        user = container.user
        if not user:
            image = self.engine().client.images.get(container.image)
            user = str((image.attrs.get("Config") or {}).get("User") or "")
        confined = guard.confine(container, user, self.config)
        return self._with_fsx(confined) if exports and confined.command else confined

    def _with_fsx(self, container: Container) -> Container:
        """Gives a container without a network the socket of FSx, and the key for it.

        In the cloud its role's credentials come from the ECS agent. The image must have python3.
        """
        program = Path(forward.__file__).read_text(encoding="utf-8")
        port = self.access.endpoint.rpartition(":")[2]
        socket = f"{_SOCKET_FOLDER}/{EXPORT_SOCKET}"
        mount = Mount(source=str(self.config.door.resolve()), target=_SOCKET_FOLDER, read_only=True)
        return replace(
            container,
            command=("python3", "-I", "-c", program, port, socket, *container.command),
            environment={
                "AWS_ENDPOINT_URL": self.access.endpoint,
                "AWS_ACCESS_KEY_ID": self.access.export.id,
                "AWS_SECRET_ACCESS_KEY": self.access.export.secret,
                "AWS_EC2_METADATA_DISABLED": "true",
                # An export takes milliseconds here.
                "EXPORT_POLL_SECONDS": "0.05",
                **container.environment,
            },
            mounts=(*container.mounts, mount),
        )

    def labels(self, job_id: str) -> dict[str, str]:
        """The labels of a job's containers."""
        return {LABEL: "1", JOB_LABEL: job_id, ROOT_LABEL: self._root}

    def engine(self) -> Engine:
        """The engine, connected when a job first needs it."""
        with self._lock:
            if self._engine is None:
                self._engine = Engine.connect()
            return self._engine

    def sweep(self) -> None:
        """Removes every container of this root: what a dead server left, and what still runs."""
        with contextlib.suppress(UnavailableError, DockerException):  # without an engine there are none
            api = self.engine().client.api
            for container in api.containers(all=True, quiet=True, filters={"label": f"{ROOT_LABEL}={self._root}"}):
                with contextlib.suppress(DockerException):  # it may be gone by now
                    api.remove_container(container["Id"], force=True, v=True)

    def close(self) -> None:
        """Disconnects from the engine until a job needs it."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine:
            engine.client.close()
