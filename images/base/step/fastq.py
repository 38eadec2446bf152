"""Reads the two FASTQ files of a lane side by side, checks each record and that both are mates, and interleaves them.

An aligner would take the end of the shorter file, or a broken record, for the end of the data, align mates that are
none, or believe qualities of another scale, all without a word. Blocks of records are looked at as a whole, by a few
passes over their bytes; only where such a pass meets something it does not know is the block read record by record.
"""

import hashlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from step.errors import BadDataError, cannot_read, printable
from step.pipeline import write_all

try:
    from isal import isal_zlib as zlib  # Intel's, where an image has it: twice as fast
except ImportError:
    import zlib

CHUNK = 1 << 18  # bytes of a file read at a time
PIECE = 1 << 22  # bytes unpacked at a time, at most
LINES = 4  # of a record
BLOCK = 2048 * LINES  # lines looked at together, at least
MOST_HELD = 1 << 24  # bytes of lines looked at together, unless they are one record
LONGEST_LINE = 1_000_000
LONGEST_NAME = 254  # that a BAM record can hold
FIRST_READS = 10_000  # by which the scale of the qualities is known
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.*-"
_QUALITIES = bytes(range(33, 127))
# What tells mates apart is no name by itself; and what SAM has for a line that starts with '@' is a header.
_NAME = re.compile(rb"@(?![/.][12](?:\s|$))[^\s@]")
_NAMELESS = re.compile(rb"\n@(?:@|(?:[/.][12])?\s)")
_MARKS = re.compile(rb"[12]:[YN]:")
_UNIT = re.compile(rb"@[^:\s]*:[^:\s]*:([A-Za-z0-9-]+):([0-9]+):[^:\s]*:[^:\s]*:\S*")

AGAIN = "Correct the FASTQ files, or fetch them again."
# What a file is that starts so, and what to do about it.
PACKED = (
    (b"BZh", "it is compressed by bzip2", "Unpack it, or compress it by gzip (bunzip2 -c FILE | gzip)."),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd", "Unpack it, or compress it by gzip (zstd -dc FILE | gzip)."),
    (b"\xfd7zXZ\0", "it is compressed by xz", "Unpack it, or compress it by gzip (xz -dc FILE | gzip)."),
    (b"\x04\x22\x4d\x18", "it is compressed by lz4", "Unpack it, or compress it by gzip (lz4 -dc FILE | gzip)."),
    (b"\x1f\x9d", "it is compressed by compress", "Unpack it, or compress it by gzip (uncompress -c FILE | gzip)."),
    (b"PK\x03\x04", "it is a ZIP archive", "Unpack it, and give the file that it holds."),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "Unpack it, and give the file that it holds."),
)
_OTHERS = (
    *PACKED,
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
_TAR_AT, _TAR = 257, b"ustar"
SINGLE = "This workflow aligns pairs: single-end reads are not supported."


def bad_reads(why: str, fix: str = AGAIN) -> BadDataError:
    """The error for reads that cannot be aligned."""
    return BadDataError("bad reads", why=why, fix=fix)


# ---- bytes ---------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Source:
    """One FASTQ file, plain or gzip, unpacked by a thread of its own.

    Attributes:
        name: As errors call it.
        file: Where it is.
        sha256: Of the file as it is, once it is read to its end.
        cpu_seconds: What the thread took, likewise.
    """

    name: str
    file: Path
    sha256: str = ""
    cpu_seconds: float = 0.0
    _pieces: "queue.Queue[bytes | Exception | None]" = field(default_factory=lambda: queue.Queue(4))

    def pieces(self) -> Iterator[bytes]:
        """What the file holds, unpacked. Raises StepError."""
        threading.Thread(target=self._read, daemon=True).start()
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def _read(self) -> None:
        last: Exception | None = None
        try:
            for piece in self._unpacked():
                self._pieces.put(piece)
        except OSError as error:
            last = cannot_read(self.file, error)
        except Exception as error:  # noqa: BLE001  # whatever it is: the thread that waits for the next piece raises it
            last = error
        self.cpu_seconds = time.thread_time()
        self._pieces.put(last)

    def _unpacked(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with self.file.open("rb", buffering=0) as stream:

            def read() -> bytes:
                chunk = stream.read(CHUNK)
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
                for piece in members(self.name, chunk, read):
                    if first and piece:
                        check_format(self.name, piece)
                        first = False
                    yield piece
        self.sha256 = digest.hexdigest()


def is_gzip(start: bytes) -> bool:
    """Whether a file that starts so is gzip."""
    return start[:2] == b"\x1f\x8b"


def check_format(name: str, start: bytes) -> None:
    """Refuses what is no FASTQ by its first bytes.

    Raises:
        BadDataError: With what it is instead.
    """
    if not start:
        raise BadDataError(f"no reads in {name}", why="the file is empty", fix="Fetch it again.")
    if start[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise BadDataError(f"cannot read {name}", why="it is a tar archive", fix="Unpack it, and give its FASTQ files.")
    for magic, why, fix in _OTHERS:
        if start.startswith(magic):
            raise BadDataError(f"cannot read {name}", why=why, fix=fix)


def members(name: str, chunk: bytes, read: Callable[[], bytes]) -> Iterator[bytes]:
    """What gzip members hold, one after the other. Behind the last one only zeros may follow."""
    damaged = "The file is damaged or cut off: fetch it again."
    decompressor = zlib.decompressobj(31)
    while True:
        try:
            piece = decompressor.decompress(chunk, PIECE)
        except zlib.error as error:
            raise BadDataError(f"cannot unpack {name}", why=printable(str(error)), fix=damaged) from error
        if piece:
            yield piece
        if decompressor.eof:
            chunk = decompressor.unused_data or read()
            if not chunk:
                return
            if chunk[:1] != b"\x1f":
                _only_zeros(name, chunk, read)
                return
            decompressor = zlib.decompressobj(31)
            continue
        chunk = decompressor.unconsumed_tail
        if not chunk and len(piece) < PIECE:
            chunk = read()
            if not chunk:
                raise BadDataError(f"cannot unpack {name}", why="its compressed data end early", fix=damaged)


def _only_zeros(name: str, chunk: bytes, read: Callable[[], bytes]) -> None:
    while chunk:
        if chunk.strip(b"\0"):
            raise BadDataError(
                f"cannot unpack {name}",
                why="something that is not gzip stands behind the end of its compressed data",
                fix="Data may be lost there: fetch the file again, or unpack and compress it anew.",
            )
        chunk = read()


def first_line(file: Path) -> bytes:
    """The first line of a FASTQ file, or nothing where it cannot be read: what reads all of it says why."""
    try:
        with file.open("rb") as stream:
            data = stream.read(CHUNK)
        if is_gzip(data):
            data = zlib.decompressobj(31).decompress(data, CHUNK)
    except (OSError, zlib.error):
        return b""
    return data.partition(b"\n")[0]


def platform_unit(head: bytes) -> str | None:
    """FLOWCELL.LANE as the names of Illumina's reads give them (@INSTRUMENT:RUN:FLOWCELL:LANE:TILE:X:Y), if they do."""
    found = _UNIT.match(head)
    return f"{found[1].decode()}.{found[2].decode()}" if found else None


# ---- records -------------------------------------------------------------------------------------------------------


class Side:
    """The lines of one file, as many at a time as are there."""

    def __init__(self, source: Source) -> None:
        """Take a file that nobody reads yet."""
        self.name = source.name
        self.lines: list[bytes] = []
        self.is_ended = False
        self._pieces = source.pieces()
        self._rest = b""
        self._low, self._high, self._seen = 127, 0, 0

    def fill(self, count: int) -> None:
        """Reads until so many lines are held, or the file ends. Raises StepError."""
        while len(self.lines) < count and not self.is_ended and not self._is_full():
            piece = next(self._pieces, None)
            if piece is None:
                self._end()
                return
            lines = (self._rest + piece).split(b"\n")
            self._rest = lines.pop()
            self.lines += lines
            if len(self._rest) > LONGEST_LINE:
                raise self.too_long()

    def _is_full(self) -> bool:
        """Whether the lines held, though few, are long."""
        return len(self.lines) >= LINES and sum(map(len, self.lines)) > MOST_HELD

    def _end(self) -> None:
        self.is_ended = True
        if self._rest:
            self.lines.append(self._rest)
        # Empty lines at the end are none of a record, unless the record has no bases.
        while len(self.lines) % LINES and not self.lines[-1]:
            self.lines.pop()
        while self.lines and not any(self.lines[-LINES:]):
            del self.lines[-LINES:]

    def take(self, count: int) -> list[bytes]:
        """The next lines, so many at the most."""
        taken, self.lines = self.lines[:count], self.lines[count:]
        return taken

    def too_long(self) -> BadDataError:
        """The error for a line that no short read has."""
        return bad_reads(
            f"{self.name}: a line is longer than {LONGEST_LINE} characters",
            "Give the reads of a short-read sequencer; long reads need another aligner.",
        )

    def see_qualities(self, qualities: Sequence[bytes]) -> None:
        """Refuses qualities of the older scale, by the first reads.

        Raises:
            BadDataError: None is below '@', and some are above 'K'.
        """
        if self._seen == FIRST_READS:
            return
        first = qualities[: FIRST_READS - self._seen]
        seen = set(b"".join(first)) | {self._low, self._high}
        self._low, self._high = min(seen - {0}), max(seen - {127})
        self._seen += len(first)
        if self._seen == FIRST_READS:
            self.check_scale()

    def check_scale(self) -> None:
        """Raises BadDataError if the qualities seen so far are of the older scale."""
        if self._low >= ord("@") and self._high > ord("K"):
            raise bad_reads(
                f"{self.name}: its qualities are of the scale Phred+64, from '{chr(self._low)}' to '{chr(self._high)}'",
                "Convert both files to Phred+33 (seqtk seq -Q64 -V, or reformat.sh qin=64 qout=33).",
            )


@dataclass(kw_only=True)
class Mates:
    """The two files of a lane.

    Attributes:
        one: Of the first reads.
        two: Of the second reads.
        pairs: How many were read.
    """

    one: Source
    two: Source
    pairs: int = 0

    def __call__(self, pipe: BinaryIO) -> float:
        """Writes all records, interleaved.

        Args:
            pipe: Unbuffered.

        Returns:
            The CPU seconds of the threads that unpacked.

        Raises:
            StepError: Of the first record at which something is wrong.
        """
        for block in self.blocks():
            write_all(pipe, block)
        return self.one.cpu_seconds + self.two.cpu_seconds

    def blocks(self) -> Iterator[bytes]:
        """The interleaved records, a block of them at a time. Raises StepError."""
        one, two = Side(self.one), Side(self.two)
        while True:
            one.fill(BLOCK)
            two.fill(BLOCK)
            count = min(len(one.lines), len(two.lines)) // LINES * LINES
            if not count:
                break
            yield self._block(one, two, one.take(count), two.take(count))
        self._check_end(one, two)

    def _check_end(self, one: Side, two: Side) -> None:
        for side in (one, two):
            if side.lines and len(side.lines) < LINES:
                raise bad_reads(f"{side.name}: record {self.pairs + 1} is broken: cut off in the middle of a record")
        for short, long in ((one, two), (two, one)):
            if long.lines:
                single = f" {SINGLE}" if not self.pairs else ""
                raise bad_reads(f"{short.name}: ends after {self.pairs} reads, and {long.name} goes on", AGAIN + single)
        if not self.pairs:
            raise bad_reads(f"{one.name} and {two.name}: there is no read in them")
        for side in (one, two):
            side.check_scale()

    def _block(self, one: Side, two: Side, first: list[bytes], second: list[bytes]) -> bytes:
        columns = Columns.of(first), Columns.of(second)
        is_plain = all(side.is_plain() for side in columns)
        if not (is_plain and (are_named_alike(*columns) or have_common_names(*columns))):
            examine(first, second, one, two, self.pairs)
            give_common_names(*columns)
        a, b = columns
        one.see_qualities(a.qualities)
        two.see_qualities(b.qualities)
        self._check_mates(one, two, a.bases, b.bases)
        if not self.pairs:
            check_names(one.name, a.heads)
        self.pairs += len(a.heads)
        lines = [b"+"] * (2 * LINES * len(a.heads))
        lines[0::8], lines[1::8], lines[3::8] = a.heads, a.bases, a.qualities
        lines[4::8], lines[5::8], lines[7::8] = b.heads, b.bases, b.qualities
        lines.append(b"")
        return b"\n".join(lines)

    def _check_mates(self, one: Side, two: Side, first: Sequence[bytes], second: Sequence[bytes]) -> None:
        """Refuses a second file that holds the first reads again. Some pairs of a block tell whether to look at all."""
        looked = 16
        if are_copies(first[:looked], second[:looked]) and are_copies(
            first, second, least=1 if not self.pairs else looked
        ):
            raise bad_reads(
                f"{two.name}: its reads are those of {one.name} again",
                "Name the file of the second reads. Split an interleaved file first (seqtk seq -1, seqtk seq -2).",
            )
        if not self.pairs and any(first) != any(second):
            empty = two if any(first) else one
            raise bad_reads(f"{empty.name}: every read is empty", SINGLE)


def check_names(file: str, heads: Sequence[bytes]) -> None:
    """Refuses reads that have the name of the one before: what calls takes such pairs for one, and drops bases.

    Names may stand twice in a file, as where two files were joined; but not one behind the other, as in an interleaved
    file, or where all reads have one name.

    Raises:
        BadDataError: More than nine of ten have.
    """
    names = [name_of(head) for head in heads]
    couples = list(zip(names[0::2], names[1::2], strict=False))
    same = sum(name == following for name, following in couples)
    if len(couples) > 1 and same * 10 > len(couples) * 9:
        raise bad_reads(
            f"{file}: each of the first {len(heads)} reads has the name of the one beside it, '{printable(names[0])}'",
            "Split an interleaved file first, or give each pair a name of its own (seqtk rename).",
        )


def are_copies(first: Sequence[bytes], second: Sequence[bytes], least: int = 1) -> bool:
    """Whether second reads are the first ones again, perhaps trimmed.

    Args:
        first: Bases of the first reads.
        second: Those of the second reads.
        least: How many pairs must be long and varied enough to tell.
    """
    shortest, letters = 20, 2
    told = same = 0
    for one, two in zip(first, second, strict=True):
        short, long = (one, two) if len(one) <= len(two) else (two, one)
        if len(short) < shortest or len(set(short)) <= letters:
            continue
        told += 1
        same += short in long
    return told >= least and same * 10 > told * 9


@dataclass(kw_only=True)
class Columns:
    """The records of a block: their lines by what they are."""

    heads: list[bytes]
    bases: list[bytes]
    marks: list[bytes]
    qualities: list[bytes]

    @classmethod
    def of(cls, lines: list[bytes]) -> "Columns":
        """Lines of whole records, by what they are."""
        return cls(heads=lines[0::LINES], bases=lines[1::LINES], marks=lines[2::LINES], qualities=lines[3::LINES])

    def is_plain(self) -> bool:
        """Whether nothing is wrong with any record, as far as can be told at a glance."""
        count = len(self.heads)
        joined = b"\n" + b"\n".join(self.heads) + b"\n"
        lengths = list(map(len, self.bases))
        return (
            joined.count(b"\n@") == count
            and b"\r" not in joined
            and not _NAMELESS.search(joined)
            and max(map(len, self.heads)) <= LONGEST_NAME
            and (self.marks.count(b"+") == count or are_marks(self.marks))
            and lengths == list(map(len, self.qualities))
            and max(lengths) <= LONGEST_LINE
            and not b"".join(self.bases).translate(None, _LETTERS)
            and not b"".join(self.qualities).translate(None, _QUALITIES)
        )


def are_marks(lines: Sequence[bytes]) -> bool:
    """Whether lines can stand between the bases and the qualities of records."""
    return all(line.startswith(b"+") for line in lines) and max(map(len, lines)) <= LONGEST_LINE


def are_named_alike(one: Columns, two: Columns) -> bool:
    """Whether the heads of two blocks are those of mates, as far as can be told at a glance."""
    first, second = (b"\n".join(columns.heads) + b"\n" for columns in (one, two))
    # With the marks of first mates turned into those of second mates, the heads are the same: so are the names, since
    # a mark is no part of them. And no first read says that it is a second one, nor the other way round.
    return first.replace(b" 1:", b" 2:").replace(b"/1\n", b"/2\n") == second and not _may_be_swapped(first, second)


def _may_be_swapped(first: bytes, second: bytes) -> bool:
    """Whether a head in the first block may say that it is of a second read, or the other way round."""
    return any(mark in first for mark in (b" 2:", b"\t2:", b"/2\n", b"/2 ", b"/2\t")) or any(
        mark in second for mark in (b" 1:", b"\t1:", b"/1\n", b"/1 ", b"/1\t")
    )


def give_common_names(one: Columns, two: Columns) -> None:
    """Gives both mates of a pair one name, where `.1` and `.2` at the ends of their names tell them apart.

    An aligner would take them for two reads that are no pair.
    """
    for number, (head, mate) in enumerate(zip(one.heads, two.heads, strict=True)):
        if (name := name_of(head)) != name_of(mate):
            one.heads[number] = two.heads[number] = b"@" + name[:-2]


def have_common_names(one: Columns, two: Columns) -> bool:
    """Whether each name ends in `.1` and its mate's in `.2`, and they are alike otherwise; both then get one name."""
    if not one.heads[0].split(None, 1)[0].endswith(b".1"):
        return False
    names, mates = ([head.split(None, 1)[0] for head in columns.heads] for columns in (one, two))
    common = [name[:-2] for name in names]
    if [name + b".1" for name in common] != names or [name + b".2" for name in common] != mates:
        return False
    if _may_be_swapped(*(b"\n".join(columns.heads) + b"\n" for columns in (one, two))):
        return False
    one.heads = two.heads = common
    return True


def examine(first: list[bytes], second: list[bytes], one: Side, two: Side, count: int) -> None:
    """Reads a block record by record.

    Args:
        first: The lines of the first reads.
        second: Those of their mates.
        one: The first file.
        two: The second file.
        count: How many records stand before the block.

    Raises:
        BadDataError: Of the first record at which something is wrong.
    """
    both = f"{one.name} and {two.name}"
    for start in range(0, len(first), LINES):
        count += 1
        records = first[start : start + LINES], second[start : start + LINES]
        for side, record in zip((one, two), records, strict=True):
            if max(map(len, record)) > LONGEST_LINE:
                raise side.too_long()
            if any(line.endswith(b"\r") for line in record):
                raise bad_reads(
                    f"{side.name}: record {count} is broken: its lines end as on Windows (CRLF)",
                    "Convert it (dos2unix, or sed 's/\\r$//'), and compress it again.",
                )
            if reason := fault(record):
                raise bad_reads(f"{side.name}: record {count} is broken: {reason}")
        heads = records[0][0], records[1][0]
        marks = [mate_of(head) for head in heads]
        if marks[0] and marks[0] == marks[1]:
            which = "first" if marks[0] == b"1" else "second"
            raise bad_reads(
                f"{both}: record {count} says that both hold {which} reads, or the files are swapped",
                "Name the file of the first reads, then that of the second reads.",
            )
        if marks[0] == b"2" or marks[1] == b"1" or (not is_pair(*heads) and is_pair(*reversed(heads))):
            raise bad_reads(
                f"{both}: record {count} says that the files are swapped: the first must hold the first reads",
                "Name the file of the first reads, then that of the second reads.",
            )
        if not is_pair(*heads):
            names = [printable(name_of(head)) for head in heads]
            raise bad_reads(f"{both}: record {count} is '{names[0]}' in one and '{names[1]}' in the other")


def fault(record: list[bytes]) -> str:
    """What is wrong with a record; nothing if it is whole."""
    head, bases, plus, qualities = record
    faults = (
        (head.startswith(b"@@"), "its name starts with '@', as none in a BAM file may"),
        (not _NAME.match(head), "its first line does not start with '@' and a name"),
        (len(name_of(head)) > LONGEST_NAME, f"its name is longer than {LONGEST_NAME} characters"),
        (not plus.startswith(b"+"), "its third line does not start with '+'"),
        (bool(bases.translate(None, _LETTERS)), "its bases hold something that is not a base"),
        (len(bases) != len(qualities), f"{len(bases)} bases but {len(qualities)} qualities"),
        (bool(qualities.translate(None, _QUALITIES)), "its qualities hold something that is none"),
    )
    return next((reason for wrong, reason in faults if wrong), "")


def is_pair(head: bytes, mate: bytes) -> bool:
    """Whether two reads have the name of one pair: the same, or but for `.1` and `.2` at its end."""
    name, other = name_of(head), name_of(mate)
    return name == other or (name[:-2] == other[:-2] and (name[-2:], other[-2:]) == (b".1", b".2"))


def name_of(head: bytes) -> bytes:
    """The read's name, without the comment and without the mate's mark of older Illumina software."""
    name = re.split(rb"[ \t]", head, maxsplit=1)[0][1:]
    return name[:-2] if name.endswith((b"/1", b"/2")) else name


def mate_of(head: bytes) -> bytes:
    """1 or 2 where the read says which mate it is; else nothing."""
    name, _, comment = head.replace(b"\t", b" ").partition(b" ")
    if _MARKS.match(comment):
        return comment[:1]
    return name[-1:] if name.endswith((b"/1", b"/2")) else b""
