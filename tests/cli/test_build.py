"""`build.py build`, `list` and `test` on a real engine, as a user types them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound
from support.job_runner import BuiltImages

from toolchain.errors import BuildFailedError, SeveralFailedError
from toolchain.images import build as builds
from toolchain.images import catalog
from toolchain.paths import HERE

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS assembled
ARG PACKAGES
RUN apt-get install --yes --no-install-recommends ${PACKAGES}
RUN assemble hello /usr/bin/hello
COPY *.py /usr/local/lib/step/
RUN assemble commands /usr/local/lib/step

FROM scratch
ARG STEP_IMAGE
ENV STEP_IMAGE=${STEP_IMAGE} PATH=/usr/local/bin:/usr/bin
COPY --from=assembled /layers/common /
COPY --from=assembled /layers/hello /
COPY --from=assembled /layers/commands /
USER 1000:1000
"""
IMAGE_TOML = """\
version     = "2.10"
title       = "hello"
description = "A tool that was added by adding a folder"
license     = "GPL-3.0-or-later"
source      = "https://www.gnu.org/software/hello/"

[packages]
hello = "2.10-5"

[program]
command = ["hello", "--version"]
version = 'hello \\(GNU Hello\\) ([0-9.]+)'
"""
COMMANDS = """\
import subprocess
COMMANDS = {"greet": lambda job, arguments: subprocess.run(["hello"], check=True)}
"""


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, HERE.root / "build.py", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def builder_of(built_images: BuiltImages, tmp_path: Path) -> Iterator[Callable[[str], builds.ImageBuilder]]:
    """Makes a builder of this checkout's images and one more, from its image.toml."""
    images = tmp_path / "images"
    shutil.copytree(HERE.images, images)
    (images / "hello").mkdir()
    (images / "hello" / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (images / "hello" / "commands.py").write_text(COMMANDS, encoding="ascii")
    engine = built_images.builder.engine
    made = []

    def make(image_toml: str) -> builds.ImageBuilder:
        (images / "hello" / "image.toml").write_text(image_toml, encoding="ascii")
        known = catalog.load(images)
        made.append(
            builds.ImageBuilder(engine=engine, catalog=known, project="genomics-test", cache=tmp_path / "cache")
        )
        # The base has this content under the project's own name already: it need not be made again.
        base = engine.client.images.get(built_images.builder.reference(known.base))
        base.tag(*made[0].reference(known.base).split(":"))
        return made[0]

    yield make
    for image in (made[0].catalog.base, made[0].catalog.tools["hello"]):
        with suppress(ImageNotFound):
            engine.client.images.remove(made[0].reference(image), force=True)


Make = Callable[[str], builds.ImageBuilder]


def test_adding_a_folder_adds_a_tool(builder_of: Make) -> None:
    builder = builder_of(IMAGE_TOML)
    (built,) = builds.build(builder, builder.catalog.choose(("hello",)))
    run = ["docker", "run", "--rm", "--read-only", "--network", "none", built.reference, "step", "greet"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "Hello, world!\n"
    (again,) = builds.build(builder, builder.catalog.choose(("hello",)))
    assert not again.new


def test_a_failing_step_shows_its_own_output(builder_of: Make) -> None:
    builder = builder_of(IMAGE_TOML.replace("2.10-5", "9.9-9"))
    with pytest.raises(SeveralFailedError) as failed:
        builds.build(builder, builder.catalog.choose(("hello",)))
    (error,) = failed.value.errors
    assert isinstance(error, BuildFailedError)
    assert "Version '9.9-9' for 'hello' was not found" in error.details


def test_a_second_build_does_nothing_and_lists_the_images(built_images: BuiltImages) -> None:
    result = command("build", "--json")
    ids = {entry["name"]: entry["id"] for entry in json.loads(result.stdout)}
    assert ids == {name: image.image_id for name, image in built_images.images.items()}
    assert (result.returncode, result.stderr) == (0, "")


def test_list_shows_versions_tags_and_sizes(built_images: BuiltImages) -> None:
    listed = json.loads(command("list", "--json").stdout)
    for entry in listed["images"]:
        reference = built_images.images[entry["name"]].reference
        assert reference.endswith(f":{entry['tag']}")
        assert entry["built"] is True
        assert entry["compressed_bytes"] == sum(builds.layer_sizes(built_images.builder, reference).values())
    assert listed["distinct_compressed_bytes"] < sum(entry["compressed_bytes"] for entry in listed["images"])
    table = command("list").stdout
    assert all(name in table for name in built_images.images)


@pytest.mark.usefixtures("built_images")
def test_test_runs_the_smoke_tests_of_the_image_that_is_named() -> None:
    words = [sys.executable, str(HERE.root / "build.py"), "test", "samtools", "--list"]
    result = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    assert result.returncode == 0, result.stdout + result.stderr
    for listed in ("test_contract.py::test_it_runs_as_user_1000[samtools]", "test_samtools.py"):
        assert listed in result.stdout
    for not_listed in ("[bwa]", "test_bwa.py"):
        assert not_listed not in result.stdout


def test_render_for_this_machine_makes_a_job_definition_for_every_image(
    built_images: BuiltImages, tmp_path: Path
) -> None:
    words = ("render", "--local", "--scratch", str(tmp_path))
    assert command(*words).returncode == 0
    folder = HERE.dist / "local" / "jobdefs"
    assert {file.name for file in folder.iterdir()} == {f"{name}.json" for name in built_images.images}
    assert command(*words, "--check").returncode == 0
    (folder / "bwa.json").write_text("{}", encoding="ascii")
    stale = command(*words, "--check")
    assert stale.returncode == 78
    assert "bwa.json would change" in stale.stderr
