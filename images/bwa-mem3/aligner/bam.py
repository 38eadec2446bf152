"""The BAM that `bwa mem` would write: its header, and what its records hold that the wheel's hold differently.

https://samtools.github.io/hts-specs/SAMv1.pdf, section 4.2.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

# Offsets in a record, the last that of its name.
NAME_LENGTH, CIGAR_LENGTH, FLAG, LENGTH, FIXED = 12, 16, 18, 20, 36
SECOND = 0x80
# The types of a tag that have one size: type to bytes, the tag's name and type included.
INTEGERS = {b"c": 4, b"C": 4, b"s": 5, b"S": 5, b"i": 7, b"I": 7}
SIZES = INTEGERS | {b"f": 7, b"A": 4}


def header(contigs: Sequence[tuple[str, int]], alternative: frozenset[str], read_group: str, program: str) -> bytes:
    """The header of a BAM file, as `bwa mem` orders its lines.

    Args:
        contigs: Name and length of each sequence.
        alternative: Those that a .alt file names.
        read_group: The @RG line.
        program: The @PG line.
    """
    lines = [
        "@HD\tVN:1.5\tSO:unsorted\tGO:query",
        *(f"@SQ\tSN:{name}\tLN:{length}" + "\tAH:*" * (name in alternative) for name, length in contigs),
        read_group,
        program,
    ]
    text = "".join(f"{line}\n" for line in lines).encode()
    parts = [b"BAM\1", struct.pack("<i", len(text)), text, struct.pack("<i", len(contigs))]
    for name, length in contigs:
        encoded = name.encode() + b"\0"
        parts += [struct.pack("<i", len(encoded)), encoded, struct.pack("<i", length)]
    return b"".join(parts)


def alternatives(file: Path) -> frozenset[str]:
    """The sequences that a .alt file names, if there is one: as bwa reads it, the first word of each line but @'s."""
    if not file.exists():
        return frozenset()
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(line.split()[0] for line in lines if line.strip() and not line.startswith("@"))


def without_hits(record: bytes, group: bytes) -> bytes:
    """A record without the tag HN, the number of hits, which bwa does not write. It is the last one where there is one.

    Args:
        record: The record, with its size before it.
        group: The tag RG of every record. Where that is the last one, there is no HN.
    """
    if record.endswith(group):
        return record
    for kind, size in INTEGERS.items():
        if record[-size : 3 - size] == b"HN" + kind:
            return struct.pack("<I", len(record) - 4 - size) + record[4:-size]
    return record


def with_short_shares(record: bytes) -> bytes:
    """A record whose tag pa, its score as a share of an ALT hit's, has three decimals, as bwa writes it."""
    for start in tags(record):
        if record[start : start + 3] == b"paf":
            share = struct.unpack_from("<f", record, start + 3)[0]
            return record[: start + 3] + struct.pack("<f", round(share, 3)) + record[start + 7 :]
    return record


def tags(record: bytes) -> Iterator[int]:
    """Where each tag of a record starts."""
    cigar = int.from_bytes(record[CIGAR_LENGTH : CIGAR_LENGTH + 2], "little")
    bases = int.from_bytes(record[LENGTH : LENGTH + 4], "little")
    at = FIXED + record[NAME_LENGTH] + 4 * cigar + (bases + 1) // 2 + bases
    while at < len(record):
        yield at
        kind = record[at + 2 : at + 3]
        at = at + SIZES[kind] if kind in SIZES else record.index(b"\0", at) + 1


def is_second(record: bytes) -> bool:
    """Whether a record is of the second read of its pair."""
    return bool(record[FLAG] & SECOND)


def without_bases(record: bytes) -> bytes:
    """An unmapped record of one base, with none: the wheel takes no read without bases, and bwa does."""
    bases = FIXED + record[NAME_LENGTH]  # unmapped: there is no CIGAR between
    size, none = struct.pack("<I", len(record) - 6), struct.pack("<I", 0)
    return b"".join([size, record[4:LENGTH], none, record[LENGTH + 4 : bases], record[bases + 2 :]])
