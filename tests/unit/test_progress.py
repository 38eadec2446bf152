"""The progress of a run, and how it is shown."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from toolchain.runs import follow as following
from toolchain.runs import progress
from toolchain.runs.executions import BatchJob, JobStatus, Run
from toolchain.workflow.plan import Job

AFTER_LANES = ("call 0", "call 1", "call 2", "gather", "qc", "check")


def planned(**samples: tuple[str, ...]) -> tuple[Job, ...]:
    """The jobs of a run with these steps of each sample."""
    return (
        Job(sample=None, step="index", tool="bwa"),
        *(Job(sample=name, step=step, tool="any") for name, steps in samples.items() for step in steps),
        Job(sample=None, step="export", tool="fsx-export"),
    )


PLANNED = planned(a=("mem L001", "mem L002", "finish", *AFTER_LANES), b=("mem L001", *AFTER_LANES))
MANY = planned(**{f"s{number:03}": ("mem L001", "call 0", "gather", "qc", "check") for number in range(200)})


def job(
    step: str, status: JobStatus, sample: str | None = "a", *, created: float = 0, exit_code: int = 0, reason: str = ""
) -> BatchJob:
    return BatchJob(
        job_id=f"{sample}-{step}-{created}",
        sample=sample,
        step=step,
        status=status,
        reason=reason,
        created=created,
        start=10.0 if status in ("RUNNING", "SUCCEEDED", "FAILED") else None,
        stop=12.5 if status in ("SUCCEEDED", "FAILED") else None,
        exit_code=exit_code,
    )


@pytest.mark.parametrize(
    ("step", "sample", "jobs", "count"),
    [
        ("mem", "a", (), "-"),
        ("mem", "a", (job("mem L001", "RUNNABLE"),), "0/2 queued 1"),
        ("mem", "a", (job("mem L001", "RUNNING"), job("mem L002", "RUNNABLE")), "0/2 running 1"),
        ("mem", "a", (job("mem L001", "SUCCEEDED"), job("mem L002", "STARTING")), "1/2 running 1"),
        ("mem", "a", (job("mem L001", "SUCCEEDED"),), "1/2"),
        ("mem", "a", (job("mem L001", "SUCCEEDED"), job("mem L002", "SUCCEEDED")), "2/2"),
        ("mem", "a", (job("mem L001", "SUCCEEDED"), job("mem L002", "FAILED")), "1/2 failed 1"),
        ("mem", "b", (job("mem L001", "SUCCEEDED"),), "-"),
        ("finish", "a", (), "-"),
        # The state machine submitted it again.
        ("finish", "a", (job("finish", "FAILED", created=1), job("finish", "RUNNING", created=2)), "running"),
    ],
)
def test_a_sample_counts_the_jobs_of_each_of_its_steps(
    step: str, sample: str, jobs: tuple[BatchJob, ...], count: str
) -> None:
    counts = {row.name: row.counts for row in progress.rows(PLANNED, jobs)}
    assert str(counts[sample][step]) == count
    assert "finish" not in counts["b"], "a sample of one lane has nothing to finish"


def run(status: str = "RUNNING", **values: Any) -> Run:  # noqa: ANN401  # fields of Run
    return Run(**{"name": "r", "arn": "", "status": status, "start": datetime.now(UTC), **values})


def shown(planned: tuple[Job, ...], jobs: tuple[BatchJob, ...], *, width: int = 80, height: int = 24) -> list[str]:
    """The lines of the table on a terminal of this size."""
    out = StringIO()
    table = following.table(run(name="20261122-195301-ab12", planned=planned), jobs, room=height - 1)
    Console(file=out, width=width, height=height).print(table)
    return out.getvalue().splitlines()


def test_a_table_shows_the_run_its_samples_by_step_and_what_runs_now() -> None:
    jobs = (job("index", "SUCCEEDED", None), job("mem L001", "SUCCEEDED"), job("mem L002", "RUNNING"))
    lines = shown(PLANNED, jobs)
    assert lines[0] == "run 20261122-195301-ab12: running, 0:00   index done   export -"
    assert lines[1].split() == ["sample", "mem", "finish", "call", "gather", "qc", "check"]
    assert "1/2 running 1" in lines[2]
    assert "0 of 2 samples done" in lines
    assert lines[-1].startswith("  a mem L002  ")
    one_lane = planned(b=("mem L001", "call 0", "gather", "check"))
    assert shown(one_lane, ())[1].split() == ["sample", "mem", "call", "gather", "check"]


def test_jobs_that_cannot_start_for_the_same_reason_are_one_line() -> None:
    reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    jobs = [job(f"call {shard}", "RUNNABLE", reason=reason) for shard in range(3)]
    jobs += [job("qc", "RUNNABLE"), job("finish", "FAILED", reason="Host EC2 terminated")]
    lines = shown(PLANNED, tuple(jobs), width=120)
    assert [line for line in lines if "cannot start" in line] == [f"  a call 0 and 2 more jobs cannot start: {reason}"]
    assert not any("Host EC2" in line for line in lines)


def test_a_table_fits_on_the_terminal_with_what_is_below_it() -> None:
    lines = shown(MANY, tuple(job("mem L001", "RUNNING", f"s{number:03}") for number in range(20)))
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "  and 12 more jobs"
    assert "0 of 200 samples done, 189 more not shown" in lines


def test_done_samples_make_room_for_the_others() -> None:
    jobs = tuple(
        job(step, "SUCCEEDED", f"s{number:03}")
        for number in range(150)
        for step in ("mem L001", "call 0", "gather", "qc", "check")
    )
    text = "\n".join(shown(MANY, jobs, width=120, height=1000))
    assert "150 of 200 samples done, 10 more not shown" in text
    assert "s149" not in text
    assert "s150" in text


def test_without_a_terminal_each_change_is_one_line() -> None:
    lines: list[str] = []
    changes = following.Changes(lines.append)
    waiting = job("mem L001", "RUNNABLE", reason="CAPACITY: none")
    running = job("mem L001", "RUNNING")
    for jobs in (
        (job("mem L001", "RUNNABLE"),),
        (waiting,),
        (waiting,),
        (running,),
        (running,),
        (job("mem L001", "FAILED", exit_code=65), job("index", "SUCCEEDED", None)),
    ):
        changes.show(run(planned=PLANNED), jobs)
    assert lines == [
        "a mem L001: cannot start: CAPACITY: none",
        "a mem L001: running",
        "a mem L001: failed with exit code 65 in 2.5 s",
        "index: done in 2.5 s",
    ]


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("SUCCEEDED", "", 0),
        ("FAILED", "BadData", 65),
        ("FAILED", "OutOfMemory", 70),
        ("FAILED", "HostLost", 75),
        ("FAILED", "States.Runtime", 70),
        ("ABORTED", "", 75),
        ("TIMED_OUT", "States.Timeout", 75),
    ],
)
def test_a_run_ends_with_the_exit_code_of_its_failure(status: str, error: str, code: int) -> None:
    assert run(status, error=error).exit_code == code


class SimulatedRuns:
    """A run that ends after so many seconds, which pass only when somebody sleeps."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.slept = 0.0
        self.listings = 0

    def find(self, name: str) -> Run:
        return run("RUNNING" if self.slept < self._seconds else "SUCCEEDED", name=name)

    def jobs(self, _: Run) -> tuple[BatchJob, ...]:
        self.listings += 1
        return ()

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.mark.parametrize("seconds", [0.0, 1.0, 60.0, 3600.0])
def test_the_end_of_a_run_is_seen_within_half_a_second_and_jobs_are_listed_less_and_less_often(seconds: float) -> None:
    runs = SimulatedRuns(seconds)
    ended = following.follow(runs, run(), sleep=runs.sleep)  # type: ignore[arg-type]  # all that is asked of it
    assert ended.status == "SUCCEEDED"
    assert runs.slept - seconds <= following.END_PAUSE
    assert runs.listings <= 2 + 10 * min(seconds, 6) + seconds / 9
