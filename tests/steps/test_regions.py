"""Shards: every base is in one of them, and they take about as long to call."""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bam_indexes import Indexed, bai, csi, virtual

from step.bam import Span, parse_index
from step.regions import BASES_PER_BYTE, MARGIN, Region, bed_lines, shard_regions, widen

WINDOW = 1 << 14


@st.composite
def spans_of(draw: st.DrawFn) -> Span:
    """A span, also one that lies beyond its sequence's end."""
    start = draw(st.integers(0, 300))
    return Span(start=start, end=start + draw(st.integers(1, 200)), weight=draw(st.integers(0, 10**9)))


def all_shards(lengths: Mapping[str, int], spans: Sequence[Sequence[Span]] | None, shards: int) -> list[list[Region]]:
    return [shard_regions(lengths, spans, number, shards) for number in range(shards)]


def check_every_base_once(lengths: Mapping[str, int], shards: Sequence[Sequence[Region]]) -> None:
    """All shards one after the other are the genome: no base twice, none left out, none out of order."""
    regions = [region for mine in shards for region in mine]
    assert all(region.start < region.end for region in regions)
    for name, length in lengths.items():
        edges = [edge for region in regions if region.sequence == name for edge in (region.start, region.end)]
        assert edges[::2] == [0, *edges[1:-1:2]][: len(edges) // 2]
        assert edges[-1:] == ([length] if length else [])
    order = list(lengths)
    numbers = [order.index(region.sequence) for region in regions]
    assert numbers == sorted(numbers)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 400), max_size=6), shards=st.integers(1, 40), known=st.data())
def test_every_base_is_in_one_shard_whatever_is_known_of_the_reads(
    lengths: list[int], shards: int, known: st.DataObject
) -> None:
    genome = {f"s{number}": length for number, length in enumerate(lengths)}
    spans = known.draw(
        st.none() | st.lists(st.lists(spans_of(), max_size=8), min_size=len(lengths), max_size=len(lengths))
    )
    check_every_base_once(genome, all_shards(genome, spans, shards))


@pytest.mark.parametrize("shards", [1, 7, 150])
def test_every_base_of_a_whole_genome_is_in_one_shard(shards: int) -> None:
    chance = random.Random(shards)  # noqa: S311
    genome = {f"chr{number}": chance.randrange(1, 1 << 31) for number in range(5)}
    spans = [
        [Span(start=at, end=at + (1 << 20), weight=chance.randrange(1 << 20)) for at in range(0, 20 << 20, 1 << 20)]
        for _ in genome
    ]
    check_every_base_once(genome, all_shards(genome, spans, shards))


def test_regions_of_a_shard_that_touch_are_one() -> None:
    spans = [[Span(start=at, end=at + 10, weight=at) for at in range(0, 100, 10)]]
    assert shard_regions({"a": 100}, spans, 0, 1) == [Region(sequence="a", start=0, end=100)]


def test_where_nothing_is_known_every_base_costs_the_same() -> None:
    assert all_shards({"a": 100, "b": 100}, None, 4) == [
        [Region(sequence=name, start=start, end=start + 50)] for name in "ab" for start in (0, 50)
    ]
    assert all_shards({"a": 100, "b": 100}, [[]], 2) == all_shards({"a": 100, "b": 100}, None, 2)
    assert all_shards({"a": 100, "b": 100}, [[], []], 2) == all_shards({"a": 100, "b": 100}, None, 2)


def test_more_shards_than_bases_leave_some_empty() -> None:
    made = all_shards({"a": 3}, None, 8)
    assert sorted(len(regions) for regions in made) == [0] * 5 + [1] * 3
    assert shard_regions({}, None, 0, 1) == []


def test_the_order_of_sequences_is_that_of_the_genome_not_of_their_names() -> None:
    genome = {"b": 10, "HLA:HLA00001": 10, "a": 10}
    assert [region.sequence for region in shard_regions(genome, None, 0, 1)] == list(genome)


# ---- balance ---------------------------------------------------------------------------------------------------------

# Bytes of reads in each window of 16 kb; offsets of 9 and 10 digits and more, as text compares them wrongly.
UNEVEN = [
    [*[90_000] * 3, *[0] * 20, *[7_000] * 12, 500_000, *[20_000] * 30],
    [0] * 15,
    [*[40_000] * 25, *[1_000] * 40],
]


def sequence_of(weights: Sequence[int], at: int, *, is_bai: bool) -> Indexed:
    """A sequence whose windows hold so many bytes of reads, the first of them at an offset into the file."""
    offsets = [at]
    for weight in weights:
        offsets.append(offsets[-1] + weight)
    bins = {
        4681 + number: [(virtual(start), virtual(end))]
        for number, (start, end) in enumerate(pairwise(offsets))
        if start != end
    }
    windows = [virtual(offset) if weight else 0 for offset, weight in zip(offsets, weights, strict=False)]
    return Indexed(bins=bins, windows=windows if is_bai else (), ends=(virtual(at), virtual(offsets[-1])))


def index_of(weights: Sequence[Sequence[int]], *, is_bai: bool) -> bytes:
    sequences, at = [], 990
    for known in weights:
        sequences.append(sequence_of(known, at, is_bai=is_bai))
        at += sum(known)
    return bai(sequences) if is_bai else csi(sequences)


def cost(regions: Sequence[Region], genome: Mapping[str, int], weights: Sequence[Sequence[int]]) -> float:
    """What a shard costs, counted window by window."""
    bases = sum(region.end - region.start for region in regions)
    reads = 0.0
    for region in regions:
        for number, weight in enumerate(weights[list(genome).index(region.sequence)]):
            start, end = number * WINDOW, min((number + 1) * WINDOW, genome[region.sequence])
            reads += weight * max(min(region.end, end) - max(region.start, start), 0) / (end - start)
    return bases + reads * BASES_PER_BYTE


@pytest.mark.parametrize("is_bai", [True, False], ids=["bai", "csi"])
@pytest.mark.parametrize("shards", [2, 3, 4, 16, 64])
def test_shards_of_an_uneven_sample_cost_the_same(shards: int, is_bai: bool) -> None:  # noqa: FBT001
    names = ["chr1", "HLA:HLA00001", "chr2"]
    genome = dict(zip(names, (len(known) * WINDOW - 5000 for known in UNEVEN), strict=True))
    spans = parse_index(index_of(UNEVEN, is_bai=is_bai)).spans
    assert [sum(span.weight for span in known) for known in spans] == [sum(known) for known in UNEVEN]
    made = all_shards(genome, spans, shards)
    check_every_base_once(genome, made)
    costs = [cost(regions, genome, UNEVEN) for regions in made]
    assert max(costs) < min(costs) * 1.01


@pytest.mark.parametrize("is_bai", [True, False], ids=["bai", "csi"])
def test_reads_in_one_place_alone_are_shared_out(is_bai: bool) -> None:  # noqa: FBT001
    weights = [[0] * 100 + [90_000] * 11 + [0] * 100]
    genome = {"chr20": 211 * WINDOW}
    made = all_shards(genome, parse_index(index_of(weights, is_bai=is_bai)).spans, 4)
    costs = [cost(regions, genome, weights) for regions in made]
    assert max(costs) < min(costs) * 1.01
    amplicons = Region(sequence="chr20", start=100 * WINDOW, end=111 * WINDOW)
    assert all(region.start < amplicons.end and region.end > amplicons.start for (region,) in made)


def test_a_sample_without_a_read_is_cut_by_its_bases() -> None:
    genome = {"a": WINDOW * 12, "b": WINDOW * 12}
    spans = parse_index(bai([Indexed(bins={})] * 2)).spans
    assert all_shards(genome, spans, 3) == all_shards(genome, None, 3)


def test_spans_within_each_other_count_together() -> None:
    spans = [
        [Span(start=0, end=400, weight=0), Span(start=0, end=200, weight=10**6), Span(start=0, end=100, weight=10**6)]
    ]
    first, second, third = all_shards({"a": 400}, spans, 3)
    assert (first[0].end, second[0].end) == (44, 88)
    assert third == [Region(sequence="a", start=88, end=400)]


# ---- margins and files -----------------------------------------------------------------------------------------------


def test_a_margin_stays_within_its_sequence() -> None:
    lengths = {"a": 5000, "b": 100}
    regions = [Region(sequence="a", start=500, end=3000), Region(sequence="b", start=0, end=100)]
    assert widen(regions, lengths) == [
        Region(sequence="a", start=0, end=3000 + MARGIN),
        Region(sequence="b", start=0, end=100),
    ]


@pytest.mark.parametrize("name", ["HLA-A*01:01:01:01", "HLA:HLA00001", "chr20:100000-120000", "gi|1|ref|NC|"])
def test_names_stand_in_a_bed_file_as_they_are(name: str) -> None:
    assert bed_lines([Region(sequence=name, start=0, end=9), Region(sequence=name, start=20, end=21)]) == (
        f"{name}\t0\t9\n{name}\t20\t21\n"
    )
