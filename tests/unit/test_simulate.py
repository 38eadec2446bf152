"""The simulated genome, and the VCF of the variants that wgsim lists."""

import itertools
from typing import Any

import pytest

from toolchain.demo import simulate

SEQUENCES = {"chrA": "ACGTACGTAC", "chrB": "GGGGCCCCTT"}


def test_the_seed_makes_the_genome() -> None:
    assert simulate.genome({"a": 500, "b": 300}) == simulate.genome({"a": 500, "b": 300})
    assert simulate.genome({"a": 500}, seed=1) != simulate.genome({"a": 500}, seed=2)


def test_a_genome_has_the_lengths_asked_for_and_the_gc_content_of_a_human_one() -> None:
    made = simulate.genome({"a": 100_000, "b": 7, "c": 0})
    assert {name: len(bases) for name, bases in made.items()} == {"a": 100_000, "b": 7, "c": 0}
    assert set(made["a"]) == set("ACGT")
    assert (made["a"].count("G") + made["a"].count("C")) / 100_000 == pytest.approx(0.41, abs=0.01)


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 160])
def test_fasta_has_lines_of_80_and_loses_no_base(length: int) -> None:
    bases = "".join(itertools.islice(itertools.cycle("ACGT"), length))
    header, *lines = simulate.fasta({"a": bases}).splitlines()
    assert header == ">a"
    assert "".join(lines) == bases
    assert all(len(line) == 80 for line in lines[:-1])
    assert all(0 < len(line) <= 80 for line in lines)


def test_fasta_ends_every_sequence_with_a_newline() -> None:
    assert simulate.fasta({"a": "AC", "b": "GT"}) == ">a\nAC\n>b\nGT\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 20}, "-N 100 -1 100 -2 100 -e 0.001"),
        ({"depth": 30, "read_length": 150, "error": 0.002}, "-N 100 -1 150 -2 150 -e 0.002"),
    ],
)
def test_wgsim_makes_as_many_pairs_as_the_depth_needs(options: dict[str, Any], words: str) -> None:
    command = simulate.wgsim_command("ref.fa", "1.fq", "2.fq", length=1000, seed=5, **options)
    assert " ".join(command) == f"wgsim -S 5 {words} ref.fa 1.fq 2.fq"


@pytest.mark.parametrize(
    ("lines", "records"),
    [
        # wgsim's lines: sequence, position, base, new base (IUPAC if heterozygous), - (homozygous) or +
        (["chrA 3 G T -"], [("chrA", 3, "G", "T", "1/1")]),
        (["[wgsim] seed = 11", "", "chrA 3 G T -"], [("chrA", 3, "G", "T", "1/1")]),
        *(
            (
                [f"chrA 3 {first} {both} +", f"chrA 4 {second} {both} +"],
                [("chrA", 3, first, second, "0/1"), ("chrA", 4, second, first, "0/1")],
            )
            for both, first, second in ("MAC", "RAG", "WAT", "SCG", "YCT", "KGT")
        ),
        # An insertion comes after the base of its position, a deletion after the base before it.
        (["chrA 4 - GG -"], [("chrA", 4, "T", "TGG", "1/1")]),
        (["chrA 4 - GG +"], [("chrA", 4, "T", "TGG", "0/1")]),
        (["chrA 3 G - -"], [("chrA", 2, "CG", "C", "1/1")]),
        (["chrA 3 G - +"], [("chrA", 2, "CG", "C", "0/1")]),
        (["chrA 1 A - -"], [("chrA", 1, "AC", "C", "1/1")]),
        # Bases deleted in a row are one deletion, if their zygosity is the same.
        (["chrA 3 G - +", "chrA 4 T - +", "chrA 5 A - +"], [("chrA", 2, "CGTA", "C", "0/1")]),
        (["chrA 3 G - +", "chrA 4 T - -"], [("chrA", 2, "CG", "C", "0/1"), ("chrA", 3, "GT", "G", "1/1")]),
        (["chrA 3 G - -", "chrA 5 A - -"], [("chrA", 2, "CG", "C", "1/1"), ("chrA", 4, "TA", "T", "1/1")]),
        (["chrA 3 G - -", "chrB 4 G - -"], [("chrA", 2, "CG", "C", "1/1"), ("chrB", 3, "GG", "G", "1/1")]),
        (["chrA 2 C T -", "chrA 3 G - -"], [("chrA", 2, "C", "T", "1/1"), ("chrA", 2, "CG", "C", "1/1")]),
        (["chrA 2 - A -", "chrA 3 G - -"], [("chrA", 2, "C", "CA", "1/1"), ("chrA", 2, "CG", "C", "1/1")]),
    ],
)
def test_the_planted_variants_are_a_vcf(lines: list[str], records: list[tuple[str, int, str, str, str]]) -> None:
    text = simulate.planted_vcf([line.replace(" ", "\t") for line in lines], SEQUENCES)
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert [(row[0], int(row[1]), row[3], row[4], row[9]) for row in rows] == records


def test_the_header_names_every_sequence_with_its_length() -> None:
    header = [line for line in simulate.planted_vcf([], SEQUENCES).splitlines() if line.startswith("#")]
    assert header[0] == "##fileformat=VCFv4.2"
    assert [line for line in header if "contig" in line] == [
        "##contig=<ID=chrA,length=10>",
        "##contig=<ID=chrB,length=10>",
    ]
    assert header[-1].split("\t")[-2:] == ["FORMAT", "planted"]
