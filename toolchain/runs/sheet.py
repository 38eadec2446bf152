"""The sample sheet: a CSV file with a line for each lane.

Columns, by name and in any order: `sample`, `r1`, `r2`, and if wanted `lane` (L001, L002, ... in the order of a
sample's lines if none), `library` and `unit` (LB and PU of the read group). R1 and R2 are paths below
/scratch/data.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from toolchain.errors import BadDataError, MissingInputError, ToolchainError
from toolchain.samples import Lane, Sample, check_name, is_path

NEEDED = ("sample", "r1", "r2")
OPTIONAL = ("lane", "library", "unit")


def read(file: Path) -> tuple[Sample, ...]:
    """Reads a sample sheet.

    Returns:
        The samples, in the order of their first lines.

    Raises:
        MissingInputError: It is not there.
        BadDataError: What is wrong with it, and in which line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets begin a file with a byte order mark
    except OSError as error:
        raise MissingInputError(
            f"cannot read {file}", why=str(error.strerror), fix="Name the sample sheet, a CSV file."
        ) from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{file} is not text", why=str(error), fix="Save it as CSV (UTF-8).") from error
    lanes: dict[str, list[Lane]] = {}
    reads: dict[str, int] = {}
    for number, row in _rows(file, text):
        where = f"{file}, line {number}"
        name = _named(where, "sample", row["sample"])
        own = lanes.setdefault(name, [])
        lane = Lane(
            name=_named(where, "lane", row.get("lane") or f"L{len(own) + 1:03}"),
            r1=_path(where, "r1", row["r1"]),
            r2=_path(where, "r2", row["r2"]),
            library=_optional(where, "library", row.get("library")),
            unit=_optional(where, "unit", row.get("unit")),
        )
        if any(other.name == lane.name for other in own):
            raise _wrong(
                where, f"sample '{name}' has a lane '{lane.name}' already", "Give each lane a name of its own."
            )
        for path in (lane.r1, lane.r2):
            if path in reads:
                raise _wrong(where, f"{path} stands in line {reads[path]} too", "Name each FASTQ file once.")
            reads[path] = number
        own.append(lane)
    if not lanes:
        raise BadDataError(f"{file} names no sample", why="it has no line after its header", fix="Add a line a lane.")
    return tuple(Sample(name=name, lanes=tuple(own)) for name, own in lanes.items())


def _rows(file: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if missing := [name for name in NEEDED if name not in header]:
            raise _wrong(
                f"{file}, line 1",
                f"no column '{missing[0]}'",
                f"Begin the file with a line such as: {','.join((*NEEDED, *OPTIONAL))}",
            )
        if unknown := [name for name in header if name not in NEEDED + OPTIONAL]:
            raise _wrong(f"{file}, line 1", f"unknown column '{unknown[0]}'", "Take it out, or correct its name.")
        if len(set(header)) < len(header):
            raise _wrong(f"{file}, line 1", "a column stands there twice", "Take one of them out.")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise _wrong(
                    f"{file}, line {reader.line_num}",
                    f"it has {len(cells)} cells, and the header {len(header)}",
                    "Correct the line.",
                )
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise _wrong(f"{file}, line {reader.line_num}", f"it is not CSV: {error}", "Save it as CSV again.") from error


def _named(where: str, what: str, name: str) -> str:
    try:
        return check_name(f"{what} name" if what != "unit" else "unit", name)
    except ToolchainError as error:
        raise _wrong(where, f"{error.what}: {error.why}", error.fix) from error


def _optional(where: str, what: str, name: str | None) -> str | None:
    return _named(where, what, name) if name and name != "-" else None


def _path(where: str, what: str, path: str) -> str:
    if not is_path(path):
        raise _wrong(
            where,
            f"bad {what} {path!r:.100}: it must be a path below /scratch/data of letters, digits and '._+=@-'",
            "Give the FASTQ file's path below /scratch/data, with no leading '/'.",
        )
    return path


def _wrong(where: str, why: str, fix: str) -> BadDataError:
    return BadDataError(f"{where} is wrong", why=why, fix=fix)
