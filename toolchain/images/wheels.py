"""Python packages that go into images: fetched on this host by pip, each by its digest.

The index that pip is set up with on a host cannot be used inside `docker build`. pip takes files that fit this host's
Python, so a wheel for an image must be one for every Python 3 (py3 or abi3).
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


def fetch(name: str, wheel: Wheel, cache: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """Fetches a wheel, unless the cache has it.

    Args:
        name: The package's name.
        wheel: Its version and digest.
        cache: A folder of folders named by digest; a file in one that has another digest is fetched anew.
        report: Called when the wheel is fetched.

    Returns:
        The file, by the name that its index gives it.

    Raises:
        UnavailableError: pip does not find it, or finds a file of another digest.
    """
    folder = cache / wheel.sha256
    if cached := _find(folder, wheel):
        return cached
    report(f"fetching {name} {wheel.version}")

    def unavailable(why: str, details: str = "") -> UnavailableError:
        fix = "Check pip's index (pip config list), and the version and digest in image.toml."
        return UnavailableError(f"cannot fetch {name} {wheel.version}", why=why, fix=fix, details=details)

    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(f"{name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", temporary),
            *("--requirement", str(requirements)),
        ]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise unavailable(f"pip download took more than {_SECONDS} s") from error
        if result.returncode:
            raise unavailable("pip download failed", result.stderr)
        file = _find(Path(temporary), wheel)
        if file is None:
            raise unavailable("what pip fetched has another digest")
        folder.mkdir(exist_ok=True)
        return file.replace(folder / file.name)


def _find(folder: Path, wheel: Wheel) -> Path | None:
    files = folder.glob("*.whl")
    return next((file for file in files if hashlib.sha256(file.read_bytes()).hexdigest() == wheel.sha256), None)
