"""The benchmark's genome: reproducible, and nearly as repetitive as a human one."""

from collections import Counter

import genome
import pytest

WORD = 24  # bases: a word that occurs twice is a copy, not chance


def repeated(bases: str) -> float:
    """The share of words that occur more than once in a sequence, on either strand."""
    complement = str.maketrans("ACGT", "TGCA")
    words = [bases[at : at + WORD] for at in range(len(bases) - WORD + 1)]
    counts = Counter(min(word, word.translate(complement)[::-1]) for word in words)
    return sum(count for count in counts.values() if count > 1) / len(words)


@pytest.mark.parametrize("lengths", [{"a": 10_000}, {"a": 60_000, "b": 40_000, "c": 1}, {"a": 12_345}])
def test_sequences_have_the_lengths_asked_for_however_small(lengths: dict[str, int]) -> None:
    made = genome.genome(lengths)
    assert {name: len(bases) for name, bases in made.items()} == lengths
    assert set("".join(made.values())) == set("ACGT")


def test_the_seed_makes_the_genome() -> None:
    made = genome.genome({"a": 50_000}, seed=3)
    assert made == genome.genome({"a": 50_000}, seed=3)
    assert made != genome.genome({"a": 50_000}, seed=4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_copies_diverge_with_their_age(seed: int) -> None:
    assert 0.08 < repeated(genome.genome({"a": 200_000}, seed=seed)["a"]) < 0.20


def test_copies_are_nearly_half_of_the_genome() -> None:
    shares = [family.share for family in genome.FAMILIES]
    assert 0.35 < sum(shares) + genome.DUPLICATED + genome.SATELLITE + genome.MICROSATELLITE < 0.5
