"""Reads sample sheets: a line for each lane, cells separated by commas, semicolons or tabs.

Columns in any order: `sample`, `r1`, `r2`, and optionally `lane` (default: L001, L002, ... in the order of a sample's
lines), `library` and `unit` (LB and PU of the read group). R1 and R2 are paths below /scratch/data, or addresses of
the objects that are linked there. nf-core's `fastq_1` and `fastq_2` are accepted as R1 and R2.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.console import counted, note
from toolchain.errors import BadDataError, MissingInputError, ToolchainError, raise_all
from toolchain.workflow import fastq_names
from toolchain.workflow.data_link import DataLink
from toolchain.workflow.samples import Lane, Sample, check_name, check_sample, is_path

NEEDED = ("sample", "r1", "r2")
OPTIONAL = ("lane", "library", "unit")
# nf-core's names for our columns, and its columns that are ignored.
ALIASES = {"fastq_1": "r1", "fastq_2": "r2"}
IGNORED = ("patient", "sex", "status")
_KNOWN = (*NEEDED, *OPTIONAL, *ALIASES, *IGNORED)
_DELIMITERS = ",;\t"
# Spreadsheets name the delimiter in a line above the header.
_SEPARATOR = "sep="
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read(file: Path, link: DataLink) -> tuple[Sample, ...]:
    """Reads a sample sheet.

    Args:
        file: The sheet.
        link: What is linked to /scratch/data.

    Returns:
        The samples, in the order of their first lines.

    Raises:
        MissingInputError: It cannot be read.
        BadDataError: It has a mistake; line and column are named.
        SeveralFailedError: It has several.
    """
    sheet = _Sheet(file=file, link=link)
    sheet.read(_text(file))
    raise_all(sheet.errors)
    if not sheet.lanes:
        raise BadDataError(f"{file} names no sample", why="it has no line after its header", fix="Add a line a lane.")
    return tuple(Sample(name=name, lanes=tuple(lanes)) for name, lanes in sheet.lanes.items())


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        # Spreadsheets begin a file with a byte order mark, and write "Unicode text" as UTF-16.
        return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except OSError as error:
        raise MissingInputError(
            f"cannot read {file}", why=str(error.strerror), fix="Name the sample sheet, a CSV or TSV file."
        ) from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{file} is not text", why=str(error), fix="Save it as CSV (UTF-8).") from error


@dataclass(kw_only=True)
class _Sheet:
    """A sheet while it is read.

    Attributes:
        file: Its path.
        link: What is linked to /scratch/data.
        lanes: Sample to its lanes.
        errors: All mistakes.
        first_lines: FASTQ file to the line that named it first.
    """

    file: Path
    link: DataLink
    lanes: dict[str, list[Lane]] = field(default_factory=dict)
    errors: list[ToolchainError] = field(default_factory=list)
    first_lines: dict[str, int] = field(default_factory=dict)

    def read(self, text: str) -> None:
        """Reads the header and every line."""
        rows = self._rows(text)
        nothing: tuple[int, list[str]] = (1, [])
        number, header = next(rows, nothing)
        names = [ALIASES.get(name, name) for name in header]
        if self.errors:
            return
        for repeated in dict.fromkeys(name for name in names if names.count(name) > 1):
            twice = dict.fromkeys(head for head, name in zip(header, names, strict=True) if name == repeated)
            self._wrong(number, f"column {' and '.join(twice)} stands there twice", "Take one of them out.")
        if missing := [f"'{name}'" for name in NEEDED if name not in names]:
            example = ",".join((*NEEDED, *OPTIONAL))
            self._wrong(number, f"no column {', '.join(missing)}", f"Begin the file with a line such as: {example}")
        for name in (name for name in header if name not in _KNOWN):
            self._wrong(number, f"unknown column '{name}'", "Take it out, or correct its name.")
        if self.errors:
            return
        heads = dict(zip(names, header, strict=True))
        for line, cells in rows:
            if len(cells) != len(header):
                self._wrong(line, f"it has {counted(len(cells), 'cell')}, and the header {len(header)}", "Correct it.")
            else:
                self._add(line, dict(zip(names, cells, strict=True)), heads)
        if ignored := [name for name in header if name in IGNORED]:
            note(f"{self.file}: ignored {', '.join(ignored)}: every sample is called by itself, as germline")

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """The lines that are not empty, with their numbers; the first one, the header, in lower case."""
        lines = io.StringIO(text, newline="")
        first = lines.readline().strip()
        skipped = int(first.lower().startswith(_SEPARATOR))
        if not skipped:
            lines.seek(0)
        delimiter = first[len(_SEPARATOR) :].strip('"') if skipped else _delimiter(text)
        width, number = 0, skipped
        try:
            reader = csv.reader(lines, strict=True, skipinitialspace=True, delimiter=delimiter or "\t")
            for row in reader:
                number = skipped + reader.line_num
                cells = [cell.strip() for cell in row]
                # Spreadsheets fill up lines with empty cells.
                while len(cells) > width and not cells[-1]:
                    cells.pop()
                if not any(cells):
                    continue
                if not width:
                    cells = [cell.lower() for cell in cells]
                    width = len(cells)
                yield number, cells
        except (csv.Error, TypeError) as error:  # the latter of a separator of several characters
            self._wrong(number + 1, f"it is not CSV: {error}", "Save it as CSV again.")

    def _add(self, number: int, row: Mapping[str, str], heads: Mapping[str, str]) -> None:
        """Adds the lane of a line, or its mistakes."""
        before = len(self.errors)
        row = {name: self._mapped(name, cell, number, heads) for name, cell in row.items()}
        if len(self.errors) > before:
            return
        for name, cell in row.items():
            if mistake := _mistake(name, cell):
                self._wrong(number, f"column {heads[name]}: {mistake[0]}", mistake[1])
        if len(self.errors) > before:
            return
        if why := _mispaired(row["r1"], row["r2"]):
            self._wrong(number, f"columns {heads['r1']} and {heads['r2']}: {why}", "Correct the two names.")
            return
        lanes = self.lanes.setdefault(row["sample"], [])
        lane = Lane(
            name=row.get("lane") or f"L{len(lanes) + 1:03}",
            r1=row["r1"],
            r2=row["r2"],
            library=_optional(row.get("library")),
            unit=_optional(row.get("unit")),
        )
        if any(other.name == lane.name for other in lanes):
            self._wrong(
                number,
                f"column {heads.get('lane', 'lane')}: sample '{row['sample']}' has a lane '{lane.name}' already",
                "Give each lane a name of its own.",
            )
        for name in ("r1", "r2"):
            if row[name] in self.first_lines:
                self._wrong(
                    number,
                    f"column {heads[name]}: {row[name]} stands in line {self.first_lines[row[name]]} too",
                    "Name each FASTQ file once.",
                )
            self.first_lines.setdefault(row[name], number)
        lanes.append(lane)

    def _mapped(self, name: str, cell: str, number: int, heads: Mapping[str, str]) -> str:
        """A cell, in which the address of a linked object is replaced by its path below /scratch/data."""
        if name not in ("r1", "r2") or not cell.startswith("s3://"):
            return cell
        path = self.link.path(cell)
        if path is None:
            why = f"column {heads[name]}: {cell!r:.200} is not below {self.link.uri}, which is linked to /scratch/data"
            self._wrong(number, why, "Copy it there, or link its bucket: DataPath in genomics.toml.")
            return cell
        return path

    def _wrong(self, number: int, why: str, fix: str) -> None:
        self.errors.append(BadDataError(f"{self.file}, line {number} is wrong", why=why, fix=fix))


def _mispaired(r1: str, r2: str) -> str | None:
    """Why two files cannot be the first and second reads of a lane, as far as their names say."""
    if r1 == r2:
        return f"R1 and R2 are one file, {r1}"
    first, second = fastq_names.parse(r1), fastq_names.parse(r2)
    if first is None or second is None or first.sample != second.sample or (first.read, second.read) == (1, 2):
        return None
    if first.read == second.read:
        return f"by their names both hold R{first.read}: {r1} and {r2}"
    return f"R1 and R2 are swapped, by their names: {r1} and {r2}"


def _delimiter(text: str) -> str:
    """The delimiter that splits the header into the most known columns."""
    header = next((line for line in text.splitlines() if line.strip(f"{_DELIMITERS} ")), "").lower()
    return max(_DELIMITERS, key=lambda delimiter: sum(cell.strip(' "') in _KNOWN for cell in header.split(delimiter)))


def _optional(cell: str | None) -> str | None:
    return cell if cell and cell != "-" else None


def _mistake(name: str, cell: str) -> tuple[str, str] | None:
    """The mistake in a cell and its fix, if there is one."""
    if name in NEEDED and not cell:
        return "it is empty", "Fill it in: a lane is a sample's pair of FASTQ files."
    if name in ("r1", "r2"):
        if is_path(cell):
            return None
        return (
            f"bad {name} {cell!r:.100}: it must be a path below /scratch/data of letters, digits and '._+=@-'",
            "Give the FASTQ file's path below /scratch/data, with no leading '/'.",
        )
    if name in IGNORED or not cell or (name in ("library", "unit") and cell == "-"):
        return None
    try:
        if name == "sample":
            check_sample(cell)
        else:
            check_name(f"{name} name" if name != "unit" else "unit", cell)
    except ToolchainError as error:
        return f"{error.what}: {error.why}", error.fix
    return None
