"""Cuts interleaved reads into batches just as `bwa mem -K` does.

An aligner learns the insert size from a batch as a whole, so the same batches are the first condition of the same
records. A batch is full with the first pair at which it holds as many bases as it is to hold, or more.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice
from operator import add
from typing import BinaryIO

BASES = 10_000_000
LINES = 8  # of a pair
BLOCK = 2048 * LINES  # lines read at a time


@dataclass(kw_only=True)
class Batch:
    """Pairs of reads, as the lines of their records, each with its end.

    Attributes:
        lines: Eight for each pair: the first read's four, then its mate's.
    """

    lines: list[bytes] = field(default_factory=list)


def batches(reads: BinaryIO, bases: int = BASES) -> Iterator[Batch]:
    """Cuts interleaved FASTQ into batches.

    Args:
        reads: Whole records, as many first reads as mates.
        bases: How many a full batch holds at least.
    """
    batch, held = Batch(), 0
    while block := list(islice(reads, BLOCK)):
        lengths = map(add, map(len, block[1::LINES]), map(len, block[5::LINES]))
        # The length of a line counts its end. totals[n] is what the batch held with n of these pairs, if it took all.
        totals = list(accumulate((length - 2 for length in lengths), initial=held))
        start, before = 0, 0
        while (end := bisect_left(totals, before + bases, lo=start + 1)) < len(totals):
            batch.lines += block[start * LINES : end * LINES]
            yield batch
            batch, start, before = Batch(), end, totals[end]
        batch.lines += block[start * LINES :]
        held = totals[-1] - before
    if batch.lines:
        yield batch
