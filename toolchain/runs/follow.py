"""Following a run until it ends: a live table on a terminal, a line a change elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from toolchain.console import counted, note, stderr
from toolchain.runs.executions import BatchJob, Run, Runs
from toolchain.runs.progress import STEPS, WHOLE, WHOLE_STEPS, Row, label, rows, running

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable, RenderableType
    from rich.table import Table

# Between two looks: short at first, so that a short run shows each step, and never more than Batch likes.
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
# Between two looks whether it has ended, which is one call however many jobs there are.
END_PAUSE = 0.5
# What does not fit on a terminal is cut off at its end.
MOST_LINES = 1000
MOST_SAMPLES = 40
FEWEST_SAMPLES = 3
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
            _wait(runs, run, pause, sleep)
            pause = min(pause * 1.1, LONGEST_PAUSE)


def _wait(runs: Runs, run: Run, seconds: float, sleep: Callable[[float], None]) -> None:
    """Waits for so long, or until the run has ended."""
    while seconds > 0:
        sleep(min(seconds, END_PAUSE))
        seconds -= END_PAUSE
        if seconds > 0 and runs.find(run.name).status != "RUNNING":
            return


def _view() -> AbstractContextManager[View]:
    return _live() if stderr().is_terminal else _plain()


@contextmanager
def _live() -> Iterator[View]:
    from rich.live import Live

    console = stderr()

    class Shown:
        def show(self, run: Run, jobs: tuple[BatchJob, ...]) -> None:
            live.update(table(run, jobs, room=console.size.height - 1), refresh=True)

    with Live(console=console, auto_refresh=False) as live:
        yield Shown()


@contextmanager
def _plain() -> Iterator[View]:
    yield Changes()


class Changes:
    """A line whenever a job's status changes to one that a person waits for, or Batch says why it waits."""

    _SAID = ("RUNNING", "SUCCEEDED", "FAILED")

    def __init__(self, say: Callable[[str], None] = note) -> None:
        self._say = say
        self._last: dict[str, str] = {}

    def show(self, run: Run, jobs: tuple[BatchJob, ...]) -> None:  # noqa: ARG002  # as every view
        """Says what has changed since the last time."""
        for job in jobs:
            told = f"cannot start: {job.waits_for}" if job.waits_for else job.status
            if self._last.get(job.job_id) != told:
                self._last[job.job_id] = told
                if job.waits_for or job.status in self._SAID:
                    self._say(f"{label(job)}: {told if job.waits_for else described(job)}")


def described(job: BatchJob) -> str:
    """A job's status, with how long it ran and why it failed."""
    took = f" in {job.stop - job.start:.1f} s" if job.start and job.stop else ""
    if job.status == "FAILED":
        code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
        return f"failed{code}{took}: {job.reason}" if job.reason else f"failed{code}{took}"
    return {"SUCCEEDED": f"done{took}", "RUNNING": "running"}.get(job.status, job.status.lower())


def table(run: Run, jobs: tuple[BatchJob, ...], *, room: int = MOST_LINES) -> "RenderableType":
    """Samples by step, the jobs that run now, and what the others wait for.

    Args:
        run: The run.
        jobs: Its jobs.
        room: How many lines there are.
    """
    from rich.console import Group
    from rich.text import Text

    if run.order is None:
        return Text(f"run {run.name}: {run.status.lower()}, {clock(run.seconds)}")
    all_rows = rows(run.order, jobs)
    whole = next(row for row in all_rows if row.name == WHOLE)
    samples = [row for row in all_rows if row.name != WHOLE]
    title = Text(f"run {run.name}: {run.status.lower()}, {clock(run.seconds)}")
    for step in WHOLE_STEPS:
        title.append(f"   {step} ").append(str(whole.counts[step]), style=whole.counts[step].style)
    # Those that somebody waits for are shown; those that are done are counted.
    open_ones = [row for row in samples if any(count.done < count.total for count in row.counts.values())]
    below = [*_running(jobs), *_waiting(jobs)]
    # The title, the columns' names and the count of samples have a line each.
    shown = (open_ones or samples)[: min(MOST_SAMPLES, max(room - 3 - len(below), FEWEST_SAMPLES))]
    hidden = max(len(open_ones) - len(shown), 0)
    done = f"{len(samples) - len(open_ones)} of {counted(len(samples), 'sample')} done"
    caption = Text(done + (f", {hidden} more not shown" if hidden else ""), style="italic")
    # As many columns from the first look to the last, whichever samples are shown.
    steps = tuple(step for step in STEPS if any(row.counts[step].total for row in samples))
    return Group(title, _grid(shown, steps), caption, *below)


def _grid(shown: Sequence[Row], steps: Sequence[str]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    grid = Table("sample", *steps, box=None, pad_edge=False)
    for column in grid.columns:
        column.no_wrap = True
    for row in shown:
        cells = (Text(str(row.counts[step]), style=row.counts[step].style) for step in steps)
        grid.add_row(Text(row.name), *cells)
    return grid


def _running(jobs: Sequence[BatchJob]) -> "Iterator[ConsoleRenderable]":
    from rich.text import Text

    now = [job for job in running(jobs) if job.start]
    for job in now[:MOST_JOBS]:
        yield Text(f"  {label(job)}  {clock(time.time() - (job.start or 0))}", style="cyan")
    if len(now) > MOST_JOBS:
        yield Text(f"  and {counted(len(now) - MOST_JOBS, 'more job')}", style="cyan")


def _waiting(jobs: Sequence[BatchJob]) -> "Iterator[ConsoleRenderable]":
    """A line for each reason for which Batch says that jobs wait."""
    from rich.text import Text

    reasons: dict[str, list[BatchJob]] = {}
    for job in jobs:
        if job.waits_for:
            reasons.setdefault(job.waits_for, []).append(job)
    for reason, those in reasons.items():
        who = label(those[0]) + (f" and {counted(len(those) - 1, 'more job')}" if len(those) > 1 else "")
        yield Text(f"  {who} cannot start: {reason}", style="yellow", no_wrap=False)


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 3:05, or 1:02:03."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
