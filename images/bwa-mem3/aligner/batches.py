"""Cuts interleaved reads into batches exactly like `bwa mem -K`.

An aligner learns insert sizes from a whole batch, so only equal batches can give equal records. A batch ends with the
pair that brings it to the given number of bases or beyond.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, islice
from operator import add
from typing import BinaryIO

BASES = 10_000_000
LINES = 8  # of a pair
BLOCK_LINES = 2048 * LINES  # read at a time


def batches(reads: BinaryIO, bases: int = BASES) -> Iterator[list[bytes]]:
    """Cuts interleaved FASTQ into batches, lists of lines with their line ends.

    Args:
        reads: Complete pairs.
        bases: The least number of bases in a full batch.
    """
    batch: list[bytes] = []
    batch_bases = 0
    while block := list(islice(reads, BLOCK_LINES)):
        lengths = map(add, map(len, block[1::LINES]), map(len, block[5::LINES]))
        # Lengths include the line ends. totals[n]: bases of the batch if it took the first n pairs of this block.
        totals = list(accumulate((length - 2 for length in lengths), initial=batch_bases))
        start, before = 0, 0
        while (end := bisect_left(totals, before + bases, lo=start + 1)) < len(totals):
            batch += block[start * LINES : end * LINES]
            yield batch
            batch, start, before = [], end, totals[end]
        batch += block[start * LINES :]
        batch_bases = totals[-1] - before
    if batch:
        yield batch
