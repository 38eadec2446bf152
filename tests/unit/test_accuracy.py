"""Called variants against known ones."""

import pytest

from toolchain.demo.accuracy import Comparison, Variant, compare, variants

A = Variant("chrA", 1, "A", "C")
B = Variant("chrA", 2, "G", "GT")
C = Variant("chrB", 1, "A", "C")


def record(alternative: str = "C", quality: str = "30", genotype: str | None = "0/1") -> str:
    """A line of a VCF; without a sample column where there is no genotype."""
    fields = ["chrA", "1", ".", "A", alternative, quality, "PASS", "."]
    return "\t".join(fields if genotype is None else [*fields, "GT:PL", f"{genotype}:0,1,2"]) + "\n"


def test_variants_are_divided_into_shared_missed_and_false() -> None:
    comparison = compare(frozenset({A, B}), frozenset({B, C}))
    assert comparison == Comparison(shared=frozenset({B}), missed=frozenset({A}), false=frozenset({C}))


@pytest.mark.parametrize(
    ("known", "called", "precision", "recall"),
    [({A}, {A, B, C}, 1 / 3, 1), ({A, B, C}, {A}, 1, 1 / 3), ({A}, set(), 1, 0), (set(), {A}, 0, 1)],
)
def test_precision_and_recall(known: set[Variant], called: set[Variant], precision: float, recall: float) -> None:
    comparison = compare(frozenset(known), frozenset(called))
    assert (comparison.precision, comparison.recall) == pytest.approx((precision, recall))


@pytest.mark.parametrize("change", [{"sequence": "chrB"}, {"position": 2}, {"reference": "G"}, {"alternative": "T"}])
def test_a_variant_is_its_sequence_position_and_both_alleles(change: dict[str, str | int]) -> None:
    assert compare(frozenset({A}), frozenset({A._replace(**change)})).shared == frozenset()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reference", "alternative", "is_snp"),
    [("A", "C", True), ("A", "AC", False), ("AC", "A", False), ("AC", "GT", False)],
)
def test_a_snp_replaces_one_base(reference: str, alternative: str, *, is_snp: bool) -> None:
    assert Variant("chrA", 1, reference, alternative).is_snp is is_snp


def test_header_and_empty_lines_are_skipped() -> None:
    assert variants(["##fileformat=VCFv4.2\n", "#CHROM\tPOS\n", "\n", record()]) == {A}


@pytest.mark.parametrize("alternative", ["*", "."])
def test_a_spanning_deletion_and_no_alternative_are_no_variants(alternative: str) -> None:
    assert variants([record(alternative)]) == frozenset()


@pytest.mark.parametrize(
    ("genotype", "counts"),
    [(genotype, True) for genotype in ("0/1", "1/0", "1|1", "1", "./1", "1/2", "0|10", None)]
    + [(genotype, False) for genotype in ("0/0", "0|0", "0", "./.", ".", ".|0")],
)
def test_a_record_counts_if_its_genotype_has_an_alternative_allele_or_there_is_none(
    genotype: str | None, *, counts: bool
) -> None:
    assert variants([record(genotype=genotype)]) == ({A} if counts else frozenset())


@pytest.mark.parametrize(
    ("quality", "lowest", "counts"),
    [("19.99", 20, False), ("20", 20, True), ("1e2", 20, True), (".", 20, True), ("0.001", 0, True)],
)
def test_records_below_the_lowest_quality_do_not_count(quality: str, lowest: float, *, counts: bool) -> None:
    assert bool(variants([record(quality=quality)], lowest_quality=lowest)) is counts
