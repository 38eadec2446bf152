"""FASTA: which references are prepared, how their copies look, and which are refused."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.compressed import bgzipped, gzipped

from step import fasta
from step.errors import BadDataError, StepError

# Names of real references: GRCh38 with decoys and HLA, a HLA database, a cut-out, a pangenome, and RefSeq's old style.
REAL_NAMES = [
    "chr1",
    "HLA-A*01:01:01:01",
    "HLA-DRB1*15:03:01:02",
    "HLA:HLA00001",
    "chr20:100000-120000",
    "HG002#1#chr1",
    "gi|224589800|ref|NC_000001.10|",
    "chrUn_KN707606v1_decoy",
    "NC_000001.11",
    "GL000207.1",
    "hs37d5",
    "scaffold_1|size12345",
    "a" * 200,
    "0",
    "x=y*z",
    "a~b!c$d%e&f+g/h;i?j@k^l_m-n",
]


def prepared(file: Path, content: str | bytes) -> str:
    """The copy of a FASTA file."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))
    out: list[bytes] = []
    digest = fasta.normalise(file, "ref.fa", out.append)
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    return b"".join(out).decode("latin-1")


def refused(file: Path, content: str | bytes) -> str:
    with pytest.raises(BadDataError) as caught:
        prepared(file, content)
    assert str(caught.value).startswith("cannot ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ref.fa"


# ---- accepted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL_NAMES)
def test_the_names_of_real_references_are_accepted_and_kept(file: Path, name: str) -> None:
    for text in (f">{name}\nACGT\n>z\nAC\n", f">z\nAC\n>{name} AC:1 LN:4\nACGT\n", f">{name}\tcomment\nACGT"):
        assert prepared(file, text) == text


def test_a_reference_of_thousands_of_sequences_is_accepted(file: Path) -> None:
    text = "".join(f">HLA-A*{number:05}:01 length=9\nACGTN\nacgt\n" for number in range(3366))
    assert prepared(file, text) == text
    assert prepared(file, gzipped(text.encode())) == text


def test_ambiguous_bases_become_n_of_the_same_case(file: Path) -> None:
    assert prepared(file, ">RYK\nACGTRYSWKMBDHVN\nacgtryswkmbdhvn\n") == (">RYK\nACGTNNNNNNNNNNN\nacgtnnnnnnnnnnn\n")


@pytest.mark.parametrize(
    "text",
    [
        ">a x\r\nACGT\r\nAC\r\n>b\r\nGG\r\n",
        ">a x\r\nACGT\nAC\r\n>b\nGG\r\n",
    ],
)
def test_carriage_returns_are_left_out(file: Path, text: str) -> None:
    assert prepared(file, text) == text.replace("\r", "")


@pytest.mark.parametrize("compress", [gzipped, bgzipped, lambda data: gzipped(data) + bytes(700)])
def test_gzip_of_any_kind_is_accepted(file: Path, compress: Callable[[bytes], bytes]) -> None:
    text = "".join(f">s{number}\n{'ACGTN' * 12}\n{'acgtR' * 12}\n" for number in range(40))
    assert prepared(file, compress(text.encode())) == text.replace("R", "N")


@pytest.mark.parametrize("line", [60, 10_000])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(block=st.integers(2, 300), seed=st.integers(0, 5), compress=st.sampled_from([bytes, gzipped, bgzipped]))
def test_where_a_file_is_cut_into_blocks_does_not_show_in_the_copy(
    file: Path, line: int, block: int, seed: int, compress: Callable[[bytes], bytes]
) -> None:
    chance = random.Random(seed)  # noqa: S311
    parts = []
    for number in range(8):
        parts.append(f">{chance.choice(REAL_NAMES)}.{number} a > b {'c' * chance.randrange(60)}")
        sequence = "".join(chance.choices("ACGTNacgtnRy", k=chance.randrange(1, 500)))
        parts += [sequence[at : at + line] for at in range(0, len(sequence), line)]
    end = chance.choice(["\n", "\r\n"])
    text = end.join(parts) + end * chance.randrange(3)
    expected = "\n".join(
        part if part.startswith(">") else part.replace("R", "N").replace("y", "n") for part in parts
    ) + text[len(end.join(parts)) :].replace("\r", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "BLOCK_BYTES", block)
        assert prepared(file, compress(text.encode())) == expected


@pytest.mark.parametrize("lines", ["ACGT\nACGT\nAC\n", "ACGT\n\n\n", "ACGT\nA\n\n", "ACGTACGT\n", "ACGT\nACGT"])
@pytest.mark.parametrize("block", [2, 3, 5, 1 << 22])
def test_lines_of_one_length_and_a_shorter_last_one_are_accepted(
    file: Path, lines: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", block)
    text = f"\n>ok\nA\n>a\n{lines}"
    assert prepared(file, text) == text
    assert prepared(file, f"{text}\n>b\nACGTAC\nAC") == f"{text}\n>b\nACGTAC\nAC"


@pytest.mark.parametrize(
    "lines", ["ACG\nACGT\n", "ACG\nACGT", "ACGT\nAC\nACGT\n", "ACGT\nAC\nA", "ACGT\n\nACGT\n", "ACGT\n\nA", "\nACGT\n"]
)
@pytest.mark.parametrize("block", [2, 3, 5, 1 << 22])
def test_lines_that_no_index_can_find_are_refused(
    file: Path, lines: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", block)
    assert "sequence 'a' has lines of different lengths" in refused(file, f">ok\nAC\n>a\n{lines}")
    assert "sequence 'a' has lines of different lengths" in refused(file, f">a\n{lines}\n>b\nAC\n")


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", [*",\"'<>\\()[]{}`", "\x01", "\x7f", "\xe9"])
def test_a_name_with_a_letter_that_sam_and_vcf_do_not_have_is_refused(file: Path, letter: str) -> None:
    shown = letter if letter.isascii() and letter.isprintable() else "?"
    for name in (f"a{letter}b", f"{letter}b", f"a{letter}"):
        said = refused(file, f">ok\nAC\n>{name} comment\nACGT\n")
        assert f"sequence '{name.replace(letter, shown)}' has '{shown}' in its name" in said


@pytest.mark.parametrize("letter", "*=")
def test_a_name_that_starts_with_an_asterisk_or_an_equals_sign_is_refused(file: Path, letter: str) -> None:
    assert f"sequence '{letter}a' has '{letter}' in its name" in refused(file, f">{letter}a\nACGT\n")


@pytest.mark.parametrize("header", [">", "> chr1", ">\tchr1", ">  "])
def test_a_sequence_without_a_name_is_refused(file: Path, header: str) -> None:
    assert "a sequence after 'ok' has no name" in refused(file, f">ok\nAC\n{header}\nACGT\n")
    assert "a sequence has no name" in refused(file, f"{header}\nACGT\n")


@pytest.mark.parametrize("block", [4, 1 << 22])
def test_a_name_that_stands_twice_is_refused(file: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", block)
    assert "sequence 'a' stands in it twice" in refused(file, ">a one\nAC\n>b\nAC\n>a two\nAC\n")


@pytest.mark.parametrize("text", [">ok\nAC\n>a\n>b\nAC\n", ">a\n\n>b\nAC\n", ">b\nAC\n>a", ">b\nAC\n>a\n\n"])
@pytest.mark.parametrize("block", [4, 1 << 22])
def test_a_sequence_without_a_base_is_refused(
    file: Path, text: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", block)
    assert "sequence 'a' has no base" in refused(file, text)


# ---- letters and formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bases", "said"),
    [
        ("ACGU", "sequence 'a' is RNA: it has U for T"),
        ("acgu", "sequence 'a' is RNA: it has U for T"),
        ("MKVLEQ", "sequence 'a' is protein: it has 'ELQ'"),
        ("mkvleq*", "sequence 'a' is protein: it has '*elq'"),
        ("AC-GT", "sequence 'a' has '-', which is no letter of DNA"),
        ("AC GT", "sequence 'a' has ' ', which is no letter of DNA"),
        ("AC1GT", "sequence 'a' has '1', which is no letter of DNA"),
        ("AC\x00GT", "sequence 'a' has '?', which is no letter of DNA"),
        ("AC>GT", "sequence 'a' has '>', which is no letter of DNA"),
    ],
)
@pytest.mark.parametrize("block", [4, 1 << 22])
def test_letters_that_are_none_of_dna_are_refused_with_their_sequence(
    file: Path, bases: str, said: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f">ok\nACGT\n>a\nACGT\n{bases}\n>b\nAC\n"
    if block == 4 and "protein" in said:
        said = "sequence 'a' is protein"  # only the letters of the first block are known
    monkeypatch.setattr(fasta, "BLOCK_BYTES", block)
    assert said in refused(file, text)


@pytest.mark.parametrize("content", [b"", b"\n\n", gzipped(b"")])
def test_a_file_without_a_sequence_is_refused(file: Path, content: bytes) -> None:
    assert "cannot index ref.fa: there is no sequence in it" in refused(file, content)


@pytest.mark.parametrize(
    "content",
    [
        b"@r1\nACGT\n+\nIIII\n",
        gzipped(b"@r1\nACGT\n+\nIIII\n"),
        b"<!DOCTYPE html>\n<html>\n",
        b"LOCUS       NC_000001\nORIGIN\n        1 acgtacgt\n//\n",
        b"ACGT\n>a\nACGT\n",
        b" >a\nACGT\n",
        b"\xef\xbb\xbf>a\nACGT\n",
        b"not FASTA at all\n",
    ],
)
def test_a_file_that_is_no_fasta_is_refused(file: Path, content: bytes) -> None:
    assert "cannot index ref.fa: it is not FASTA: it does not start with '>' and a name" in refused(file, content)


def test_fastq_in_place_of_fasta_is_named(file: Path) -> None:
    assert "It looks like FASTQ" in refused(file, "@r1\nACGT\n+\nIIII\n")


def test_gzip_with_garbage_behind_it_or_cut_off_is_refused(file: Path) -> None:
    whole = gzipped(b">a\nACGT\n")
    assert "something that is not gzip stands behind" in refused(file, whole + b">b\nAC\n")
    assert "its compressed data end early" in refused(file, whole[:-4])


def test_a_file_whose_lines_have_no_newlines_is_refused_before_all_of_it_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", 100)
    monkeypatch.setattr(fasta, "MAX_HEADER", 50)
    assert "a line that starts with '>' is longer than 50 characters" in refused(file, ">a\r" + "ACGT\r" * 1000)


def test_a_chromosome_on_one_line_is_written_block_by_block(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", 100)
    file.write_text(">a\n" + "ACGT" * 1000)
    pieces: list[bytes] = []
    fasta.normalise(file, "ref.fa", pieces.append)
    assert max(map(len, pieces)) <= 200


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="cannot read"):
        fasta.normalise(tmp_path, "ref.fa", lambda _: None)


@pytest.mark.parametrize("text", [">a\rACGT\r>b\rAC\r", ">a\rACGT\n", ">a\nAC\rGT\n", ">a one\rtwo\nACGT\n"])
def test_a_carriage_return_within_a_line_is_no_end_of_it(file: Path, text: str) -> None:
    assert "a carriage return stands within a line" in refused(file, text)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"BZh91AY&SY", "it is compressed by bzip2"),
        (b"\x28\xb5\x2f\xfd\0", "it is compressed by zstd"),
        (b"\xfd7zXZ\0\r", "it is compressed by xz"),
        (b"PK\x03\x04\n>x\nACGT", "it is a ZIP archive"),
    ],
)
def test_a_reference_that_is_packed_otherwise_is_named_as_what_it_is(file: Path, start: bytes, said: str) -> None:
    assert f"cannot index ref.fa: {said}. Unpack it" in refused(file, start)


def test_an_x_makes_no_protein(file: Path) -> None:
    assert "sequence 'a' has 'X', which is no letter of DNA" in refused(file, ">a\nACGXXX\n")
