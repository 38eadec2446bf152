"""Reads BAM headers and the indexes .bai and .csi (SAM specification, sections 4.2 and 5.2)."""

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from step import bgzf
from step.errors import BadDataError, cannot_read

BAI, CSI = b"BAI\1", b"CSI\1"
WINDOW_BITS = 14  # a window of a .bai's linear index has 2^14 bases, and so have the smallest bins of both formats
_PSEUDO_BIN = 37450  # of a .bai: offsets of the sequence's first and last reads, and numbers of reads
_MAX_BITS, _MAX_DEPTH = 30, 12  # of a .csi; sequences of 2^44 bases need less
_IMPLAUSIBLE = "its numbers make no sense"
_BAI_LIMIT = 1 << 29  # bases that a .bai or a .tbi can address


def needs_csi(lengths: Collection[int]) -> bool:
    """Whether a sequence is too long for .bai and .tbi."""
    return max(lengths, default=0) >= _BAI_LIMIT


def index_suffix(lengths: Collection[int]) -> str:
    """The suffix of a BAM's index: .bai, or .csi for long sequences."""
    return ".csi" if needs_csi(lengths) else ".bai"


def vcf_index_suffix(lengths: Collection[int]) -> str:
    """The suffix of a VCF's index: .tbi, or .csi for long sequences."""
    return ".csi" if needs_csi(lengths) else ".tbi"


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a BAM file.

    Attributes:
        sequences: Name to length in bases, in file order.
        read_groups: For each, field to value.
    """

    sequences: dict[str, int]
    read_groups: tuple[dict[str, str], ...]

    @property
    def samples(self) -> list[str]:
        """The distinct samples of the read groups, sorted."""
        return sorted({group.get("SM", "") for group in self.read_groups})


def read_header(file: Path) -> Header:
    """Reads the header of a BAM file. Raises BadDataError if it is no BAM file or truncated within the header."""
    try:
        with file.open("rb") as stream:
            reader = bgzf.Reader(stream)
            if reader.read(4) != b"BAM\1":
                raise broken_file(file, "it is not a BAM file")
            text = reader.read(_read_int(reader)).rstrip(b"\0").decode("utf-8", errors="replace")
            sequences = {}
            for _ in range(_read_int(reader)):
                name = reader.read(_read_int(reader)).rstrip(b"\0").decode("utf-8", errors="replace")
                sequences[name] = _read_int(reader)
    except (zlib.error, EOFError, struct.error) as error:
        raise broken_file(file, "it has no BAM header") from error
    except OSError as error:
        raise cannot_read(file, error) from error
    read_groups = tuple(
        dict(part.split(":", 1) for part in line.split("\t")[1:] if ":" in part)
        for line in text.splitlines()
        if line.startswith("@RG\t")
    )
    return Header(sequences=sequences, read_groups=read_groups)


def check_complete(file: Path) -> Header:
    """Checks that a BAM is not truncated and returns its header. Raises BadDataError."""
    header = read_header(file)
    if not bgzf.has_eof_marker(file):
        raise broken_file(file, "it was cut off: its last block is missing")
    return header


def broken_file(file: Path, why: str) -> BadDataError:
    """The error for a result of a step that has been damaged since."""
    return BadDataError(f"{file.name} is broken", why=why, fix="Remove it and run again the step that wrote it.")


def _read_int(reader: bgzf.Reader) -> int:
    value: int = struct.unpack("<i", reader.read(4))[0]
    return max(value, 0)


# ---- indexes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Span:
    """A half-open, 0-based range of a sequence, and how many compressed bytes the reads take that start in it."""

    start: int
    end: int
    weight: int


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index of a BAM file.

    Attributes:
        spans: For each sequence, in order, where its reads are.
        end: The largest file offset in the index.
    """

    spans: tuple[tuple[Span, ...], ...]
    end: int


class BrokenIndexError(Exception):
    """The index is damaged or truncated."""


def read_index(file: Path) -> Index:
    """Reads a .bai or a .csi, told apart by content. Raises BrokenIndexError, or StepError if it cannot be read."""
    try:
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with file.open("rb") as stream:
                data = bgzf.Reader(stream).read_all()
        return parse_index(data)
    except (zlib.error, EOFError) as error:
        raise BrokenIndexError(str(error)) from error
    except OSError as error:
        raise cannot_read(file, error) from error


def parse_index(data: bytes) -> Index:
    """Parses the uncompressed bytes of an index. Raises BrokenIndexError."""
    try:
        if data[:4] == BAI:
            return _parse_bai(data)
        if data[:4] == CSI:
            return _parse_csi(data)
    except (struct.error, IndexError) as error:
        raise BrokenIndexError("it was cut off") from error
    raise BrokenIndexError("it is neither .bai nor .csi")


def _parse_bai(data: bytes) -> Index:
    (sequences,) = struct.unpack_from("<i", data, 4)
    at, largest, spans = 8, 0, []
    for _ in range(sequences):
        (bins,) = struct.unpack_from("<i", data, at)
        at += 4
        last = 0
        for _ in range(bins):
            number, chunks = struct.unpack_from("<Ii", data, at)
            if chunks < 0:
                raise BrokenIndexError(_IMPLAUSIBLE)
            # A bin's reads end with its last chunk. In the pseudo-bin, the first chunk covers all reads of the sequence
            # and the second one holds numbers of reads.
            end_at = at + 16 if number == _PSEUDO_BIN else at + 16 * chunks
            at += 8 + 16 * chunks
            if chunks:
                last = max(last, struct.unpack_from("<Q", data, end_at)[0] >> 16)
        largest = max(largest, last)
        (windows,) = struct.unpack_from("<i", data, at)
        offsets = [offset >> 16 for offset in struct.unpack_from(f"<{windows}Q", data, at + 4)]
        at += 4 + 8 * windows
        largest = max(largest, *offsets, 0)
        spans.append(_window_spans(offsets, last))
    return Index(spans=tuple(spans), end=largest)


def _window_spans(offsets: list[int], last: int) -> tuple[Span, ...]:
    """The linear index as spans. Windows before the first read have offset 0, and empty ones that of the next."""
    following = last
    spans = []
    for number in range(len(offsets) - 1, -1, -1):
        offset = offsets[number] or following
        start = number << WINDOW_BITS
        spans.append(Span(start=start, end=start + (1 << WINDOW_BITS), weight=max(following - offset, 0)))
        following = offset
    return tuple(reversed(spans))


def _parse_csi(data: bytes) -> Index:
    bits, depth, auxiliary = struct.unpack_from("<iii", data, 4)
    if not (0 < bits <= _MAX_BITS and 0 <= depth <= _MAX_DEPTH and auxiliary >= 0):
        raise BrokenIndexError(_IMPLAUSIBLE)
    at = 16 + auxiliary
    (sequences,) = struct.unpack_from("<i", data, at)
    at += 4
    firsts = [((1 << 3 * level) - 1) // 7 for level in range(depth + 2)]
    largest, spans = 0, []
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
            if level is None:  # the pseudo-bin
                continue
            largest = max(largest, *(offset >> 16 for offset in offsets), 0)
            size = 1 << (bits + 3 * (depth - level))
            start = (number - firsts[level]) * size
            # Offsets within a block are of uncompressed bytes, of which about four make a compressed one.
            weights[start, start + size] = sum(
                max(_file_position(end) - _file_position(begin), 0)
                for begin, end in zip(offsets[::2], offsets[1::2], strict=True)
            )
        spans.append(
            tuple(Span(start=start, end=end, weight=weight) for (start, end), weight in sorted(weights.items()))
        )
    return Index(spans=tuple(spans), end=largest)


def _file_position(offset: int) -> int:
    return (offset >> 16) + (offset & 0xFFFF) // 4
