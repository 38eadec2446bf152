"""Reads the two FASTQ files of a lane in parallel, checks all records and that they are mates, and interleaves them.

An aligner silently takes the end of the shorter file, or a broken record, for the end of the data, pairs reads that are
no mates, and misreads qualities of another scale. For speed, a few passes check a whole block of records; only if one
of them finds something unusual is the block checked record by record.
"""

import hashlib
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from step.compression import UNSUPPORTED, gunzip, gunzip_start, is_gzip
from step.errors import BadDataError, cannot_read, printable
from step.pipeline import write_all

CHUNK_BYTES = 1 << 18  # read from a file at a time
LINES = 4  # of a record
BLOCK_LINES = 2048 * LINES  # checked together
MAX_BLOCK_BYTES = 1 << 24  # checked together, unless a single record is longer
MAX_LINE = 1_000_000  # characters
MAX_NAME = 254  # characters that fit in a BAM record
SCALE_READS = 10_000  # first reads, by which the scale of the qualities is known
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.*-"
_QUALITIES = bytes(range(33, 127))
# A name must be more than a mate's suffix, and may not start with '@', as header lines of SAM do.
_NAME = re.compile(rb"@(?![/.][12](?:\s|$))[^\s@]")
_NAMELESS = re.compile(rb"\n@(?:@|(?:[/.][12])?\s)")
_MARKS = re.compile(rb"[12]:[YN]:")
_UNIT = re.compile(rb"@[^:\s]*:[^:\s]*:([A-Za-z0-9-]+):([0-9]+):[^:\s]*:[^:\s]*:\S*")

AGAIN = "Correct the FASTQ files, or fetch them again."
# First bytes, what the file is, and what to do about it.
_OTHER_FORMATS = (
    *UNSUPPORTED,
    (b"CRAM", "it is a CRAM file", "Give FASTQ (samtools collate, samtools fastq)."),
    (b"NCBI.sra", "it is an SRA archive", "Give FASTQ (fasterq-dump --split-files)."),
    (b"@HD\t", "it is a SAM file", "Give FASTQ (samtools collate, samtools fastq)."),
    (b"@SQ\t", "it is a SAM file", "Give FASTQ (samtools collate, samtools fastq)."),
    (b"BAM\1", "it is a BAM file", "Give FASTQ (samtools collate, samtools fastq)."),
    (b">", "it is FASTA: its reads have no qualities", "Give FASTQ."),
    (b"<", "it is a web page or XML, most likely what a download got in place of the file", "Fetch it again."),
    (b"\xff\xfe", "it is text in UTF-16", "Save it as plain ASCII."),
    (b"\xef\xbb\xbf", "it starts with a byte order mark", "Save it as plain ASCII."),
)
_TAR_OFFSET, _TAR_MAGIC = 257, b"ustar"
SINGLE = "This workflow aligns pairs: single-end reads are not supported."


def bad_reads(why: str, fix: str = AGAIN) -> BadDataError:
    """The error for reads that cannot be aligned."""
    return BadDataError("bad reads", why=why, fix=fix)


# ---- files ---------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class FastqFile:
    """A FASTQ file, plain or gzip, read and decompressed in its own thread.

    Attributes:
        name: Its name in errors.
        sha256: The digest of the file as it is stored, once it has been read.
        cpu_seconds: What the thread took, likewise.
    """

    name: str
    path: Path
    sha256: str = ""
    cpu_seconds: float = 0.0
    _pieces: "queue.Queue[bytes | Exception | None]" = field(default_factory=lambda: queue.Queue(4))

    def pieces(self) -> Iterator[bytes]:
        """The decompressed bytes. Raises StepError."""
        threading.Thread(target=self._read, daemon=True).start()
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def _read(self) -> None:
        end: Exception | None = None
        try:
            for piece in self._decompressed():
                self._pieces.put(piece)
        except OSError as error:
            end = cannot_read(self.path, error)
        except Exception as error:  # noqa: BLE001  # raised again in the thread that waits for the next piece
            end = error
        self.cpu_seconds = time.thread_time()
        self._pieces.put(end)

    def _decompressed(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with self.path.open("rb", buffering=0) as stream:

            def read() -> bytes:
                chunk = stream.read(CHUNK_BYTES)
                digest.update(chunk)
                return chunk

            chunk = read()
            check_format(self.name, chunk)
            if not is_gzip(chunk):
                while chunk:
                    yield chunk
                    chunk = read()
            else:
                first = True
                for piece in gunzip(self.name, chunk, read):
                    if first and piece:
                        check_format(self.name, piece)
                        first = False
                    yield piece
        self.sha256 = digest.hexdigest()


def check_format(name: str, start: bytes) -> None:
    """Checks by its first bytes that a file may be FASTQ. Raises BadDataError, which names the format."""
    if not start:
        raise BadDataError(f"no reads in {name}", why="the file is empty", fix="Fetch it again.")
    if start[_TAR_OFFSET : _TAR_OFFSET + len(_TAR_MAGIC)] == _TAR_MAGIC:
        raise BadDataError(f"cannot read {name}", why="it is a tar archive", fix="Unpack it, and give its FASTQ files.")
    for magic, why, fix in _OTHER_FORMATS:
        if start.startswith(magic):
            raise BadDataError(f"cannot read {name}", why=why, fix=fix)


def first_line(path: Path) -> bytes:
    """The first line of a FASTQ file; empty if it cannot be read, for which reading all of it reports the reason."""
    try:
        with path.open("rb") as stream:
            chunk = stream.read(CHUNK_BYTES)
    except OSError:
        return b""
    return (gunzip_start(chunk, CHUNK_BYTES) if is_gzip(chunk) else chunk).partition(b"\n")[0]


def platform_unit(header: bytes) -> str | None:
    """FLOWCELL.LANE from a read name of Illumina's (@INSTRUMENT:RUN:FLOWCELL:LANE:TILE:X:Y); None for other names."""
    match = _UNIT.match(header)
    return f"{match[1].decode()}.{match[2].decode()}" if match else None


# ---- records -------------------------------------------------------------------------------------------------------


class LineBuffer:
    """The lines of one file, read a block at a time."""

    def __init__(self, file: FastqFile) -> None:
        """Starts to read a file."""
        self.name = file.name
        self.lines: list[bytes] = []
        self.is_ended = False
        self._pieces = file.pieces()
        self._rest = b""
        self._lowest, self._highest, self._scale_reads = 127, 0, 0

    def fill(self, count: int) -> None:
        """Reads until that many lines are buffered, or the file ends. Raises StepError."""
        while len(self.lines) < count and not self.is_ended and not self._is_full():
            piece = next(self._pieces, None)
            if piece is None:
                self._end()
                return
            lines = (self._rest + piece).split(b"\n")
            self._rest = lines.pop()
            self.lines += lines
            if len(self._rest) > MAX_LINE:
                raise self.too_long()

    def _is_full(self) -> bool:
        """Whether the buffered lines, though few, are long."""
        return len(self.lines) >= LINES and sum(map(len, self.lines)) > MAX_BLOCK_BYTES

    def _end(self) -> None:
        self.is_ended = True
        if self._rest:
            self.lines.append(self._rest)
        # Drop empty lines at the end, except those of a record without bases.
        while len(self.lines) % LINES and not self.lines[-1]:
            self.lines.pop()
        while self.lines and not any(self.lines[-LINES:]):
            del self.lines[-LINES:]

    def take(self, count: int) -> list[bytes]:
        """Removes and returns up to that many lines."""
        taken, self.lines = self.lines[:count], self.lines[count:]
        return taken

    def too_long(self) -> BadDataError:
        """The error for a line that is too long for a short read."""
        return bad_reads(
            f"{self.name}: a line is longer than {MAX_LINE} characters",
            "Give the reads of a short-read sequencer; long reads need another aligner.",
        )

    def note_qualities(self, qualities: Sequence[bytes]) -> None:
        """Notes the range of the first reads' qualities. Raises BadDataError once they show the scale Phred+64."""
        if self._scale_reads == SCALE_READS:
            return
        first = qualities[: SCALE_READS - self._scale_reads]
        values = set(b"".join(first)) | {self._lowest, self._highest}
        self._lowest, self._highest = min(values - {0}), max(values - {127})
        self._scale_reads += len(first)
        if self._scale_reads == SCALE_READS:
            self.check_scale()

    def check_scale(self) -> None:
        """Raises BadDataError if the qualities so far are Phred+64: none below '@', some above 'K'."""
        if self._lowest >= ord("@") and self._highest > ord("K"):
            lowest, highest = chr(self._lowest), chr(self._highest)
            raise bad_reads(
                f"{self.name}: its qualities are of the scale Phred+64, from '{lowest}' to '{highest}'",
                "Convert both files to Phred+33 (seqtk seq -Q64 -V, or reformat.sh qin=64 qout=33).",
            )


@dataclass(kw_only=True)
class ReadPairs:
    """The two files of a lane; feeds the interleaved records to a pipeline.

    Attributes:
        count: The number of pairs read so far.
    """

    r1: FastqFile
    r2: FastqFile
    count: int = 0

    def __call__(self, pipe: BinaryIO) -> float:
        """Writes all records, interleaved, to an unbuffered pipe, and returns the CPU seconds of the reading threads.

        Raises:
            StepError: For the first record with a fault.
        """
        for block in self.blocks():
            write_all(pipe, block)
        return self.r1.cpu_seconds + self.r2.cpu_seconds

    def blocks(self) -> Iterator[bytes]:
        """The interleaved records, a block at a time. Raises StepError."""
        one, two = LineBuffer(self.r1), LineBuffer(self.r2)
        while True:
            one.fill(BLOCK_LINES)
            two.fill(BLOCK_LINES)
            count = min(len(one.lines), len(two.lines)) // LINES * LINES
            if not count:
                break
            yield self._interleave(one, two, one.take(count), two.take(count))
        self._check_end(one, two)

    def _check_end(self, one: LineBuffer, two: LineBuffer) -> None:
        for file in (one, two):
            if file.lines and len(file.lines) < LINES:
                raise bad_reads(f"{file.name}: record {self.count + 1} is broken: cut off in the middle of a record")
        for short, long in ((one, two), (two, one)):
            if long.lines:
                single = f" {SINGLE}" if not self.count else ""
                raise bad_reads(f"{short.name}: ends after {self.count} reads, and {long.name} goes on", AGAIN + single)
        if not self.count:
            raise bad_reads(f"{one.name} and {two.name}: there is no read in them")
        for file in (one, two):
            file.check_scale()

    def _interleave(self, one: LineBuffer, two: LineBuffer, lines: list[bytes], mate_lines: list[bytes]) -> bytes:
        reads, mates = Records.of(lines), Records.of(mate_lines)
        is_valid = reads.look_valid() and mates.look_valid()
        if not (is_valid and (have_equal_names(reads, mates) or strip_all_suffixes(reads, mates))):
            check_records(lines, mate_lines, one, two, self.count)
            strip_suffixes(reads, mates)
        one.note_qualities(reads.qualities)
        two.note_qualities(mates.qualities)
        self._check_mates(one, two, reads.bases, mates.bases)
        if not self.count:
            check_names(one.name, reads.headers)
        self.count += len(reads.headers)
        block = [b"+"] * (2 * LINES * len(reads.headers))
        block[0::8], block[1::8], block[3::8] = reads.headers, reads.bases, reads.qualities
        block[4::8], block[5::8], block[7::8] = mates.headers, mates.bases, mates.qualities
        block.append(b"")
        return b"\n".join(block)

    def _check_mates(self, one: LineBuffer, two: LineBuffer, bases: list[bytes], mate_bases: list[bytes]) -> None:
        """Checks that the second file is no copy of the first. Looks at all pairs only if the first few are copies."""
        few = 16
        if are_copies(bases[:few], mate_bases[:few]) and are_copies(
            bases, mate_bases, least=1 if not self.count else few
        ):
            raise bad_reads(
                f"{two.name}: its reads are those of {one.name} again",
                "Name the file of the second reads. Split an interleaved file first (seqtk seq -1, seqtk seq -2).",
            )
        if not self.count and any(bases) != any(mate_bases):
            empty = two if any(bases) else one
            raise bad_reads(f"{empty.name}: every read is empty", SINGLE)


def check_names(file: str, headers: Sequence[bytes]) -> None:
    """Checks that reads have names of their own. Callers take pairs of one name for one pair, and drop bases.

    A name may occur twice, as in two files that were joined, but not in consecutive records, as in an interleaved file
    or where all reads have one name.

    Raises:
        BadDataError: In more than nine of ten cases, a read and the next one have the same name.
    """
    names = [read_name(header) for header in headers]
    couples = list(zip(names[0::2], names[1::2], strict=False))
    equal = sum(name == following for name, following in couples)
    if len(couples) > 1 and equal * 10 > len(couples) * 9:
        raise bad_reads(
            f"{file}: each of the first {len(headers)} reads has the name of the one beside it, "
            f"'{printable(names[0])}'",
            "Split an interleaved file first, or give each pair a name of its own (seqtk rename).",
        )


def are_copies(bases: Sequence[bytes], mate_bases: Sequence[bytes], least: int = 1) -> bool:
    """Whether the second reads are the first ones again, perhaps trimmed.

    Args:
        bases: Of the first reads.
        mate_bases: Of the second reads.
        least: How many pairs must be long and varied enough to compare.
    """
    shortest, letters = 20, 2
    compared = equal = 0
    for read, mate in zip(bases, mate_bases, strict=True):
        short, long = (read, mate) if len(read) <= len(mate) else (mate, read)
        if len(short) < shortest or len(set(short)) <= letters:
            continue
        compared += 1
        equal += short in long
    return compared >= least and equal * 10 > compared * 9


@dataclass(kw_only=True)
class Records:
    """The records of a block by kind of line."""

    headers: list[bytes]
    bases: list[bytes]
    separators: list[bytes]
    qualities: list[bytes]

    @classmethod
    def of(cls, lines: list[bytes]) -> "Records":
        """Sorts the lines of whole records."""
        return cls(
            headers=lines[0::LINES], bases=lines[1::LINES], separators=lines[2::LINES], qualities=lines[3::LINES]
        )

    def look_valid(self) -> bool:
        """Whether all records are certainly valid. If not, `check_records` has to decide."""
        count = len(self.headers)
        joined = b"\n" + b"\n".join(self.headers) + b"\n"
        lengths = list(map(len, self.bases))
        return (
            joined.count(b"\n@") == count
            and b"\r" not in joined
            and not _NAMELESS.search(joined)
            and max(map(len, self.headers)) <= MAX_NAME
            and (self.separators.count(b"+") == count or are_separators(self.separators))
            and lengths == list(map(len, self.qualities))
            and max(lengths) <= MAX_LINE
            and not b"".join(self.bases).translate(None, _LETTERS)
            and not b"".join(self.qualities).translate(None, _QUALITIES)
        )


def are_separators(lines: Sequence[bytes]) -> bool:
    """Whether all lines may stand between bases and qualities."""
    return all(line.startswith(b"+") for line in lines) and max(map(len, lines)) <= MAX_LINE


def have_equal_names(reads: Records, mates: Records) -> bool:
    """Whether the names of both blocks are certainly equal and no header says that the files are swapped."""
    headers, mate_headers = (b"\n".join(records.headers) + b"\n" for records in (reads, mates))
    # If turning the marks of first reads into those of second ones makes the headers equal, so are the names.
    is_equal = headers.replace(b" 1:", b" 2:").replace(b"/1\n", b"/2\n") == mate_headers
    return is_equal and not _may_be_swapped(headers, mate_headers)


def _may_be_swapped(headers: bytes, mate_headers: bytes) -> bool:
    """Whether a header of the first file may be that of a second read, or the other way round."""
    return any(mark in headers for mark in (b" 2:", b"\t2:", b"/2\n", b"/2 ", b"/2\t")) or any(
        mark in mate_headers for mark in (b" 1:", b"\t1:", b"/1\n", b"/1 ", b"/1\t")
    )


def strip_suffixes(reads: Records, mates: Records) -> None:
    """Gives mates whose names differ in `.1` and `.2` a common name, without which aligners would not pair them."""
    for number, (header, mate_header) in enumerate(zip(reads.headers, mates.headers, strict=True)):
        if (name := read_name(header)) != read_name(mate_header):
            reads.headers[number] = mates.headers[number] = b"@" + name[:-2]


def strip_all_suffixes(reads: Records, mates: Records) -> bool:
    """The same for a block in which all names end in `.1` and `.2`; False, without a change, for other blocks."""
    if not reads.headers[0].split(None, 1)[0].endswith(b".1"):
        return False
    names, mate_names = ([header.split(None, 1)[0] for header in records.headers] for records in (reads, mates))
    common = [name[:-2] for name in names]
    if [name + b".1" for name in common] != names or [name + b".2" for name in common] != mate_names:
        return False
    if _may_be_swapped(*(b"\n".join(records.headers) + b"\n" for records in (reads, mates))):
        return False
    reads.headers = mates.headers = common
    return True


def check_records(lines: list[bytes], mate_lines: list[bytes], one: LineBuffer, two: LineBuffer, count: int) -> None:
    """Checks a block record by record.

    Args:
        lines: Of the first reads.
        mate_lines: Of the second reads.
        one: The first file.
        two: The second file.
        count: How many records precede the block.

    Raises:
        BadDataError: For the first record with a fault.
    """
    both = f"{one.name} and {two.name}"
    for start in range(0, len(lines), LINES):
        count += 1
        records = lines[start : start + LINES], mate_lines[start : start + LINES]
        for file, record in zip((one, two), records, strict=True):
            if max(map(len, record)) > MAX_LINE:
                raise file.too_long()
            if any(line.endswith(b"\r") for line in record):
                raise bad_reads(
                    f"{file.name}: record {count} is broken: its lines end as on Windows (CRLF)",
                    "Convert it (dos2unix, or sed 's/\\r$//'), and compress it again.",
                )
            if fault := record_fault(record):
                raise bad_reads(f"{file.name}: record {count} is broken: {fault}")
        headers = records[0][0], records[1][0]
        marks = [mate_number(header) for header in headers]
        if marks[0] and marks[0] == marks[1]:
            which = "first" if marks[0] == b"1" else "second"
            raise bad_reads(
                f"{both}: record {count} says that both hold {which} reads, or the files are swapped",
                "Name the file of the first reads, then that of the second reads.",
            )
        if marks[0] == b"2" or marks[1] == b"1" or (not are_mates(*headers) and are_mates(*reversed(headers))):
            raise bad_reads(
                f"{both}: record {count} says that the files are swapped: the first must hold the first reads",
                "Name the file of the first reads, then that of the second reads.",
            )
        if not are_mates(*headers):
            names = [printable(read_name(header)) for header in headers]
            raise bad_reads(f"{both}: record {count} is '{names[0]}' in one and '{names[1]}' in the other")


def record_fault(record: list[bytes]) -> str:
    """What is wrong with a record; "" if nothing."""
    header, bases, separator, qualities = record
    faults = (
        (header.startswith(b"@@"), "its name starts with '@', as none in a BAM file may"),
        (not _NAME.match(header), "its first line does not start with '@' and a name"),
        (len(read_name(header)) > MAX_NAME, f"its name is longer than {MAX_NAME} characters"),
        (not separator.startswith(b"+"), "its third line does not start with '+'"),
        (bool(bases.translate(None, _LETTERS)), "its bases hold something that is not a base"),
        (len(bases) != len(qualities), f"{len(bases)} bases but {len(qualities)} qualities"),
        (bool(qualities.translate(None, _QUALITIES)), "its qualities hold something that is none"),
    )
    return next((fault for is_faulty, fault in faults if is_faulty), "")


def are_mates(header: bytes, mate_header: bytes) -> bool:
    """Whether two reads have one name, apart from `.1` and `.2` at its end."""
    name, mate_name = read_name(header), read_name(mate_header)
    return name == mate_name or (name[:-2] == mate_name[:-2] and (name[-2:], mate_name[-2:]) == (b".1", b".2"))


def read_name(header: bytes) -> bytes:
    """The read's name, without comment and without the suffix /1 or /2 of older Illumina software."""
    name = re.split(rb"[ \t]", header, maxsplit=1)[0][1:]
    return name[:-2] if name.endswith((b"/1", b"/2")) else name


def mate_number(header: bytes) -> bytes:
    """`1` or `2` if the header says which mate the read is; else empty."""
    name, _, comment = header.replace(b"\t", b" ").partition(b" ")
    if _MARKS.match(comment):
        return comment[:1]
    return name[-1:] if name.endswith((b"/1", b"/2")) else b""
