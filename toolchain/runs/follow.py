"""Follows a run until it ends: a live table on a terminal, a line for each change elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import ConsoleRenderable, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from toolchain.console import counted, note, stderr
from toolchain.runs.executions import BatchJob, Run, Runs
from toolchain.runs.progress import WHOLE, Row, label, rows, steps, unfinished_jobs

# Seconds between two listings of its jobs: few at first, so that a short run shows each step.
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
# Seconds between two looks at its status, a single call.
END_PAUSE = 0.5
MOST_LINES = 1000
MOST_SAMPLES = 40
FEWEST_SAMPLES = 3
MOST_JOBS = 8


Show = Callable[[Run, tuple[BatchJob, ...]], None]


def follow(runs: Runs, run: Run, *, sleep: Callable[[float], None] = time.sleep) -> Run:
    """Shows a run until it ends, and returns it as it ended."""
    pause = SHORTEST_PAUSE
    with _view() as show:
        while True:
            run = runs.find(run.name)
            show(run, runs.jobs(run))
            if run.status != "RUNNING":
                return run
            _wait(runs, run, pause, sleep)
            pause = min(pause * 1.1, LONGEST_PAUSE)


def _wait(runs: Runs, run: Run, seconds: float, sleep: Callable[[float], None]) -> None:
    """Waits, at most until the run has ended."""
    while seconds > 0:
        sleep(min(seconds, END_PAUSE))
        seconds -= END_PAUSE
        if seconds > 0 and runs.find(run.name).status != "RUNNING":
            return


@contextmanager
def _view() -> Iterator[Show]:
    console = stderr()
    if not console.is_terminal:
        yield Changes().show
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda run, jobs: live.update(table(run, jobs, room=console.size.height - 1), refresh=True)


class Changes:
    """Prints a line when a job starts or ends, or when Batch says why it cannot start."""

    _PRINTED = ("RUNNING", "SUCCEEDED", "FAILED")

    def __init__(self, say: Callable[[str], None] = note) -> None:
        self._say = say
        self._last: dict[str, str] = {}

    def show(self, _run: Run, jobs: tuple[BatchJob, ...]) -> None:
        """Prints what has changed since the last call."""
        for job in jobs:
            status = f"cannot start: {job.waits_for}" if job.waits_for else job.status
            if self._last.get(job.job_id) != status:
                self._last[job.job_id] = status
                if job.waits_for or job.status in self._PRINTED:
                    self._say(f"{label(job)}: {status if job.waits_for else describe(job)}")


def describe(job: BatchJob) -> str:
    """A job's status, how long it ran, and why it failed."""
    took = f" in {job.stop - job.start:.1f} s" if job.start and job.stop else ""
    if job.status == "FAILED":
        code = f" with exit code {job.exit_code}" if job.exit_code is not None else ""
        return f"failed{code}{took}: {job.reason}" if job.reason else f"failed{code}{took}"
    return {"SUCCEEDED": f"done{took}", "RUNNING": "running"}.get(job.status, job.status.lower())


def table(run: Run, jobs: tuple[BatchJob, ...], *, room: int = MOST_LINES) -> RenderableType:
    """A table of samples by step, the running jobs, and what the others wait for.

    Args:
        run: The run.
        jobs: Its jobs.
        room: The number of lines of the terminal.
    """
    title = Text(f"run {run.name}: {run.status.lower()}, {clock(run.seconds)}")
    if not run.planned:
        return title
    all_rows = rows(run.planned, jobs)
    whole_run = next(row for row in all_rows if row.name == WHOLE)
    samples = [row for row in all_rows if row.name != WHOLE]
    for step, count in whole_run.counts.items():
        title.append(f"   {step} ").append(str(count), style=count.style)
    # Samples that are done are only counted.
    unfinished = [row for row in samples if any(count.done < count.total for count in row.counts.values())]
    below = [*_running_lines(jobs), *_waiting_lines(jobs)]
    # The title, the header and the count of samples have a line each.
    shown = (unfinished or samples)[: min(MOST_SAMPLES, max(room - 3 - len(below), FEWEST_SAMPLES))]
    hidden = max(len(unfinished) - len(shown), 0)
    done = f"{len(samples) - len(unfinished)} of {counted(len(samples), 'sample')} done"
    caption = Text(done + (f", {hidden} more not shown" if hidden else ""), style="italic")
    # The same columns from the first table to the last, whichever samples are shown.
    return Group(title, _grid(shown, steps(samples)), caption, *below)


def _grid(shown: Sequence[Row], columns: Sequence[str]) -> Table:
    grid = Table("sample", *columns, box=None, pad_edge=False)
    for column in grid.columns:
        column.no_wrap = True
    for row in shown:
        counts = (row.counts.get(step) for step in columns)
        cells = (Text(str(count), style=count.style) if count else Text() for count in counts)
        grid.add_row(Text(row.name), *cells)
    return grid


def _running_lines(jobs: Sequence[BatchJob]) -> Iterator[ConsoleRenderable]:
    started = [job for job in unfinished_jobs(jobs) if job.start]
    for job in started[:MOST_JOBS]:
        yield Text(f"  {label(job)}  {clock(time.time() - (job.start or 0))}", style="cyan")
    if len(started) > MOST_JOBS:
        yield Text(f"  and {counted(len(started) - MOST_JOBS, 'more job')}", style="cyan")


def _waiting_lines(jobs: Sequence[BatchJob]) -> Iterator[ConsoleRenderable]:
    """A line for each reason why jobs cannot start."""
    by_reason: dict[str, list[BatchJob]] = {}
    for job in jobs:
        if job.waits_for:
            by_reason.setdefault(job.waits_for, []).append(job)
    for reason, waiting in by_reason.items():
        names = label(waiting[0]) + (f" and {counted(len(waiting) - 1, 'more job')}" if len(waiting) > 1 else "")
        yield Text(f"  {names} cannot start: {reason}", style="yellow", no_wrap=False)


def clock(seconds: float) -> str:
    """Seconds as 3:05 or 1:02:03."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
