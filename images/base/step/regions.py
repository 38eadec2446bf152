"""Cuts a genome into shards of about equal calling time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from step.bam import Span

BASES_PER_BYTE = 16  # a compressed byte of reads takes as long to call as 16 bases without reads
MARGIN = 1000  # bases, more than a short read spans on its reference


@dataclass(frozen=True, kw_only=True)
class Region:
    """A half-open, 0-based range of a sequence."""

    sequence: str
    start: int
    end: int


def shard_regions(
    lengths: Mapping[str, int], spans: Sequence[Sequence[Span]] | None, number: int, shards: int
) -> list[Region]:
    """The regions of one shard in genome order; empty if there are more shards than bases.

    The cost of a region is its bases plus the compressed bytes of the reads that start in it, weighted. If `spans` are
    unknown, every base costs the same. The shards cover every base exactly once.

    Args:
        lengths: Sequence lengths in bases, in genome order.
        spans: For each sequence, where its reads are, in order; spans may be nested. None if unknown.
        number: The shard, from 0.
        shards: The number of shards.
    """
    if spans is None or len(spans) != len(lengths):
        spans = [[] for _ in lengths]
    pieces = [
        (name, start, end, weight)
        for (name, length), of_sequence in zip(lengths.items(), spans, strict=True)
        for start, end, weight in _pieces(length, of_sequence)
    ]
    total = sum(weight for *_, weight in pieces)
    # Integers, so that the last shard ends exactly with the genome.
    lower, upper = total * number, total * (number + 1)
    regions: list[Region] = []
    before = 0
    for name, start, end, weight in pieces:
        first = _cut(start, end, weight, lower - before * shards, shards)
        last = _cut(start, end, weight, upper - before * shards, shards)
        before += weight
        if first >= last:
            continue
        if regions and regions[-1].sequence == name and regions[-1].end == first:
            first = regions.pop().start
        regions.append(Region(sequence=name, start=first, end=last))
    return regions


def _cut(start: int, end: int, weight: int, share: int, shards: int) -> int:
    """The base of a piece before which `share / shards` of its weight lies."""
    if share <= 0:
        return start
    if share >= weight * shards:
        return end
    return start + share * (end - start) // (weight * shards)


def _pieces(length: int, spans: Sequence[Span]) -> list[tuple[int, int, int]]:
    """Cuts a sequence at every edge of a span: start, end and weight (never 0) of each piece."""
    edges = sorted({0, length, *(edge for span in spans for edge in (span.start, span.end) if 0 < edge < length)})
    number = {edge: at for at, edge in enumerate(edges)}
    changes = [0.0] * len(edges)  # of the bytes per base: spans that start there less spans that end there
    for span in spans:
        if span.weight and span.start < length:
            end = min(span.end, length)
            rate = span.weight / (end - span.start)
            changes[number[span.start]] += rate
            changes[number[end]] -= rate
    pieces = []
    rate = 0.0
    for at, (start, end) in enumerate(pairwise(edges)):
        rate += changes[at]
        bases = end - start
        pieces.append((start, end, max(round(bases * max(rate, 0.0) * BASES_PER_BYTE), 0) + bases))
    return pieces


def widen(regions: Sequence[Region], lengths: Mapping[str, int], margin: int = MARGIN) -> list[Region]:
    """Extends regions by a margin on both sides, within their sequences."""
    return [
        Region(
            sequence=region.sequence,
            start=max(region.start - margin, 0),
            end=min(region.end + margin, lengths[region.sequence]),
        )
        for region in regions
    ]


def bed_lines(regions: Sequence[Region]) -> str:
    """Regions in BED format."""
    return "".join(f"{region.sequence}\t{region.start}\t{region.end}\n" for region in regions)


def target_lines(regions: Sequence[Region]) -> str:
    """Regions as a tab-separated targets file of BCFtools: 1-based, both ends included."""
    return "".join(f"{region.sequence}\t{region.start + 1}\t{region.end}\n" for region in regions)
