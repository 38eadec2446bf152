"""Samples, their lanes, and the names that steps accept."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from toolchain.errors import WrongUsageError

Skip = Literal["duplicates", "qc"]
# In the order in which steps take them.
SKIPS: tuple[Skip, ...] = get_args(Skip)
LONGEST_NAME = 64
RESERVED = frozenset({"steps"})
# The same rules as in images/base/step/arguments.py; a test compares the two.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", flags=re.ASCII)

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+=@-]*", flags=re.ASCII)
LONGEST_PATH = 1024


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A lane: a pair of FASTQ files.

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


def in_order(skip: Collection[str]) -> tuple[Skip, ...]:
    """The parts to skip, in the order in which steps take them."""
    return tuple(part for part in SKIPS if part in skip)


def check_name(what: str, name: str) -> str:
    """Checks and returns a name.

    Raises:
        WrongUsageError: It has a bad character, or is too long.
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
    """Checks and returns a sample's name, which is also a directory of the run.

    Raises:
        WrongUsageError: It has a bad character, is too long, or is reserved.
    """
    if check_name("sample name", name) in RESERVED:
        raise WrongUsageError(
            f"bad sample name '{name}'", why="a run keeps its own files under that name", fix="Choose another."
        )
    return name


def is_path(path: str) -> bool:
    """Whether steps accept it as a path below a mount: no part of it is empty, hidden, or looks like an option."""
    return (
        len(path) <= LONGEST_PATH
        and _PATH.fullmatch(path) is not None
        and all(part and part[0] not in ".-" for part in path.split("/"))
    )
