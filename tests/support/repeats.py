"""A random genome with the repeats that make alignment ambiguous: the same each time."""

import random

KINDS = {  # length, and how far copies differ, each as likely as the next
    "short": (300, (0.0, 0.0, 0.02, 0.1)),
    "long": (3_000, (0.0, 0.01, 0.05)),
    "segment": (8_000, (0.0, 0.0, 0.001)),
}
SHARES = (("short", 0.25), ("long", 0.33), ("segment", 0.36), ("tandem", 0.42), ("unknown", 0.43), ("unique", 1.0))


def genome(sequences: dict[str, int], *, seed: int = 11) -> dict[str, str]:
    """Sequences of at least these lengths: interspersed, segmental and tandem repeats, gaps, and what is unique."""
    source = random.Random(seed)  # noqa: S311  # the same genome each time
    families = {kind: _random(source, length) for kind, (length, _) in KINDS.items()}
    return {name: _sequence(source, families, length) for name, length in sequences.items()}


def _sequence(source: random.Random, families: dict[str, str], length: int) -> str:
    made = ""
    while len(made) < length:
        share = source.random()
        kind = next(kind for kind, most in SHARES if share < most)
        match kind:
            case "tandem":
                made += _random(source, source.randint(1, 5)) * source.randint(10, 60)
            case "unknown":
                made += "N" * 50
            case "unique":
                made += _random(source, source.randint(200, 2_500))
            case _:
                made += _copy(source, families[kind], source.choice(KINDS[kind][1]))
    return made


def _random(source: random.Random, length: int) -> str:
    return "".join(source.choices("ACGT", k=length))


def _copy(source: random.Random, bases: str, rate: float) -> str:
    """A copy with so many changes a base: eight of ten of them another base, one none, and one a base more."""
    made = []
    for base in bases:
        change = source.random()
        if change >= rate:
            made.append(base)
        elif change < 0.8 * rate:
            made.append(source.choice("ACGT"))
        elif change < 0.9 * rate:
            made.append(base + source.choice("ACGT"))
    return "".join(made)
