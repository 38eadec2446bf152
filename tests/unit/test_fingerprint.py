"""The tag is the content's, and nothing else's."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain.images import catalog
from toolchain.images.fingerprint import fingerprint, tag
from toolchain.paths import HERE

WHEEL = '[wheels]\na = {{version = "1", sha256 = "{}"}}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(HERE.images / "samtools", tmp_path / "samtools")
    return tmp_path / "samtools"


def of(folder: Path, *parents: str) -> str:
    return fingerprint(catalog.read(folder), *parents, platform_name="amd64")


def edit(file: Path, change: Callable[[str], str]) -> None:
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


def test_the_tag_is_the_version_and_twelve_hexadecimal_digits() -> None:
    images = catalog.load(HERE.images)
    for image in images.tools.values():
        assert re.fullmatch(rf"{re.escape(image.version)}-[0-9a-f]{{12}}", tag(image, images))


def test_the_same_content_has_the_same_fingerprint_whenever_and_wherever_it_was_written(folder: Path) -> None:
    copy = folder.parent / "elsewhere" / "samtools"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    edit(copy / "image.toml", lambda text: f"# a comment\n{text}")
    (copy / "README.md").write_text("new", encoding="ascii")
    assert of(copy) == of(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit(folder / "Dockerfile", lambda text: f"{text}\n"),
        lambda folder: edit(folder / "commands.py", lambda text: f"{text}\n"),
        lambda folder: (folder / "more").touch(),
        lambda folder: (folder / "commands.py").chmod(0o755),
        lambda folder: edit(folder / "image.toml", lambda text: text.replace('"1.21-1"', '"1.21-2"')),
        lambda folder: edit(folder / "image.toml", lambda text: text + WHEEL.format("0" * 64)),
    ],
    ids=["a byte", "a byte of a program", "a file", "a mode", "a package's version", "a wheel"],
)
def test_other_content_has_another_fingerprint(folder: Path, change: Callable[[Path], None]) -> None:
    before = of(folder)
    change(folder)
    assert of(folder) != before


def test_another_file_of_the_same_wheel_changes_it(folder: Path) -> None:
    own = (folder / "image.toml").read_text(encoding="utf-8")
    fingerprints = set()
    for digit in "01":
        (folder / "image.toml").write_text(own + WHEEL.format(digit * 64), encoding="utf-8")
        fingerprints.add(of(folder))
    assert len(fingerprints) == 2


def test_content_cannot_move_from_one_file_to_the_next_unseen(folder: Path) -> None:
    fingerprints = set()
    for first, second in (("one", "two"), ("onet", "wo")):
        (folder / "a").write_text(first, encoding="ascii")
        (folder / "b").write_text(second, encoding="ascii")
        fingerprints.add(of(folder))
    assert len(fingerprints) == 2


def test_another_parent_or_architecture_changes_it(folder: Path) -> None:
    assert of(folder, "0" * 12) != of(folder, "1" * 12)
    assert of(folder) != fingerprint(catalog.read(folder), platform_name="arm64")
