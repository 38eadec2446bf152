"""Shows the events of a stack: on a terminal a live line a resource, else a line an event."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from toolchain.console import note, stderr
from toolchain.stacks.service import StackEvent

# Opens a display for a stack, by its short name; it is called with each event, or with a remark.
Show = Callable[[str], AbstractContextManager[Callable[[StackEvent | str], None]]]


@contextmanager
def show_lines(stack: str) -> Iterator[Callable[[StackEvent | str], None]]:
    """Shows every event: live on a terminal."""
    console = stderr()
    if not console.is_terminal:
        yield _plain(stack)
        return
    columns = (SpinnerColumn(), TextColumn("{task.fields[name]}"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        yield _live(stack, progress)


@contextmanager
def show_failures(stack: str) -> Iterator[Callable[[StackEvent | str], None]]:
    """Shows failures only: for stacks that are deployed on the way to something else."""

    def show(event: StackEvent | str) -> None:
        if isinstance(event, str):
            note(f"{stack}: {event}")
        elif event.status.endswith("_FAILED"):
            note(f"{stack}: {event.logical_id} {event.type} {event.status}: {event.reason}")

    yield show


def _plain(stack: str) -> Callable[[StackEvent | str], None]:
    statuses: dict[str, str] = {}

    def show(event: StackEvent | str) -> None:
        if isinstance(event, str):
            note(f"{stack}: {event}")
            return
        # CloudFormation reports IN_PROGRESS twice: before and after it has asked the service.
        if statuses.get(event.logical_id) == event.status:
            return
        statuses[event.logical_id] = event.status
        if not event.of_stack:
            reason = f": {event.reason}" if event.status.endswith("_FAILED") else ""
            note(f"{stack}: {event.logical_id} {event.type} {event.status}{reason}")
        elif not event.ends_operation:
            note(f"{stack}: {event.status}")

    return show


def _live(stack: str, progress: Progress) -> Callable[[StackEvent | str], None]:
    tasks: dict[str, TaskID] = {}

    def show(event: StackEvent | str) -> None:
        style = ""
        if isinstance(event, str):
            text = f"{stack}: {event}"
        else:
            name = stack if event.of_stack else f"{event.logical_id} {event.type}"
            if event.status.endswith("_IN_PROGRESS"):
                if name not in tasks:
                    tasks[name] = progress.add_task("", name=name, total=None)
                progress.update(tasks[name], description=event.status)
                return
            if name in tasks:
                progress.remove_task(tasks.pop(name))
            has_failed = event.status.endswith("_FAILED")
            style = "red" if has_failed else ""
            text = f"{name} {event.status}" + (f": {event.reason}" if has_failed and event.reason else "")
        progress.console.print(text, style=style, markup=False, soft_wrap=True)

    return show
