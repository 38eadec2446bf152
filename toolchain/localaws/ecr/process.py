"""Debian's docker-registry as a process on the loopback, with the login that ECR's API hands out."""

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import UnavailableError
from toolchain.paths import HERE

MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)


def program() -> Path:
    """The registry: the host's own, or Debian's package unpacked into .cache, which needs no root.

    Unpacked and not installed, since the package would start a service.
    """
    if found := shutil.which("docker-registry"):
        return Path(found)
    folder = HERE.cache / "docker-registry"
    unpacked = folder / "usr/bin/docker-registry"
    if unpacked.exists():
        return unpacked
    if shutil.which("apt-get") is None:
        raise UnavailableError(
            "no docker-registry",
            why="it is not installed, and there is no apt-get to fetch Debian's",
            fix="Install it.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for command in (["apt-get", "download", "docker-registry"], ["apt-get", "update", "-qq"]):
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0 and (
            packages := sorted(folder.glob("docker-registry_*.deb"))
        ):
            subprocess.run(["dpkg-deb", "--extract", packages[-1], folder], check=True)
            return unpacked
    # The package lists are there now.
    subprocess.run(["apt-get", "download", "docker-registry"], cwd=folder, check=True)
    subprocess.run(["dpkg-deb", "--extract", next(folder.glob("*.deb")), folder], check=True)
    return unpacked


@dataclass
class RealRegistry:
    """A running registry.

    Attributes:
        folder: Where it keeps everything.
        port: On the loopback.
        password: Of the user AWS.
    """

    folder: Path
    port: int
    password: str = ""

    @property
    def host(self) -> str:
        """Its address, as image names begin with it."""
        return f"127.0.0.1:{self.port}"

    def rotate(self) -> None:
        """Another password; the one before is refused from now on, as an expired token is."""
        self.password = secrets.token_urlsafe(36)
        file = self.folder / "htpasswd"
        import bcrypt

        hashed = bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()
        temporary = file.with_suffix(".new")
        temporary.write_text(f"AWS:{hashed}\n", encoding="ascii")
        # The registry reads the file anew when its time has changed: seconds may not be enough.
        moment = time.time_ns()
        os.utime(temporary, ns=(moment, moment))
        temporary.replace(file)

    def get(self, path: str) -> tuple[bytes, dict[str, str]]:
        """What it answers at a path of its API, and the answer's headers.

        Raises:
            urllib.error.HTTPError: It refuses.
        """
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": MANIFESTS})
        request.add_header("Authorization", "Basic " + base64.b64encode(f"AWS:{self.password}".encode()).decode())
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.read(), {name.lower(): value for name, value in answer.headers.items()}

    def tags(self, repository: str) -> list[str]:
        """A repository's tags."""
        try:
            data: dict[str, Any] = json.loads(self.get(f"{repository}/tags/list")[0])
        except urllib.error.HTTPError as error:
            error.close()
            return []
        return list(data["tags"] or [])

    def manifest(self, repository: str, reference: str) -> tuple[str, str] | None:
        """A manifest's text and digest, or none."""
        try:
            text, headers = self.get(f"{repository}/manifests/{reference}")
        except urllib.error.HTTPError as error:
            error.close()
            return None
        return text.decode(), headers["docker-content-digest"]


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[RealRegistry]:
    """Runs a registry that keeps everything below a folder, and ends it.

    Args:
        folder: The folder.
        port: On the loopback; 0 for any free one.

    Raises:
        UnavailableError: It does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    registry = RealRegistry(folder=folder, port=port or free_port())
    registry.rotate()
    configuration = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": registry.host, "relativeurls": True},
        "auth": {"htpasswd": {"realm": "ecr", "path": str(folder / "htpasswd")}},
    }
    # JSON is YAML.
    (folder / "config.yml").write_text(json.dumps(configuration), encoding="ascii")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program(), "serve", folder / "config.yml"], stdout=log, stderr=log)
        try:
            _wait(registry, process)
            yield registry
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(registry: RealRegistry, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        try:
            registry.get("")
        except OSError:
            time.sleep(0.05)
        else:
            return
        if process.poll() is not None:
            break
    raise UnavailableError(
        "the registry does not answer",
        why=(registry.folder / "log").read_text(errors="replace").strip() or "it says nothing",
        fix="See whether its port is free.",
    )


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
