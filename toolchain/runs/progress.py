"""The progress of a run: its jobs counted by sample and step."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.runs.executions import ENDED, BatchJob
from toolchain.workflow.plan import Job

WHOLE = "(run)"


@dataclass(frozen=True, kw_only=True)
class Count:
    """The jobs of a step of a sample, by status.

    Attributes:
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
        if self.done == self.total:
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


def rows(planned: Sequence[Job], jobs: Sequence[BatchJob]) -> tuple[Row, ...]:
    """A row for the jobs of the whole run, and one for each sample.

    Args:
        planned: Every job of the run.
        jobs: Those that were submitted.
    """
    submitted = latest(jobs)
    by_step: dict[tuple[str | None, str], list[str | None]] = {}
    for job in planned:
        batch_job = submitted.get((job.sample, job.step))
        by_step.setdefault((job.sample, job.step.split()[0]), []).append(batch_job.status if batch_job else None)
    counts: dict[str | None, dict[str, Count]] = {}
    for (sample, step), statuses in by_step.items():
        counts.setdefault(sample, {})[step] = Count(
            total=len(statuses),
            done=statuses.count("SUCCEEDED"),
            failed=statuses.count("FAILED"),
            running=statuses.count("RUNNING") + statuses.count("STARTING"),
            waiting=sum(statuses.count(status) for status in ("SUBMITTED", "PENDING", "RUNNABLE")),
        )
    return tuple(Row(name=sample or WHOLE, counts=sample_counts) for sample, sample_counts in counts.items())


def steps(samples: Sequence[Row]) -> tuple[str, ...]:
    """The steps that any sample has, in the order of the sample that has most."""
    by_length = sorted(samples, key=lambda row: len(row.counts), reverse=True)
    return tuple(dict.fromkeys(step for row in by_length for step in row.counts))


def unfinished_jobs(jobs: Sequence[BatchJob]) -> tuple[BatchJob, ...]:
    """The jobs that have not ended."""
    return tuple(job for job in jobs if job.status not in ENDED)


def label(job: BatchJob) -> str:
    """The name of a job for people."""
    name = f"{job.sample} {job.step}" if job.sample else job.step
    return name if job.submission == 1 else f"{name}, try {job.submission}"
