"""What people see: narration and progress on stderr, data on stdout."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text


def stderr() -> Console:
    """A console on stderr."""
    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """A console on stdout, for tables that a person reads."""
    # A pipe has no width: a table is then as wide as it needs.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


# Applied to every line of narration, in this order.
_rewriters: list[Callable[[str], str]] = []


@contextmanager
def rewriting_notes(rewrite: Callable[[str], str]) -> Iterator[None]:
    """Rewrites every line of narration until the block ends."""
    _rewriters.append(rewrite)
    try:
        yield
    finally:
        _rewriters.remove(rewrite)


def note(text: str) -> None:
    """Prints a line of narration."""
    for rewrite in _rewriters:
        text = rewrite(text)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def difference(lines: Sequence[str]) -> None:
    """Prints the lines of a `diff -u` on stdout, coloured on a terminal."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    out = stdout()
    for line in lines:
        # A line is never cut or wrapped: it may be copied.
        out.print(Text(line, style=colours.get(line[0], "")), soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class LayerProgress:
    """How much of an image's layer was sent.

    Attributes:
        name: The layer, as the engine shortens its digest.
        status: The engine's words, such as `Pushing`.
        sent: Bytes.
        total: Bytes, where the engine gives them.
    """

    name: str
    status: str
    sent: int = 0
    total: int | None = None


class TaskProgress:
    """The progress of several tasks. This one is for logs: a line when a task ends or is tried again."""

    def update(self, task: str, status: str) -> None:
        """Shows what a task does now."""

    def layer(self, task: str, layer: LayerProgress) -> None:
        """Shows how much of a layer was sent."""

    def retry(self, task: str, why: str) -> None:
        """Shows that a task waits before it is tried again."""
        note(f"{task}: {why}")

    def done(self, task: str, result: str) -> None:
        """Shows how a task ended."""
        note(f"{task}: {result}")


@contextmanager
def task_progress(tasks: Sequence[str]) -> Iterator[TaskProgress]:
    """Shows a live line for each task on a terminal, in this order; see `TaskProgress` for elsewhere."""
    console = stderr()
    if not console.is_terminal:
        yield TaskProgress()
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.fields[name]}"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console, expand=True) as progress:
        yield _LiveProgress(progress, tasks, total=1)


@contextmanager
def transfer_progress(tasks: Sequence[str]) -> Iterator[TaskProgress]:
    """Shows bars for each task and its layers on a terminal, in this order; see `TaskProgress` for elsewhere."""
    console = stderr()
    if not console.is_terminal:
        yield TaskProgress()
        return
    columns = (TextColumn("{task.fields[name]}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        yield _LiveTransfers(progress, tasks, total=None)


class _LiveProgress(TaskProgress):
    def __init__(self, progress: Progress, tasks: Sequence[str], total: int | None) -> None:
        self._progress = progress
        width = max(map(len, tasks), default=0)
        self._rows = {task: progress.add_task("waiting", name=task.ljust(width), total=total) for task in tasks}

    def update(self, task: str, status: str) -> None:
        self._progress.update(self._rows[task], description=status)

    def retry(self, task: str, why: str) -> None:
        self.update(task, why)

    def done(self, task: str, result: str) -> None:
        self._progress.update(self._rows[task], description=result, completed=1)


class _LiveTransfers(_LiveProgress):
    def __init__(self, progress: Progress, tasks: Sequence[str], total: int | None) -> None:
        super().__init__(progress, tasks, total)
        self._layers: dict[str, dict[str, tuple[TaskID, LayerProgress]]] = {task: {} for task in tasks}
        self._lock = threading.Lock()

    def layer(self, task: str, layer: LayerProgress) -> None:
        with self._lock:
            row, before = self._layers[task].get(layer.name, (None, layer))
            if row is None:
                row = self._progress.add_task("", name=f"  {layer.name}", total=layer.total)
            # The engine gives figures while it sends, and none with what it says before and after.
            layer = replace(layer, sent=layer.sent or before.sent, total=layer.total or before.total)
            self._layers[task][layer.name] = (row, layer)
            self._progress.update(row, description=layer.status.lower(), completed=layer.sent, total=layer.total)
            layers = [other for _, other in self._layers[task].values()]
            self._progress.update(
                self._rows[task],
                description="pushing",
                completed=sum(other.sent for other in layers),
                total=sum(other.total or 0 for other in layers) or None,
            )

    def done(self, task: str, result: str) -> None:
        with self._lock:
            for row, _ in self._layers.pop(task, {}).values():
                self._progress.remove_task(row)
            self.update(task, result)
            self._progress.stop_task(self._rows[task])
