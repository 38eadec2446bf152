"""This machine and checkout: the Docker engine, Python's packages, genomics.toml."""

import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from toolchain.docker.engine import Engine
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult, green, red, red_error
from toolchain.errors import SeveralFailedError, UnavailableError
from toolchain.runs.target import AwsTarget
from toolchain.stacks import auto_parameters, parameters

# Hosts are x86_64, and images are built for the engine's own architecture.
ARCHITECTURES = frozenset({"amd64", "x86_64"})
_GIB = 1024**3
# Enough for the base, its packages and the images while they are built.
LEAST_FREE_GIB = 3
_MOST_SHOWN = 3
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")


def docker(_: DoctorContext) -> Iterator[CheckResult]:
    """A Docker engine answers, can build images for the hosts, and has room for them."""
    try:
        client = Engine.connect().client
    except UnavailableError as error:
        yield red_error(error)
        return
    version = client.version()
    architecture = str(version.get("Arch", "unknown"))
    engine = f"engine {version.get('Version', 'unknown')} for {architecture}"
    if architecture not in ARCHITECTURES:
        yield red(f"{engine}: hosts are x86_64", "Point DOCKER_HOST to an engine on an x86_64 machine.")
        return
    free = _free_gib(Path(str(client.info().get("DockerRootDir", ""))))
    if free is None:
        yield green(f"{engine}; its disk is not this machine's")
    elif free < LEAST_FREE_GIB:
        yield red(
            f"{engine}: {free:.1f} GiB free of the {LEAST_FREE_GIB} that builds take", "Type: docker system prune"
        )
    else:
        yield green(f"{engine}, {int(free)} GiB free")


def _free_gib(root: Path) -> float | None:
    """Free space where the engine keeps its images; None if that is not on this machine."""
    try:
        return shutil.disk_usage(root).free / _GIB if root.is_absolute() else None
    except OSError:
        return None


def packages(context: DoctorContext) -> Iterator[CheckResult]:
    """Python's packages are those that requirements/runtime.txt pins."""
    file = context.checkout.root / "requirements" / "runtime.txt"
    matches = map(_PIN.match, file.read_text(encoding="utf-8").splitlines())
    pins = {match[1]: match[2] for match in matches if match is not None}
    installed = {name: _installed(name) for name in pins}
    wrong = [f"{name} {installed[name]} is not {pin}" for name, pin in pins.items() if installed[name] != pin]
    if wrong:
        more = f" and {len(wrong) - _MOST_SHOWN} more" if len(wrong) > _MOST_SHOWN else ""
        yield red(f"{', '.join(wrong[:_MOST_SHOWN])}{more}", "Type: make setup")
    else:
        yield green(f"{len(pins)} as requirements/runtime.txt pins them")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(missing)"


def settings(context: DoctorContext) -> Iterator[CheckResult]:
    """`deploy` would take genomics.toml."""
    stacks = context.layout.stacks
    known = auto_parameters.known(AwsTarget(checkout=context.checkout), context.settings)
    try:
        parameters.check(context.layout, stacks, context.settings, known)
    except SeveralFailedError as several:
        yield from (red(error.why, error.fix) for error in several.errors)
    else:
        yield green(f"suits the {len(stacks)} stacks")
