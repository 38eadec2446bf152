"""A small diploid genome with planted variants, and reads of it: wgsim, seeded.

wgsim (https://github.com/lh3/wgsim) mutates a reference, reads the mutated genome, and prints what it
planted. The reference itself is random here, so that nothing has to be shipped.
"""

import random
from collections.abc import Iterable, Mapping

SEED = 11
DEPTH = 30
READ_LENGTH = 100
ERROR = 0.001
WEIGHTS = (295, 205, 205, 295)  # of A, C, G and T: 41 % G and C as in the human genome
SEQUENCES = {"chrA": 600_000, "chrB": 400_000}
_LINE = 80
_COLUMNS = 5
# wgsim writes a heterozygous site's base as both of its bases in one IUPAC letter.
_BOTH = {"M": "AC", "R": "AG", "W": "AT", "S": "CG", "Y": "CT", "K": "GT"}


def genome(sequences: Mapping[str, int] = SEQUENCES, seed: int = SEED) -> dict[str, str]:
    """Random sequences of these lengths in bases."""
    source = random.Random(seed)  # noqa: S311  # not a secret: it must be the same each time
    return {name: "".join(source.choices("ACGT", weights=WEIGHTS, k=length)) for name, length in sequences.items()}


def fasta(sequences: Mapping[str, str]) -> str:
    """Sequences as FASTA."""
    return "".join(
        f">{name}\n" + "".join(f"{bases[start : start + _LINE]}\n" for start in range(0, len(bases), _LINE))
        for name, bases in sequences.items()
    )


def wgsim_command(
    reference: str,
    r1: str,
    r2: str,
    *,
    length: int,
    depth: int = DEPTH,
    seed: int = SEED,
    read_length: int = READ_LENGTH,
    error: float = ERROR,
) -> list[str]:
    """The command that plants variants and reads the genome.

    Args:
        reference: FASTA.
        r1: First reads to write.
        r2: Second reads to write.
        length: Bases of the reference.
        depth: Mean depth of the reads.
        seed: Of wgsim's random numbers.
        read_length: Bases of a read.
        error: The share of bases that are read wrongly, which is also the quality that wgsim writes.
    """
    pairs = depth * length // (2 * read_length)
    read = str(read_length)
    return ["wgsim", "-S", str(seed), "-N", str(pairs), "-1", read, "-2", read, "-e", str(error), reference, r1, r2]


def planted_vcf(lines: Iterable[str], sequences: Mapping[str, str]) -> str:
    """What wgsim printed, as a VCF.

    Args:
        lines: `sequence position reference alternative strand`, positions 1-based, `-` for the missing side
            of an insertion or deletion, a line for each deleted base, `+` for heterozygous.
        sequences: The reference.

    Returns:
        VCF text, not normalised.
    """
    records: list[tuple[str, int, str, str, str]] = []
    for name, position, reference, alternative, genotype in _planted(lines):
        bases = sequences[name]
        if not alternative and position == 1:  # nothing stands before it: the base after it is the anchor
            anchor = bases[len(reference)]
            records.append((name, 1, reference + anchor, anchor, genotype))
        elif not alternative:
            anchor = bases[position - 2]
            records.append((name, position - 1, anchor + reference, anchor, genotype))
        elif not reference:
            anchor = bases[position - 1]
            records.append((name, position, anchor, anchor + alternative, genotype))
        else:
            other = _BOTH.get(alternative, alternative).replace(reference, "")
            records.append((name, position, reference, other, genotype))
    header = [
        "##fileformat=VCFv4.2",
        *(f"##contig=<ID={name},length={len(bases)}>" for name, bases in sequences.items()),
    ]
    header.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    header.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tplanted")
    body = [f"{n}\t{p}\t.\t{r}\t{a}\t.\tPASS\t.\tGT\t{g}" for n, p, r, a, g in records]
    return "\n".join([*header, *body]) + "\n"


def _planted(lines: Iterable[str]) -> list[tuple[str, int, str, str, str]]:
    """Wgsim's lines as name, position, reference, alternative, genotype; bases deleted in a row are one."""
    found: list[tuple[str, int, str, str, str]] = []
    for line in lines:
        fields = line.split()
        if len(fields) != _COLUMNS:
            continue
        name, text, reference, alternative, mark = fields
        entry = (name, int(text), reference.strip("-"), alternative.strip("-"), "0/1" if mark == "+" else "1/1")
        before = found[-1] if found else None
        is_next = (
            before
            and not before[3]
            and (before[0], before[1] + len(before[2]), before[4])
            == (
                name,
                entry[1],
                entry[4],
            )
        )
        if before and is_next and not entry[3]:
            found[-1] = (name, before[1], before[2] + entry[2], "", entry[4])
        else:
            found.append(entry)
    return found
