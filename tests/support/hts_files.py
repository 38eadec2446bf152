"""Bytes of gzip, BGZF, BAM, BAM index and VCF files (SAM specification, sections 4.1, 4.2 and 5.2)."""

import gzip
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from step.bgzf import EOF_MARKER

PSEUDO_BIN = 37450  # of a .bai


def gzipped(data: bytes, level: int = 6) -> bytes:
    """One gzip member without a time."""
    return gzip.compress(data, level, mtime=0)


def bgzipped(data: bytes, block: int = 100) -> bytes:
    """BGZF with blocks of that many bytes; real files have 65,280."""
    parts = []
    for start in range(0, len(data), block):
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        piece = data[start : start + block]
        body = compressor.compress(piece) + compressor.flush()
        header = bytes.fromhex("1f8b08040000000000ff060042430200") + struct.pack("<H", len(body) + 25)
        parts += [header, body, struct.pack("<II", zlib.crc32(piece), len(piece))]
    return b"".join(parts) + EOF_MARKER


def read_groups(sample: str, lanes: Iterable[str]) -> str:
    """The @RG lines of a sample's lanes."""
    return "".join(f"@RG\tID:{sample}.{lane}\tSM:{sample}\n" for lane in lanes)


def bam(sequences: Mapping[str, int], text: str, padding: bytes = b"") -> bytes:
    """An uncompressed BAM without reads."""
    parts = [b"BAM\1", struct.pack("<i", len(text) + len(padding)), text.encode(), padding]
    parts.append(struct.pack("<i", len(sequences)))
    for name, length in sequences.items():
        encoded = name.encode() + b"\0"
        parts += [struct.pack("<i", len(encoded)), encoded, struct.pack("<i", length)]
    return b"".join(parts)


def vcf(*samples: str, contigs: int = 0) -> bytes:
    """An uncompressed VCF with one record."""
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID=HLA-A*{number}:01,length=9>" for number in range(contigs))]
    columns = [
        "#CHROM",
        "POS",
        "ID",
        "REF",
        "ALT",
        "QUAL",
        "FILTER",
        "INFO",
        *(["FORMAT", *samples] if samples else []),
    ]
    return "\n".join([*lines, "\t".join(columns), "chr1\t5\t.\tA\tC\t9\t.\t.\tGT\t0/1\n"]).encode()


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What an index says about one sequence.

    Attributes:
        bins: For each bin, the first and last virtual offset of its chunks.
        windows: The linear index of a .bai.
        ends: First and last virtual offset of the sequence's reads, for the pseudo-bin; None for no such bin.
    """

    bins: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)
    windows: Sequence[int] = ()
    ends: tuple[int, int] | None = None


def virtual_offset(block: int, within: int = 0) -> int:
    """The virtual offset of a byte within the block at a file offset."""
    return block << 16 | within


def bai(sequences: Sequence[Indexed], unplaced: int | None = 0) -> bytes:
    """A .bai."""
    parts = [b"BAI\1", struct.pack("<i", len(sequences))]
    for sequence in sequences:
        bins = _with_pseudo_bin(sequence, PSEUDO_BIN)
        parts.append(struct.pack("<i", len(bins)))
        parts += [struct.pack("<I", number) + _chunks(chunks) for number, chunks in bins.items()]
        parts.append(struct.pack(f"<i{len(sequence.windows)}Q", len(sequence.windows), *sequence.windows))
    return b"".join(parts) + (b"" if unplaced is None else struct.pack("<Q", unplaced))


def csi(sequences: Sequence[Indexed], bits: int = 14, depth: int = 5, auxiliary: bytes = b"") -> bytes:
    """An uncompressed .csi."""
    parts = [b"CSI\1", struct.pack("<iii", bits, depth, len(auxiliary)), auxiliary, struct.pack("<i", len(sequences))]
    for sequence in sequences:
        bins = _with_pseudo_bin(sequence, ((1 << 3 * (depth + 1)) - 1) // 7 + 1)
        parts.append(struct.pack("<i", len(bins)))
        parts += [struct.pack("<IQ", number, 0) + _chunks(chunks) for number, chunks in bins.items()]
    return b"".join(parts) + struct.pack("<Q", 0)


def _with_pseudo_bin(sequence: Indexed, number: int) -> Mapping[int, Sequence[tuple[int, int]]]:
    return {**sequence.bins, number: [sequence.ends, (1000, 3)]} if sequence.ends else sequence.bins


def _chunks(chunks: Sequence[tuple[int, int]]) -> bytes:
    return struct.pack("<i", len(chunks)) + b"".join(struct.pack("<QQ", *chunk) for chunk in chunks)
