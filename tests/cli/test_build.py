"""`build.py build`, `list` and `test` on a real engine, as a user types them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
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
def extended(built_images: BuiltImages, tmp_path: Path) -> builds.ImageBuilder:
    """A checkout's images with one folder more."""
    images = tmp_path / "images"
    shutil.copytree(HERE.images, images)
    (images / "hello").mkdir()
    (images / "hello" / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (images / "hello" / "image.toml").write_text(IMAGE_TOML, encoding="ascii")
    (images / "hello" / "commands.py").write_text(COMMANDS, encoding="ascii")
    return builds.ImageBuilder(
        engine=built_images.builder.engine,
        catalog=catalog.load(images),
        project="genomics-test",
        cache=tmp_path / "cache",
    )


def test_adding_a_folder_adds_a_tool(extended: builds.ImageBuilder, built_images: BuiltImages) -> None:
    # The base has this content under the project's own name already: it need not be made again.
    base = extended.catalog.base
    extended.engine.client.images.get(built_images.builder.reference(base)).tag(*extended.reference(base).split(":"))
    (built,) = builds.build(extended, extended.catalog.choose(("hello",)))
    try:
        run = ["docker", "run", "--rm", "--read-only", "--network", "none", built.reference, "step", "greet"]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "Hello, world!\n"
        (again,) = builds.build(extended, extended.catalog.choose(("hello",)))
        assert not again.new
    finally:
        for reference in (built.reference, extended.reference(base)):
            extended.engine.client.images.remove(reference, force=True)


def test_a_failing_step_shows_its_own_output(extended: builds.ImageBuilder, built_images: BuiltImages) -> None:
    base = extended.catalog.base
    extended.engine.client.images.get(built_images.builder.reference(base)).tag(*extended.reference(base).split(":"))
    toml = extended.catalog.tools["hello"].folder / "image.toml"
    toml.write_text(IMAGE_TOML.replace("2.10-5", "9.9-9"), encoding="ascii")
    broken = builds.ImageBuilder(
        engine=extended.engine,
        catalog=catalog.load(toml.parent.parent),
        project=extended.project,
        cache=extended.cache,
    )
    try:
        with pytest.raises(SeveralFailedError) as failed:
            builds.build(broken, broken.catalog.choose(("hello",)))
        (error,) = failed.value.errors
        assert isinstance(error, BuildFailedError)
        assert "Version '9.9-9' for 'hello' was not found" in error.details
    finally:
        extended.engine.client.images.remove(extended.reference(base), force=True)


def test_a_build_with_nothing_to_do_says_so(built_images: BuiltImages) -> None:
    result = command("build")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "nothing to build" in result.stderr
    assert built_images.images


def test_build_as_json_names_every_image(built_images: BuiltImages) -> None:
    built = json.loads(command("build", "--json").stdout)
    assert {entry["name"]: entry["id"] for entry in built} == {
        name: one.image_id for name, one in built_images.images.items()
    }


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


def test_test_runs_the_smoke_tests_of_the_image_that_is_named(built_images: BuiltImages) -> None:
    result = subprocess.run(
        [sys.executable, HERE.root / "build.py", "test", "samtools", "--list"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "test_contract.py::test_it_runs_as_user_1000[samtools]" in result.stdout
    assert "test_samtools.py" in result.stdout
    assert "[bwa]" not in result.stdout
    assert "test_bwa.py" not in result.stdout
    assert built_images.images


def test_render_writes_the_same_job_definitions_each_time(built_images: BuiltImages, tmp_path: Path) -> None:
    assert command("render", "--local", "--scratch", str(tmp_path)).returncode == 0
    folder = HERE.dist / "local" / "jobdefs"
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert set(first) == {f"{name}.json" for name in built_images.images}
    assert command("render", "--local", "--scratch", str(tmp_path)).returncode == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first
    assert command("render", "--local", "--scratch", str(tmp_path), "--check").returncode == 0
    (folder / "bwa.json").write_text("{}", encoding="ascii")
    stale = command("render", "--local", "--scratch", str(tmp_path), "--check")
    assert stale.returncode == 78
    assert "bwa.json would change" in stale.stderr
