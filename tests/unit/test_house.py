"""What holds for every file of the repository, and for every image's folder."""

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from toolchain.images import catalog
from toolchain.images.debian import mirror_lines
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE

IMAGES = [toml.parent for toml in sorted(HERE.images.glob("*/image.toml"))]
TOOLS = sorted(catalog.load(HERE.images).tools)
# In parts, so that this file does not name them.
REGISTRIES = [parts.replace(" ", ".") for parts in ("deb debian org", "pypi org", "files pythonhosted org")]
REGISTRIES += [parts.replace(" ", ".") for parts in ("pythonhosted org", "registry npmjs org", "registry-1 docker io")]


@cache
def contents() -> dict[str, bytes]:
    """Every file that git knows of, by its path."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.root, check=True, capture_output=True, text=True).stdout
    return {name: (HERE.root / name).read_bytes() for name in listed.split("\0") if (HERE.root / name).is_file()}


def files_naming(host: str) -> list[str]:
    """The files that name a host, and not as a part of a longer name."""
    pattern = re.compile(rb"(?<![\w.-])" + re.escape(host.encode()) + rb"(?![\w-]|\.\w)", flags=re.IGNORECASE)
    return [name for name, content in contents().items() if pattern.search(content)]


def apt_hosts() -> set[str]:
    """The hosts that this machine's own Debian packages come from."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    texts = [file.read_text("utf-8") for file in files if file.suffix in (".list", ".sources") and file.is_file()]
    hosts = {urlsplit(line.split()[1]).hostname for line in mirror_lines("trixie", "\n\n".join(texts))}
    return {host for host in hosts if host and "." in host}


def test_no_file_names_a_package_registry_or_this_machine_s_mirror() -> None:
    hosts = {*REGISTRIES, *apt_hosts()}
    assert {host: files for host in hosts if (files := files_naming(host))} == {}


def test_a_host_is_found_by_its_whole_name_only() -> None:
    assert "images/base/image.toml" in files_naming("www.debian.org")
    assert files_naming("www.debian." + "or") == []
    assert files_naming("ww." + "debian.org") == []


@pytest.mark.parametrize("folder", IMAGES, ids=lambda folder: folder.name)
def test_an_image_s_folder_is_complete_and_builds_with_the_classic_builder_too(folder: Path) -> None:
    assert {"Dockerfile", "image.toml", "README.md", ".dockerignore"} <= {file.name for file in folder.iterdir()}
    only_buildkit = r"<<-?\s*[\"']?\w|^\s*(RUN|COPY|ADD)\s+--(mount|link|chmod|network|security)|^#\s*syntax\s*="
    assert not re.search(only_buildkit, (folder / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_tools_have_a_job_definition_and_a_test_file_each() -> None:
    assert set(jobdefs.names(HERE.jobdefs)) == set(TOOLS)
    tests = {file.stem.removeprefix("test_") for file in (HERE.root / "tests" / "images").glob("test_*.py")}
    assert {tool.replace("-", "_") for tool in TOOLS} <= tests
