"""What happens to a stack's resources, as it happens.

On a terminal, what goes on has a live line each, and what has ended a line that stays; elsewhere each event is a line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from toolchain.console import note, stderr
from toolchain.stacks.service import Event

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Lines(Protocol):
    """Shows events."""

    def show(self, event: Event) -> None:
        """Shows one."""

    def say(self, text: str) -> None:
        """Says something that is no event."""


@contextmanager
def lines(stack: str) -> Iterator[Lines]:
    """Lines for the resources of a stack.

    Args:
        stack: Its short name.
    """
    console = stderr()
    if not console.is_terminal:
        yield _Plain(stack)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.fields[name]}"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        yield _Live(progress, stack)


@contextmanager
def quiet(stack: str) -> Iterator[Lines]:
    """Shows what fails, and nothing else: for stacks that are made on the way to something else."""
    yield _Quiet(stack)


class _Quiet:
    def __init__(self, stack: str) -> None:
        self._stack = stack

    def show(self, event: Event) -> None:
        if event.status.endswith("_FAILED"):
            note(f"{self._stack}: {event.logical_id} {event.type} {event.status}: {event.reason}")

    def say(self, text: str) -> None:
        note(f"{self._stack}: {text}")


class _Plain:
    def __init__(self, stack: str) -> None:
        self._stack = stack
        self._last: dict[str, str] = {}

    def show(self, event: Event) -> None:
        # CloudFormation says IN_PROGRESS twice: when it begins, and when it has begun.
        if self._last.get(event.logical_id) == event.status:
            return
        self._last[event.logical_id] = event.status
        if not event.of_stack:
            failed = f": {event.reason}" if event.status.endswith("_FAILED") else ""
            note(f"{self._stack}: {event.logical_id} {event.type} {event.status}{failed}")
        elif not event.ends:
            note(f"{self._stack}: {event.status}")

    def say(self, text: str) -> None:
        note(f"{self._stack}: {text}")


class _Live:
    def __init__(self, progress: "Progress", stack: str) -> None:
        self._progress = progress
        self._stack = stack
        self._rows: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        name = self._stack if event.of_stack else f"{event.logical_id} {event.type}"
        if event.status.endswith("_IN_PROGRESS"):
            if name not in self._rows:
                self._rows[name] = self._progress.add_task("", name=name, total=None)
            self._progress.update(self._rows[name], description=event.status)
            return
        if name in self._rows:
            self._progress.remove_task(self._rows.pop(name))
        failed = event.status.endswith("_FAILED")
        reason = f": {event.reason}" if failed and event.reason else ""
        self._print(f"{name} {event.status}{reason}", style="red" if failed else "")

    def say(self, text: str) -> None:
        self._print(f"{self._stack}: {text}")

    def _print(self, text: str, *, style: str = "") -> None:
        self._progress.console.print(text, style=style, markup=False, soft_wrap=True)
