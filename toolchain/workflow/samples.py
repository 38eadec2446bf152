"""Samples and their lanes, as steps name them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from toolchain.errors import WrongUsageError

Skip = Literal["duplicates", "qc"]
# What a run may do without, in the order in which steps are told so.
SKIPS: tuple[Skip, ...] = get_args(Skip)
LONGEST_NAME = 64
RESERVED = frozenset({"steps"})
# What images/base/step takes, said before anything is started.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", flags=re.ASCII)

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+=@-]*", flags=re.ASCII)
LONGEST_PATH = 1024


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One lane's FASTQ pair.

    Attributes:
        name: Unique among the sample's lanes.
        r1: First reads, as a path below /scratch/data.
        r2: Second reads, likewise.
        library: LB of the read group; the sample's name if none.
        unit: PU of the read group; from the first read's name if none.
    """

    name: str
    r1: str
    r2: str
    library: str | None = None
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample and its lanes."""

    name: str
    lanes: tuple[Lane, ...]

    @property
    def is_finished_by_its_lane(self) -> bool:
        """Whether the step that aligns its only lane finishes it too, so that there is no step `finish`."""
        return len(self.lanes) == 1


def in_order(skip: Collection[str]) -> tuple[Skip, ...]:
    """What is done without, each once and in the order in which steps are told so."""
    return tuple(one for one in SKIPS if one in skip)


def skipping(skip: Collection[Skip]) -> str:
    """What is done without, as steps take it; `-` for nothing."""
    return ",".join(in_order(skip)) or "-"


def check_name(what: str, name: str) -> str:
    """A name that steps take.

    Raises:
        WrongUsageError: It has another character, or too many.
    """
    if not _NAME.fullmatch(name):
        raise WrongUsageError(
            f"bad {what} {name!r:.100}",
            why="only letters, digits, '.', '_' and '-' may be in it, the first a letter or digit",
            fix="Rename it.",
        )
    if len(name) > LONGEST_NAME:
        raise WrongUsageError(
            f"bad {what} '{name:.60}...'",
            why=f"it has {len(name)} characters, {LONGEST_NAME} are allowed",
            fix="Shorten it.",
        )
    return name


def check_sample(name: str) -> str:
    """A sample's name: it is a directory of the run, in which some names have their meaning already.

    Raises:
        WrongUsageError: It is none that steps take.
    """
    if check_name("sample name", name) in RESERVED:
        raise WrongUsageError(
            f"bad sample name '{name}'", why="a run keeps its own files under that name", fix="Choose another."
        )
    return name


def is_path(path: str) -> bool:
    """Whether steps take it as a path below a mount: names joined by '/', none of them hidden or an option."""
    return (
        len(path) <= LONGEST_PATH
        and _PATH.fullmatch(path) is not None
        and all(part and part[0] not in ".-" for part in path.split("/"))
    )
