"""Makes the header that `bwa mem` writes, and turns the records of the wheel into those of bwa.

https://samtools.github.io/hts-specs/SAMv1.pdf, section 4.2.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

# Offsets in a record; FIXED is that of its name.
NAME_LENGTH, CIGAR_LENGTH, FLAG, LENGTH, FIXED = 12, 16, 18, 20, 36
SECOND = 0x80
# Tag types of fixed size, with the bytes of a tag including its name and type.
INTEGERS = {b"c": 4, b"C": 4, b"s": 5, b"S": 5, b"i": 7, b"I": 7}
SIZES = INTEGERS | {b"f": 7, b"A": 4}


def header(contigs: Sequence[tuple[str, int]], alt_contigs: frozenset[str], read_group: str, program: str) -> bytes:
    """A BAM header with the lines in the order of `bwa mem`.

    Args:
        contigs: Name and length of each sequence.
        alt_contigs: The names of the ALT contigs.
        read_group: The @RG line.
        program: The @PG line.
    """
    lines = [
        "@HD\tVN:1.5\tSO:unsorted\tGO:query",
        *(f"@SQ\tSN:{name}\tLN:{length}" + "\tAH:*" * (name in alt_contigs) for name, length in contigs),
        read_group,
        program,
    ]
    text = "".join(f"{line}\n" for line in lines).encode()
    parts = [b"BAM\1", struct.pack("<i", len(text)), text, struct.pack("<i", len(contigs))]
    for name, length in contigs:
        encoded = name.encode() + b"\0"
        parts += [struct.pack("<i", len(encoded)), encoded, struct.pack("<i", length)]
    return b"".join(parts)


def read_alt(file: Path) -> frozenset[str]:
    """The ALT contigs in a .alt file, if there is one: like bwa, the first word of lines that are no @ headers."""
    if not file.exists():
        return frozenset()
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(line.split()[0] for line in lines if line.strip() and not line.startswith("@"))


def strip_hits(record: bytes, rg_tag: bytes) -> bytes:
    """Removes the tag HN, the number of hits, which bwa does not write. If present, it is the last tag.

    Args:
        record: The record, preceded by its size.
        rg_tag: The encoded RG tag; if a record ends with it, there is no HN.
    """
    if record.endswith(rg_tag):
        return record
    for kind, size in INTEGERS.items():
        if record[-size : 3 - size] == b"HN" + kind:
            return struct.pack("<I", len(record) - 4 - size) + record[4:-size]
    return record


def round_alt_score(record: bytes) -> bytes:
    """Rounds the tag pa, the score relative to that of an ALT hit, to three decimals like bwa."""
    for start in tag_offsets(record):
        if record[start : start + 3] == b"paf":
            score = struct.unpack_from("<f", record, start + 3)[0]
            return record[: start + 3] + struct.pack("<f", round(score, 3)) + record[start + 7 :]
    return record


def tag_offsets(record: bytes) -> Iterator[int]:
    """The offset of each tag in a record."""
    cigar = int.from_bytes(record[CIGAR_LENGTH : CIGAR_LENGTH + 2], "little")
    bases = int.from_bytes(record[LENGTH : LENGTH + 4], "little")
    at = FIXED + record[NAME_LENGTH] + 4 * cigar + (bases + 1) // 2 + bases
    while at < len(record):
        yield at
        kind = record[at + 2 : at + 3]
        at = at + SIZES[kind] if kind in SIZES else record.index(b"\0", at) + 1


def is_second(record: bytes) -> bool:
    """Whether a record is that of the second read of its pair."""
    return bool(record[FLAG] & SECOND)


def strip_base(record: bytes) -> bytes:
    """Removes the only base of an unmapped record. It stood for a read without bases, which the wheel rejects."""
    bases = FIXED + record[NAME_LENGTH]  # an unmapped record has no CIGAR
    size, none = struct.pack("<I", len(record) - 6), struct.pack("<I", 0)
    return b"".join([size, record[4:LENGTH], none, record[LENGTH + 4 : bases], record[bases + 2 :]])
