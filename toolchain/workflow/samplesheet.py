"""Makes a sample sheet from the names of FASTQ files."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from toolchain.errors import BadDataError, MissingInputError, ToolchainError, raise_all
from toolchain.workflow import fastq_names
from toolchain.workflow.fastq_names import FastqName
from toolchain.workflow.samples import check_sample, is_path

_HEADER = ("sample", "lane", "r1", "r2")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A sheet that was made.

    Attributes:
        rows: Sample, lane, R1 and R2 of each lane.
        left_out: FASTQ files of index reads, of no sample, or whose names do not say which reads they hold.
    """

    rows: tuple[tuple[str, str, str, str], ...]
    left_out: tuple[str, ...]

    def text(self) -> str:
        """The sheet as CSV."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows((_HEADER, *self.rows))
        return out.getvalue()


def make(files: Iterable[str], folder: str) -> Sheet:
    """Makes a sheet of all pairs of files.

    Args:
        files: Paths below /scratch/data.
        folder: Where they are, for messages.

    Raises:
        MissingInputError: None is a FASTQ file of which the name says whether it has first or second reads.
        BadDataError: A file has no mate, or several, or a name that a sheet cannot have; several errors as one.
    """
    fastqs = sorted(file for file in files if fastq_names.is_fastq(file))
    pairs: dict[tuple[str, ...], dict[int, list[str]]] = {}
    names: dict[tuple[str, ...], FastqName] = {}
    left_out = []
    for file in fastqs:
        parsed = fastq_names.parse(file)
        if parsed is None:
            left_out.append(file)
            continue
        key = (parsed.sample, parsed.folder, parsed.lane, parsed.rest)
        names[key] = parsed
        pairs.setdefault(key, {}).setdefault(parsed.read, []).append(file)
    if not pairs:
        raise MissingInputError(
            f"no pair of FASTQ files in {folder}",
            why="no file is called like NAME_S1_L001_R1_001.fastq.gz, NAME_R1.fastq.gz or NAME_1.fastq.gz",
            fix="Name the folder that has them, or write the sheet by hand (docs/running.md).",
        )
    errors: list[ToolchainError] = []
    rows: list[tuple[str, str, str, str]] = []
    lanes: dict[str, set[str]] = {}
    for pair, reads in sorted(pairs.items()):
        name = names[pair]
        mistakes = _mistakes(name, reads)
        errors += mistakes
        if not mistakes:
            used = lanes.setdefault(name.sample, set())
            lane = _unused(name.lane or f"L{len(used) + 1:03}", used)
            rows.append((name.sample, lane, reads[1][0], reads[2][0]))
    raise_all(errors)
    return Sheet(rows=tuple(rows), left_out=tuple(left_out))


def _mistakes(name: FastqName, reads: dict[int, list[str]]) -> list[ToolchainError]:
    mistakes: list[ToolchainError] = []
    try:
        check_sample(name.sample)
    except ToolchainError as error:
        mistakes.append(BadDataError(f"{reads[min(reads)][0]}: {error.what}", why=error.why, fix="Rename the file."))
    for number, mate in ((1, 2), (2, 1)):
        files = reads.get(number, [])
        if not files:
            mistakes.append(
                BadDataError(
                    f"{reads[mate][0]} has no mate",
                    why=f"no file of the same name has R{number}",
                    fix="Add it, or move this one away: only pairs are aligned.",
                )
            )
        if len(files) > 1:
            mistakes.append(
                BadDataError(
                    f"{files[0]} and {files[1]} have one name",
                    why="both would be the same reads",
                    fix="Keep one of them.",
                )
            )
        mistakes += [
            BadDataError(
                f"bad path {file!r:.100}",
                why="only letters, digits and '._+=@-/' may be in it, and no part of it may start with '.' or '-'",
                fix="Rename the file or its folder.",
            )
            for file in files
            if not is_path(file)
        ]
    return mistakes


def _unused(lane: str, used: set[str]) -> str:
    """The lane's name; with a number, where several flow cells or chunks have such a lane."""
    number, name = 1, lane
    while name in used:
        number += 1
        name = f"{lane}-{number}"
    used.add(name)
    return name
