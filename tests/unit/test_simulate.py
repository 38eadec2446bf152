"""The simulated genome, and the VCF of what wgsim says that it planted."""

import itertools

import pytest

from toolchain.demo import simulate

SEQUENCES = {"chrA": "ACGTACGTAC", "chrB": "GGGGCCCCTT"}


def planted(*lines: str) -> list[tuple[str, int, str, str, str]]:
    """The records of a VCF: sequence, position, reference, alternative, genotype."""
    text = simulate.planted_vcf([line.replace(" ", "\t") for line in lines], SEQUENCES)
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [(row[0], int(row[1]), row[3], row[4], row[9]) for row in rows]


def test_a_genome_is_the_same_each_time() -> None:
    assert simulate.genome({"a": 500, "b": 300}) == simulate.genome({"a": 500, "b": 300})


def test_another_seed_is_another_genome() -> None:
    assert simulate.genome({"a": 500}, seed=1) != simulate.genome({"a": 500}, seed=2)


def test_a_genome_has_the_lengths_asked_for_and_no_other_letter_than_acgt() -> None:
    made = simulate.genome({"a": 1000, "b": 7, "c": 0})
    assert {name: len(bases) for name, bases in made.items()} == {"a": 1000, "b": 7, "c": 0}
    assert set(made["a"]) == set("ACGT")


def test_a_genome_has_as_much_g_and_c_as_a_human_one() -> None:
    bases = simulate.genome({"a": 100_000})["a"]
    assert (bases.count("G") + bases.count("C")) / len(bases) == pytest.approx(0.41, abs=0.01)


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 160])
def test_fasta_has_lines_of_80_and_loses_no_base(length: int) -> None:
    bases = "".join(itertools.islice(itertools.cycle("ACGT"), length))
    header, *lines = simulate.fasta({"a": bases}).splitlines()
    assert header == ">a"
    assert "".join(lines) == bases
    assert all(len(line) == 80 for line in lines[:-1])
    assert all(0 < len(line) <= 80 for line in lines)


def test_fasta_ends_every_sequence_with_a_line() -> None:
    assert simulate.fasta({"a": "AC", "b": "GT"}) == ">a\nAC\n>b\nGT\n"


def test_wgsim_is_asked_for_as_many_pairs_as_make_the_depth() -> None:
    command = simulate.wgsim_command("ref.fa", "1.fq", "2.fq", length=1000, depth=20, seed=5)
    assert " ".join(command) == "wgsim -S 5 -N 100 -1 100 -2 100 -e 0.001 ref.fa 1.fq 2.fq"


def test_wgsim_is_asked_for_reads_of_another_length_and_with_other_errors() -> None:
    command = simulate.wgsim_command("ref.fa", "1", "2", length=1000, depth=30, seed=5, read_length=150, error=0.002)
    assert " ".join(command) == "wgsim -S 5 -N 100 -1 150 -2 150 -e 0.002 ref.fa 1 2"


def test_a_homozygous_snp_replaces_both_bases() -> None:
    assert planted("chrA 3 G T -") == [("chrA", 3, "G", "T", "1/1")]


@pytest.mark.parametrize(("both", "one", "other"), ["MAC", "RAG", "WAT", "SCG", "YCT", "KGT"])
def test_a_heterozygous_snp_is_the_other_base_of_its_iupac_letter(both: str, one: str, other: str) -> None:
    assert planted(f"chrA 3 {one} {both} +", f"chrA 4 {other} {both} +") == [
        ("chrA", 3, one, other, "0/1"),
        ("chrA", 4, other, one, "0/1"),
    ]


@pytest.mark.parametrize(("mark", "genotype"), [("-", "1/1"), ("+", "0/1")])
def test_an_insertion_comes_after_the_base_of_its_position(mark: str, genotype: str) -> None:
    assert planted(f"chrA 4 - GG {mark}") == [("chrA", 4, "T", "TGG", genotype)]


@pytest.mark.parametrize(("mark", "genotype"), [("-", "1/1"), ("+", "0/1")])
def test_a_deleted_base_is_anchored_at_the_base_before_it(mark: str, genotype: str) -> None:
    assert planted(f"chrA 3 G - {mark}") == [("chrA", 2, "CG", "C", genotype)]


def test_a_deleted_first_base_is_anchored_at_the_base_after_it() -> None:
    assert planted("chrA 1 A - -") == [("chrA", 1, "AC", "C", "1/1")]


def test_bases_deleted_in_a_row_are_one_deletion() -> None:
    lines = ("chrA 3 G - +", "chrA 4 T - +", "chrA 5 A - +")
    assert planted(*lines) == [("chrA", 2, "CGTA", "C", "0/1")]


def test_bases_deleted_in_a_row_at_different_zygosity_are_two_deletions() -> None:
    assert planted("chrA 3 G - +", "chrA 4 T - -") == [("chrA", 2, "CG", "C", "0/1"), ("chrA", 3, "GT", "G", "1/1")]


def test_deletions_with_a_base_between_them_are_two() -> None:
    assert planted("chrA 3 G - -", "chrA 5 A - -") == [("chrA", 2, "CG", "C", "1/1"), ("chrA", 4, "TA", "T", "1/1")]


def test_deletions_on_two_sequences_are_two() -> None:
    assert planted("chrA 3 G - -", "chrB 4 G - -") == [("chrA", 2, "CG", "C", "1/1"), ("chrB", 3, "GG", "G", "1/1")]


def test_a_deletion_after_a_snp_or_an_insertion_is_its_own() -> None:
    assert planted("chrA 2 C T -", "chrA 3 G - -") == [("chrA", 2, "C", "T", "1/1"), ("chrA", 2, "CG", "C", "1/1")]
    assert planted("chrA 2 - A -", "chrA 3 G - -") == [("chrA", 2, "C", "CA", "1/1"), ("chrA", 2, "CG", "C", "1/1")]


def test_what_is_no_variant_is_left_out() -> None:
    assert planted("[wgsim] seed = 11", "", "chrA 3 G T -") == [("chrA", 3, "G", "T", "1/1")]


def test_the_header_names_every_sequence_with_its_length() -> None:
    header = [line for line in simulate.planted_vcf([], SEQUENCES).splitlines() if line.startswith("#")]
    assert header[0] == "##fileformat=VCFv4.2"
    assert [line for line in header if "contig" in line] == [
        "##contig=<ID=chrA,length=10>",
        "##contig=<ID=chrB,length=10>",
    ]
    assert header[-1].split("\t")[-2:] == ["FORMAT", "planted"]
