"""An image's folder is all there is to it; mistakes in its image.toml are named by file and key."""

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
"""
PACKAGES = '[packages]\ntool = "1.21-1"\n'
PROGRAM = "[program]\ncommand = ['tool', '--version']\nversion = 'tool ([0-9.]+)'\n"
BASE = f'{TOOL}kind = "base"\nsuite = "trixie"\n'
SUITE = "'suite', the Debian suite, belongs in the base and nowhere else"
TAG = "'version' must be fit for an image's tag: letters, digits, '.', '_', '-'"
DIGEST = "0123456789abcdef" * 4
FOLDERS = [toml.parent for toml in sorted(HERE.images.glob("*/image.toml"))]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an image.toml, and returns its folder."""

    def write(text: str | bytes = f"{TOOL}{PACKAGES}{PROGRAM}", name: str = "tool") -> Path:
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        (folder / "image.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return write


def fault(folder: Path) -> str:
    """The reason why a folder is refused; the error names its image.toml."""
    with pytest.raises(ConfigurationError) as caught:
        catalog.read(folder)
    assert (caught.value.what, caught.value.exit_code) == (f"{folder / 'image.toml'} is wrong", 78)
    return caught.value.why


def test_a_tool_is_what_its_image_toml_says(write: Write) -> None:
    wheels = f'[wheels]\na = {{version = "2", sha256 = "{DIGEST}"}}\n'
    folder = write(f"{TOOL}{PACKAGES}{PROGRAM}{wheels}")
    image = catalog.read(folder)
    assert image == catalog.Image(
        folder=folder,
        kind="tool",
        version="1.21",
        title="tool",
        description="A tool",
        license="MIT",
        source="https://tool.example",
        packages={"tool": "1.21-1"},
        wheels={"a": catalog.Wheel(version="2", sha256=DIGEST)},
        program=catalog.Program(command=("tool", "--version"), version="tool ([0-9.]+)"),
    )
    assert image.name == "tool"


def test_a_base_has_a_suite_and_needs_no_program(write: Write) -> None:
    image = catalog.read(write(BASE))
    assert (image.kind, image.suite, image.program) == ("base", "trixie", None)


def test_packages_are_named_for_apt_get_with_exact_versions_in_order(write: Write) -> None:
    packages = '[packages]\nzlib = "2"\nawk = "1:1.37.0-6+b9"\n'
    assert catalog.read(write(f"{TOOL}{packages}{PROGRAM}")).package_arguments == "awk=1:1.37.0-6+b9 zlib=2"


@pytest.mark.parametrize("key", ["version", "title", "description", "license", "source"])
def test_a_text_that_is_missing_empty_or_no_text_is_named(write: Write, key: str) -> None:
    line = next(line for line in TOOL.splitlines() if line.startswith(f"{key} "))
    assert fault(write(f"{TOOL.replace(line, '')}{PROGRAM}", "missing")) == f"'{key}' is missing"
    must_be = TAG if key == "version" else f"'{key}' must be a text"
    for name, value in (("empty", '""'), ("number", "1.21"), ("list", "[]")):
        assert fault(write(f"{TOOL.replace(line, f'{key} = {value}')}{PROGRAM}", name)) == must_be


@pytest.mark.parametrize("version", ["1.21 rc", "1:1.21", "-1", ".1", "1/2", "1\\n", "é", "1" * 102])
def test_a_version_that_no_tag_can_hold_is_refused(write: Write, version: str) -> None:
    assert fault(write(TOOL.replace('"1.21"', f'"{version}"') + PROGRAM)) == TAG


@pytest.mark.parametrize("name", ["Tool", "a tool", "-tool", "tool-", "a..b", "a__b", "tööl", ".tool", "_tool"])
def test_a_folder_whose_name_no_repository_can_have_is_refused(write: Write, name: str) -> None:
    assert "the folder's name must be that of a repository" in fault(write(name=name))


@pytest.mark.parametrize("name", ["tool", "fsx-export", "a.b", "a_b", "7z"])
def test_a_folder_whose_name_a_repository_can_have_is_accepted(write: Write, name: str) -> None:
    assert catalog.read(write(name=name)).name == name


PACKAGE_TABLE = "'packages' must be a table of package = \"exact version\""
PATTERN = "'program.version' must be a regular expression with one group"
COMMAND = "'program.command' must be a list of texts"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f'licence = "MIT"\n{TOOL}{PROGRAM}', "unknown key 'licence'"),
        *(
            (f"{TOOL}packages = {packages}\n{PROGRAM}", PACKAGE_TABLE)
            for packages in ('"tool=1.21-1"', '["tool"]', "{tool = 1}", '{tool = ""}', "{tool = {}}")
        ),
        *(
            (f"{TOOL}wheels = {wheels}\n{PROGRAM}", why)
            for wheels, why in (
                ('"a==1"', "'wheels' must be a table"),
                ('{a = "1"}', "'wheels.a' must be a table"),
                ('{a = {version = "1"}}', "'wheels.a.sha256' is missing"),
                (f'{{a = {{version = "", sha256 = "{DIGEST}"}}}}', "'wheels.a.version' must be a text"),
                *(
                    (
                        f'{{a = {{version = "1", sha256 = "{digest}"}}}}',
                        "'wheels.a.sha256' must be 64 hexadecimal digits",
                    )
                    for digest in (DIGEST[1:], DIGEST.upper())
                ),
                (f'{{a = {{version = "1", sha256 = "{DIGEST}", url = "x"}}}}', "unknown key 'wheels.a.url'"),
            )
        ),
        (TOOL, "'program', how to ask the tool for its version, is missing"),
        *(
            (f"{TOOL}program = {program}\n", why)
            for program, why in (
                ('"tool"', "'program' must be a table"),
                ("{}", "'program.command' is missing; 'program.version' is missing"),
                ("{command = [], version = '(x)'}", COMMAND),
                ("{command = [1], version = '(x)'}", COMMAND),
                ("{command = 'tool --version', version = '(x)'}", COMMAND),
                ("{command = ['tool'], version = 1}", PATTERN),
                ("{command = ['tool'], version = 'tool [0-9.]+'}", PATTERN),
                ("{command = ['tool'], version = '(tool) ([0-9.]+)'}", PATTERN),
                ("{command = ['tool'], version = '(?:tool) [0-9.]+'}", PATTERN),
            )
        ),
        *((f"kind = {kind}\n{TOOL}{PROGRAM}", '\'kind\' must be "base" or "tool"') for kind in ('"Tool"', "1", "[]")),
        (BASE.replace('suite = "trixie"', ""), SUITE),
        (f'suite = "trixie"\n{TOOL}{PROGRAM}', SUITE),
        (f"suite = 13\n{TOOL}{PROGRAM}", "'suite' must be a text"),
        (f"a = 1\nkind = 1\n{TOOL}{PROGRAM}", "'kind' must be \"base\" or \"tool\"; unknown key 'a'"),
    ],
)
def test_mistakes_are_named_by_their_keys(write: Write, text: str, why: str) -> None:
    assert fault(write(text)) == why


def test_a_pattern_that_is_no_regular_expression_is_refused_with_the_reason(write: Write) -> None:
    program = "program = {command = ['tool'], version = '([0-9'}"
    assert fault(write(f"{TOOL}{program}\n")).startswith("'program.version' is not a regular expression: unterminated")


@pytest.mark.parametrize("text", ["version = ", "version: 1", 'version = "1"\nversion = "2"', b'version = "\xff"'])
def test_text_that_is_not_toml_is_refused(write: Write, text: str | bytes) -> None:
    assert fault(write(text)).startswith("it is not TOML: ")


def test_a_folder_without_image_toml_is_no_image(write: Write, tmp_path: Path) -> None:
    write(BASE, "base")
    write()
    (tmp_path / "images" / "notes").mkdir()
    assert list(catalog.load(tmp_path / "images").tools) == ["tool"]


@pytest.mark.parametrize("bases", [(), ("base", "other")])
def test_a_catalogue_has_exactly_one_base(write: Write, tmp_path: Path, bases: tuple[str, ...]) -> None:
    write()
    for name in bases:
        write(BASE, name)
    with pytest.raises(ConfigurationError, match=rf'^{len(bases)} base images: exactly one .* must say kind = "base"'):
        catalog.load(tmp_path / "images")


@pytest.fixture
def three(write: Write) -> catalog.Catalog:
    """A catalogue of three tools."""
    for name in ("c", "a", "b"):
        write(name=name)
    return catalog.load(write(BASE, "base").parent)


@pytest.mark.parametrize(("names", "chosen"), [((), "abc"), (("c", "a", "c"), "ac")])
def test_names_choose_tools_in_the_order_of_the_catalogue(
    three: catalog.Catalog, names: tuple[str, ...], chosen: str
) -> None:
    assert [image.name for image in three.choose(names)] == list(chosen)


@pytest.mark.parametrize("unknown", ["d", "base", "A", ""])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(three: catalog.Catalog, unknown: str) -> None:
    with pytest.raises(MissingInputError) as caught:
        three.choose(("a", unknown))
    assert (caught.value.what, caught.value.why) == (f"no image '{unknown}'", "images/ holds a, b, c")
    assert caught.value.exit_code == 66


def content(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in catalog.read(folder).files}


def test_files_for_people_and_of_editors_are_no_content(write: Write) -> None:
    folder = write()
    for name in ("Dockerfile", "step", "README.md", ".dockerignore", "sub/README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    for stray in ("__pycache__/x.pyc", ".mypy_cache/x.json", ".commands.py.swp"):
        (folder / stray).parent.mkdir(exist_ok=True)
        (folder / stray).touch()
    assert content(folder) == {"Dockerfile", "step", "sub/README.md"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_docker_build_by_hand_sends_the_same_context(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / folder.name)
    patterns = (copy / ".dockerignore").read_text(encoding="utf-8").split()
    sent = {path for path in exclude_paths(str(copy), patterns) if (copy / path).is_file()}
    assert sent - {".dockerignore"} == content(copy)  # the client reads it, and no COPY can reach it
