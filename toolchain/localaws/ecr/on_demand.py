"""A registry that starts when its password is asked for: nobody pushes without."""

import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from toolchain.localaws.ecr.process import RealRegistry, free_port, running


class OnDemand:
    """A registry whose address is known before it runs.

    Args:
        folder: Where it keeps everything.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._guard = threading.Lock()
        self._running: RealRegistry | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def host(self) -> str:
        """Its address, as image names begin with it."""
        return f"127.0.0.1:{self._port}"

    @property
    def password(self) -> str:
        """Of the user AWS.

        Raises:
            UnavailableError: It does not come up.
        """
        with self._guard:
            if self._running is None:
                self._running = self._stack.enter_context(running(self._folder, self._port))
            return self._running.password

    def tags(self, repository: str) -> list[str]:
        """A repository's tags."""
        return self._running.tags(repository) if self._running else []

    def manifest(self, repository: str, reference: str) -> tuple[str, str] | None:
        """A manifest's text and digest, or none."""
        return self._running.manifest(repository, reference) if self._running else None
