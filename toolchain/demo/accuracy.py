"""Compares called variants with known ones, by alleles.

Both must come from the same `bcftools norm -m -any`, so that a variant has only one spelling.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Variant(NamedTuple):
    """One alternative allele: the position is 1-based."""

    sequence: str
    position: int
    reference: str
    alternative: str

    @property
    def is_snp(self) -> bool:
        """Whether it replaces one base by another."""
        return len(self.reference) == len(self.alternative) == 1


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Called variants against known ones.

    Attributes:
        shared: Called and known (true positives).
        missed: Known, not called (false negatives).
        false: Called, not known (false positives).
    """

    shared: frozenset[Variant]
    missed: frozenset[Variant]
    false: frozenset[Variant]

    @property
    def precision(self) -> float:
        """The fraction of called variants that are known; 1 if none were called."""
        called = len(self.shared) + len(self.false)
        return len(self.shared) / called if called else 1.0

    @property
    def recall(self) -> float:
        """The fraction of known variants that were called; 1 if none are known."""
        known = len(self.shared) + len(self.missed)
        return len(self.shared) / known if known else 1.0


def compare(known: frozenset[Variant], called: frozenset[Variant]) -> Comparison:
    """Compares two sets of variants."""
    return Comparison(shared=known & called, missed=known - called, false=called - known)


def variants(lines: Iterable[str], *, lowest_quality: float = 0) -> frozenset[Variant]:
    """The alleles of a VCF with at most one sample and one allele a record.

    Spanning deletions (`*`), records whose genotype has no alternative allele, and records with a QUAL below
    `lowest_quality` are left out.
    """
    alleles = set()
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        fields = line.rstrip("\n").split("\t")
        sequence, position, _, reference, alternative, quality = fields[:6]
        if alternative in ("*", "."):
            continue
        if quality != "." and float(quality) < lowest_quality:
            continue
        genotype = fields[9].split(":")[0] if len(fields) > 9 else "1"  # noqa: PLR2004  # the first sample's column
        if set(genotype) <= set("0./|"):
            continue
        alleles.add(Variant(sequence, int(position), reference, alternative))
    return frozenset(alleles)
