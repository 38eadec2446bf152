"""The variables of job definitions for AWS and for this machine, and the files in dist/."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from toolchain.errors import CannotCreateError, ConfigurationError, MissingInputError
from toolchain.images import catalog
from toolchain.images.build import ImageBuilder
from toolchain.images.fingerprint import tag
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import ImageReference, Rendering, Scratch
from toolchain.paths import HERE, Checkout
from toolchain.settings import load

DIGEST = "sha256:" + "0123456789abcdef" * 4
CATALOG = catalog.load(HERE.images)


def tag_of(name: str) -> str:
    return tag(CATALOG.tools[name], CATALOG)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """This checkout, with a dist of its own."""
    (tmp_path / "images").symlink_to(HERE.images)
    (tmp_path / "jobdefs").symlink_to(HERE.jobdefs)
    shutil.copyfile(HERE.settings, tmp_path / "genomics.toml")
    (tmp_path / "dist").mkdir()
    return Checkout(root=tmp_path)


def pushed(checkout: Checkout, **changes: str) -> None:
    """Writes what a push leaves, bwa's entry with these changes."""
    entries = {
        name: {"name": name, "tag": tag_of(name), "repository": f"registry.example/genomics/{name}", "digest": DIGEST}
        for name in CATALOG.tools
    }
    entries["bwa"] |= changes
    (checkout.dist / "images.json").write_text(json.dumps({"images": [*entries.values()]}), encoding="utf-8")


def test_in_aws_an_image_is_its_digest_in_the_registry(checkout: Checkout) -> None:
    pushed(checkout)
    file = checkout.dist / "images.json"
    entries = json.loads(file.read_text(encoding="utf-8"))["images"]
    # What was pushed of a tool that is gone is left out.
    file.write_text(json.dumps({"images": [*entries, {**entries[0], "name": "gone"}]}), encoding="utf-8")
    assert rendering.for_aws(checkout) == Rendering(
        images={
            name: ImageReference(name=name, tag=tag_of(name), reference=f"registry.example/genomics/{name}@{DIGEST}")
            for name in CATALOG.tools
        },
        settings=load(HERE.settings),
        scratch=Scratch(mode="lustre", path="/scratch"),
    )


def test_before_a_push_the_error_says_what_to_type(checkout: Checkout) -> None:
    with pytest.raises(MissingInputError) as caught:
        rendering.for_aws(checkout)
    assert str(caught.value) == (
        f"no pushed images: {checkout.dist / 'images.json'} is not there. "
        "Type: python build.py push; or render with --local."
    )


ENTRY = {"name": "bwa", "tag": "1", "repository": "r", "digest": DIGEST}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "null", '{"images": 5}', '{"images": [1]}', '{"images": ["bwa"]}', "\xff"),
        *(json.dumps({"images": [{key: ENTRY[key] for key in ENTRY if key != left_out}]}) for left_out in ENTRY),
    ],
)
def test_a_file_that_push_did_not_write_is_refused(checkout: Checkout, text: str) -> None:
    (checkout.dist / "images.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"images.json is wrong: it is not what `push` writes"):
        rendering.for_aws(checkout)


@pytest.mark.parametrize(
    ("change", "pushed_tag"), [({"tag": "0.7-0123456789ab"}, "0.7-0123456789ab"), ({"name": "bwa-2"}, "none")]
)
def test_an_image_that_was_not_pushed_with_this_content_is_refused(
    checkout: Checkout, change: dict[str, str], pushed_tag: str
) -> None:
    pushed(checkout, **change)
    with pytest.raises(MissingInputError) as caught:
        rendering.for_aws(checkout)
    assert caught.value.what == "image 'bwa' is not pushed with this content"
    assert caught.value.why.endswith(f"images.json has {pushed_tag}, and its tag is {tag_of('bwa')}")


class FakeEngine:
    """Has every image but one."""

    def __init__(self, missing: str = "none") -> None:
        self._missing = missing

    def find(self, reference: str) -> str | None:
        return None if f"/{self._missing}:" in reference else f"{DIGEST[:-4]}{len(reference):04}"


def builder(engine: Any, cache: Path) -> ImageBuilder:  # noqa: ANN401
    return ImageBuilder(engine=engine, catalog=CATALOG, project="genomics", cache=cache)


@pytest.fixture
def local(tmp_path: Path) -> Rendering:
    """A rendering for this machine."""
    return rendering.for_this_machine(builder(FakeEngine(), tmp_path), tmp_path / "x" / ".." / "scratch")


def test_on_this_machine_an_image_is_its_id_and_scratch_a_directory(local: Rendering, tmp_path: Path) -> None:
    assert local.images["bwa"].tag == tag_of("bwa")
    assert local.images["bwa"].reference == FakeEngine().find(f"genomics/bwa:{tag_of('bwa')}")
    assert local.scratch == Scratch(mode="local", path=str(tmp_path / "scratch"))


def test_an_image_that_is_not_built_is_named_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"image 'samtools' is not built: .* Type: python build.py build"):
        rendering.for_this_machine(builder(FakeEngine(missing="samtools"), tmp_path), tmp_path)


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """The directory of the rendered definitions; it does not exist yet."""
    return tmp_path / "dist" / "jobdefs"


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*")}


def test_each_definition_is_a_file_and_files_of_other_tools_are_removed(
    local: Rendering, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendering.write(local, dist, HERE.jobdefs, check=False)
    definitions = jobdefs.render(HERE.jobdefs, local)
    expected = {f"{name}.json": jobdefs.dump(definition) for name, definition in definitions.items()}
    assert contents(dist) == expected
    assert f"bwa: written {dist / 'bwa.json'}\n" in capsys.readouterr().err
    (dist / "samtools.json").write_text("{}", encoding="utf-8")
    for name in ("gone.json", "notes.md"):
        (dist / name).touch()
    rendering.write(local, dist, HERE.jobdefs, check=False)
    printed = capsys.readouterr()
    assert f"bwa: unchanged {dist / 'bwa.json'}\n" in printed.err
    assert f"samtools: written {dist / 'samtools.json'}\n" in printed.err
    assert contents(dist) == {**expected, "notes.md": ""}
    rendering.write(local, dist, HERE.jobdefs, check=True)
    assert capsys.readouterr() == ("", "")


def test_a_check_names_what_would_change_appear_or_go_and_writes_nothing(local: Rendering, dist: Path) -> None:
    with pytest.raises(ConfigurationError):
        rendering.write(local, dist, HERE.jobdefs, check=True)
    assert not dist.exists()
    rendering.write(local, dist, HERE.jobdefs, check=False)
    (dist / "bwa.json").write_text("{}", encoding="utf-8")
    (dist / "samtools.json").unlink()
    (dist / "gone.json").touch()
    before = contents(dist)
    with pytest.raises(ConfigurationError) as caught:
        rendering.write(local, dist, HERE.jobdefs, check=True)
    assert (caught.value.what, caught.value.why) == (
        f"{dist} is stale",
        "bwa.json, gone.json, samtools.json would change",
    )
    assert contents(dist) == before


def test_a_directory_that_cannot_be_written_is_an_error(local: Rendering, dist: Path) -> None:
    dist.parent.touch()
    with pytest.raises(CannotCreateError):
        rendering.write(local, dist, HERE.jobdefs, check=False)
