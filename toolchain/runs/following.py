"""Following a run until it ends: a live table on a terminal, a line a change elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from toolchain.console import note, stderr
from toolchain.runs.executions import BatchJob, Run, Runs
from toolchain.runs.progress import STEPS, WHOLE, WHOLE_STEPS, label, rows, running

if TYPE_CHECKING:
    from rich.console import RenderableType

# Between two looks: short at first, so that a short run shows each step, and never more than Batch likes.
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
MOST_SAMPLES = 40
MOST_JOBS = 8


class View(Protocol):
    """What shows a run."""

    def show(self, run: Run, jobs: tuple[BatchJob, ...]) -> None:
        """Shows how far it is now."""


def follow(runs: Runs, run: Run, *, sleep: Callable[[float], None] = time.sleep) -> Run:
    """Follows a run until it ends.

    Args:
        runs: Where it is.
        run: It.
        sleep: Waits for so many seconds.

    Returns:
        The run as it ended.
    """
    pause = SHORTEST_PAUSE
    with _view() as view:
        while True:
            run = runs.find(run.name)
            view.show(run, runs.jobs(run))
            if run.status != "RUNNING":
                return run
            sleep(pause)
            pause = min(pause * 1.1, LONGEST_PAUSE)


def _view() -> AbstractContextManager[View]:
    return _live() if stderr().is_terminal else _plain()


@contextmanager
def _live() -> Iterator[View]:
    from rich.live import Live

    class Table:
        def show(self, run: Run, jobs: tuple[BatchJob, ...]) -> None:
            live.update(table(run, jobs), refresh=True)

    with Live(console=stderr(), auto_refresh=False) as live:
        yield Table()


@contextmanager
def _plain() -> Iterator[View]:
    yield Changes()


class Changes:
    """A line whenever a job's status changes to one that a person waits for."""

    _SAID = ("RUNNING", "SUCCEEDED", "FAILED")

    def __init__(self, say: Callable[[str], None] = note) -> None:
        self._say = say
        self._last: dict[str, str] = {}

    def show(self, run: Run, jobs: tuple[BatchJob, ...]) -> None:  # noqa: ARG002  # as every view
        """Says what has changed since the last time."""
        for job in jobs:
            if self._last.get(job.job_id) != job.status:
                self._last[job.job_id] = job.status
                if job.status in self._SAID:
                    self._say(f"{label(job)}: {described(job)}")


def described(job: BatchJob) -> str:
    """A job's status, with how long it ran and why it failed."""
    took = f" in {job.stop - job.start:.1f} s" if job.start and job.stop else ""
    if job.status == "FAILED":
        code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
        return f"failed{code}{took}: {job.reason}" if job.reason else f"failed{code}{took}"
    return {"SUCCEEDED": f"done{took}", "RUNNING": "running"}.get(job.status, job.status.lower())


def table(run: Run, jobs: tuple[BatchJob, ...]) -> "RenderableType":
    """Samples by step, and the jobs that run now."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if run.order is None:
        return Text(run.name)
    all_rows = rows(run.order, jobs)
    whole = next(row for row in all_rows if row.name == WHOLE)
    samples = [row for row in all_rows if row.name != WHOLE]
    # Those that somebody waits for are shown; those that are done are counted.
    open_ones = [row for row in samples if any(count.done < count.total for count in row.counts.values())]
    shown = (open_ones or samples)[:MOST_SAMPLES]
    title = Text(f"run {run.name}: {run.status.lower()}, {clock(run.seconds)}")
    for step in WHOLE_STEPS:
        title.append(f"   {step} ").append(str(whole.counts[step]), style=whole.counts[step].style)
    grid = Table("sample", *STEPS, title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    grid.columns[0].no_wrap = True
    for row in shown:
        cells = [Text(str(row.counts[step]), style=row.counts[step].style) for step in STEPS]
        grid.add_row(row.name, *cells)
    done = len(samples) - len(open_ones)
    hidden = len(open_ones) - len(shown) if open_ones else 0
    grid.caption = f"{done} of {len(samples)} samples done" + (f", {hidden} more not shown" if hidden > 0 else "")
    now = [job for job in running(jobs) if job.start][:MOST_JOBS]
    lines = [Text(f"  {label(job)}  {clock(time.time() - (job.start or 0))}", style="cyan") for job in now]
    return Group(grid, *lines)


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 3:05, or 1:02:03."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
