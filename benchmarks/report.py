"""The measurements as tables: three figures for the README; all, with targets and verdicts, for docs/benchmarks.md."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from figures import Data, Measure, Pull, Results, Spread, Step, Timed, Verdict

BEGIN: Final = "<!-- bench: written by make bench -->"
END: Final = "<!-- end of bench -->"
MB: Final = 1_000_000
_UNITS: Final[dict[Measure, str]] = {
    "wall": "wall, s",
    "user": "user CPU, s",
    "peak": "peak memory, MB",
    "written": "bytes written, MB",
}
_NAMES: Final[dict[Measure, str]] = {
    "wall": "wall",
    "user": "user CPU",
    "peak": "peak memory",
    "written": "bytes written",
}
ORIGINAL, SCRIPT, SAME, OURS = "linear", "pipeline", "ours, same work", "ours"
_PAIRS: Final = ((SAME, ORIGINAL), (SAME, SCRIPT), (OURS, ORIGINAL))
_MEANING: Final = f"""\
`{ORIGINAL}` runs the stock tools one after the other; `{SCRIPT}` is a script that streams and calls in parallel.
Both run in one container of stock Debian packages. `{SAME}` and `{OURS}` go through the state machine in the embedded
AWS, from StartExecution until the export is done: the first without duplicate marking and QC, like the scripts, the
second with both. Time, CPU and memory are those of the whole machine, with the engine and the embedded AWS. In each
round all shapes take the same reads, in turn; figures are medians."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one shape may cost of another's."""

    over: str
    under: str
    measure: Measure
    most: float


TARGETS: Final = (
    Target(over=SAME, under=ORIGINAL, measure="wall", most=0.38),
    Target(over=SAME, under=SCRIPT, measure="wall", most=0.60),
    Target(over=OURS, under=ORIGINAL, measure="wall", most=0.48),
    Target(over=SAME, under=ORIGINAL, measure="written", most=0.25),
    Target(over=OURS, under=ORIGINAL, measure="written", most=0.25),
)


def verdicts(results: Results) -> Iterator[tuple[str, Verdict]]:
    """Each target and budget, and how it did."""
    for data in results.data:
        if data.targets:
            for target in TARGETS:
                ratios = data.ratios(target.measure, target.over, target.under)
                what = f"{data.name}: {target.over} / {target.under}, {_NAMES[target.measure]}"
                yield what, ratios.against(target.most)
    for timed in (*results.commands, *results.overhead):
        yield timed.what, timed.verdict


def summary(results: Results) -> str:
    """The README's table: three figures of the data set for which targets hold."""
    data = next(data for data in results.data if data.targets)
    head = [data.title, "stock tools in turn", "this workflow, same work", "ratio"]
    rows = []
    for measure in ("wall", "user", "written"):
        stock, ours = (_medians(data, measure)[list(data.costs).index(shape)] for shape in (ORIGINAL, SAME))
        rows.append([_UNITS[measure], stock, ours, f"{data.ratios(measure, SAME, ORIGINAL).median:.2f}"])
    return _table(head, rows)


def page(results: Results) -> str:
    """The tables of docs/benchmarks.md."""
    parts = [f"Rounds: {results.rounds}, all shapes in each. {_machine(results)}"]
    if results.data:
        parts += ["![Wall time by shape](speed.svg)", _MEANING]
    for data in results.data:
        parts += _of_data(data)
    parts += [f"Left out: {why}" for why in results.left_out]
    if results.commands:
        parts.append(_timed("command", results.commands))
    if results.overhead:
        parts.append(_timed("the embedded AWS adds", results.overhead))
    if results.pulls:
        parts += _pulls(results.pulls)
    return "\n\n".join(parts)


def placed(text: str, section: str) -> str:
    """A page with another section between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(BEGIN)
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def _machine(results: Results) -> str:
    return "; ".join(f"{name}: {value}" for name, value in results.machine.items()) + "."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _of_data(data: Data) -> Iterator[str]:
    yield f"**{data.title[0].upper()}{data.title[1:]}**"
    if not data.targets:
        yield "Too small for the targets: starting the jobs takes a large part of the time."
    yield _table(["", *data.costs], [[name, *_medians(data, measure)] for measure, name in _UNITS.items()])
    yield _table(
        ["ratio, median (least to most)", *(f"{over} / {under}" for over, under in _PAIRS)],
        [[name, *(_ratio(data, measure, *pair) for pair in _PAIRS)] for measure, name in _NAMES.items()],
    )
    shares = ", ".join(f"{share:.2%} of those of `{name}`" for name, share in data.agreement.items())
    yield f"`{ORIGINAL}` called the same records as the others: {shares}."
    if OURS in data.steps:
        yield f"Where the time goes: the steps of `{OURS}` in the last round, from their records."
        yield _steps(data.steps[OURS])


def _medians(data: Data, measure: Measure) -> list[str]:
    values = (data.of(shape, measure).median for shape in data.costs)
    return [f"{value:.1f}" if measure in ("wall", "user") else f"{value / MB:.0f}" for value in values]


def _ratio(data: Data, measure: Measure, over: str, under: str) -> str:
    ratios = data.ratios(measure, over, under)
    text = _spread(ratios)
    for target in TARGETS if data.targets else ():
        if (target.over, target.under, target.measure) == (over, under, measure):
            text += f"; target {target.most:.2f}: {ratios.against(target.most)}"
    return text


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.least:.2f} to {spread.most:.2f})"


def _steps(steps: Sequence[Step]) -> str:
    head = ("step", "jobs", "from s", "to s", "user s", "system s", "peak MB", "read from disk, MB", "written, MB")
    rows = [
        (
            step.name,
            str(step.jobs),
            f"{step.begin:.1f}",
            f"{step.end:.1f}",
            f"{step.user:.1f}",
            f"{step.system:.1f}",
            f"{step.peak / MB:.0f}",
            _megabytes(step.read),
            _megabytes(step.written),
        )
        for step in steps
    ]
    return _table(head, rows)


def _megabytes(size: int | None) -> str:
    return "not recorded" if size is None else f"{size / MB:.0f}"


def _timed(what: str, rows: Sequence[Timed]) -> str:
    return _table(
        [what, "median s", "least", "most", "budget", ""],
        [
            [
                f"`{one.what}`" if one.what.startswith("build.py") else one.what,
                *(f"{value:.2f}" for value in (one.spread.median, one.spread.least, one.spread.most, one.budget)),
                one.verdict,
            ]
            for one in rows
        ],
    )


def _pulls(pulls: Sequence[Pull]) -> Iterator[str]:
    yield (
        "Compressed MB that a host without any layer pulls for one sample, an image for each tool. The stock images"
        " are Debian slim with the tool's packages; Debian is what they share:"
    )
    rows = [
        (
            one.what,
            f"{one.shared / MB:.1f}",
            ", ".join(f"{name} {size / MB:.1f}" for name, size in one.own.items()),
            f"{one.total / MB:.1f}",
        )
        for one in pulls
    ]
    yield _table(("images", "shared MB", "own MB", "together MB"), rows)
