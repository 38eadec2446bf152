"""The Debian image that everything is assembled from.

`debian:<suite>-slim` where a registry answers. Where none does, the same suite is bootstrapped on the host
from the host's own Debian mirror, which is read from the host's own configuration and named nowhere else.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from toolchain.docker.engine import Engine
from toolchain.errors import BuildFailedError, UnavailableError

_SOURCES = Path("/etc/apt/sources.list")
_SOURCES_FOLDER = Path("/etc/apt/sources.list.d")


def debian_image(engine: Engine, suite: str, *, name: str, report: Callable[[str], None] = lambda _: None) -> str:
    """Makes sure that the engine holds a minimal Debian.

    Args:
        engine: The engine.
        suite: The Debian suite, such as `trixie`.
        name: The local name for a bootstrapped one.
        report: Is told what is done now.

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
        bootstrap(engine, suite, name, why=error.why)
        return name
    return upstream


def bootstrap(engine: Engine, suite: str, name: str, *, why: str) -> None:
    """Bootstraps a Debian suite on the host with mmdebstrap, and imports it as an image.

    Args:
        engine: The engine.
        suite: The Debian suite.
        name: The image's name.
        why: Why no image was pulled, for the error if this fails too.
    """
    sources = mirror_lines(suite, _host_sources())
    if not sources:
        raise UnavailableError(
            "no Debian image",
            why=f"no registry answers ({why}), and this host has no Debian mirror in {_SOURCES} to bootstrap from",
            fix=f"Make a registry reachable, or load an image: docker pull debian:{suite}-slim",
        )
    program = shutil.which("mmdebstrap") or _install()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        command = [program, "--variant=minbase", "--include=ca-certificates", "--quiet", suite, str(archive), "-"]
        result = subprocess.run(
            command, input="\n".join(sources), text=True, capture_output=True, check=False, timeout=1800
        )
        if result.returncode:
            raise BuildFailedError(
                f"cannot bootstrap Debian {suite}",
                why="mmdebstrap failed",
                fix="Its own messages stand above; as another user than root it needs user namespaces and uidmap.",
                details=result.stderr,
            )
        engine.import_root(archive, name)


def mirror_lines(suite: str, sources: str) -> list[str]:
    """The lines of a sources.list for a suite, from the mirrors that a host uses for its own.

    Args:
        suite: The suite to write lines for.
        sources: The host's own sources, in the one-line or the deb822 format.

    Returns:
        A line for the suite, and one each for its updates and its security updates where the host has a
        mirror of those.
    """
    lines: dict[str, str] = {}
    for uri, host_suite, components in _entries(sources):
        pocket = next((end for end in ("-security", "-updates") if host_suite.endswith(end)), "")
        # Debian's own archive has a component called main; a third party's repository for Debian has others.
        is_debian = "debian" in uri.lower() and "main" in components
        if is_debian and re.fullmatch(r"[a-z]+", host_suite.removesuffix(pocket)):
            lines.setdefault(pocket, f"deb {uri} {suite}{pocket} main")
    return [lines[pocket] for pocket in ("", "-updates", "-security") if pocket in lines] if "" in lines else []


def _entries(sources: str) -> list[tuple[str, str, list[str]]]:
    """URI, suite and components of each enabled entry, in either format of sources.list(5)."""
    one_line = re.findall(r"^deb[ \t]+(?:\[[^\]]*\][ \t]+)?(\S+)[ \t]+(\S+)[ \t]+(.+)$", sources, flags=re.MULTILINE)
    entries = [(uri, suite, components.split()) for uri, suite, components in one_line]
    for paragraph in re.split(r"\n\s*\n", sources):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        fields = {
            name.lower(): value.split() for name, value in re.findall(r"^([\w-]+):(.*)$", unfolded, flags=re.MULTILINE)
        }
        disabled = {"no", "false", "off", "without", "disable"} & {word.lower() for word in fields.get("enabled", [])}
        if "deb" in fields.get("types", []) and not disabled:
            entries += [
                (uri, suite, fields.get("components", []))
                for uri in fields.get("uris", [])
                for suite in fields.get("suites", [])
            ]
    return entries


def _host_sources() -> str:
    files = [_SOURCES, *sorted(_SOURCES_FOLDER.glob("*.list")), *sorted(_SOURCES_FOLDER.glob("*.sources"))]
    return "\n\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())


def _install() -> str:
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "mmdebstrap"],
    ):
        try:
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                env={"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnavailableError(
                "no Debian image",
                why="no registry answers, and mmdebstrap is not installed",
                fix="Install mmdebstrap (Debian, as root: apt-get install mmdebstrap), and try again.",
            ) from error
    program = shutil.which("mmdebstrap")
    if program is None:
        raise UnavailableError("no mmdebstrap", why="it was installed but is not on PATH", fix="Check PATH.")
    return program
