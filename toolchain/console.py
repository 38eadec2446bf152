"""What people see: narration and progress on stderr, data on stdout."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def stderr() -> "Console":
    """A console on stderr; Rich is imported only when there is something to say."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> "Console":
    """A console on stdout, for tables that a person reads."""
    from rich.console import Console

    # A pipe has no width: a table is then as wide as it needs.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def note(text: str) -> None:
    """One line of narration."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Lines(Protocol):
    """A line a task, each showing what the task does now."""

    def update(self, task: str, doing: str) -> None:
        """Says what a task does now."""

    def done(self, task: str, result: str) -> None:
        """Says how a task ended."""


@contextmanager
def live_lines(tasks: tuple[str, ...]) -> Iterator[Lines]:
    """A live line for each task on a terminal; elsewhere, a plain line when a task ends.

    Args:
        tasks: The tasks' names, in the order of their lines.
    """
    console = stderr()
    if not console.is_terminal:
        yield _Plain()
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.fields[name]}"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console, expand=True) as progress:
        width = max(map(len, tasks), default=0)
        yield _Live(progress, {task: progress.add_task("waiting", name=task.ljust(width), total=1) for task in tasks})


class _Plain:
    def update(self, task: str, doing: str) -> None:
        """A log needs no line for each thing that is done on the way."""

    def done(self, task: str, result: str) -> None:
        note(f"{task}: {result}")


class _Live:
    def __init__(self, progress: "Progress", rows: "dict[str, TaskID]") -> None:
        self._progress = progress
        self._rows = rows

    def update(self, task: str, doing: str) -> None:
        self._progress.update(self._rows[task], description=doing)

    def done(self, task: str, result: str) -> None:
        self._progress.update(self._rows[task], description=result, completed=1)
