"""An image's folder is all there is to it; what is wrong in its image.toml is said with the file and the key."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.images import catalog
from toolchain.paths import HERE

TOOL = """
version     = "1.21"
title       = "tool"
description = "A tool"
license     = "MIT"
source      = "https://tool.example"

[packages]
tool = "1.21-1"

[program]
command = ["tool", "--version"]
version = 'tool ([0-9.]+)'
"""
BASE = """
version     = "13.1"
title       = "base"
description = "The base"
license     = "MIT"
source      = "https://base.example"
kind        = "base"
suite       = "trixie"
"""
PROGRAM = TOOL[TOOL.index("[program]") :]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an image.toml, and returns its folder."""

    def write(text: str, name: str = "tool") -> Path:
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        (folder / "image.toml").write_text(text, encoding="utf-8")
        return folder

    return write


def fault(folder: Path) -> str:
    """What is said of a folder, which must name its image.toml."""
    with pytest.raises(ConfigurationError) as caught:
        catalog.read(folder)
    assert caught.value.what == f"{folder / 'image.toml'} is wrong"
    assert caught.value.exit_code == 78
    return caught.value.why


def test_a_tool_is_what_its_image_toml_says(write: Write) -> None:
    folder = write(TOOL)
    assert catalog.read(folder) == catalog.Image(
        name="tool",
        folder=folder,
        kind="tool",
        version="1.21",
        title="tool",
        description="A tool",
        license="MIT",
        source="https://tool.example",
        packages={"tool": "1.21-1"},
        program=catalog.Program(command=("tool", "--version"), version="tool ([0-9.]+)"),
    )


def test_a_base_has_a_suite_and_needs_no_program(write: Write) -> None:
    image = catalog.read(write(BASE))
    assert (image.kind, image.suite, image.program) == ("base", "trixie", None)


def test_packages_are_told_to_apt_get_by_name_and_exact_version_in_order(write: Write) -> None:
    text = TOOL.replace('tool = "1.21-1"', 'zlib = "2"\nawk = "1:1.37.0-6+b9"')
    assert catalog.read(write(text)).package_arguments == "awk=1:1.37.0-6+b9 zlib=2"


def test_an_unknown_key_is_named(write: Write) -> None:
    assert fault(write('licence = "MIT"\n' + TOOL)) == "unknown key 'licence'"


@pytest.mark.parametrize("key", ["version", "title", "description", "license", "source"])
@pytest.mark.parametrize("value", [None, '""', "1.21", "[]"], ids=["missing", "empty", "number", "list"])
def test_a_text_that_is_missing_or_none_is_named(write: Write, key: str, value: str | None) -> None:
    line = next(line for line in TOOL.splitlines() if line.startswith(f"{key} "))
    text = TOOL.replace(line, "" if value is None else f"{key} = {value}", 1)
    assert fault(write(text)) == f"'{key}' must be a text"


@pytest.mark.parametrize("version", ["1.21 rc", "1:1.21", "-1", ".1", "1/2", "1\\n", "é", "1" * 102])
def test_a_version_that_no_tag_can_hold_is_refused(write: Write, version: str) -> None:
    assert "'version' must be fit for an image's tag" in fault(write(TOOL.replace('"1.21"', f'"{version}"')))


@pytest.mark.parametrize("name", ["Tool", "a tool", "-tool", "tool-", "a..b", "a__b", "tööl", ".tool", "_tool"])
def test_a_folder_whose_name_no_repository_can_have_is_refused(write: Write, name: str) -> None:
    assert "the folder's name must be that of a repository" in fault(write(TOOL, name))


@pytest.mark.parametrize("name", ["tool", "fsx-export", "a.b", "a_b", "7z"])
def test_a_folder_whose_name_a_repository_can_have_is_taken(write: Write, name: str) -> None:
    assert catalog.read(write(TOOL, name)).name == name


@pytest.mark.parametrize("packages", ['"tool=1.21-1"', '["tool"]', "{tool = 1}", '{tool = ""}', "{tool = {}}"])
def test_packages_that_are_no_table_of_texts_are_refused(write: Write, packages: str) -> None:
    text = TOOL.replace('[packages]\ntool = "1.21-1"', "")
    assert "'packages' must be a table" in fault(write(f"packages = {packages}\n{text}"))


DIGEST = "0123456789abcdef" * 4


def test_wheels_are_known_by_version_and_digest(write: Write) -> None:
    text = (
        f'{TOOL}\n[wheels]\nz = {{version = "1.0", sha256 = "{DIGEST}"}}\na = {{version = "2", sha256 = "{DIGEST}"}}\n'
    )
    wheels = catalog.read(write(text)).wheels
    assert wheels == tuple(
        catalog.Wheel(name=name, version=one, sha256=DIGEST) for name, one in (("a", "2"), ("z", "1.0"))
    )


@pytest.mark.parametrize(
    "wheels",
    [
        '"a==1"',
        '{a = "1"}',
        '{a = {version = "1"}}',
        f'{{a = {{sha256 = "{DIGEST}"}}}}',
        f'{{a = {{version = "1", sha256 = "{DIGEST[1:]}"}}}}',
        f'{{a = {{version = "1", sha256 = "{DIGEST.upper()}"}}}}',
        f'{{a = {{version = "", sha256 = "{DIGEST}"}}}}',
        f'{{a = {{version = "1", sha256 = "{DIGEST}", url = "x"}}}}',
    ],
)
def test_a_wheel_without_version_or_digest_is_refused(write: Write, wheels: str) -> None:
    assert "'wheels' must be a table" in fault(write(f"wheels = {wheels}\n{TOOL}"))


def test_a_tool_without_a_program_is_refused(write: Write) -> None:
    assert "'program', how to ask the tool for its version, is missing" in fault(write(TOOL.replace(PROGRAM, "")))


@pytest.mark.parametrize("version", ["tool [0-9.]+", "(tool) ([0-9.]+)", "(?:tool) [0-9.]+"])
def test_a_regular_expression_must_have_one_group(write: Write, version: str) -> None:
    assert "with one group" in fault(write(TOOL.replace("tool ([0-9.]+)", version)))


def test_what_is_no_regular_expression_is_refused(write: Write) -> None:
    assert "'program.version' is not a regular expression" in fault(write(TOOL.replace("tool ([0-9.]+)", "([0-9")))


@pytest.mark.parametrize(
    "program",
    [
        '"tool"',
        "{}",
        '{command = [], version = "(x)"}',
        '{command = [1], version = "(x)"}',
        '{command = ["tool"]}',
        '{command = "tool --version", version = "(x)"}',
        '{command = ["tool"], version = 1}',
    ],
)
def test_a_program_that_cannot_be_run_is_refused(write: Write, program: str) -> None:
    assert "'program' must have 'command'" in fault(write(f"program = {program}\n{TOOL.replace(PROGRAM, '')}"))


@pytest.mark.parametrize("text", ["version = ", "version: 1", 'version = "1"\nversion = "2"'])
def test_what_is_not_toml_is_refused(write: Write, text: str) -> None:
    assert fault(write(text)).startswith("it is not TOML: ")


def test_what_is_not_utf_8_is_refused(write: Write) -> None:
    folder = write(TOOL)
    (folder / "image.toml").write_bytes(b'version = "\xff"')
    assert fault(folder).startswith("it is not TOML: ")


@pytest.mark.parametrize("kind", ['"Tool"', "1", "[]"])
def test_a_kind_that_is_none_is_refused(write: Write, kind: str) -> None:
    assert fault(write(f"kind = {kind}\n{TOOL}")) == '\'kind\' must be "base" or "tool"'


def test_a_base_without_a_suite_is_refused(write: Write) -> None:
    assert "'suite'" in fault(write(BASE.replace('suite       = "trixie"', "")))


@pytest.mark.parametrize("suite", ['"trixie"', "13", "[]"])
def test_a_suite_belongs_in_the_base_only(write: Write, suite: str) -> None:
    assert "'suite'" in fault(write(f"suite = {suite}\n{TOOL}"))


def test_a_folder_without_image_toml_is_no_image(write: Write, tmp_path: Path) -> None:
    write(BASE, "base")
    write(TOOL, "tool")
    (tmp_path / "images" / "notes").mkdir()
    assert list(catalog.load(tmp_path / "images").tools) == ["tool"]


def test_without_a_base_there_is_no_catalogue(write: Write, tmp_path: Path) -> None:
    write(TOOL)
    with pytest.raises(ConfigurationError, match=r'^0 base images: .* must say kind = "base"'):
        catalog.load(tmp_path / "images")


def test_two_bases_are_one_too_many(write: Write, tmp_path: Path) -> None:
    write(BASE, "base")
    write(BASE, "other")
    with pytest.raises(ConfigurationError, match=r"^2 base images: exactly one"):
        catalog.load(tmp_path / "images")


@pytest.fixture
def three(write: Write) -> catalog.Catalog:
    """A catalogue of three tools."""
    for name in ("c", "a", "b"):
        write(TOOL, name)
    return catalog.load(write(BASE, "base").parent)


def names(images: tuple[catalog.Image, ...]) -> list[str]:
    return [image.name for image in images]


def test_no_name_chooses_every_tool_and_not_the_base(three: catalog.Catalog) -> None:
    assert names(three.choose(())) == ["a", "b", "c"]


def test_names_choose_in_the_order_of_the_catalogue_and_each_once(three: catalog.Catalog) -> None:
    assert names(three.choose(("c", "a", "c"))) == ["a", "c"]


@pytest.mark.parametrize("unknown", ["d", "base", "A", ""])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(three: catalog.Catalog, unknown: str) -> None:
    with pytest.raises(MissingInputError) as caught:
        three.choose(("a", unknown))
    assert caught.value.what == f"no image '{unknown}'"
    assert caught.value.why == "images/ holds a, b, c"
    assert caught.value.exit_code == 66


def test_what_stands_in_a_folder_for_people_is_no_content(write: Write) -> None:
    folder = write(TOOL)
    for name in ("Dockerfile", "step", "README.md", ".dockerignore"):
        (folder / name).touch()
    (folder / "sub").mkdir()
    (folder / "sub" / "README.md").touch()
    assert catalog.read(folder).files == (folder / "Dockerfile", folder / "step", folder / "sub" / "README.md")


def admitted(folder: Path) -> set[str]:
    """What `docker build` sends of a folder, as its .dockerignore says."""
    patterns = (folder / ".dockerignore").read_text(encoding="utf-8").split()
    sent = {path for path in exclude_paths(str(folder), patterns) if (folder / path).is_file()}
    return sent - {".dockerignore"}  # the client reads it, and no COPY can reach it


def content(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in catalog.read(folder).files}


FOLDERS = [toml.parent for toml in sorted(HERE.images.glob("*/image.toml"))]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_docker_build_by_hand_sees_the_same_context(folder: Path) -> None:
    assert admitted(folder) == content(folder)


@pytest.mark.parametrize("stray", ["__pycache__/x.pyc", ".mypy_cache/x.json", ".commands.py.swp"])
def test_what_tools_leave_in_a_folder_is_no_content(tmp_path: Path, stray: str) -> None:
    folder = tmp_path / "samtools"
    shutil.copytree(HERE.images / "samtools", folder)
    before = content(folder)
    (folder / stray).parent.mkdir(exist_ok=True)
    (folder / stray).touch()
    assert content(folder) == before
