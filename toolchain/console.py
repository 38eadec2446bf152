"""What people see: narration and progress on stderr, data on stdout."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from toolchain.docker.engine import Layer


def stderr() -> "Console":
    """A console on stderr; Rich is imported only when there is something to say."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> "Console":
    """A console on stdout, for tables that a person reads."""
    from rich.console import Console

    # A pipe has no width: a table is then as wide as it needs.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


# What is done to every line of narration, the latest last.
_changes: list[Callable[[str], str]] = []


@contextmanager
def said_as(change: Callable[[str], str]) -> Iterator[None]:
    """Changes every line of narration until the block ends."""
    _changes.append(change)
    try:
        yield
    finally:
        _changes.remove(change)


def note(text: str) -> None:
    """One line of narration."""
    for change in _changes:
        text = change(text)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def counted(number: int, noun: str) -> str:
    """So many of something: `1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def difference(lines: Sequence[str]) -> None:
    """Prints the lines of a `diff -u` on stdout, coloured on a terminal."""
    from rich.text import Text

    colours = {"+": "green", "-": "red", "@": "cyan"}
    out = stdout()
    for line in lines:
        # A line is never cut or wrapped: it may be copied.
        out.print(Text(line, style=colours.get(line[0], "")), soft_wrap=True)


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


class Transfers(Protocol):
    """A line a task, and beneath it a line for each of its layers that is sent."""

    def layer(self, task: str, layer: "Layer") -> None:
        """Says how far a layer has come."""

    def waiting(self, task: str, why: str) -> None:
        """Says that a task is tried again, and why."""

    def done(self, task: str, result: str) -> None:
        """Says how a task ended."""


@contextmanager
def transfers(tasks: tuple[str, ...]) -> Iterator[Transfers]:
    """Live bars for what is sent on a terminal; elsewhere, a plain line when a task ends or is tried again.

    Args:
        tasks: The tasks' names, in the order of their lines.
    """
    console = stderr()
    if not console.is_terminal:
        yield _PlainTransfers()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.fields[name]}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        yield _LiveTransfers(progress, tasks)


class _PlainTransfers:
    def layer(self, task: str, layer: "Layer") -> None:
        """A log needs no line for each piece that is sent."""

    def waiting(self, task: str, why: str) -> None:
        note(f"{task}: {why}")

    def done(self, task: str, result: str) -> None:
        note(f"{task}: {result}")


class _LiveTransfers:
    def __init__(self, progress: "Progress", tasks: tuple[str, ...]) -> None:
        self._progress = progress
        self._rows = {task: progress.add_task("waiting", name=task, total=None) for task in tasks}
        self._layers: dict[str, dict[str, tuple[TaskID, Layer]]] = {task: {} for task in tasks}
        self._lock = threading.Lock()

    def layer(self, task: str, layer: "Layer") -> None:
        with self._lock:
            row, before = self._layers[task].get(layer.name, (None, None))
            if row is None:
                row = self._progress.add_task("", name=f"  {layer.name}", total=layer.total)
            # The engine gives figures while it sends, and none with what it says before and after.
            total = layer.total or (before.total if before else None)
            sent = layer.sent or (before.sent if before else 0)
            self._layers[task][layer.name] = (row, replace(layer, sent=sent, total=total))
            self._progress.update(row, description=layer.doing.lower(), completed=sent, total=total)
            layers = [one for _, one in self._layers[task].values()]
            self._progress.update(
                self._rows[task],
                description="pushing",
                completed=sum(one.sent for one in layers),
                total=sum(one.total or 0 for one in layers) or None,
            )

    def waiting(self, task: str, why: str) -> None:
        self._progress.update(self._rows[task], description=why)

    def done(self, task: str, result: str) -> None:
        with self._lock:
            for row, _ in self._layers.pop(task, {}).values():
                self._progress.remove_task(row)
            self._progress.update(self._rows[task], description=result)
            self._progress.stop_task(self._rows[task])


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
