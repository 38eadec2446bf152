"""`make bench`: prints every figure that the README quotes, and fails where a budget is missed.

python benchmarks/run.py [--rounds N] [--commands-only]
"""

import argparse
import platform
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import commands
import overhead
import shapes

from toolchain.errors import ToolchainError


def main() -> int:
    """Measures, prints, and returns the exit code: 0, or 1 where a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default: 5)")
    parser.add_argument("--commands-only", action="store_true", help="leave out all that runs jobs")
    options = parser.parse_args()

    with shapes.place() as made:
        print(f"machine: {made.machine.cores} cores, {platform.machine()}; {options.rounds} rounds, interleaved\n")
        answers = commands.measure(options.rounds)
        print("| command | median s | least | most | budget |\n| --- | --- | --- | --- | --- |")
        for one in answers:
            figures = f"{one.median:.2f} | {one.shortest:.2f} | {one.longest:.2f} | {one.budget:.2f}"
            print(f"| `build.py {one.command}` | {figures} |")
        added: list[overhead.Added] = []
        if not options.commands_only:
            added = overhead.measure(options.rounds)
            print("\n| the embedded AWS adds | median s | least | most | budget |\n| --- | --- | --- | --- | --- |")
            for figure in added:
                print(figure)
            ratios = shapes.measure(made, options.rounds)
            length, depth = sum(shapes.SEQUENCES.values()), shapes.DEPTH
            print(
                f"\nours over the original's shape, {length / 1e6:.0f} Mb at {depth}x, ours with duplicates and QC:\n"
            )
            print("| | median (least to most) |\n| --- | --- |")
            print(f"| wall | {shapes.spread(ratios.wall)} |")
            print(f"| user CPU | {shapes.spread(ratios.user)} |")
            print(f"| bytes on the scratch | {shapes.spread(ratios.written)} |")
    return 0 if all(one.within for one in answers) and all(one.within for one in added) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToolchainError as error:
        sys.exit(f"{error.details}\nerror: {error}")
