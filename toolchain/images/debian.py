"""The Debian image that everything is assembled from.

`debian:<suite>-slim` where a registry answers. Where none does, the suite is bootstrapped on the host from the Debian
mirror of the host's own apt configuration.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from debian.deb822 import Deb822

from toolchain.docker.engine import Engine
from toolchain.errors import BuildFailedError, UnavailableError

_SOURCES = Path("/etc/apt/sources.list")
_SOURCES_FOLDER = Path("/etc/apt/sources.list.d")
_DISABLED = {"no", "false", "off", "without", "disable"}
_SECONDS = 1800


def debian_image(engine: Engine, suite: str, *, name: str, report: Callable[[str], None] = lambda _: None) -> str:
    """Makes sure that the engine has a minimal Debian.

    Args:
        engine: The engine.
        suite: The Debian suite, such as `trixie`.
        name: The local name for a bootstrapped one.
        report: Called with what is done.

    Returns:
        A reference for `FROM`.

    Raises:
        UnavailableError: No registry answers, and this host cannot bootstrap.
        BuildFailedError: The bootstrap failed.
    """
    upstream = f"debian:{suite}-slim"
    for reference in (upstream, name):
        if engine.find(reference):
            return reference
    report(f"pulling {upstream}")
    try:
        engine.pull(upstream)
    except UnavailableError as error:
        report(f"no registry answers: bootstrapping {suite} from this host's Debian mirror")
        _bootstrap(engine, suite, name, why=error.why)
        return name
    return upstream


def _bootstrap(engine: Engine, suite: str, name: str, *, why: str) -> None:
    """Bootstraps a Debian suite with mmdebstrap, and imports it as an image; `why` is why none was pulled."""
    sources = mirror_lines(suite, _host_sources())
    if not sources:
        raise UnavailableError(
            "no Debian image",
            why=f"no registry answers ({why}), and this host has no Debian mirror in {_SOURCES} to bootstrap from",
            fix=f"Make a registry reachable, or load an image: docker pull debian:{suite}-slim",
        )
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        command = [
            _find_mmdebstrap(),
            "--variant=minbase",
            "--include=ca-certificates",
            "--quiet",
            suite,
            str(archive),
            "-",
        ]
        result = subprocess.run(
            command, input="\n".join(sources), text=True, capture_output=True, check=False, timeout=_SECONDS
        )
        if result.returncode:
            raise BuildFailedError(
                f"cannot bootstrap Debian {suite}",
                why="mmdebstrap failed",
                fix="Its output is above; as another user than root it needs user namespaces and uidmap.",
                details=result.stderr,
            )
        engine.import_root(archive, name)


def _find_mmdebstrap() -> str:
    """The path of mmdebstrap, which is installed if it is missing and this user may."""
    if not shutil.which("mmdebstrap"):
        environment = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with suppress(OSError, subprocess.CalledProcessError):
            for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "mmdebstrap"]):
                subprocess.run(["apt-get", *words], check=True, capture_output=True, env=environment)
    program = shutil.which("mmdebstrap")
    if program is None:
        raise UnavailableError(
            "no Debian image",
            why="no registry answers, and mmdebstrap is not installed",
            fix="Install mmdebstrap (Debian, as root: apt-get install mmdebstrap), and try again.",
        )
    return program


def _host_sources() -> str:
    files = [_SOURCES, *sorted(_SOURCES_FOLDER.glob("*.list")), *sorted(_SOURCES_FOLDER.glob("*.sources"))]
    return "\n\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())


def mirror_lines(suite: str, sources: str) -> list[str]:
    """The lines of a sources.list for a suite, from the mirrors that a host uses for its own.

    Args:
        suite: The suite to write lines for.
        sources: The host's own sources, in the one-line or the deb822 format of sources.list(5).

    Returns:
        A line for the suite, and one each for its updates and its security updates where the host has a mirror of
        those.
    """
    lines: dict[str, str] = {}
    for uri, host_suite, components in _entries(sources):
        pocket = next((end for end in ("-security", "-updates") if host_suite.endswith(end)), "")
        # Debian's own archive has a component called main; a third party's repository for Debian has others.
        is_debian = "debian" in uri.lower() and "main" in components
        if is_debian and re.fullmatch(r"[a-z]+", host_suite.removesuffix(pocket)):
            lines.setdefault(pocket, f"deb {uri} {suite}{pocket} main")
    return [lines[pocket] for pocket in ("", "-updates", "-security") if pocket in lines] if "" in lines else []


def _entries(sources: str) -> Iterator[tuple[str, str, list[str]]]:
    """URI, suite and components of each enabled entry."""
    one_line = re.compile(r"^deb[ \t]+(?:\[[^\]]*\][ \t]+)?(\S+)[ \t]+(\S+)[ \t]+(.+)$", flags=re.MULTILINE)
    for uri, suite, components in one_line.findall(sources):
        yield uri, suite, components.split()
    for text in re.split(r"\n\s*\n", sources):
        paragraph = {name.lower(): value.split() for name, value in Deb822(text).items()}
        if "deb" in paragraph.get("types", []) and not _DISABLED & {
            word.lower() for word in paragraph.get("enabled", [])
        }:
            for uri in paragraph.get("uris", []):
                for suite in paragraph.get("suites", []):
                    yield uri, suite, paragraph.get("components", [])
