"""The benchmark's genome: as long as asked for, always the same, and nearly as repetitive as a human one."""

from collections import Counter

import genome
import pytest

WORD = 24  # bases: what stands twice is a copy, not chance


def repeated(bases: str) -> float:
    """The share of words that stand in a sequence more than once, on either strand."""
    other = str.maketrans("ACGT", "TGCA")
    words = [bases[at : at + WORD] for at in range(len(bases) - WORD + 1)]
    found = Counter(min(word, word.translate(other)[::-1]) for word in words)
    return sum(number for number in found.values() if number > 1) / len(words)


@pytest.mark.parametrize("lengths", [{"a": 10_000}, {"a": 60_000, "b": 40_000, "c": 1}, {"a": 12_345}])
def test_sequences_have_the_lengths_asked_for_however_small(lengths: dict[str, int]) -> None:
    made = genome.genome(lengths)
    assert {name: len(bases) for name, bases in made.items()} == lengths
    assert set("".join(made.values())) == set("ACGT")


def test_the_same_seed_makes_the_same_genome_and_another_one_another() -> None:
    made = genome.genome({"a": 50_000}, seed=3)
    assert made == genome.genome({"a": 50_000}, seed=3)
    assert made != genome.genome({"a": 50_000}, seed=4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_copies_are_not_alike_to_the_base_but_as_old_as_they_are(seed: int) -> None:
    bases = genome.genome({"a": 200_000}, seed=seed)["a"]
    assert 0.08 < repeated(bases) < 0.20


def test_copies_are_nearly_half_of_it() -> None:
    shares = [family.share for family in genome.FAMILIES]
    assert 0.35 < sum(shares) + genome.DUPLICATED + genome.SATELLITE + genome.MICROSATELLITE < 0.5
