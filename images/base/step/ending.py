"""The signals that end a step.

They are raised in the main thread as ToldToEndError, wherever it stands. Where a process or a directory would be left
behind of which nobody knows yet, they wait.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from step.errors import ToldToEndError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _State:
    holds = 0
    told: int | None = None


def heed() -> None:
    """Has the signals end this process by ToldToEndError. For the main thread, once."""
    _State.holds, _State.told = 0, None
    for number in SIGNALS:
        signal.signal(number, _end)


def over() -> None:
    """Has the signals change nothing any more: the step has ended, and its exit code stands."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Lets signals wait until the block is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
        if not _State.holds and _State.told is not None:
            number, _State.told = _State.told, None
            raise ToldToEndError(number)


def _end(number: int, _: FrameType | None) -> None:
    over()  # what ends the step is not to be ended itself, half-way through its cleaning up
    if _State.holds:
        _State.told = number
        return
    raise ToldToEndError(number)
