"""What a piece of work costs this machine, whoever does it: containers, the engine and this process alike."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_EVERY = 0.1  # seconds
_KIB = 1024
_HELD = ("AnonPages", "Shmem")  # what processes and tmpfs hold; the page cache goes when others need it


@dataclass(kw_only=True)
class Meter:
    """What was used; complete when its block has ended.

    Attributes:
        wall: Seconds.
        user: CPU seconds outside the kernel.
        peak: The most memory in bytes above what was held at the start.
    """

    wall: float = 0.0
    user: float = 0.0
    peak: int = 0


@contextmanager
def metered(proc: Path = _PROC) -> Iterator[Meter]:
    """Measures the whole machine during the block: it must have nothing else to do.

    Args:
        proc: What the kernel says of it.
    """
    meter = Meter()
    before = held(proc)
    ended = threading.Event()

    def sample() -> None:
        while True:
            meter.peak = max(meter.peak, held(proc) - before)
            if ended.wait(_EVERY):
                return

    thread = threading.Thread(target=sample, name="meter", daemon=True)
    user, began = user_seconds(proc), time.perf_counter()
    thread.start()
    try:
        yield meter
    finally:
        meter.wall = time.perf_counter() - began
        meter.user = user_seconds(proc) - user
        ended.set()
        thread.join()


def user_seconds(proc: Path = _PROC) -> float:
    """CPU seconds that all processes have spent outside the kernel since it started, `nice` ones included."""
    name, user, nice = (proc / "stat").read_text(encoding="ascii").split(maxsplit=3)[:3]
    if name != "cpu":
        raise ValueError(name)
    return (int(user) + int(nice)) / os.sysconf("SC_CLK_TCK")


def held(proc: Path = _PROC) -> int:
    """Bytes of memory that only processes can give back."""
    lines = (line.split(":") for line in (proc / "meminfo").read_text(encoding="ascii").splitlines())
    return sum(int(value.split()[0]) * _KIB for name, value in lines if name in _HELD)
