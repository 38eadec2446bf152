"""What is rendered with, for the cloud and for this machine, and what is written."""

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


def pushed(checkout: Checkout, **changes: Any) -> None:  # noqa: ANN401
    """Writes what a push leaves, bwa's entry with these changes; without a key that is changed to None."""
    entries = [
        {"name": name, "tag": tag_of(name), "repository": f"registry.example/genomics/{name}", "digest": DIGEST}
        for name in CATALOG.tools
    ]
    changed = [{**entry, **(changes if entry["name"] == "bwa" else {})} for entry in entries]
    kept = [{key: value for key, value in entry.items() if value is not None} for entry in changed]
    (checkout.dist / "images.json").write_text(json.dumps({"images": kept}), encoding="utf-8")


def test_in_aws_an_image_is_its_digest_in_the_registry_and_every_template_renders(checkout: Checkout) -> None:
    pushed(checkout)
    request = rendering.for_aws(checkout)
    assert request.images["bwa"] == ImageReference(
        name="bwa", tag=tag_of("bwa"), reference=f"registry.example/genomics/bwa@{DIGEST}"
    )
    assert list(request.images) == list(CATALOG.tools)
    assert request.scratch == Scratch(mode="lustre", path="/scratch")
    assert request.settings == load(HERE.settings)
    assert list(jobdefs.render(checkout.jobdefs, request)) == list(jobdefs.names(HERE.jobdefs))


def test_before_a_push_the_error_says_what_to_type(checkout: Checkout) -> None:
    with pytest.raises(MissingInputError) as caught:
        rendering.for_aws(checkout)
    assert caught.value.what == "no pushed images"
    assert caught.value.why == f"{checkout.dist / 'images.json'} is not there"
    assert caught.value.fix == "Type: python build.py push; or render with --local."


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
    ("change", "has"), [({"tag": "0.7-0123456789ab"}, "0.7-0123456789ab"), ({"name": "bwa-2"}, "none")]
)
def test_an_image_that_was_not_pushed_with_this_content_is_refused(
    checkout: Checkout, change: dict[str, str], has: str
) -> None:
    pushed(checkout, **change)
    with pytest.raises(MissingInputError) as caught:
        rendering.for_aws(checkout)
    assert caught.value.what == "image 'bwa' is not pushed with this content"
    assert caught.value.why.endswith(f"images.json has {has}, and its tag is {tag_of('bwa')}")


def test_an_image_that_is_gone_is_left_out(checkout: Checkout) -> None:
    pushed(checkout)
    file = checkout.dist / "images.json"
    images = json.loads(file.read_text(encoding="utf-8"))["images"]
    file.write_text(json.dumps({"images": [*images, {**images[0], "name": "gone"}]}), encoding="utf-8")
    assert "gone" not in rendering.for_aws(checkout).images


class Holding:
    """An engine that holds every image but those whose reference has this word."""

    def __init__(self, but: str = "nothing") -> None:
        self._but = but

    def find(self, reference: str) -> str | None:
        return None if self._but in reference else f"{DIGEST[:-4]}{len(reference):04}"


def builder(engine: Any, cache: Path) -> ImageBuilder:  # noqa: ANN401
    return ImageBuilder(engine=engine, catalog=CATALOG, project="genomics", cache=cache)


def test_on_this_machine_an_image_is_its_id_and_scratch_a_directory(tmp_path: Path) -> None:
    request = rendering.for_this_machine(builder(Holding(), tmp_path), tmp_path / "x" / ".." / "scratch")
    assert request.images["bwa"].tag == tag_of("bwa")
    assert request.images["bwa"].reference == Holding().find(f"genomics/bwa:{tag_of('bwa')}")
    assert request.scratch == Scratch(mode="local", path=str(tmp_path / "scratch"))


def test_an_image_that_is_not_built_is_named_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError) as caught:
        rendering.for_this_machine(builder(Holding(but="/samtools:"), tmp_path), tmp_path)
    assert caught.value.what == "image 'samtools' is not built"
    assert caught.value.fix == "Type: python build.py build"


@pytest.fixture
def here(tmp_path: Path) -> Rendering:
    """A rendering for this machine."""
    return rendering.for_this_machine(builder(Holding(), tmp_path), tmp_path / "scratch")


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Where definitions are written; it is not there yet."""
    return tmp_path / "dist" / "jobdefs"


def test_each_definition_is_a_file_and_files_of_other_tools_are_removed(
    here: Rendering, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendering.write(here, dist, check=False)
    definitions = jobdefs.render(HERE.jobdefs, here)
    expected = {f"{name}.json": jobdefs.dump(definition) for name, definition in definitions.items()}
    assert {file.name: file.read_text(encoding="utf-8") for file in dist.iterdir()} == expected
    assert f"bwa: written {dist / 'bwa.json'}\n" in capsys.readouterr().err
    (dist / "samtools.json").write_text("{}", encoding="utf-8")
    for name in ("gone.json", "notes.md"):
        (dist / name).touch()
    rendering.write(here, dist, check=False)
    printed = capsys.readouterr()
    assert f"bwa: unchanged {dist / 'bwa.json'}\n" in printed.err
    assert f"samtools: written {dist / 'samtools.json'}\n" in printed.err
    assert {file.name for file in dist.iterdir()} == {*expected, "notes.md"}
    rendering.write(here, dist, check=True)
    assert capsys.readouterr() == ("", "")


def stale(request: Rendering, dist: Path) -> str:
    """Why a check fails; it must leave everything as it is."""
    before = {file: file.read_bytes() for file in dist.glob("*")}
    with pytest.raises(ConfigurationError) as caught:
        rendering.write(request, dist, check=True)
    assert {file: file.read_bytes() for file in dist.glob("*")} == before
    assert caught.value.what == f"{dist} is stale"
    return caught.value.why


def test_a_check_names_what_would_change_appear_or_go(here: Rendering, dist: Path) -> None:
    rendering.write(here, dist, check=False)
    (dist / "bwa.json").write_text("{}", encoding="utf-8")
    (dist / "samtools.json").unlink()
    (dist / "gone.json").touch()
    assert stale(here, dist) == "bwa.json, gone.json, samtools.json would change"


def test_a_check_of_nothing_is_stale_and_makes_no_folder(here: Rendering, dist: Path) -> None:
    assert stale(here, dist).endswith("would change")
    assert not dist.exists()


def test_a_folder_that_cannot_be_written_is_an_error(here: Rendering, dist: Path) -> None:
    dist.parent.touch()
    with pytest.raises(CannotCreateError):
        rendering.write(here, dist, check=False)
