"""Turns SIGTERM, SIGINT and SIGHUP into a TerminatedError in the main thread.

They are deferred while a process or a directory is being created that cleaning up does not know of yet.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from step.errors import TerminatedError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _State:
    deferrals = 0
    pending: int | None = None


def install_handlers() -> None:
    """Makes the signals raise TerminatedError. Call it once, from the main thread."""
    _State.deferrals, _State.pending = 0, None
    for number in SIGNALS:
        signal.signal(number, _raise)


def ignore() -> None:
    """Ignores the signals from now on: the step has ended, and its exit code is decided."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defers signals until the block is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.deferrals += 1
    try:
        yield
    finally:
        _State.deferrals -= 1
        if not _State.deferrals and _State.pending is not None:
            number, _State.pending = _State.pending, None
            raise TerminatedError(number)


def _raise(number: int, _: FrameType | None) -> None:
    ignore()  # a second signal must not interrupt the cleaning up
    if _State.deferrals:
        _State.pending = number
        return
    raise TerminatedError(number)
