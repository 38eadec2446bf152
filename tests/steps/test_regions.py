"""Shards cover every base once, and cost the same."""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hts_files import Indexed, bai, csi, virtual_offset

from step.bam import Span, parse_index
from step.regions import BASES_PER_BYTE, MARGIN, Region, bed_lines, shard_regions, target_lines, widen

WINDOW = 1 << 14


def all_shards(lengths: Mapping[str, int], spans: Sequence[Sequence[Span]] | None, shards: int) -> list[list[Region]]:
    return [shard_regions(lengths, spans, number, shards) for number in range(shards)]


def check_every_base_once(lengths: Mapping[str, int], shards: Sequence[Sequence[Region]]) -> None:
    """The shards in sequence are the genome: no base twice, none missing, none out of order."""
    regions = [region for shard in shards for region in shard]
    assert all(region.start < region.end for region in regions)
    for name, length in lengths.items():
        edges = [edge for region in regions if region.sequence == name for edge in (region.start, region.end)]
        assert edges[::2] == [0, *edges[1:-1:2]][: len(edges) // 2]
        assert edges[-1:] == ([length] if length else [])
    numbers = [list(lengths).index(region.sequence) for region in regions]
    assert numbers == sorted(numbers)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A span, which may lie beyond the end of its sequence."""
    start = draw(st.integers(0, 300))
    return Span(start=start, end=start + draw(st.integers(1, 200)), weight=draw(st.integers(0, 10**9)))


@settings(max_examples=60)
@given(lengths=st.lists(st.integers(0, 400), max_size=6), shards=st.integers(1, 40), data=st.data())
def test_every_base_is_in_one_shard(lengths: list[int], shards: int, data: st.DataObject) -> None:
    genome = {f"s{number}": length for number, length in enumerate(lengths)}
    of_sequences = st.lists(st.lists(spans(), max_size=8), min_size=len(lengths), max_size=len(lengths))
    check_every_base_once(genome, all_shards(genome, data.draw(st.none() | of_sequences), shards))


@pytest.mark.parametrize("shards", [1, 7, 150])
def test_every_base_of_a_whole_genome_is_in_one_shard(shards: int) -> None:
    chance = random.Random(shards)  # noqa: S311
    genome = {f"chr{number}": chance.randrange(1, 1 << 31) for number in range(5)}
    of_sequences = [
        [Span(start=at, end=at + (1 << 20), weight=chance.randrange(1 << 20)) for at in range(0, 20 << 20, 1 << 20)]
        for _ in genome
    ]
    check_every_base_once(genome, all_shards(genome, of_sequences, shards))


def test_adjacent_regions_of_a_shard_are_joined_in_the_order_of_the_genome() -> None:
    of_sequence = [Span(start=at, end=at + 10, weight=at) for at in range(0, 100, 10)]
    genome = {"b": 100, "HLA:HLA00001": 10, "a": 10}
    regions = [Region(sequence=name, start=0, end=length) for name, length in genome.items()]
    assert shard_regions(genome, [of_sequence, [], []], 0, 1) == regions


def test_without_spans_every_base_costs_the_same() -> None:
    halves = [[Region(sequence=name, start=start, end=start + 50)] for name in "ab" for start in (0, 50)]
    unknown: list[list[list[Span]] | None] = [None, [[]], [[], []]]
    assert [all_shards({"a": 100, "b": 100}, spans, 4) for spans in unknown] == [halves] * 3


def test_more_shards_than_bases_leave_some_empty() -> None:
    shards = all_shards({"a": 3}, None, 8)
    assert sorted(len(regions) for regions in shards) == [0] * 5 + [1] * 3
    assert shard_regions({}, None, 0, 1) == []


def test_nested_spans_count_together() -> None:
    nested = [Span(start=0, end=end, weight=weight) for end, weight in ((400, 0), (200, 10**6), (100, 10**6))]
    first, second, third = all_shards({"a": 400}, [nested], 3)
    assert (first[0].end, second[0].end) == (44, 88)
    assert third == [Region(sequence="a", start=88, end=400)]


# Bytes of reads in each window of 16 kb. Their file offsets have different numbers of digits.
UNEVEN = [
    [*[90_000] * 3, *[0] * 20, *[7_000] * 12, 500_000, *[20_000] * 30],
    [0] * 15,
    [*[40_000] * 25, *[1_000] * 40],
]
AMPLICONS = [[0] * 100 + [90_000] * 11 + [0] * 100]


def index_of(weights: Sequence[Sequence[int]], *, is_bai: bool) -> bytes:
    """An index of a BAM with that many bytes of reads in each window."""
    sequences, at = [], 990
    for of_sequence in weights:
        offsets = [at]
        for weight in of_sequence:
            offsets.append(offsets[-1] + weight)
        bins = {
            4681 + number: [(virtual_offset(start), virtual_offset(end))]
            for number, (start, end) in enumerate(pairwise(offsets))
            if start != end
        }
        windows = [
            virtual_offset(offset) if weight else 0 for offset, weight in zip(offsets, of_sequence, strict=False)
        ]
        ends = (virtual_offset(at), virtual_offset(offsets[-1]))
        sequences.append(Indexed(bins=bins, windows=windows if is_bai else (), ends=ends))
        at = offsets[-1]
    return bai(sequences) if is_bai else csi(sequences)


def cost(regions: Sequence[Region], genome: Mapping[str, int], weights: Sequence[Sequence[int]]) -> float:
    """The cost of a shard, counted window by window."""
    reads = 0.0
    for region in regions:
        for number, weight in enumerate(weights[list(genome).index(region.sequence)]):
            start, end = number * WINDOW, min((number + 1) * WINDOW, genome[region.sequence])
            reads += weight * max(min(region.end, end) - max(region.start, start), 0) / (end - start)
    return sum(region.end - region.start for region in regions) + reads * BASES_PER_BYTE


@pytest.mark.parametrize("is_bai", [True, False], ids=["bai", "csi"])
@pytest.mark.parametrize(("weights", "shards"), [(UNEVEN, 2), (UNEVEN, 16), (UNEVEN, 64), (AMPLICONS, 4)])
def test_shards_of_unevenly_distributed_reads_cost_the_same(
    weights: list[list[int]],
    shards: int,
    is_bai: bool,  # noqa: FBT001
) -> None:
    names = ("chr1", "HLA:HLA00001", "chr2")
    genome = {name: len(windows) * WINDOW - 5000 for name, windows in zip(names, weights, strict=False)}
    of_sequences = parse_index(index_of(weights, is_bai=is_bai)).spans
    assert [sum(span.weight for span in of_sequence) for of_sequence in of_sequences] == [sum(w) for w in weights]
    regions = all_shards(genome, of_sequences, shards)
    check_every_base_once(genome, regions)
    costs = [cost(shard, genome, weights) for shard in regions]
    assert max(costs) < min(costs) * 1.01


# ---- margins and files -----------------------------------------------------------------------------------------------


def test_a_margin_stays_within_its_sequence() -> None:
    regions = [Region(sequence="a", start=500, end=3000), Region(sequence="b", start=0, end=100)]
    assert widen(regions, {"a": 5000, "b": 100}) == [
        Region(sequence="a", start=0, end=3000 + MARGIN),
        Region(sequence="b", start=0, end=100),
    ]


@pytest.mark.parametrize("name", ["HLA-A*01:01:01:01", "HLA:HLA00001", "chr20:100000-120000", "gi|1|ref|NC|"])
def test_files_of_regions_contain_names_unchanged(name: str) -> None:
    regions = [Region(sequence=name, start=0, end=9), Region(sequence=name, start=20, end=21)]
    assert bed_lines(regions) == f"{name}\t0\t9\n{name}\t20\t21\n"
    assert target_lines(regions) == f"{name}\t1\t9\n{name}\t21\t21\n"
