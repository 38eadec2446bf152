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


def test_in_the_cloud_an_image_is_its_digest_in_the_registry(checkout: Checkout) -> None:
    pushed(checkout)
    request = rendering.for_aws(checkout)
    assert request.images["bwa"] == ImageReference(
        name="bwa", tag=tag_of("bwa"), reference=f"registry.example/genomics/bwa@{DIGEST}"
    )
    assert list(request.images) == list(CATALOG.tools)
    assert request.scratch == Scratch(mode="lustre", path="/scratch")
    assert request.settings == load(HERE.settings)


def test_what_was_pushed_can_be_rendered(checkout: Checkout) -> None:
    pushed(checkout)
    assert list(jobdefs.render(checkout.jobdefs, rendering.for_aws(checkout))) == list(jobdefs.names(HERE.jobdefs))


def test_before_a_push_there_is_nothing_to_render_with(checkout: Checkout) -> None:
    with pytest.raises(MissingInputError) as caught:
        rendering.for_aws(checkout)
    assert caught.value.what == "no pushed images"
    assert caught.value.why == f"{checkout.dist / 'images.json'} is not there"
    assert "build.py push" in caught.value.fix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"images": 5}',
        '{"images": [1]}',
        '{"images": [{}]}',
        '{"images": ["bwa"]}',
        "\xff",
    ],
)
def test_what_is_not_what_a_push_writes_is_refused(checkout: Checkout, text: str) -> None:
    (checkout.dist / "images.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"images.json is wrong: it is not what `push` writes"):
        rendering.for_aws(checkout)


@pytest.mark.parametrize("key", ["tag", "repository", "digest"])
def test_an_entry_that_lacks_a_key_is_refused(checkout: Checkout, key: str) -> None:
    pushed(checkout, **{key: None})
    with pytest.raises(ConfigurationError, match=r"images.json is wrong: it is not what `push` writes"):
        rendering.for_aws(checkout)


def test_an_image_whose_content_has_changed_since_the_push_is_refused(checkout: Checkout) -> None:
    pushed(checkout, tag="0.7-0123456789ab")
    with pytest.raises(MissingInputError) as caught:
        rendering.for_aws(checkout)
    assert caught.value.what == "image 'bwa' is not pushed with this content"
    assert caught.value.why.endswith(f"images.json has 0.7-0123456789ab, and its tag is {tag_of('bwa')}")


def test_an_image_that_was_never_pushed_is_refused(checkout: Checkout) -> None:
    pushed(checkout, name="bwa-2")
    with pytest.raises(MissingInputError, match=r"image 'bwa' is not pushed with this content: .* has none,"):
        rendering.for_aws(checkout)


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


def test_a_definition_is_a_file_of_its_tool(here: Rendering, dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rendering.write(here, dist, check=False)
    definitions = jobdefs.render(HERE.jobdefs, here)
    assert {file.name: file.read_text(encoding="utf-8") for file in dist.iterdir()} == {
        f"{name}.json": jobdefs.dump(definition) for name, definition in definitions.items()
    }
    said = capsys.readouterr()
    assert said.out == ""
    assert f"bwa: written {dist / 'bwa.json'}\n" in said.err


def test_what_is_there_already_is_unchanged(here: Rendering, dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rendering.write(here, dist, check=False)
    (dist / "samtools.json").write_text("{}", encoding="utf-8")
    capsys.readouterr()
    rendering.write(here, dist, check=False)
    said = capsys.readouterr().err
    assert f"bwa: unchanged {dist / 'bwa.json'}\n" in said
    assert f"samtools: written {dist / 'samtools.json'}\n" in said


def test_a_tool_that_is_gone_takes_its_file_along_and_nothing_else(here: Rendering, dist: Path) -> None:
    dist.mkdir(parents=True)
    for name in ("gone.json", "notes.md"):
        (dist / name).touch()
    rendering.write(here, dist, check=False)
    assert not (dist / "gone.json").exists()
    assert (dist / "notes.md").exists()


def test_a_check_of_what_was_just_written_passes_and_says_nothing(
    here: Rendering, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendering.write(here, dist, check=False)
    capsys.readouterr()
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
