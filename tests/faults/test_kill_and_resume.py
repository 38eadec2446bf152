"""A killed step leaves nothing that looks finished; run again it gives the same bytes; a finished one is kept.

What makes a step run again is tried without a container in tests/steps.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.job_runner import EXECUTION, JobRunner, each_aligner, step_record
from support.tiny_genome import Small

from toolchain.docker.engine import Result
from toolchain.workflow.aligners import ALIGNERS, Aligner

Step = tuple[str, Callable[[Small], dict[str, Any]], list[str]]
# Each step after the alignment, with the job that runs it and the results that it publishes.
LATER: dict[str, Step] = {
    "finish": ("samtools", lambda s: s.job("finish", lanes="L001"), ["NA1.bam", "NA1.bam.bai"]),
    "qc": ("samtools", lambda s: s.job("qc"), ["qc/NA1.stats.txt", "qc/NA1.coverage.txt"]),
    "call.0-of-1": ("bcftools", lambda s: s.job("call", shards="1", shard="0"), ["shards/0-of-1.vcf.gz"]),
    "gather": ("bcftools", lambda s: s.job("gather", shards="1"), ["NA1.vcf.gz", "NA1.vcf.gz.tbi"]),
}
MEM, ALONE = "mem.L001", "mem of the only lane"


def steps(aligner: Aligner) -> dict[str, Step]:
    """Every step of a run with this aligner."""
    return {MEM: (aligner, Small.mem, ["lanes/L001.bam"]), **LATER}


def alone(aligner: Aligner) -> Step:
    """The step that aligns a sample's only lane, and leaves nothing to finish."""
    return aligner, lambda small: {**small.mem(), "lanes": "L001"}, ["NA1.bam", "NA1.bam.bai", "qc/NA1.markdup.txt"]


@pytest.fixture
def deep(job_runner: JobRunner, aligner: Aligner) -> Small:
    """A sample that takes long enough to be killed."""
    deep = Small.make(job_runner.scratch, depth=200)
    job_runner.ok(aligner, words=["step", "index", deep.reference])
    return deep


def run_before(job_runner: JobRunner, sample: Small, step: str, aligner: Aligner, execution: str = EXECUTION) -> None:
    """Runs every step that this one needs."""
    for name, (tool, job, _) in steps(aligner).items():
        if name == step:
            return
        job_runner.ok(tool, environment={"EXECUTION_ID": execution}, **job(sample))


def at_work(job_runner: JobRunner) -> Iterator[Path]:
    yield from (job_runner.working / ".work").rglob("tmp.*")


def killed_in_the_middle(job_runner: JobRunner, tool: str, **parameters: Any) -> Result:  # noqa: ANN401
    """Runs a job and sends SIGKILL to it once it has begun to work."""
    engine = job_runner.built_images.builder.engine
    with engine.started(job_runner.container(tool, **parameters)) as container:
        deadline = time.monotonic() + 30
        while not any(at_work(job_runner)):
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.001)
        container.kill()
        code = int(container.wait()["StatusCode"])
    return Result(exit_code=code, stdout="", stderr="", out_of_memory=False)


@pytest.mark.parametrize(
    ("aligner", "step"),
    [*((aligner, ALONE) for aligner in ALIGNERS), *(("bwa", step) for step in LATER)],
)
def test_killed_and_run_again_it_gives_the_bytes_of_one_never_killed(
    job_runner: JobRunner, deep: Small, aligner: Aligner, step: str
) -> None:
    tool, job, results = alone(aligner) if step == ALONE else steps(aligner)[step]
    needed = MEM if step == ALONE else step
    run_before(job_runner, deep, needed, aligner)
    before = job_runner.finished()
    assert killed_in_the_middle(job_runner, tool, **job(deep)).exit_code == 137
    assert job_runner.finished() == before
    job_runner.ok(tool, **job(deep))
    assert job_runner.left_over() == []

    run_before(job_runner, deep, needed, aligner, execution="untouched")
    job_runner.ok(tool, environment={"EXECUTION_ID": "untouched"}, **job(deep))
    for name in results:
        again, untouched = job_runner.folder("NA1") / name, job_runner.folder("NA1", "untouched") / name
        assert again.read_bytes() == untouched.read_bytes(), name


@each_aligner
def test_a_step_ends_at_once_when_it_is_told_to_and_leaves_nothing(
    job_runner: JobRunner, deep: Small, aligner: Aligner
) -> None:
    engine = job_runner.built_images.builder.engine
    with engine.started(job_runner.container(aligner, **deep.mem())) as container:
        while not any(at_work(job_runner)):
            time.sleep(0.001)
        began = time.monotonic()
        container.stop(timeout=20)
        assert time.monotonic() - began < 10
        assert container.wait()["StatusCode"] == 143
    assert job_runner.finished() == []
    assert job_runner.left_over() == []


def test_a_finished_step_finds_its_work_done_in_under_a_second(job_runner: JobRunner, deep: Small) -> None:
    run_before(job_runner, deep, "none of them", "bwa")
    times = {file: file.stat().st_mtime_ns for file in job_runner.folder("NA1").rglob("*") if file.is_file()}
    for tool, job, _ in steps("bwa").values():
        result = job_runner.ok(
            tool, words=["sh", "-c", 'time -p "$@"', "sh", *job_runner.container(tool, **job(deep)).command]
        )
        assert "is done already" in result.stderr
        real = next(line for line in result.stderr.splitlines() if line.startswith("real"))
        assert float(real.split()[1]) < 1
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_two_attempts_of_the_same_step_do_not_spoil_each_other(job_runner: JobRunner, deep: Small) -> None:
    results: list[Result] = []
    attempts = [threading.Thread(target=lambda: results.append(job_runner.run("bwa", **deep.mem()))) for _ in range(2)]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        attempt.join()
    assert [result.exit_code for result in results] == [0, 0], [result.stderr for result in results]
    assert job_runner.left_over() == []
    (output,) = step_record(job_runner, "NA1", "mem.L001")["outputs"]
    digest = job_runner.ok("samtools", words=["sha256sum", output["path"]]).stdout.split()[0]
    assert digest == output["sha256"]
