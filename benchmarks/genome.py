"""A genome whose repeats look real to an aligner: old and young families, duplicated segments, tandem repeats.

Nothing of it is anybody's sequence, so that nothing has to be shipped.
The shares are about those of the human genome (Lander et al. 2001, https://doi.org/10.1038/35057062, table 11):
nearly half of it are copies of something.
"""

import random
from dataclasses import dataclass

from toolchain.demo import simulate

SEQUENCES = {"chr1": 10_000_000, "chr2": 8_000_000, "chr3": 6_000_000}
SEED = 5
_COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")
_OTHERS = {65: b"CGT", 67: b"AGT", 71: b"ACT", 84: b"ACG"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Interspersed copies of one sequence.

    Attributes:
        bases: Length of the sequence.
        shortest: Length of its shortest copy: copies are cut at their start, as those of LINEs are.
        share: Of the genome.
        divergence: The least and the largest share of a copy's bases that differ from the sequence.
    """

    bases: int
    shortest: int
    share: float
    divergence: tuple[float, float]


FAMILIES = (
    Family(bases=300, shortest=280, share=0.08, divergence=(0.05, 0.16)),  # as old Alus
    Family(bases=300, shortest=290, share=0.02, divergence=(0.005, 0.05)),  # as young ones
    Family(bases=6100, shortest=400, share=0.15, divergence=(0.08, 0.20)),  # as L1
    Family(bases=6100, shortest=900, share=0.02, divergence=(0.01, 0.04)),  # as its young copies
    Family(bases=450, shortest=150, share=0.08, divergence=(0.15, 0.30)),  # as MIRs and LTRs
)
DUPLICATED, SEGMENT, IDENTITY = 0.05, (1_000, 20_000), (0.0, 0.03)  # segments, as between paralogues
SATELLITE, UNIT, COPIES = 0.02, 171, (20, 200)  # as around centromeres
MICROSATELLITE = 0.02


def genome(sequences: dict[str, int] = SEQUENCES, seed: int = SEED) -> dict[str, str]:
    """Sequences of these lengths in bases; the same for the same seed."""
    source = random.Random(seed)  # noqa: S311  # not a secret: it must be the same each time
    bases = sum(sequences.values())
    pieces = [*_interspersed(source, bases), *_satellites(source, bases), *_microsatellites(source, bases)]
    copied = sum(map(len, pieces))
    duplicated = int(bases * DUPLICATED)
    unique = _random(source, bases - copied - duplicated)
    source.shuffle(pieces)
    whole = _joined(source, unique, pieces)
    whole = _with_segments(source, whole, duplicated)
    cut, found = 0, {}
    for name, length in sequences.items():
        found[name] = whole[cut : cut + length].decode("ascii")
        cut += length
    return found


def _random(source: random.Random, bases: int) -> bytes:
    return bytes(source.choices(b"ACGT", weights=simulate.WEIGHTS, k=bases))


def _diverged(source: random.Random, copy: bytes, share: float) -> bytes:
    """A copy in which this share of the bases is another base, on either strand."""
    changed = _substituted(source, copy, round(len(copy) * share))
    return changed if source.random() < 0.5 else changed.translate(_COMPLEMENT)[::-1]  # noqa: PLR2004  # a coin


def _substituted(source: random.Random, copy: bytes, number: int) -> bytes:
    """A copy in which so many bases are another base."""
    changed = bytearray(copy)
    for at in source.sample(range(len(copy)), number):
        changed[at] = source.choice(_OTHERS[changed[at]])
    return bytes(changed)


def _interspersed(source: random.Random, bases: int) -> list[bytes]:
    pieces = []
    for family in FAMILIES:
        original, left = _random(source, family.bases), int(family.share * bases)
        while left > 0:
            # Most copies are short: their lengths are spread evenly on a scale of ratios.
            length = min(left, round(family.shortest * (family.bases / family.shortest) ** source.random()))
            pieces.append(_diverged(source, original[-length:], source.uniform(*family.divergence)))
            left -= length
    return pieces


def _satellites(source: random.Random, bases: int) -> list[bytes]:
    pieces, unit, left = [], _random(source, UNIT), int(SATELLITE * bases)
    while left > 0:
        array = b"".join(_substituted(source, unit, source.randint(0, 8)) for _ in range(source.randint(*COPIES)))
        pieces.append(array[:left])
        left -= len(pieces[-1])
    return pieces


def _microsatellites(source: random.Random, bases: int) -> list[bytes]:
    pieces, left = [], int(MICROSATELLITE * bases)
    while left > 0:
        unit = _random(source, source.randint(1, 6))
        run = (unit * 60)[: source.randint(15, 60)]
        pieces.append(run[:left])
        left -= len(pieces[-1])
    return pieces


def _joined(source: random.Random, unique: bytes, pieces: list[bytes]) -> bytes:
    """The pieces, with what is unique spread between them."""
    cuts = [0, *sorted(source.randrange(len(unique)) for _ in pieces), len(unique)]
    parts = [unique[cuts[0] : cuts[1]]]
    for piece, start, end in zip(pieces, cuts[1:-1], cuts[2:], strict=True):
        parts += [piece, unique[start:end]]
    return b"".join(parts)


def _with_segments(source: random.Random, whole: bytes, bases: int) -> bytes:
    """With so many bases more: copies of segments of it, put in elsewhere."""
    segments = []
    while bases > 0:
        length = min(bases, source.randint(*SEGMENT))
        start = source.randrange(len(whole) - length)
        segments.append(_diverged(source, whole[start : start + length], source.uniform(*IDENTITY)))
        bases -= length
    return _joined(source, whole, segments)
