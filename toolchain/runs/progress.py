"""How far a run is: samples by step, counted from its jobs."""

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
    """One step of one sample.

    Attributes:
        total: Its jobs; none where the sample has no such step.
        done: Those that succeeded.
        running: Those that have a host.
        waiting: Those that were submitted and have none yet.
        failed: Those that failed for good, or will be tried again by the state machine.
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
        """The colour in which a person sees it."""
        if self.total and self.done == self.total:
            return "green"
        if self.failed:
            return "red"
        return "cyan" if self.running else "dim"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sample, or the whole run's own jobs: each of their steps, or those that a sample of the workflow may have."""

    name: str
    counts: dict[str, Count]


def latest(jobs: Sequence[BatchJob]) -> dict[tuple[str | None, str], BatchJob]:
    """Sample and step to their job: the last one, where the state machine submitted several."""
    return {(job.sample, job.step): job for job in sorted(jobs, key=lambda job: job.created)}


def rows(order: RunInput, jobs: Sequence[BatchJob]) -> tuple[Row, ...]:
    """A row for the whole run's own jobs, and one for each sample."""
    by_place = latest(jobs)
    counts: dict[str | None, dict[str, Count]] = {}
    planned: dict[tuple[str | None, str], list[BatchJob | None]] = {}
    for job in order.jobs():
        key = (job.sample, job.step.split()[0])
        planned.setdefault(key, []).append(by_place.get((job.sample, job.step)))
    for (sample, step), those in planned.items():
        statuses = [one.status if one else None for one in those]
        counts.setdefault(sample, {})[step] = Count(
            total=len(those),
            done=statuses.count("SUCCEEDED"),
            failed=statuses.count("FAILED"),
            running=statuses.count("RUNNING") + statuses.count("STARTING"),
            waiting=sum(statuses.count(one) for one in ("SUBMITTED", "PENDING", "RUNNABLE")),
        )
    nothing = dict.fromkeys(STEPS, Count(total=0))
    return tuple(
        Row(name=sample or WHOLE, counts=own if sample is None else nothing | own) for sample, own in counts.items()
    )


def running(jobs: Sequence[BatchJob]) -> tuple[BatchJob, ...]:
    """The jobs that have not ended."""
    return tuple(job for job in jobs if job.status not in ENDED)


def label(job: BatchJob) -> str:
    """A job as a person calls it."""
    return f"{job.sample} {job.step}" if job.sample else job.step
