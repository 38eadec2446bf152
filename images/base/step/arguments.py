"""Checks the arguments of steps against patterns. None is ever evaluated.

`-` stands for an argument that is not given, because the command in a job definition has a fixed length.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from step.errors import UsageError, printable

ABSENT = "-"
LONGEST_NAME = 64
LONGEST_PATH = 1024
MAX_SHARDS = 9999
RESERVED = frozenset({"steps"})  # not for samples: a run keeps its records in a directory of this name
COUNT_ORPHANS = "count-orphans"  # the argument of `step call` for reads whose pair is not a proper one

Skip = Literal["duplicates", "qc"]
SKIPS: tuple[Skip, ...] = get_args(Skip)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", flags=re.ASCII)
_PART = re.compile(r"[A-Za-z0-9_+=@][A-Za-z0-9._+=@-]*", flags=re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}", flags=re.ASCII)


def positional(arguments: Sequence[str], *names: str) -> dict[str, str]:
    """The arguments of a command by name, "" for those that are missing. Raises UsageError if there are too many."""
    for argument in arguments[len(names) :]:
        if argument != ABSENT:
            raise UsageError(
                "too many arguments",
                why=f"'{printable(argument)}' is not expected here",
                fix="See the image's README for the command's arguments.",
            )
    given = list(arguments[: len(names)])
    return dict(zip(names, given + [""] * (len(names) - len(given)), strict=True))


def is_given(value: str) -> bool:
    """Whether an optional argument is given."""
    return value not in ("", ABSENT)


def check_name(what: str, value: str, longest: int = LONGEST_NAME) -> str:
    """Checks a name that must be safe as a file name, in a read group and in JSON."""
    if not value:
        raise UsageError(f"no {what}", why="it is empty", fix="Give a name of letters, digits, '.', '_' and '-'.")
    if not _NAME.fullmatch(value):
        raise UsageError(
            f"bad {what} '{printable(value)}'",
            why="only letters, digits, '.', '_' and '-' may be in it, the first a letter or digit",
            fix="Rename it.",
        )
    if len(value) > longest:
        raise UsageError(
            f"bad {what} '{printable(value)}'",
            why=f"it has {len(value)} characters, {longest} are allowed",
            fix="Shorten it.",
        )
    return value


def check_sample(value: str) -> str:
    """Checks a sample's name, which becomes a directory of the run."""
    if check_name("sample name", value) in RESERVED:
        raise UsageError(
            f"bad sample name '{value}'", why="a run keeps its own files under that name", fix="Choose another."
        )
    return value


def check_path(what: str, value: str) -> str:
    """Checks a path below a mount: names joined by '/', none of them '.' or '..' or hidden."""
    if not is_given(value):
        raise UsageError(f"no {what}", why="it is not given", fix="Give its path below the mount.")
    if not all(_PART.fullmatch(part) for part in value.split("/")) or value[0] in "+=@":
        raise UsageError(
            f"bad {what} '{printable(value)}'",
            why="it must be a relative path of letters, digits and '._+=@-', with no part that starts with '.' or '-'",
            fix="Give its path below the mount.",
        )
    if len(value) > LONGEST_PATH:
        raise UsageError(
            f"bad {what}", why=f"it has {len(value)} characters, {LONGEST_PATH} are allowed", fix="Shorten the path."
        )
    return value


def check_number(what: str, value: str, lowest: int, highest: int) -> int:
    """Checks a whole number from `lowest` to `highest`, both included."""
    if not _NUMBER.fullmatch(value):
        raise UsageError(
            f"bad {what} '{printable(value)}'",
            why="it is not a whole number",
            fix=f"Give one from {lowest} to {highest}.",
        )
    number = int(value)
    if not lowest <= number <= highest:
        raise UsageError(
            f"bad {what} '{value}'", why="it is out of range", fix=f"Give a number from {lowest} to {highest}."
        )
    return number


def check_shards(value: str) -> int:
    """Checks the number of a sample's shards."""
    return check_number("number of shards", value, 1, MAX_SHARDS)


def check_variable(environment: Mapping[str, str], name: str) -> str:
    """Checks a name that the job's environment must set."""
    value = environment.get(name, "")
    if not value:
        raise UsageError(
            f"{name} is not set",
            why="the job's environment must name its run",
            fix=f"Set {name} in the job's environment (containerOverrides.environment).",
        )
    return check_name(name, value, 80)


def check_lanes(value: str) -> tuple[str, ...]:
    """Checks the names of a sample's lanes, separated by commas."""
    if not is_given(value):
        raise UsageError("no lanes", why="the names of the sample's lanes are needed", fix="Give them as L001,L002.")
    lanes = value.split(",")
    for lane in lanes:
        check_name("lane", lane)
    for lane in lanes:
        if lanes.count(lane) > 1:
            raise UsageError(
                f"lane '{lane}' is given twice", why="its reads would count twice", fix="Name each lane once."
            )
    return tuple(lanes)


def check_skip(value: str) -> frozenset[Skip]:
    """Checks what the run skips: `duplicates`, `qc`, both separated by a comma, or nothing."""
    if not is_given(value):
        return frozenset()
    words = value.split(",")
    chosen = frozenset(skip for skip in SKIPS if skip in words)
    if len(chosen) != len(words):
        raise UsageError(
            f"cannot skip '{printable(value)}'",
            why="only 'duplicates' and 'qc' can be skipped",
            fix="Give one, or both with a comma.",
        )
    return chosen
