"""Debian's docker-registry as a process on the loopback, with a login like ECR's."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import bcrypt
import requests

from toolchain.errors import UnavailableError
from toolchain.paths import HERE

USER: Final = "AWS"
_MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)


class LocalRegistry:
    """A registry whose address is known before it runs: it starts at the first login.

    Args:
        folder: Where it keeps everything.
    """

    def __init__(self, folder: Path) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def password(self) -> str:
        """The password of USER.

        Raises:
            UnavailableError: The registry does not start.
        """
        with self._lock:
            if self._process is None:
                self._start()
            return self._password

    def rotate(self) -> None:
        """Changes the password: the one before is refused, as an expired token is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._password = secrets.token_urlsafe(36)
        hashed = bcrypt.hashpw(self._password.encode(), bcrypt.gensalt(4)).decode()
        file = self._folder / "htpasswd"
        temporary = file.with_suffix(".new")
        temporary.write_text(f"{USER}:{hashed}\n", encoding="ascii")
        # The registry reads the file again when its time has changed, which may be known to seconds only.
        moment = time.time_ns()
        os.utime(temporary, ns=(moment, moment))
        temporary.replace(file)

    def tags(self, repository: str) -> list[str]:
        """A repository's tags."""
        response = self._get(f"{repository}/tags/list")
        return list(response.json()["tags"] or []) if response else []

    def manifest(self, repository: str, reference: str) -> tuple[str, str] | None:
        """A manifest's text and digest."""
        response = self._get(f"{repository}/manifests/{reference}")
        return (response.text, response.headers["docker-content-digest"]) if response else None

    def _get(self, path: str) -> requests.Response | None:
        """What it answers at a path of its API; none if it refuses or does not run."""
        if self._process is None:
            return None
        headers = {"Accept": _MANIFESTS}
        response = requests.get(
            f"http://{self.host}/v2/{path}", headers=headers, auth=(USER, self._password), timeout=30
        )
        return response if response.ok else None

    def _start(self) -> None:
        self.rotate()
        log = self._folder / "log"
        configuration: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self._folder / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.host, "relativeurls": True},
            "auth": {"htpasswd": {"realm": "ecr", "path": str(self._folder / "htpasswd")}},
        }
        # JSON is YAML.
        file = self._folder / "config.yml"
        file.write_text(json.dumps(configuration), encoding="ascii")
        with log.open("wb") as output:
            self._process = subprocess.Popen([_program(), "serve", file], stdout=output, stderr=output)
        for _ in range(200):
            try:
                self._get("")
            except requests.ConnectionError:
                time.sleep(0.05)
            else:
                return
            if self._process.poll() is not None:
                break
        self._stop()
        raise UnavailableError(
            "the registry does not answer",
            why=log.read_text(errors="replace").strip() or "it says nothing",
            fix="See whether its port is free.",
        )

    def _stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=30)
        self._process = None


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program() -> Path:
    """The host's docker-registry, or Debian's package unpacked into .cache: installed, it would start a service."""
    if installed := shutil.which("docker-registry"):
        return Path(installed)
    folder = HERE.cache / "docker-registry"
    unpacked = folder / "usr/bin/docker-registry"
    if not unpacked.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for command in ("download docker-registry", "update -qq", "download docker-registry"):
            with contextlib.suppress(FileNotFoundError):  # not Debian
                subprocess.run(["apt-get", *command.split()], cwd=folder, capture_output=True, check=False)
            if packages := list(folder.glob("docker-registry_*.deb")):
                subprocess.run(["dpkg-deb", "--extract", packages[0], folder], check=True)
                break
        else:
            raise UnavailableError(
                "no docker-registry", why="it is not installed, and apt-get does not find Debian's", fix="Install it."
            )
    return unpacked
