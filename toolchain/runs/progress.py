"""The progress of a run: its jobs counted by sample and step."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.runs.executions import ENDED, BatchJob
from toolchain.workflow.run_input import RunInput

# The columns of the table: the first word of a step's name.
STEPS = ("mem", "finish", "call", "gather", "qc", "check")
WHOLE = "(run)"
WHOLE_STEPS = ("index", "export")


@dataclass(frozen=True, kw_only=True)
class Count:
    """The jobs of a step of a sample, by status.

    Attributes:
        total: 0 if the sample has no such step.
        done: Succeeded.
        running: Starting or running on a host.
        waiting: Submitted, without a host.
        failed: Failed for good, or to be tried again by the state machine.
    """

    total: int
    done: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0

    def __str__(self) -> str:
        if self.total == 0:
            return ""
        if self.done == self.total:
            return "done" if self.total == 1 else f"{self.done}/{self.total}"
        if self.failed:
            return "failed" if self.total == 1 else f"{self.done}/{self.total} failed {self.failed}"
        if self.running:
            return "running" if self.total == 1 else f"{self.done}/{self.total} running {self.running}"
        if self.waiting:
            return "queued" if self.total == 1 else f"{self.done}/{self.total} queued {self.waiting}"
        return "-" if self.total == 1 or not self.done else f"{self.done}/{self.total}"

    @property
    def style(self) -> str:
        """Its colour."""
        if self.total and self.done == self.total:
            return "green"
        if self.failed:
            return "red"
        return "cyan" if self.running else "dim"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The counts of a sample, or of the jobs of the whole run, by step."""

    name: str
    counts: dict[str, Count]


def latest(jobs: Sequence[BatchJob]) -> dict[tuple[str | None, str], BatchJob]:
    """Sample and step to their job; the last one where the state machine submitted several."""
    return {(job.sample, job.step): job for job in sorted(jobs, key=lambda job: job.created)}


def rows(run_input: RunInput, jobs: Sequence[BatchJob]) -> tuple[Row, ...]:
    """A row for the jobs of the whole run, and one for each sample."""
    submitted = latest(jobs)
    planned: dict[tuple[str | None, str], list[str | None]] = {}
    for job in run_input.jobs():
        batch_job = submitted.get((job.sample, job.step))
        planned.setdefault((job.sample, job.step.split()[0]), []).append(batch_job.status if batch_job else None)
    counts: dict[str | None, dict[str, Count]] = {}
    for (sample, step), statuses in planned.items():
        counts.setdefault(sample, {})[step] = Count(
            total=len(statuses),
            done=statuses.count("SUCCEEDED"),
            failed=statuses.count("FAILED"),
            running=statuses.count("RUNNING") + statuses.count("STARTING"),
            waiting=sum(statuses.count(status) for status in ("SUBMITTED", "PENDING", "RUNNABLE")),
        )
    no_jobs = dict.fromkeys(STEPS, Count(total=0))
    return tuple(
        Row(name=sample or WHOLE, counts=by_step if sample is None else no_jobs | by_step)
        for sample, by_step in counts.items()
    )


def unfinished_jobs(jobs: Sequence[BatchJob]) -> tuple[BatchJob, ...]:
    """The jobs that have not ended."""
    return tuple(job for job in jobs if job.status not in ENDED)


def label(job: BatchJob) -> str:
    """The name of a job for people."""
    return f"{job.sample} {job.step}" if job.sample else job.step
