"""Variants found against variants known."""

import pytest

from toolchain.demo.accuracy import Comparison, Variant, compare, variants

A = Variant("chrA", 1, "A", "C")
B = Variant("chrA", 2, "G", "GT")
C = Variant("chrB", 1, "A", "C")


def line(alternative: str = "C", quality: str = "30", genotype: str | None = "0/1") -> str:
    """One record of a VCF; without a sample where there is no genotype."""
    fields = ["chrA", "1", ".", "A", alternative, quality, "PASS", "."]
    return "\t".join(fields if genotype is None else [*fields, "GT:PL", f"{genotype}:0,1,2"]) + "\n"


def test_the_two_sides_are_divided_into_shared_missed_and_false() -> None:
    comparison = compare(frozenset({A, B}), frozenset({B, C}))
    assert comparison == Comparison(shared=frozenset({B}), missed=frozenset({A}), false=frozenset({C}))


def test_precision_is_the_share_of_what_was_found_and_recall_that_of_what_is_known() -> None:
    comparison = compare(frozenset({A}), frozenset({A, B, C}))
    assert comparison.precision == pytest.approx(1 / 3)
    assert comparison.recall == 1


def test_nothing_found_is_precise_and_recalls_nothing() -> None:
    comparison = compare(frozenset({A}), frozenset())
    assert (comparison.precision, comparison.recall) == (1, 0)


def test_nothing_known_is_recalled_whole() -> None:
    comparison = compare(frozenset(), frozenset({A}))
    assert (comparison.precision, comparison.recall) == (0, 1)


@pytest.mark.parametrize(
    "other",
    [
        Variant("chrB", 1, "A", "C"),
        Variant("chrA", 2, "A", "C"),
        Variant("chrA", 1, "G", "C"),
        A._replace(alternative="T"),
    ],
)
def test_a_variant_is_its_sequence_position_and_both_alleles(other: Variant) -> None:
    assert compare(frozenset({A}), frozenset({other})).shared == frozenset()


@pytest.mark.parametrize(
    ("reference", "alternative", "is_snp"),
    [("A", "C", True), ("A", "AC", False), ("AC", "A", False), ("AC", "GT", False)],
)
def test_a_snp_replaces_one_base(reference: str, alternative: str, *, is_snp: bool) -> None:
    assert Variant("chrA", 1, reference, alternative).is_snp is is_snp


def test_a_record_is_a_variant_and_header_and_empty_lines_are_none() -> None:
    assert variants(["##fileformat=VCFv4.2\n", "#CHROM\tPOS\n", "\n", line()]) == {A}


@pytest.mark.parametrize("alternative", ["*", "."])
def test_a_spanning_deletion_and_no_alternative_are_no_variants(alternative: str) -> None:
    assert variants([line(alternative)]) == frozenset()


@pytest.mark.parametrize("genotype", ["0/1", "1/0", "1|1", "1", "./1", "1/2", "0|10"])
def test_a_genotype_with_an_alternative_allele_counts(genotype: str) -> None:
    assert variants([line(genotype=genotype)]) == {A}


@pytest.mark.parametrize("genotype", ["0/0", "0|0", "0", "./.", ".", ".|0"])
def test_a_genotype_without_one_does_not_count(genotype: str) -> None:
    assert variants([line(genotype=genotype)]) == frozenset()


def test_a_record_without_a_sample_counts() -> None:
    assert variants([line(genotype=None)]) == {A}


@pytest.mark.parametrize(("quality", "counts"), [("19.99", False), ("20", True), ("1e2", True), (".", True)])
def test_the_lowest_quality_still_counts_and_so_does_a_record_without_one(quality: str, *, counts: bool) -> None:
    assert bool(variants([line(quality=quality)], lowest_quality=20)) is counts


def test_without_a_lowest_quality_every_record_counts() -> None:
    assert variants([line(quality="0.001")]) == {A}
