"""How long `build.py` takes to answer, against its budgets."""

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from toolchain.paths import HERE

# Command to seconds; what a person calls at once.
BUDGETS = {"--help": 0.2, "list": 0.5, "build": 0.5, "render --local": 1.0}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How long a command took: the median, the shortest and the longest, in seconds."""

    command: str
    budget: float
    median: float
    shortest: float
    longest: float

    @property
    def within(self) -> bool:
        """Whether the median keeps to the budget."""
        return self.median <= self.budget


def measure(rounds: int) -> list[Answer]:
    """Runs each command in turn, so many rounds, after one that does not count."""
    times: dict[str, list[float]] = {command: [] for command in BUDGETS}
    for number in range(rounds + 1):
        for command, taken in times.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, HERE.root / "build.py", *command.split()], capture_output=True, check=True)
            if number:
                taken.append(time.perf_counter() - began)
    return [
        Answer(
            command=command,
            budget=BUDGETS[command],
            median=statistics.median(taken),
            shortest=min(taken),
            longest=max(taken),
        )
        for command, taken in times.items()
    ]
