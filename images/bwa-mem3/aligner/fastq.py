"""Reads the two FASTQ files of a lane side by side, and checks each record and that the two are mates.

A FASTQ that is broken, short or swapped would otherwise be aligned in part. What is looked for, and what is said of
it, is the same as in the bwa image's mates.awk, which says why. A block of records is looked at as a whole, by a few
passes over its bytes; only where such a pass meets something that it does not know is the block read record by record.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

BLOCK = 2048  # records read at a time
LONGEST_NAME = 254  # that a BAM record can hold
NAMELESS = re.compile(rb"\n@\s")
NOT_BASES = re.compile(rb"[^A-Za-z.*-]")
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.*-\n"
LINES = 4


class BadReadsError(Exception):
    """Bad data, as one line: file: reason."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two files.

    Attributes:
        name: As errors call it.
        file: Its bytes, unpacked.
    """

    name: str
    file: BinaryIO

    def read(self) -> list[bytes]:
        """The lines of the next records, each with its end; fewer than a block only at the end of the file."""
        lines = list(islice(self.file, BLOCK * LINES))
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\n"
        return lines


@dataclass(frozen=True, kw_only=True)
class Block:
    """As many records of either file, as lines with their ends."""

    first: list[bytes]
    second: list[bytes]


def blocks(one: Side, two: Side) -> Iterator[Block]:
    """Reads both files to their ends.

    Raises:
        BadReadsError: Of the first record at which something is wrong.
    """
    count = 0
    while True:
        block = Block(first=one.read(), second=two.read())
        if not block.first and not block.second:
            break
        if not is_plain(block):
            examine(block, one.name, two.name, count)
        yield block
        count += len(block.first) // LINES
    if not count:
        message = f"{one.name} and {two.name}: there is no read in them"
        raise BadReadsError(message)


def is_plain(block: Block) -> bool:
    """Whether nothing is wrong with any record, as far as can be told at a glance."""
    first, second = block.first, block.second
    if len(first) != len(second) or len(first) % LINES:
        return False
    if not (_are_records(first) and _are_records(second)):
        return False
    heads, mates = b"".join(first[::LINES]), b"".join(second[::LINES])
    # With the marks of first mates turned into those of second mates, the heads are the same: so are the names, since
    # a mark is no part of them. And no first read says that it is a second one, nor the other way round.
    return (
        heads.replace(b" 1:", b" 2:").replace(b"/1\n", b"/2\n") == mates
        and not any(mark in heads for mark in (b" 2:", b"\t2:", b"/2\n", b"/2 ", b"/2\t"))
        and not any(mark in mates for mark in (b" 1:", b"\t1:", b"/1\n", b"/1 ", b"/1\t"))
    )


def _are_records(lines: list[bytes]) -> bool:
    count = len(lines) // LINES
    heads, bases, marks, qualities = (lines[number::LINES] for number in range(LINES))
    joined = b"\n" + b"".join(heads)
    return (
        joined.count(b"\n@") == count
        and not NAMELESS.search(joined)
        and max(map(len, heads)) <= LONGEST_NAME
        and (b"\n" + b"".join(marks)).count(b"\n+") == count
        and list(map(len, bases)) == list(map(len, qualities))
        and not b"".join(bases).translate(None, LETTERS)
    )


def examine(block: Block, one: str, two: str, count: int) -> None:
    """Reads a block record by record.

    Args:
        block: The records.
        one: The first file's name.
        two: The second file's name.
        count: How many records stand before it.

    Raises:
        BadReadsError: Of the first record at which something is wrong.
    """

    def bad(name: str, reason: str) -> BadReadsError:
        return BadReadsError(f"{name}: {reason}")

    both = f"{one} and {two}"
    for start in range(0, max(len(block.first), len(block.second)), LINES):
        first, second = block.first[start : start + LINES], block.second[start : start + LINES]
        if not first or not second:
            short, long = (one, two) if not first else (two, one)
            raise bad(short, f"ends after {count} reads, and {long} goes on")
        count += 1
        for name, record in ((one, first), (two, second)):
            if reason := fault(record):
                raise bad(name, f"record {count} is broken: {reason}")
        names = [shown(name_of(record[0])) for record in (first, second)]
        if name_of(first[0]) != name_of(second[0]):
            raise bad(both, f"record {count} is '{names[0]}' in one and '{names[1]}' in the other")
        if mate_of(first[0]) == b"2" or mate_of(second[0]) == b"1":
            raise bad(both, f"record {count} says that the files are swapped: the first must hold the first reads")


def fault(record: list[bytes]) -> str:
    """What is wrong with a record; nothing if it is whole."""
    if len(record) < LINES:
        return "cut off in the middle of a record"
    head, bases, plus, qualities = (line[:-1] for line in record)
    faults = (
        (not re.match(rb"@\S", head), "its first line does not start with '@' and a name"),
        (len(name_of(head)) > LONGEST_NAME, f"its name is longer than {LONGEST_NAME} characters"),
        (not plus.startswith(b"+"), "its third line does not start with '+'"),
        (NOT_BASES.search(bases), "its bases hold something that is not a base"),
        (len(bases) != len(qualities), f"{len(bases)} bases but {len(qualities)} qualities"),
    )
    return next((reason for wrong, reason in faults if wrong), "")


def name_of(head: bytes) -> bytes:
    """The read's name, without the comment and without the mate's mark of older Illumina software."""
    name = re.split(rb"[ \t\n]", head, maxsplit=1)[0][1:]
    return name[:-2] if name.endswith((b"/1", b"/2")) else name


def mate_of(head: bytes) -> bytes:
    """1 or 2 where the read says which mate it is; else nothing."""
    name, _, comment = head.rstrip(b"\n").replace(b"\t", b" ").partition(b" ")
    if re.match(rb"[12]:[YN]:", comment):
        return comment[:1]
    return name[-1:] if name.endswith((b"/1", b"/2")) else b""


def shown(name: bytes) -> str:
    """A name, fit for an error."""
    return name[:80].decode("ascii", errors="replace")
