"""What was measured, every round of it: docs/speed.json, of which the README's section and the plot are made."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Measure = Literal["wall", "user", "peak", "written"]
Verdict = Literal["met", "within the spread", "missed"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run took: wall and user-CPU seconds, peak memory and written bytes."""

    wall: float
    user: float
    peak: int
    written: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a run, all its jobs together, as their records say.

    Attributes:
        name: Its name, such as `call`.
        jobs: How many.
        begin: Seconds from the run's start to the first one's.
        end: Seconds from the run's start to the last one's end.
        user: CPU seconds.
        system: Likewise, in the kernel.
        peak: Memory in bytes of the largest.
        read: Bytes; none where the records do not say.
        written: Likewise.
    """

    name: str
    jobs: int
    begin: float
    end: float
    user: float
    system: float
    peak: int
    read: int | None
    written: int | None


@dataclass(frozen=True, kw_only=True)
class Data:
    """Reads, and what each shape took for them.

    Attributes:
        name: Of the data set.
        title: What it is.
        targets: Whether the targets hold for it.
        costs: Shape to its rounds.
        agreement: Shape to the share of records that it has in common with the first one.
        steps: Shape to its steps in the last round, in the order in which they began.
    """

    name: str
    title: str
    targets: bool
    costs: Mapping[str, tuple[Cost, ...]]
    agreement: Mapping[str, float]
    steps: Mapping[str, tuple[Step, ...]]

    def ratios(self, measure: Measure, over: str, under: str) -> "Spread":
        """One shape's cost over another's, round by round."""
        pairs = zip(self.costs[over], self.costs[under], strict=True)
        return Spread(values=tuple(getattr(one, measure) / max(getattr(two, measure), 1e-9) for one, two in pairs))

    def of(self, shape: str, measure: Measure) -> "Spread":
        """A shape's cost, round by round."""
        return Spread(values=tuple(getattr(cost, measure) for cost in self.costs[shape]))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure of several rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def most(self) -> float:
        """The largest."""
        return max(self.values)

    def against(self, limit: float) -> Verdict:
        """Whether it keeps below a limit: missed by more than its spread is missed."""
        if self.median <= limit:
            return "met"
        return "missed" if self.least > limit else "within the spread"


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds that something took, round by round, and what they may be at the median."""

    what: str
    budget: float
    seconds: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        """Of the rounds."""
        return Spread(values=self.seconds)

    @property
    def verdict(self) -> Verdict:
        """Whether it keeps to the budget."""
        return self.spread.against(self.budget)


@dataclass(frozen=True, kw_only=True)
class Pull:
    """What a host without any layer fetches for one sample.

    Attributes:
        what: Whose images.
        shared: Compressed bytes of layers that more than one of them has.
        own: Image to the compressed bytes of the others.
    """

    what: str
    shared: int
    own: Mapping[str, int]

    @property
    def total(self) -> int:
        """Each layer once."""
        return self.shared + sum(self.own.values())


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything.

    Attributes:
        machine: What was measured on, and with what: name to value.
        rounds: Of the shapes.
        data: The data sets.
        left_out: Data sets that were not there, and why.
        commands: `build.py`'s answers.
        overhead: What the embedded AWS adds.
        pulls: Images to fetch: ours, then stock ones.
    """

    machine: Mapping[str, str]
    rounds: int
    data: tuple[Data, ...] = ()
    left_out: tuple[str, ...] = ()
    commands: tuple[Timed, ...] = ()
    overhead: tuple[Timed, ...] = ()
    pulls: tuple[Pull, ...] = ()

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(_rounded(asdict(self)), indent=1, ensure_ascii=False) + "\n"


def load(file: Path) -> Results:
    """What `dump` wrote."""
    raw = json.loads(file.read_text(encoding="utf-8"))
    return Results(
        machine=raw["machine"],
        rounds=raw["rounds"],
        data=tuple(_data(one) for one in raw["data"]),
        left_out=tuple(raw["left_out"]),
        commands=tuple(_timed(one) for one in raw["commands"]),
        overhead=tuple(_timed(one) for one in raw["overhead"]),
        pulls=tuple(Pull(**one) for one in raw["pulls"]),
    )


def _data(raw: Mapping[str, Any]) -> Data:
    costs = {shape: tuple(Cost(**cost) for cost in rounds) for shape, rounds in raw["costs"].items()}
    steps = {shape: tuple(Step(**step) for step in made) for shape, made in raw["steps"].items()}
    return Data(**{**raw, "costs": costs, "steps": steps})


def _timed(raw: Mapping[str, Any]) -> Timed:
    return Timed(**{**raw, "seconds": tuple(raw["seconds"])})


def _rounded(value: Any) -> Any:  # noqa: ANN401  # any JSON
    """No more digits than were measured."""
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list() | tuple():
            return [_rounded(one) for one in value]
    return value
