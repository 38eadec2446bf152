"""Cuts reads into batches just as `bwa mem -K` does.

An aligner learns the insert size from a batch as a whole, so the same batches are the first condition of the same
records. A batch is full with the first pair at which it holds as many bases as it is to hold, or more.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add

from fastq import LINES, Block

BASES = 10_000_000


@dataclass(kw_only=True)
class Batch:
    """Pairs of reads, as the lines of their records.

    Attributes:
        first: The lines of the first reads.
        second: Those of the second reads.
        bases: How many bases they hold.
    """

    first: list[bytes] = field(default_factory=list)
    second: list[bytes] = field(default_factory=list)
    bases: int = 0


def batches(blocks: Iterable[Block], bases: int = BASES) -> Iterator[Batch]:
    """Cuts blocks of records into batches.

    Args:
        blocks: In the order of the files.
        bases: How many a full batch holds at least.
    """
    batch = Batch()
    for block in blocks:
        lengths = map(add, map(len, block.first[1::LINES]), map(len, block.second[1::LINES]))
        # The length of a line counts its end. totals[n] is what the batch held with n of these pairs, if it took all.
        totals = list(accumulate((length - 2 for length in lengths), initial=batch.bases))
        start, before = 0, 0
        while (end := bisect_left(totals, before + bases, lo=start + 1)) < len(totals):
            _extend(batch, block, start, end)
            yield batch
            batch, start, before = Batch(), end, totals[end]
        _extend(batch, block, start, len(totals) - 1)
        batch.bases = totals[-1] - before
    if batch.first:
        yield batch


def _extend(batch: Batch, block: Block, start: int, end: int) -> None:
    batch.first += block.first[start * LINES : end * LINES]
    batch.second += block.second[start * LINES : end * LINES]
