"""What tests share: the built images, a scratch of their own, real reads where they are at hand."""

import os

# testcontainers reads it when it is imported: no Ryuk container, since no image can be pulled everywhere.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

import functools
import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import hypothesis
import pytest
from support import file_progress
from support.job_runner import BuiltImages, DataSet, JobRunner
from support.tiny_genome import Small

from toolchain.errors import UnavailableError
from toolchain.images import build as builds
from toolchain.images import catalog
from toolchain.paths import HERE
from toolchain.workflow.aligners import Aligner

# A parent may ignore Ctrl-C, as background jobs of a shell script do, or hangups, as under nohup, and what is started
# inherits that. A signal that is handled here is at its default in what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, lambda *_: None)

# Each session of botocore reads the models of its services anew, megabytes of JSON: here all sessions share them.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# How long an example takes says nothing where two workers and containers share the cores.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

# A look through all of moto and botocore's models takes half a second; cycles may wait for it.
gc.set_threshold(2_000, 20, 100)

REAL_DATA = Path(os.environ.get("GENOMICS_TEST_DATA", HERE.root.parent / "shared" / "data"))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """A line of progress for each file."""
    file_progress.register(config)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--images", default="", help="test only these images, separated by commas")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The contract every image must meet, times the catalogue."""
    if "image_name" in metafunc.fixturenames:
        chosen = [name for name in metafunc.config.getoption("--images").split(",") if name]
        names = [image.name for image in catalog.load(HERE.images).choose(tuple(chosen))]
        metafunc.parametrize("image_name", names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what needs an engine, and leaves out the files of images that `--images` does not name."""
    chosen = {name for name in config.getoption("--images").split(",") if name}
    tools = catalog.load(HERE.images).tools
    kept = []
    for item in items:
        if {"builder", "job_runner", "built_images"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        about = str(parameters.get("aligner", item.path.stem.removeprefix("test_").replace("_", "-")))
        subject = max((name for name in tools if about == name or about.startswith(f"{name}-")), key=len, default=about)
        if not chosen or subject in chosen or "image_name" in getattr(item, "fixturenames", ()):
            kept.append(item)
    items[:] = kept


@pytest.fixture(scope="session")
def builder() -> builds.ImageBuilder:
    """A Docker engine that answers, and this checkout's images."""
    try:
        return builds.ImageBuilder.open(HERE)
    except UnavailableError as error:
        pytest.fail(f"{error} These tests need a real engine.")


@pytest.fixture(scope="session")
def built_images(builder: builds.ImageBuilder) -> BuiltImages:
    """Every tool image, built."""
    built = builds.build(builder, tuple(builder.catalog.tools.values()))
    return BuiltImages(builder=builder, images={image.image.name: image for image in built})


@pytest.fixture
def job_runner(built_images: BuiltImages, tmp_path: Path) -> Iterator[JobRunner]:
    """A scratch of one test's own, and job definitions that mount it."""
    job_runner = JobRunner.make(built_images, tmp_path / "scratch")
    yield job_runner
    job_runner.clear()


@pytest.fixture
def real(request: pytest.FixtureRequest) -> DataSet:
    """The real reads that a test's `dataset` marker or parameter names; skipped where they are not at hand."""
    return DataSet.read(REAL_DATA, request.param)


@pytest.fixture
def aligner() -> Aligner:
    """The aligner, where a test does not name one or several (`each_aligner`)."""
    return "bwa"


@pytest.fixture
def small(job_runner: JobRunner, aligner: Aligner) -> Small:
    """A small sample whose reference is prepared."""
    small = Small.make(job_runner.scratch)
    job_runner.ok(aligner, words=["step", "index", small.reference])
    return small
