"""How long `build.py` takes to answer, against its budgets."""

import subprocess
import sys
import time

from figures import Timed

from toolchain.console import note
from toolchain.paths import HERE

# Command to seconds; what a person calls at once.
BUDGETS = {"--help": 0.3, "list": 0.5, "build": 0.5, "render --local": 0.5}


def measure(rounds: int) -> tuple[Timed, ...]:
    """Runs each command in turn, so many rounds, after one that does not count."""
    times: dict[str, list[float]] = {command: [] for command in BUDGETS}
    for number in range(rounds + 1):
        for command, taken in times.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, HERE.root / "build.py", *command.split()], capture_output=True, check=True)
            if number:
                taken.append(time.perf_counter() - began)
    note(f"{rounds} rounds of commands: {sum(map(sum, times.values())):.1f} s")
    return tuple(
        Timed(what=f"build.py {command}", budget=BUDGETS[command], seconds=tuple(taken))
        for command, taken in times.items()
    )
