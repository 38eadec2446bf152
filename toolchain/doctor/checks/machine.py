"""This machine: the Docker engine, and Python's packages."""

import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.docker.engine import Engine
from toolchain.doctor.result import Finding, green, red
from toolchain.errors import UnavailableError

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext

# Hosts are x86_64, and images are made for the engine's own architecture.
ARCHITECTURES = frozenset({"amd64", "x86_64"})
# Enough for the base, its packages and the images while they are built.
_GIB = 1024**3
LEAST_FREE = 3 * _GIB
_SHOWN = 3
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")


def engine(_: "DoctorContext") -> Iterator[Finding]:
    """Whether a Docker engine answers, can make images for the hosts, and has room for them."""
    try:
        connected = Engine.connect()
    except UnavailableError as error:
        yield red("docker", f"{error.what}: {error.why}", error.fix)
        return
    version = connected.client.version()
    architecture = str(version.get("Arch", "unknown"))
    said = f"engine {version.get('Version', 'unknown')} for {architecture}"
    if architecture not in ARCHITECTURES:
        yield red("docker", f"{said}: hosts are x86_64", "Point DOCKER_HOST to an engine on an x86_64 machine.")
        return
    free = _free(Path(str(connected.client.info().get("DockerRootDir", ""))))
    if free is None:
        yield green("docker", f"{said}; its disk is not this machine's")
    elif free < LEAST_FREE:
        need = LEAST_FREE // _GIB
        yield red(
            "docker", f"{said}: {free / _GIB:.1f} GiB free of the {need} that builds take", "Type: docker system prune"
        )
    else:
        yield green("docker", f"{said}, {free // _GIB} GiB free")


def _free(root: Path) -> int | None:
    """The bytes that are free where the engine keeps its images; none where that is not on this machine."""
    try:
        return shutil.disk_usage(root).free if root.is_absolute() else None
    except OSError:
        return None


def packages(case: "DoctorContext") -> Iterator[Finding]:
    """Whether Python's packages are those that requirements/runtime.txt pins."""
    file = case.checkout.root / "requirements" / "runtime.txt"
    found = map(_PIN.match, file.read_text(encoding="utf-8").splitlines())
    pins = {pin[1]: pin[2] for pin in found if pin is not None}
    wrong = [f"{name} {_installed(name)} is not {pin}" for name, pin in pins.items() if _installed(name) != pin]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield red("python packages", f"{', '.join(wrong[:_SHOWN])}{more}", "Type: make setup")
    else:
        yield green("python packages", f"{len(pins)} as requirements/runtime.txt pins them")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(missing)"
