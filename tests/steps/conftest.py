"""Steps without containers: a scratch below a temporary directory, and fake programs."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fake_programs import FakePrograms
from support.tiny_sample import TinySample

from step.job import Job

MOUNTS = ("reference", "data", "working")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same place for the scratch of every test: records contain paths, and `TinySample` caches results."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture
def programs(site: Path) -> FakePrograms:
    """An empty folder on the PATH of steps."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    return FakePrograms(folder=site / "bin")


@pytest.fixture
def make_job(site: Path, programs: FakePrograms) -> Callable[..., Job]:
    """Makes a job on an empty scratch; keyword arguments are environment variables."""
    root, mounts = site / "scratch", site / "mountinfo"
    shutil.rmtree(root, ignore_errors=True)
    for name in MOUNTS:
        (root / name).mkdir(parents=True)
    mounts.write_text("".join(f"1 1 0:1 / {root / name} rw - ext4 /dev/x rw\n" for name in MOUNTS))
    path = (str(programs.folder), str(Path(sys.executable).parent), os.environ["PATH"])
    environment = {
        "PATH": os.pathsep.join(path),
        "SCRATCH": "local",
        "STEP_IMAGE": "tool:1-test",
        "WORKFLOW_NAME": "germline",
        "EXECUTION_ID": "run1",
    }

    def make(**variables: str) -> Job:
        return Job(environment=environment | variables, root=root, mounts=mounts, threads=2, memory_mib=2048)

    return make


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """A job of two threads and 2 GiB."""
    return make_job()


@pytest.fixture
def sample(job: Job, programs: FakePrograms, site: Path, capfd: pytest.CaptureFixture[str]) -> TinySample:
    """A tiny sample before its first step."""
    return TinySample(job=job, programs=programs, log=lambda: capfd.readouterr().err, cache=site / "cache")
