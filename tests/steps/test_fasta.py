"""FASTA: which references are accepted, how they are normalised, and which are refused."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hts_files import bgzipped, gzipped

from step import fasta
from step.errors import BadDataError, StepError

# Names of real references: GRCh38 with decoys and HLA, a HLA database, a region, a pangenome, and old RefSeq.
REAL_NAMES = [
    *("chr1", "HLA-A*01:01:01:01", "HLA-DRB1*15:03:01:02", "HLA:HLA00001", "chr20:100000-120000", "HG002#1#chr1"),
    *("gi|224589800|ref|NC_000001.10|", "chrUn_KN707606v1_decoy", "NC_000001.11", "GL000207.1", "hs37d5"),
    *("scaffold_1|size12345", "a" * 200, "0", "x=y*z", "a~b!c$d%e&f+g/h;i?j@k^l_m-n"),
]
# Sizes of the blocks in which files are read: tiny ones cut every line.
each_block_size = pytest.mark.parametrize("block", [2, 3, 5, 1 << 22])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ref.fa"


def normalised(file: Path, content: str | bytes, block: int = fasta.BLOCK_BYTES) -> str:
    file.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))
    pieces: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "BLOCK_BYTES", block)
        digest = fasta.normalise(file, "ref.fa", pieces.append)
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    return b"".join(pieces).decode("latin-1")


def refusal(file: Path, content: str | bytes, block: int = fasta.BLOCK_BYTES) -> str:
    with pytest.raises(BadDataError) as caught:
        normalised(file, content, block)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- accepted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL_NAMES)
def test_the_names_of_real_references_are_accepted(file: Path, name: str) -> None:
    for text in (f">{name}\nACGT\n>z\nAC\n", f">z\nAC\n>{name} AC:1 LN:4\nACGT\n", f">{name}\tcomment\nACGT"):
        assert normalised(file, text) == text


def test_a_reference_of_thousands_of_sequences_is_accepted(file: Path) -> None:
    text = "".join(f">HLA-A*{number:05}:01 length=9\nACGTN\nacgt\n" for number in range(3366))
    assert normalised(file, gzipped(text.encode())) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">RYK\nACGTRYSWKMBDHVN\nacgtryswkmbdhvn\n", ">RYK\nACGTNNNNNNNNNNN\nacgtnnnnnnnnnnn\n"),
        (">a x\r\nACGT\r\nAC\r\n>b\r\nGG\r\n", ">a x\nACGT\nAC\n>b\nGG\n"),
        (">a x\r\nACGT\nAC\r\n>b\nGG\r\n", ">a x\nACGT\nAC\n>b\nGG\n"),
    ],
)
def test_ambiguous_bases_become_n_and_carriage_returns_are_removed(file: Path, text: str, expected: str) -> None:
    assert normalised(file, text) == expected


@pytest.mark.parametrize("line", [60, 10_000])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    block=st.integers(2, 300),
    seed=st.integers(0, 5),
    compress=st.sampled_from([bytes, gzipped, bgzipped, lambda data: gzipped(data) + bytes(700)]),
)
def test_the_result_depends_neither_on_blocks_nor_on_compression(
    file: Path, line: int, block: int, seed: int, compress: Callable[[bytes], bytes]
) -> None:
    chance = random.Random(seed)  # noqa: S311
    lines = []
    for number in range(8):
        lines.append(f">{chance.choice(REAL_NAMES)}.{number} a > b {'c' * chance.randrange(60)}")
        bases = "".join(chance.choices("ACGTNacgtnRy", k=chance.randrange(1, 500)))
        lines += [bases[at : at + line] for at in range(0, len(bases), line)]
    end, ends = chance.choice(["\n", "\r\n"]), chance.randrange(3)
    expected = [line if line.startswith(">") else line.replace("R", "N").replace("y", "n") for line in lines]
    text = end.join(lines) + end * ends
    assert normalised(file, compress(text.encode()), block) == "\n".join(expected) + "\n" * ends


@pytest.mark.parametrize("lines", ["ACGT\nACGT\nAC\n", "ACGT\n\n\n", "ACGT\nA\n\n", "ACGTACGT\n", "ACGT\nACGT"])
@each_block_size
def test_only_the_last_line_of_a_sequence_may_be_shorter(file: Path, lines: str, block: int) -> None:
    for text in (f"\n>ok\nA\n>a\n{lines}", f"\n>ok\nA\n>a\n{lines}\n>b\nACGTAC\nAC"):
        assert normalised(file, text, block) == text


def test_a_chromosome_on_one_line_is_written_block_by_block(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasta, "BLOCK_BYTES", 100)
    file.write_text(">a\n" + "ACGT" * 1000)
    pieces: list[bytes] = []
    fasta.normalise(file, "ref.fa", pieces.append)
    assert max(map(len, pieces)) <= 200


# ---- refused ---------------------------------------------------------------------------------------------------------

UNEVEN = ["ACG\nACGT\n", "ACG\nACGT", "ACGT\nAC\nACGT\n", "ACGT\nAC\nA", "ACGT\n\nACGT\n", "ACGT\n\nA", "\nACGT\n"]
CARRIAGE_RETURNS = [">a\rACGT\r>b\rAC\r", ">a\rACGT\n", ">a\nAC\rGT\n", ">a one\rtwo\nACGT\n"]
REFUSED = [
    *((f">ok\nAC\n>a\n{lines}", "sequence 'a' has lines of different lengths") for lines in UNEVEN),
    *((f">a\n{lines}\n>b\nAC\n", "sequence 'a' has lines of different lengths") for lines in UNEVEN),
    *((f">ok\nAC\n{header}\nACGT\n", "a sequence after 'ok' has no name") for header in (">", "> chr1", ">\tchr1")),
    *((f"{header}\nACGT\n", "a sequence has no name") for header in (">", "> chr1", ">  ")),
    *((f">{letter}a\nACGT\n", f"sequence '{letter}a' has '{letter}' in its name") for letter in "*="),
    (">a one\nAC\n>b\nAC\n>a two\nAC\n", "sequence 'a' stands in it twice"),
    (">ok\nAC\n>a\n>b\nAC\n", "sequence 'a' has no base"),
    (">a\n\n>b\nAC\n", "sequence 'a' has no base"),
    (">b\nAC\n>a", "sequence 'a' has no base"),
    (">b\nAC\n>a\n\n", "sequence 'a' has no base"),
    (">ok\nAC\n>a\nACGT\nACGU\n>b\nAC\n", "sequence 'a' is RNA: it has U for T"),
    (">ok\nAC\n>a\nacgu\n", "sequence 'a' is RNA: it has U for T"),
    (">a\nMKVLEQ\n", "sequence 'a' is protein"),
    (">a\nACGXXX\n", "sequence 'a' has 'X', which is no letter of DNA"),
    *((f">a\nAC{letter}T\n", f"sequence 'a' has '{letter}', which is no letter of DNA") for letter in "- 1>"),
    (">a\nAC\0T\n", "sequence 'a' has '?', which is no letter of DNA"),
    ("", "there is no sequence in it"),
    ("\n\n", "there is no sequence in it"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
@each_block_size
def test_what_aligners_or_vcf_cannot_hold_is_refused(file: Path, text: str, message: str, block: int) -> None:
    assert f"cannot index ref.fa: {message}" in refusal(file, text, block)


@pytest.mark.parametrize("letter", [*",\"'<>\\()[]{}`", "\x01", "\x7f", "\xe9"])
def test_a_name_with_a_letter_that_sam_and_vcf_do_not_allow_is_refused(file: Path, letter: str) -> None:
    shown = letter if letter.isascii() and letter.isprintable() else "?"
    for name in (f"a{letter}b", f"{letter}b", f"a{letter}"):
        message = refusal(file, f">ok\nAC\n>{name} comment\nACGT\n")
        assert f"sequence '{name.replace(letter, shown)}' has '{shown}' in its name" in message


NO_FASTA = "it is not FASTA: it does not start with '>' and a name"
FASTQ = f"{NO_FASTA}. It looks like FASTQ"
FORMATS = [
    (b"@r1\nACGT\n+\nIIII\n", FASTQ),
    (gzipped(b"@r1\nACGT\n+\nIIII\n"), FASTQ),
    (b"<!DOCTYPE html>\n<html>\n", NO_FASTA),
    (b"LOCUS       NC_000001\nORIGIN\n        1 acgtacgt\n//\n", NO_FASTA),
    (b"ACGT\n>a\nACGT\n", NO_FASTA),
    (b" >a\nACGT\n", NO_FASTA),
    (b"\xef\xbb\xbf>a\nACGT\n", NO_FASTA),
    (b">a\nmkvleq*\n", "sequence 'a' is protein: it has '*elq'"),
    (gzipped(b""), "there is no sequence in it"),
    (b"BZh91AY&SY", "it is compressed by bzip2. Unpack it"),
    (b"\x28\xb5\x2f\xfd\0", "it is compressed by zstd. Unpack it"),
    (b"\xfd7zXZ\0\r", "it is compressed by xz. Unpack it"),
    (b"PK\x03\x04\n>x\nACGT", "it is a ZIP archive. Unpack it"),
    *((text.encode(), "a carriage return stands within a line") for text in CARRIAGE_RETURNS),
]


@pytest.mark.parametrize(("content", "message"), FORMATS)
def test_a_file_that_is_no_fasta_of_dna_is_named_as_what_it_is(file: Path, content: bytes, message: str) -> None:
    assert f"cannot index ref.fa: {message}" in refusal(file, content)


def test_gzip_that_is_truncated_or_followed_by_garbage_is_refused(file: Path) -> None:
    complete = gzipped(b">a\nACGT\n")
    assert "something that is not gzip stands behind" in refusal(file, complete + b">b\nAC\n")
    assert "its compressed data end early" in refusal(file, complete[:-4])


def test_a_file_without_newlines_is_refused_before_all_of_it_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "MAX_HEADER", 50)
    message = "a line that starts with '>' is longer than 50 characters"
    assert message in refusal(file, ">a\r" + "ACGT\r" * 1000, block=100)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="cannot read"):
        fasta.normalise(tmp_path, "ref.fa", lambda _: None)
