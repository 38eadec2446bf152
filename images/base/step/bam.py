"""BAM headers and the indexes of BAM files, read without a program (SAM specification, sections 4.2 and 5.2)."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from step import bgzf
from step.errors import BadDataError, cannot_read

BAI, CSI, TBI = b"BAI\1", b"CSI\1", b"TBI\1"
WINDOW_BITS = 14  # of the linear index of a .bai, and of the smallest bins of both
_PSEUDO = 37450  # the bin of a .bai that is none: where the sequence's reads begin and end, and how many there are
_MOST_BITS, _MOST_LEVELS = 30, 12  # of a .csi; those of 2^44 bases have fewer
_GARBAGE = "its numbers make no sense"
_LONGEST = 1 << 29  # bases of a sequence that a .bai or .tbi can reach


def needs_csi(lengths: Sequence[int]) -> bool:
    """Whether a sequence is too long for .bai and .tbi."""
    return max(lengths, default=0) >= _LONGEST


def index_suffix(lengths: Sequence[int]) -> str:
    """What the index of a BAM file is called after the file's own name."""
    return ".csi" if needs_csi(lengths) else ".bai"


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a BAM file.

    Attributes:
        sequences: Name to length in bases, in the file's order.
        groups: The read groups, field to value.
    """

    sequences: dict[str, int]
    groups: tuple[dict[str, str], ...]

    @property
    def samples(self) -> list[str]:
        """The samples of the read groups, each once, sorted."""
        return sorted({group.get("SM", "") for group in self.groups})


def header(file: Path) -> Header:
    """The header of a BAM file.

    Raises:
        BadDataError: It is no BAM file, or was cut off within its header.
    """
    try:
        with file.open("rb") as stream:
            reader = bgzf.Reader(stream)
            if reader.read(4) != b"BAM\1":
                raise broken(file, "it is not a BAM file")
            text = reader.read(_integer(reader)).rstrip(b"\0").decode("utf-8", errors="replace")
            sequences = {}
            for _ in range(_integer(reader)):
                name = reader.read(_integer(reader)).rstrip(b"\0").decode("utf-8", errors="replace")
                sequences[name] = _integer(reader)
    except (zlib.error, EOFError, struct.error) as error:
        raise broken(file, "it has no BAM header") from error
    except OSError as error:
        raise cannot_read(file, error) from error
    groups = tuple(
        dict(part.split(":", 1) for part in line.split("\t")[1:] if ":" in part)
        for line in text.splitlines()
        if line.startswith("@RG\t")
    )
    return Header(sequences=sequences, groups=groups)


def check_whole(file: Path) -> Header:
    """A BAM file whose header can be read, and that was not cut off. Raises BadDataError."""
    found = header(file)
    if not bgzf.is_whole(file):
        raise broken(file, "it was cut off: its last block is missing")
    return found


def broken(file: Path, why: str) -> BadDataError:
    """The error for a file that a step wrote, and that is not whole any more."""
    return BadDataError(f"{file.name} is broken", why=why, fix="Remove it and run again the step that wrote it.")


def _integer(reader: bgzf.Reader) -> int:
    value: int = struct.unpack("<i", reader.read(4))[0]
    return max(value, 0)


# ---- indexes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a sequence, and how many bytes of the BAM file hold the reads that begin there.

    Attributes:
        start: Its first base, counted from 0.
        end: The base after its last one.
        weight: Bytes, compressed.
    """

    start: int
    end: int
    weight: int


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index of a BAM file.

    Attributes:
        spans: For each sequence, in order, where its reads are.
        end: The largest offset into the BAM file that it names.
    """

    spans: tuple[tuple[Span, ...], ...]
    end: int


class BrokenIndexError(Exception):
    """The bytes are not those of a whole index."""


def read_index(file: Path) -> Index:
    """An index, .bai or .csi, as its first bytes say.

    Raises:
        BrokenIndexError: It is neither, or was cut off.
        StepError: It cannot be read.
    """
    try:
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with file.open("rb") as stream:
                data = bgzf.Reader(stream).rest()
        return parse_index(data)
    except (zlib.error, EOFError) as error:
        raise BrokenIndexError(str(error)) from error
    except OSError as error:
        raise cannot_read(file, error) from error


def parse_index(data: bytes) -> Index:
    """An index out of its bytes, uncompressed. Raises BrokenIndexError."""
    try:
        if data[:4] == BAI:
            return _bai(data)
        if data[:4] == CSI:
            return _csi(data)
    except (struct.error, IndexError) as error:
        message = "it was cut off"
        raise BrokenIndexError(message) from error
    message = "it is neither .bai nor .csi"
    raise BrokenIndexError(message)


def _bai(data: bytes) -> Index:
    (sequences,) = struct.unpack_from("<i", data, 4)
    at, largest, found = 8, 0, []
    for _ in range(sequences):
        (bins,) = struct.unpack_from("<i", data, at)
        at += 4
        last = 0
        for _ in range(bins):
            number, chunks = struct.unpack_from("<Ii", data, at)
            if chunks < 0:
                raise BrokenIndexError(_GARBAGE)
            # The last chunk of a bin ends where its last read does, and the first chunk of the pseudo-bin where the
            # sequence's last read does; what follows there are numbers of reads.
            ending = at + 16 if number == _PSEUDO else at + 16 * chunks
            at += 8 + 16 * chunks
            if chunks:
                last = max(last, struct.unpack_from("<Q", data, ending)[0] >> 16)
        largest = max(largest, last)
        (windows,) = struct.unpack_from("<i", data, at)
        offsets = [offset >> 16 for offset in struct.unpack_from(f"<{windows}Q", data, at + 4)]
        at += 4 + 8 * windows
        largest = max(largest, *offsets, 0)
        found.append(_windows(offsets, last))
    return Index(spans=tuple(found), end=largest)


def _windows(offsets: list[int], last: int) -> tuple[Span, ...]:
    """The linear index as spans: a window before the first read has no offset, one without reads that of the next."""
    following = last
    spans = []
    for number in range(len(offsets) - 1, -1, -1):
        offset = offsets[number] or following
        start = number << WINDOW_BITS
        spans.append(Span(start=start, end=start + (1 << WINDOW_BITS), weight=max(following - offset, 0)))
        following = offset
    return tuple(reversed(spans))


def _csi(data: bytes) -> Index:
    bits, depth, auxiliary = struct.unpack_from("<iii", data, 4)
    if not (0 < bits <= _MOST_BITS and 0 <= depth <= _MOST_LEVELS and auxiliary >= 0):
        raise BrokenIndexError(_GARBAGE)
    at = 16 + auxiliary
    (sequences,) = struct.unpack_from("<i", data, at)
    at += 4
    firsts = [((1 << 3 * level) - 1) // 7 for level in range(depth + 2)]
    largest, found = 0, []
    for _ in range(sequences):
        (bins,) = struct.unpack_from("<i", data, at)
        at += 4
        weights: dict[tuple[int, int], int] = {}
        for _ in range(bins):
            number, _, chunks = struct.unpack_from("<IQi", data, at)
            at += 16
            offsets = struct.unpack_from(f"<{2 * chunks}Q", data, at)
            at += 16 * chunks
            level = next((level for level in range(depth + 1) if firsts[level] <= number < firsts[level + 1]), None)
            if level is None:  # no bin: where the sequence's reads begin and end
                continue
            largest = max(largest, *(offset >> 16 for offset in offsets), 0)
            size = 1 << (bits + 3 * (depth - level))
            start = (number - firsts[level]) * size
            # Offsets within a block count for about a fourth, as much as its bytes are compressed.
            weights[start, start + size] = sum(
                max(_place(end) - _place(begin), 0) for begin, end in zip(offsets[::2], offsets[1::2], strict=True)
            )
        found.append(
            tuple(Span(start=start, end=end, weight=weight) for (start, end), weight in sorted(weights.items()))
        )
    return Index(spans=tuple(found), end=largest)


def _place(offset: int) -> int:
    return (offset >> 16) + (offset & 0xFFFF) // 4
