"""The tag is the content's, and nothing else's."""

import shutil
from pathlib import Path

import pytest

from toolchain.images import catalog
from toolchain.images.fingerprint import fingerprint, tag
from toolchain.paths import HERE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(HERE.images / "samtools", tmp_path / "samtools")
    return tmp_path / "samtools"


def of(folder: Path, *parents: str) -> str:
    return fingerprint(catalog.read(folder), *parents, platform_name="amd64")


def test_the_tag_is_the_version_and_twelve_hexadecimal_digits() -> None:
    known = catalog.load(HERE.images)
    for image in known.tools.values():
        version, _, digits = tag(image, known).rpartition("-")
        assert version == image.version
        assert len(digits) == 12
        assert set(digits) <= set("0123456789abcdef")


def test_the_same_content_has_the_same_fingerprint_whenever_and_wherever_it_was_written(
    folder: Path, tmp_path: Path
) -> None:
    before = of(folder)
    copy = tmp_path / "elsewhere" / "samtools"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    assert of(copy) == before


@pytest.mark.parametrize("name", ["Dockerfile", "commands.py"])
def test_one_byte_more_changes_it(folder: Path, name: str) -> None:
    before = of(folder)
    file = folder / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert of(folder) != before


def test_a_file_more_changes_it(folder: Path) -> None:
    before = of(folder)
    (folder / "more").write_text("", encoding="ascii")
    assert of(folder) != before


def test_a_file_that_becomes_executable_changes_it(folder: Path) -> None:
    before = of(folder)
    (folder / "commands.py").chmod(0o755)
    assert of(folder) != before


def test_content_cannot_move_from_one_file_to_the_next_unseen(folder: Path) -> None:
    (folder / "a").write_text("one", encoding="ascii")
    (folder / "b").write_text("two", encoding="ascii")
    before = of(folder)
    (folder / "a").write_text("onet", encoding="ascii")
    (folder / "b").write_text("wo", encoding="ascii")
    assert of(folder) != before


def test_another_package_version_changes_it(folder: Path) -> None:
    before = of(folder)
    toml = folder / "image.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('"1.21-1"', '"1.21-2"'), encoding="utf-8")
    assert of(folder) != before


def test_another_file_of_the_same_wheel_changes_it(folder: Path) -> None:
    toml, seen = folder / "image.toml", {of(folder)}
    own = toml.read_text(encoding="utf-8")
    for digit in "01":
        toml.write_text(f'{own}[wheels]\na = {{version = "1", sha256 = "{digit * 64}"}}\n', encoding="utf-8")
        seen.add(of(folder))
    assert len(seen) == 3


def test_a_comment_in_image_toml_and_a_new_readme_change_nothing(folder: Path) -> None:
    before = of(folder)
    toml = folder / "image.toml"
    toml.write_text("# about\n" + toml.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "README.md").write_text("new", encoding="ascii")
    assert of(folder) == before


def test_a_parent_changes_it(folder: Path) -> None:
    assert of(folder, "0" * 12) != of(folder, "1" * 12)


def test_another_architecture_changes_it(folder: Path) -> None:
    image = catalog.read(folder)
    assert fingerprint(image, platform_name="amd64") != fingerprint(image, platform_name="arm64")
