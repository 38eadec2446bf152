"""Variants found against variants known: by alleles, after normalisation.

The two sides must have been through the same `bcftools norm -m -any`, so that one variant has one spelling.
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
    """What was found of what is known.

    Attributes:
        shared: Found and known.
        missed: Known, not found.
        false: Found, not known.
    """

    shared: frozenset[Variant]
    missed: frozenset[Variant]
    false: frozenset[Variant]

    @property
    def precision(self) -> float:
        """The share of what was found that is known; 1 where nothing was found."""
        found = len(self.shared) + len(self.false)
        return len(self.shared) / found if found else 1.0

    @property
    def recall(self) -> float:
        """The share of what is known that was found; 1 where nothing is known."""
        known = len(self.shared) + len(self.missed)
        return len(self.shared) / known if known else 1.0


def compare(known: frozenset[Variant], found: frozenset[Variant]) -> Comparison:
    """Holds what was found against what is known."""
    return Comparison(shared=known & found, missed=known - found, false=found - known)


def variants(lines: Iterable[str], *, lowest_quality: float = 0) -> frozenset[Variant]:
    """The variants of a VCF's lines, one allele a record.

    Args:
        lines: The lines of a VCF with at most one sample.
        lowest_quality: QUAL below which a record does not count; a record without QUAL counts.

    Returns:
        Its alleles, less spanning deletions (`*`) and records whose sample has no alternative allele.
    """
    found = set()
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
        found.add(Variant(sequence, int(position), reference, alternative))
    return frozenset(found)
