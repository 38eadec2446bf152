"""References with the names and the number of sequences of real ones, scaled down to some hundreds of bases each."""

from collections.abc import Mapping

LONG, SHORT = 6_000, 240  # bases: of the first sequences, from which reads come, and of the others
READ_FROM = 3

CHROMOSOMES = [f"chr{name}" for name in (*range(1, 23), "X", "Y", "M")]


def grch38_no_alt() -> list[str]:
    """195 sequences: chromosomes, unlocalised and unplaced scaffolds, Epstein-Barr virus."""
    return [
        *CHROMOSOMES,
        *(f"chr{1 + number % 22}_KI27{706 + number:04}v1_random" for number in range(42)),
        *(f"chrUn_KI27{302 + number:04}v1" for number in range(127)),
        "chrEBV",
    ]


def hs38dh() -> list[str]:
    """3,366 sequences: the same with ALT contigs, decoys and HLA alleles, in whose names are '*' and ':'."""
    return [
        *grch38_no_alt(),
        *(f"chr{1 + number % 22}_KI27{762 + number:04}v1_alt" for number in range(261)),
        *(f"chrUn_JTFH0100{number:04}v1_decoy" for number in range(2_385)),
        *(f"HLA-{'ABC'[number % 3]}*{1 + number // 50:02}:{1 + number % 50:02}:01:01" for number in range(525)),
    ]


def odd_names() -> list[str]:
    """Names with which regions, paths and shells have their trouble, the oddest first."""
    return [
        "HLA:HLA00001",
        "chr20:100000-120000",
        "gi|568815597|ref|NC_000001.11|",
        "HG002#1#chr1",
        "HLA-A*01:01:01:01",
        "a;b&c$d!e?f%g@h^i_j|k~l/m+n=o*p",
        "1",
        *(f"S288C#1#chr{number}" for number in range(129)),
    ]


SHAPES: Mapping[str, list[str]] = {
    "GRCh38 without ALT contigs": grch38_no_alt(),
    "GRCh38 with decoys and HLA": hs38dh(),
    "odd names": odd_names(),
}


def lengths(names: list[str]) -> dict[str, int]:
    """Every name, with a length: the first few long enough for reads."""
    return {name: LONG if number < READ_FROM else SHORT for number, name in enumerate(names)}
