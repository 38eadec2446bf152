"""What holds for every file of the repository, and for every image's folder."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from toolchain.images import catalog
from toolchain.images.debian import mirror_lines
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE

IMAGES = [toml.parent for toml in sorted(HERE.images.glob("*/image.toml"))]
TOOLS = sorted(catalog.load(HERE.images).tools)


def committed() -> list[Path]:
    """Every file that git knows of and that is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.root, check=True, capture_output=True, text=True).stdout
    return [file for name in listed.split("\0") if name and (file := HERE.root / name).is_file()]


def holding(needle: str) -> list[str]:
    """The files that hold a host's name, and not as a part of a longer one."""
    pattern = re.compile(rb"(?<![\w.-])" + re.escape(needle.encode()) + rb"(?![\w-]|\.\w)", flags=re.IGNORECASE)
    return [str(file.relative_to(HERE.root)) for file in committed() if pattern.search(file.read_bytes())]


def in_apt_s_configuration() -> set[str]:
    """The hosts that this machine's own Debian packages come from."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    read = [file for file in files if file.suffix in (".list", ".sources") and file.is_file()]
    text = "\n\n".join(file.read_text(encoding="utf-8") for file in read)
    hosts = {urlsplit(line.split()[1]).hostname for line in mirror_lines("trixie", text)}
    return {host for host in hosts if host and "." in host}


def test_git_knows_this_repository() -> None:
    assert HERE.root / "build.py" in committed()


@pytest.mark.parametrize(
    "parts",
    [
        ("deb", "debian", "org"),
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry-1", "docker", "io"),
    ],
    ids="-".join,
)
def test_no_file_names_a_package_registry(parts: tuple[str, ...]) -> None:
    assert holding(".".join(parts)) == []


def test_no_file_names_this_machine_s_own_mirror() -> None:
    assert {host: files for host in in_apt_s_configuration() if (files := holding(host))} == {}


def test_a_host_s_name_is_found_where_it_is_written_and_only_there() -> None:
    assert "images/base/image.toml" in holding("www.debian.org")
    part_of_it, end_of_it = (".".join(parts) for parts in (("debian", "or"), ("w", "debian", "org")))
    assert holding(part_of_it) == []
    assert holding(end_of_it) == []


@pytest.mark.parametrize("folder", IMAGES, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", ["Dockerfile", "image.toml", "README.md", ".dockerignore"])
def test_an_image_s_folder_has_all_that_an_image_has(folder: Path, name: str) -> None:
    assert (folder / name).is_file()


@pytest.mark.parametrize("folder", IMAGES, ids=lambda folder: folder.name)
def test_a_dockerfile_builds_with_the_classic_builder_too(folder: Path) -> None:
    lines = (folder / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.search(r"<<-?\s*[\"']?\w", line)] == []
    assert [
        line for line in lines if re.match(r"\s*(RUN|COPY|ADD)\s+--(mount|link|chmod|network|security)", line)
    ] == []
    assert [line for line in lines if re.match(r"#\s*syntax\s*=", line)] == []


def scripts(folder: Path) -> list[Path]:
    """The files of an image's folder that are run or sourced."""
    files = catalog.read(folder).files
    return [file for file in files if file.suffix in (".sh", ".py") or file.read_bytes().startswith(b"#!")]


@pytest.mark.parametrize("file", [file for folder in IMAGES for file in scripts(folder)], ids=lambda file: file.name)
def test_a_script_starts_by_saying_what_it_is(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    is_python = file.suffix == ".py" or "python" in lines[0]
    assert re.match(r'# ?\w|"""\w' if is_python else r"# ?\w", first)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_has_a_job_definition(tool: str) -> None:
    assert tool in jobdefs.names(HERE.jobdefs)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_has_a_test_file(tool: str) -> None:
    assert (HERE.root / "tests" / "images" / f"test_{tool.replace('-', '_')}.py").is_file()


def test_every_job_definition_is_a_tool_s() -> None:
    assert set(jobdefs.names(HERE.jobdefs)) <= set(TOOLS)
