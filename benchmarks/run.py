"""`make bench`: measures everything, prints it, and writes docs/benchmarks.md, the README's figures and the plot.

The machine must have nothing else to do. `make bench-quick` (--quick) is a small part of it: it prints only.
"""

import argparse
import platform
import sys
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import commands
import data
import genome
import overhead
import plot
import pulls
import report
import shapes
from figures import Results
from place import Place, place

from toolchain.console import note
from toolchain.errors import ToolchainError
from toolchain.paths import HERE

QUICK = {"chr1": 1_200_000, "chr2": 800_000}
_COMMAND_ROUNDS, _QUICK_COMMAND_ROUNDS = 10, 3
_GIB = 1024


def main() -> int:
    """Measures, prints, and returns the exit code: 0, or 1 where a target or a budget is missed."""
    options = _options()
    answers = commands.measure(_QUICK_COMMAND_ROUNDS if options.quick else _COMMAND_ROUNDS)
    adds = () if options.quick else overhead.measure(options.rounds)
    with place() as made:
        results = _measured(made, options.quick, 1 if options.quick else options.rounds)
        weights = () if options.quick else pulls.measure(made.builder)
    results = replace(results, commands=answers, overhead=adds, pulls=weights)
    print(report.page(results))
    if options.into is not None:
        write(results, options.into)
    missed = [what for what, verdict in report.verdicts(results) if verdict == "missed"]
    for what in missed:
        note(f"missed: {what}")
    return 1 if missed and not options.quick else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the shapes (default: 5)")
    parser.add_argument("--quick", action="store_true", help="a small genome, one round, and nothing is written")
    parser.add_argument("--into", type=Path, help="where README.md and docs/ are written (default: this checkout)")
    options = parser.parse_args()
    if options.into is None and not options.quick:
        options.into = HERE.root
    return options


def _measured(made: Place, quick: bool, rounds: int) -> Results:  # noqa: FBT001  # as the option
    given = [data.simulated(made, QUICK if quick else genome.SEQUENCES, targets=not quick)]
    left_out: tuple[str, ...] = ()
    if data.REAL.is_dir():
        given.append(data.real(made))
    else:
        left_out = (f"real reads: no folder {data.REAL.name} (GENOMICS_TEST_DATA names the one that holds it).",)
    shapes.warm_up(made, given[-1])
    return Results(
        machine=_machine(made),
        rounds=rounds,
        data=tuple(shapes.measure(made, one, rounds) for one in given),
        left_out=left_out,
    )


def _machine(made: Place) -> dict[str, str]:
    said = made.with_stock("sh", "-c", _VERSIONS).stdout.split()
    tools = made.builder.catalog.tools.values()
    machine = made.host.machine
    return {
        "machine": f"{machine.cores} cores, {platform.machine()}, {machine.memory * 5 / 4 / _GIB:.0f} GiB,"
        f" Linux {'.'.join(platform.release().split('.')[:2])}",
        "tools": ", ".join(f"{image.name} {image.version}" for image in tools),
        "stock packages": f"bwa {said[0]}, samtools {said[1]}, bcftools {said[2]}",
    }


_VERSIONS = """
bwa 2>&1 | sed -n 's/^Version: //p'
samtools --version | sed -n '1s/samtools //p'
bcftools --version | sed -n '1s/bcftools //p'
"""


def write(results: Results, root: Path) -> None:
    """The pages' sections, and what they are made from."""
    docs = root / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "speed.json").write_text(results.dump(), encoding="utf-8")
    plot.draw(results, docs / "speed.svg")
    for page, section in (("README.md", report.summary(results)), ("docs/benchmarks.md", report.page(results))):
        text = (HERE.root / page).read_text(encoding="utf-8")
        (root / page).write_text(report.placed(text, section), encoding="utf-8")
    note(f"written: README.md, benchmarks.md, speed.json and speed.svg in {docs}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToolchainError as error:
        sys.exit(f"{error.details}\nerror: {error}")
    except KeyboardInterrupt:
        note("stopped")
        sys.exit(130)
