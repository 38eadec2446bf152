"""Steps without a container: a scratch below a temporary directory, and stand-ins for programs."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.finished_sample import Tiny
from support.standins import Standins

from step.job import Job

MOUNTS = ("reference", "data", "working")


@pytest.fixture
def standins(tmp_path: Path) -> Standins:
    """A folder on the PATH of steps, in which tests put programs of their own."""
    return Standins(folder=tmp_path / "bin")


@pytest.fixture
def make_job(tmp_path: Path, standins: Standins) -> Callable[..., Job]:
    """Makes a job on the test's own scratch, `tmp_path / "scratch"`; arguments are variables of its environment."""
    root = tmp_path / "scratch"
    for name in MOUNTS:
        (root / name).mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    mounts.write_text("".join(f"1 1 0:1 / {root / name} rw - ext4 /dev/x rw\n" for name in MOUNTS))

    def make(threads: int = 2, memory_mib: int = 2048, **variables: str) -> Job:
        environment = {
            "PATH": f"{standins.folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SCRATCH": "local",
            "STEP_IMAGE": "tool:1-test",
            "WORKFLOW_NAME": "germline",
            "EXECUTION_ID": "run1",
            **variables,
        }
        return Job(environment=environment, root=root, mounts=mounts, threads=threads, memory_mib=memory_mib)

    return make


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """A job of two threads and 2 GiB."""
    return make_job()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for every test's tiny sample: records hold paths, so that what ran before a step can be put back."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture
def tiny(job: Job, site: Path) -> Tiny:
    """A tiny sample of one test's own."""
    for folder in ("scratch", "bin"):
        shutil.rmtree(site / folder, ignore_errors=True)
    root = site / "scratch"
    for name in MOUNTS:
        (root / name).mkdir(parents=True)
    standins = Standins(folder=site / "bin")
    mounts = site / "mountinfo"
    mounts.write_text("".join(f"1 1 0:1 / {root / name} rw - ext4 /dev/x rw\n" for name in MOUNTS))
    path = f"{standins.folder}{os.pathsep}{job.environment['PATH']}"
    return Tiny(
        job=replace(job, root=root, mounts=mounts, environment={**job.environment, "PATH": path}),
        standins=standins,
        kept=site / "kept",
    )
