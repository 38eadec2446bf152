"""Cuts a genome into shards that take about as long to call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from step.bam import Span

BASES_PER_BYTE = 16  # what a base costs without a read on it, in compressed bytes of reads
MARGIN = 1000  # bases: more than a short read spans on its reference


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of a sequence, its bases counted from 0, the end not included."""

    sequence: str
    start: int
    end: int


def shard(lengths: Mapping[str, int], spans: Sequence[Sequence[Span]] | None, number: int, shards: int) -> list[Region]:
    """The regions of one shard, in the order of the genome; none where there are more shards than bases.

    A base costs something, and the compressed bytes of the reads that begin at it cost more. Where nothing is known of
    the reads, every base costs the same. All shards together hold every base once.

    Args:
        lengths: Of the sequences, in bases, in the genome's order.
        spans: For each sequence, where its reads are: spans in order, which may lie within each other. None if unknown.
        number: Which shard, from 0.
        shards: How many there are.
    """
    if spans is None or len(spans) != len(lengths):
        spans = [[] for _ in lengths]
    pieces = [
        (name, start, end, weight)
        for (name, length), known in zip(lengths.items(), spans, strict=True)
        for start, end, weight in _pieces(length, known)
    ]
    total = sum(weight for *_, weight in pieces)
    # In whole numbers, so that the last shard ends with the genome.
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


def _cut(start: int, end: int, weight: int, wanted: int, shards: int) -> int:
    """The base of a piece before which `wanted / shards` of its weight lies."""
    if wanted <= 0:
        return start
    if wanted >= weight * shards:
        return end
    return start + wanted * (end - start) // (weight * shards)


def _pieces(length: int, spans: Sequence[Span]) -> list[tuple[int, int, int]]:
    """A sequence cut at every edge of a span: start, end and weight of each piece, which is never 0."""
    edges = sorted({0, length, *(edge for span in spans for edge in (span.start, span.end) if 0 < edge < length)})
    number = {edge: at for at, edge in enumerate(edges)}
    added = [0.0] * len(edges)  # bytes a base, where a span begins less where it ends
    for span in spans:
        if span.weight and span.start < length:
            end = min(span.end, length)
            rate = span.weight / (end - span.start)
            added[number[span.start]] += rate
            added[number[end]] -= rate
    pieces = []
    rate = 0.0
    for at, (start, end) in enumerate(pairwise(edges)):
        rate += added[at]
        bases = end - start
        pieces.append((start, end, max(round(bases * max(rate, 0.0) * BASES_PER_BYTE), 0) + bases))
    return pieces


def widened(regions: Sequence[Region], lengths: Mapping[str, int], margin: int = MARGIN) -> list[Region]:
    """Regions with a margin on either side, within their sequences."""
    return [
        Region(
            sequence=region.sequence,
            start=max(region.start - margin, 0),
            end=min(region.end + margin, lengths[region.sequence]),
        )
        for region in regions
    ]


def bed(regions: Sequence[Region]) -> str:
    """Regions as the lines of a BED file."""
    return "".join(f"{region.sequence}\t{region.start}\t{region.end}\n" for region in regions)


def table(regions: Sequence[Region]) -> str:
    """Regions as BCFtools reads targets: the first base and the last, counted from 1."""
    return "".join(f"{region.sequence}\t{region.start + 1}\t{region.end}\n" for region in regions)
