"""Indexes of BAM files, built as bytes (SAM specification, section 5.2)."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PSEUDO = 37450  # the bin of a .bai that holds where a sequence's reads begin and end


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What an index holds of one sequence.

    Attributes:
        bins: Number of the bin to its chunks: first and last virtual offset of each.
        windows: The linear index of a .bai.
        ends: First and last virtual offset of the sequence's reads, for the pseudo-bin; none without.
    """

    bins: Mapping[int, Sequence[tuple[int, int]]]
    windows: Sequence[int] = ()
    ends: tuple[int, int] | None = None


def virtual(block: int, within: int = 0) -> int:
    """The virtual offset of a byte within an unpacked block, the block's own offset in the file being given."""
    return block << 16 | within


def _chunks(chunks: Sequence[tuple[int, int]]) -> bytes:
    return struct.pack("<i", len(chunks)) + b"".join(struct.pack("<QQ", *chunk) for chunk in chunks)


def bai(sequences: Sequence[Indexed], unplaced: int | None = 0) -> bytes:
    """A .bai."""
    parts = [b"BAI\1", struct.pack("<i", len(sequences))]
    for sequence in sequences:
        bins = dict(sequence.bins)
        if sequence.ends:
            bins[PSEUDO] = [sequence.ends, (1000, 3)]
        parts.append(struct.pack("<i", len(bins)))
        parts += [struct.pack("<I", number) + _chunks(chunks) for number, chunks in bins.items()]
        parts.append(struct.pack(f"<i{len(sequence.windows)}Q", len(sequence.windows), *sequence.windows))
    return b"".join(parts) + (b"" if unplaced is None else struct.pack("<Q", unplaced))


def csi(sequences: Sequence[Indexed], bits: int = 14, depth: int = 5, auxiliary: bytes = b"") -> bytes:
    """A .csi, not compressed."""
    pseudo = ((1 << 3 * (depth + 1)) - 1) // 7 + 1
    parts = [b"CSI\1", struct.pack("<iii", bits, depth, len(auxiliary)), auxiliary, struct.pack("<i", len(sequences))]
    for sequence in sequences:
        bins = dict(sequence.bins)
        if sequence.ends:
            bins[pseudo] = [sequence.ends, (1000, 3)]
        parts.append(struct.pack("<i", len(bins)))
        parts += [struct.pack("<IQ", number, 0) + _chunks(chunks) for number, chunks in bins.items()]
    return b"".join(parts) + struct.pack("<Q", 0)
