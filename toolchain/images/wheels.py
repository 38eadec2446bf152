"""Python packages that go into images: fetched on this host by pip, each by its digest.

A build has no index of Python packages: what pip is set up with on a host does not reach into `docker build`.
pip takes files that fit this host's Python: a wheel for an image must be one for every Python 3 (py3 or abi3).
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from toolchain.errors import UnavailableError
from toolchain.images.catalog import Wheel

_SECONDS = 600


def fetch(wheel: Wheel, cache: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """Makes sure that a wheel's file is in the cache.

    Args:
        wheel: Which.
        cache: A folder of folders named by digest; a file in one that has another digest is fetched anew.
        report: Is told what is done now.

    Returns:
        The file, by the name that its index gives it.

    Raises:
        UnavailableError: pip does not find it, or finds a file of another digest.
    """
    folder = cache / wheel.sha256
    if kept := _whole(folder, wheel):
        return kept
    report(f"fetching {wheel.name} {wheel.version}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as made:
        _download(wheel, Path(made))
        fetched = _whole(Path(made), wheel)
        if fetched is None:
            raise _unavailable(wheel, "what pip fetched has another digest")
        folder.mkdir(exist_ok=True)
        return fetched.replace(folder / fetched.name)


def _whole(folder: Path, wheel: Wheel) -> Path | None:
    files = folder.glob("*.whl")
    return next((file for file in files if hashlib.sha256(file.read_bytes()).hexdigest() == wheel.sha256), None)


def _download(wheel: Wheel, folder: Path) -> None:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)),
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _unavailable(wheel, f"pip download took more than {_SECONDS} s") from error
    if result.returncode:
        raise _unavailable(wheel, "pip download failed", result.stderr)


def _unavailable(wheel: Wheel, why: str, details: str = "") -> UnavailableError:
    return UnavailableError(
        f"cannot fetch {wheel.name} {wheel.version}",
        why=why,
        fix="Check pip's index (pip config list), and the version and digest in image.toml.",
        details=details,
    )
