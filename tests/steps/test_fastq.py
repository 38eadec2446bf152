"""FASTQ: which pairs of files are accepted, what the aligner reads, and what is refused."""

import bz2
import gzip
import hashlib
import io
import lzma
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hts_files import bgzipped, gzipped

from step import compression, fastq
from step.errors import BadDataError, StepError

GOOD = "FFFF:,#"  # qualities of the usual scale


def bases(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))  # noqa: S311


def record(name: str, read: str = "ACGTTGCA", qualities: str = "") -> str:
    return f"@{name}\n{read}\n+\n{qualities or (GOOD * (len(read) // len(GOOD) + 1))[: len(read)]}\n"


def side(number: int, pairs: int, name: str = "r{pair} {side}:N:0:ACGT", length: int = 30) -> str:
    """One file of good pairs."""
    return "".join(
        record(name.format(pair=pair, side=number), bases(length, 2 * pair + number)) for pair in range(pairs)
    )


def sides(pairs: int, name: str = "r{pair} {side}:N:0:ACGT") -> tuple[str, str]:
    """Both files of good pairs."""
    return side(1, pairs, name), side(2, pairs, name)


def both(make: Callable[[int], str]) -> tuple[str, str]:
    return make(1), make(2)


def woven(first: str, second: str) -> str:
    """The records of both files, interleaved."""
    files = [text.split("\n") for text in (first, second)]
    records = [["\n".join(lines[at : at + 4]) for at in range(0, len(lines) - 1, 4)] for lines in files]
    return "".join(f"{read}\n{mate}\n" for read, mate in zip(*records, strict=True))


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Two files as they would lie below /scratch/data."""

    folder: Path

    def pairs(self, first: str | bytes, second: str | bytes) -> fastq.ReadPairs:
        files = []
        for name, content in (("R1.fq", first), ("R2.fq", second)):
            path = self.folder / name
            path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
            files.append(fastq.FastqFile(name=name, path=path))
        return fastq.ReadPairs(r1=files[0], r2=files[1])

    def interleaved(self, first: str | bytes, second: str | bytes) -> str:
        return b"".join(self.pairs(first, second).blocks()).decode("latin-1")

    def refusal(self, first: str | bytes, second: str | bytes) -> str:
        with pytest.raises(BadDataError) as caught:
            self.interleaved(first, second)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(folder=tmp_path)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two records, from plain files that are read 64 bytes at a time."""
    monkeypatch.setattr(fastq, "BLOCK_LINES", 8)
    monkeypatch.setattr(fastq, "CHUNK_BYTES", 64)
    monkeypatch.setattr(compression, "PIECE_BYTES", 64)


# ---- accepted --------------------------------------------------------------------------------------------------------


def test_both_files_are_interleaved_counted_and_digested(lane: Lane) -> None:
    first, second = gzipped(side(1, 50).encode()), side(2, 50).encode()
    pairs, pipe = lane.pairs(first, second), io.BytesIO()
    assert pairs(pipe) >= 0
    assert pipe.getvalue().decode() == woven(*sides(50))
    assert pairs.count == 50
    assert [pairs.r1.sha256, pairs.r2.sha256] == [hashlib.sha256(data).hexdigest() for data in (first, second)]


NAMES = [
    *("r{pair} {side}:N:0:ACGT", "r{pair}\t{side}:Y:0:", "r{pair}/{side}", "r{pair}/{side} a comment", "r{pair}"),
    *("r{pair} {pair} length=30", "SRR{pair}.1", "SRR1.{pair}.1 both end in .1"),
    "A00:1:H:1:1101:{pair}:1000 {side}:N:0:ACGT+TTTT",
]
UNMARKED = "r{pair}"
LONG_NAME = "n" * 254
EMPTY = side(1, 2) + record("e", ""), side(2, 2) + record("e", "")
SOME_EQUAL = side(1, 5, UNMARKED) + side(2, 100, UNMARKED)[len(side(2, 5, UNMARKED)) :]


def long_names(mark: str) -> tuple[str, str]:
    return both(lambda number: record(LONG_NAME + mark.format(side=number), bases(30, number)))


def equal_reads(read: str) -> tuple[str, str]:
    """Pairs of which only the first differs."""
    return both(lambda number: record("first", bases(30, number)) + "".join(record(f"r{m}", read) for m in range(30)))


ACCEPTED: list[tuple[str, str, tuple[str, str] | None]] = [
    *((*sides(9, name), None) for name in NAMES),
    (side(1, 3) + record("e", "") + record("f"), side(2, 3) + record("e", "ACGT") + record("f"), None),
    (record("a", "ACGTNacgtnRYKMSWBDHV.*-"), record("a", bases(23, 1)), None),
    (*both(lambda number: record("a", bases(94, number), "".join(map(chr, range(33, 127))))), None),
    *((*long_names(mark), None) for mark in ("", "/{side}", " {side}:N:0:" + "ACGT" * 80)),
    (10 * side(1, 9) + side(1, 2), 10 * side(2, 9) + side(2, 2), None),
    # trailing lines, a missing newline, and a repeated name
    *((side(1, 3) + end, side(2, 3), sides(3)) for end in ("\n", "\n\n", "\n" * 6)),
    *((side(1, 3), side(2, 3) + end, sides(3)) for end in ("\n", "\n\n", "\n" * 6)),
    (EMPTY[0] + "\n", EMPTY[1], EMPTY),
    (side(1, 3)[:-1], side(2, 3)[:-1], sides(3)),
    (side(1, 3).replace("\n+\n", "\n+r0 1:N:0\n"), side(2, 3), sides(3)),
    # some equal reads, and reads that are too short or monotonous to compare
    (side(1, 100, UNMARKED), SOME_EQUAL, None),
    *((*equal_reads(read), None) for read in ("G" * 30, "N" * 30, "GN" * 15, "AC" * 15, "ACGTACGT", "")),
]


@pytest.mark.parametrize(("first", "second", "expected"), ACCEPTED)
def test_pairs_of_all_kinds_are_accepted(lane: Lane, first: str, second: str, expected: tuple[str, str] | None) -> None:
    assert lane.interleaved(first, second) == woven(*(expected or (first, second)))


@pytest.mark.usefixtures("small_blocks")
def test_a_last_block_with_one_pair_of_equal_reads_is_accepted(lane: Lane) -> None:
    files = both(lambda number: side(number, 8, UNMARKED) + record("last", bases(30, 7)))
    assert lane.interleaved(*files) == woven(*files)


@pytest.mark.parametrize("comment", ["", " 7 length=30", "\tBC:Z:ACGT"])
def test_mates_with_suffixes_dot_1_and_dot_2_get_one_name(lane: Lane, comment: str) -> None:
    lines = lane.interleaved(*sides(9, "SRR9.{pair}.{side}" + comment)).splitlines()
    assert [line.split()[0] for line in lines[::4]] == [f"@SRR9.{pair}" for pair in range(9) for _ in (1, 2)]


def test_names_with_and_without_suffixes_may_be_in_one_block(lane: Lane) -> None:
    names = ("a{pair}.{side}", "b{pair}", "c{pair}.1")
    headers = lane.interleaved(*both(lambda n: "".join(side(n, 2, name) for name in names))).splitlines()[::4]
    assert headers == [f"@{name}" for name in ("a0", "a1", "b0", "b1", "c0.1", "c1.1") for _ in (1, 2)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30),
    block=st.integers(1, 9),
    chunk=st.integers(2, 200),
    compressions=st.tuples(*[st.sampled_from([bytes, gzipped, bgzipped])] * 2),
)
def test_the_result_depends_neither_on_blocks_nor_on_compression(
    lane: Lane,
    lengths: Sequence[tuple[int, int]],
    block: int,
    chunk: int,
    compressions: Sequence[Callable[[bytes], bytes]],
) -> None:
    files = [
        record("r", bases(30, number))
        + "".join(record(f"r{pair} {number}:N:0", bases(both[number - 1], pair)) for pair, both in enumerate(lengths))
        for number in (1, 2)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastq, "BLOCK_LINES", block * fastq.LINES)
        patch.setattr(fastq, "CHUNK_BYTES", chunk)
        patch.setattr(compression, "PIECE_BYTES", chunk)
        patch.setattr(fastq, "are_copies", lambda *_, **__: False)
        content = [compress(text.encode()) for compress, text in zip(compressions, files, strict=True)]
        assert lane.interleaved(*content) == woven(*files)


# ---- broken records --------------------------------------------------------------------------------------------------

NO_NAME = "its first line does not start with '@' and a name"
BAD_BASES = "its bases hold something that is not a base"
BAD_QUALITIES = "its qualities hold something that is none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((f"{header}\nACGT\n+\nIIII\n", NO_NAME) for header in ("name", "@", "@ 1:N:0:ACGT", "", "@.1", "@/1 x")),
        *((f"{header}\nACGT\n+\nIIII\n", "its name starts with '@'") for header in ("@@r3 1:N:0", "@@")),
        (f"@n{LONG_NAME}\nACGT\n+\nIIII\n", "its name is longer than 254 characters"),
        ("@r3 1:N:0\nACGT\nIIII\n", "its third line does not start with '+'"),
        ("@r3 1:N:0\nACGT\n\nIIII\n", "its third line does not start with '+'"),
        ("@r3 1:N:0\nACGT\n+\nIII\n", "4 bases but 3 qualities"),
        ("@r3 1:N:0\nACG\n+\nIIII\n", "3 bases but 4 qualities"),
        ("@r3 1:N:0\nACGT\n+\n\n", "4 bases but 0 qualities"),
        *((f"@r3 1:N:0\nAC{letter}T\n+\nIIII\n", BAD_BASES) for letter in "\x01\0\r "),
        *((f"@r3 1:N:0\nACGT\n+\nII{letter}I\n", BAD_QUALITIES) for letter in " \r\xe9"),
        ("@r3 1:N:0\r\nACGT\r\n+\r\nIIII\r\n", "its lines end as on Windows (CRLF)"),
    ],
)
@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_a_broken_record_is_refused_with_its_file_and_number(lane: Lane, text: str, message: str, broken: int) -> None:
    files = list(sides(9))
    good = record(f"r3 {broken}:N:0:ACGT", bases(30, 6 + broken))
    assert good in files[broken - 1]
    files[broken - 1] = files[broken - 1].replace(good, text)
    assert f"bad reads: R{broken}.fq: record 4 is broken: {message}" in lane.refusal(*files)


SAME = side(1, 40, UNMARKED)
TWICE = woven(side(1, 20, UNMARKED), side(2, 20, UNMARKED))
COPY = "R2.fq: its reads are those of R1.fq again"
SWAPPED = "record 1 says that the files are swapped"
ONE_NAME = "R1.fq: each of the first {} reads has the name of the one beside it, 'r"
NO_READS = "R1.fq and R2.fq: there is no read in them"
CUT_OFF = "R1.fq: record 10 is broken: cut off in the middle"
WINDOWS = r"record 1 is broken: its lines end as on Windows \(CRLF\)\. Convert it \(dos2unix"
CUTS = (slice(0, 25), slice(3, None), slice(2, 27))
OLD = "efgh@BK"  # Phred+64
PHRED_64 = r"{}: its qualities are of the scale Phred\+64, from '@' to '{}'.*seqtk seq -Q64 -V"


def trimmed(cut: slice) -> str:
    """The first reads again, trimmed."""
    lines = SAME.splitlines()
    lines[1::2] = [line[cut] if len(line) > 1 else line for line in lines[1::2]]
    lines[2::4] = ["+"] * 40
    return "\n".join(lines) + "\n"


def scaled(number: int, pairs: int, scale: str) -> str:
    return "".join(record(f"r{pair}", bases(30, 2 * pair + number), (scale * 30)[:30]) for pair in range(pairs))


REFUSED: list[tuple[str | bytes, str | bytes, str]] = [
    (side(1, 9).replace("\n", "\r\n"), side(2, 9).replace("\n", "\r\n") + "\r\n", WINDOWS),
    *((side(1, 9) + "@r9\nACGT\n+\n"[:end], side(2, 10), CUT_OFF) for end in (4, 9, 11)),
    (side(1, 8), side(2, 9), "R1.fq: ends after 8 reads, and R2.fq goes on"),
    (side(1, 9), side(2, 8), "R2.fq: ends after 8 reads, and R1.fq goes on"),
    (side(1, 9), gzipped(b""), "R2.fq: ends after 0 reads, .* single-end reads are not supported"),
    *((nothing, nothing, NO_READS) for nothing in (gzipped(b""), gzipped(b"\n\n"), b"\n")),
    (b"", side(2, 9), "no reads in R1.fq: the file is empty"),
    (side(1, 9), side(2, 9, length=0), "R2.fq: every read is empty.* single-end reads are not"),
    (side(1, 9, length=0), side(2, 9), "R1.fq: every read is empty"),
    # names
    (record("\x1b[31m\xff" + "n" * 200), record("m"), r"'\?\[31m\?" + "n" * 74 + "' in one"),
    *((side(2, 9, name), side(1, 9, name), SWAPPED) for name in (*NAMES[:4], "r{pair}.{side}")),
    (side(1, 9, "r{pair}.1 2:N:0"), side(2, 9, "r{pair}.2 1:N:0"), SWAPPED),
    *(
        (*sides(9, "r" + mark), ONE_NAME.format(9))
        for mark in (" {pair}/{side}", " {side}:N:0", "/{side}", ".{side}", "")
    ),
    (TWICE, woven(side(2, 20, UNMARKED), side(1, 20, UNMARKED)), ONE_NAME.format(40)),
    # copies
    (side(1, 40), side(1, 40), "record 1 says that both hold first reads"),
    (side(2, 40), side(2, 40), "record 1 says that both hold second reads"),
    (woven(*sides(20)), woven(*sides(20)), "record 1 says that both hold first reads"),
    *((reads, reads, COPY) for reads in (SAME, TWICE)),
    (side(1, 40), side(1, 40).replace(" 1:N", " 2:N"), COPY),
    *((SAME, trimmed(cut), COPY) for cut in CUTS),
    *((trimmed(cut), SAME, COPY) for cut in CUTS),
    # qualities
    *(
        (scaled(1, n, OLD), scaled(2, n, scale), PHRED_64.format("R1.fq", "h"))
        for n in (1, 250)
        for scale in (OLD, GOOD)
    ),
    *((scaled(1, n, GOOD), scaled(2, n, OLD), PHRED_64.format("R2.fq", "h")) for n in (1, 250)),
    (scaled(1, 3, "@L"), scaled(2, 3, GOOD), PHRED_64.format("R1.fq", "L")),
]


@pytest.mark.parametrize(("first", "second", "message"), REFUSED)
def test_files_that_are_no_pair_are_refused(
    lane: Lane, first: str | bytes, second: str | bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "SCALE_READS", 200)
    with pytest.raises(BadDataError, match=message):
        lane.interleaved(first, second)


@pytest.mark.usefixtures("small_blocks")
def test_a_name_that_does_not_match_is_refused_with_the_number_of_its_record(lane: Lane) -> None:
    first = side(1, 9).replace("@r5 ", "@other ")
    assert "R1.fq and R2.fq: record 6 is 'other' in one and 'r5' in the other" in lane.refusal(first, side(2, 9))


@pytest.mark.usefixtures("small_blocks")
def test_a_copy_is_found_after_reads_that_cannot_be_compared(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq, "BLOCK_LINES", 80)
    same = "".join(record(f"g{number}", "G" * 30) for number in range(60)) + side(1, 100, UNMARKED)
    assert "its reads are those of" in lane.refusal(same, same)


# ---- gzip ------------------------------------------------------------------------------------------------------------

FIRST, SECOND = (text.encode() for text in sides(40))
WHOLE, BGZF = gzipped(FIRST), bgzipped(FIRST)
MEMBERS = b"".join(gzipped(FIRST[at : at + 97]) for at in range(0, len(FIRST), 97))
EMPTY_MEMBERS = gzipped(b"") + WHOLE + gzipped(b"")
TEXT = b"@r40\nACGT\n+\nIIII\n"


@pytest.mark.parametrize("chunk", [20, 1000, 1 << 18])
def test_members_and_padding_of_zeros_are_accepted(lane: Lane, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq, "CHUNK_BYTES", chunk)
    for content in (MEMBERS, MEMBERS + bytes(5000), BGZF, BGZF + bytes(512), EMPTY_MEMBERS):
        assert lane.interleaved(content, SECOND) == woven(FIRST.decode(), SECOND.decode())


NOT_GZIP = "cannot unpack R1.fq: something that is not gzip stands behind the end"
OTHER_DATA = (b"x", TEXT, bytes(100) + b"x", bytes(100) + gzipped(TEXT), b"\0\0\x1f\x8b")
DAMAGED = [
    *((WHOLE + data, NOT_GZIP) for data in OTHER_DATA),
    *((WHOLE + b"\x1f" + data, "cannot unpack R1.fq") for data in (b"", b"\x8b", b"\x8b\x08\0", b"garbage")),
    *((WHOLE[:end], "R1.fq: its compressed data end early") for end in (3, 9, 10, 11, 200, -9, -8, -1)),
    *((WHOLE[:at] + b"\xff\xfe\xfd" + WHOLE[at + 3 :], "R1.fq") for at in (len(WHOLE) - 8, 300)),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
def test_damaged_gzip_and_data_after_its_end_are_refused(
    lane: Lane, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for chunk in (20, 1 << 18):
        monkeypatch.setattr(fastq, "CHUNK_BYTES", chunk)
        assert message in lane.refusal(content, SECOND)


# ---- qualities, other formats and long lines -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["?MSZ~", "@ABCK", "K", "@", "?h", "I", "@K", "?L"])
def test_qualities_below_64_or_none_above_75_are_phred_33(lane: Lane, scale: str) -> None:
    files = scaled(1, 9, scale), scaled(2, 9, scale)
    assert lane.interleaved(*files) == woven(*files)


@pytest.mark.parametrize("block", [1, 2, 64])
def test_only_the_first_reads_determine_the_scale(lane: Lane, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq, "SCALE_READS", 5)
    monkeypatch.setattr(fastq, "BLOCK_LINES", block * fastq.LINES)
    monkeypatch.setattr(fastq, "CHUNK_BYTES", 50)
    later = record("low", bases(30, 99), "#" * 30) + record("more", bases(30, 98), "h" * 30)
    mates = [scaled(2, old, GOOD) + record("low", bases(30, 97)) + record("more", bases(30, 96)) for old in (4, 5)]
    assert lane.interleaved(scaled(1, 4, OLD) + later, mates[0]) == woven(scaled(1, 4, OLD) + later, mates[0])
    assert "Phred+64" in lane.refusal(scaled(1, 5, OLD) + later, mates[1])


TAR = (b"reads.fq" + bytes(249) + b"ustar\x0000").ljust(512, b"\0")


FORMATS = [
    (bz2.compress(TEXT), "it is compressed by bzip2"),
    (lzma.compress(TEXT), "it is compressed by xz"),
    (b"\x28\xb5\x2f\xfd\x04\x00rest", "it is compressed by zstd"),
    (b"\x04\x22\x4d\x18rest", "it is compressed by lz4"),
    (b"\x1f\x9d\x90rest", "it is compressed by compress"),
    (b"PK\x03\x04rest", "it is a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1crest", "it is a 7z archive"),
    (TAR, "it is a tar archive"),
    (gzipped(TAR), "it is a tar archive"),
    (b"CRAM\x03\x00", "it is a CRAM file"),
    (bgzipped(b"BAM\1" + bytes(200)), "it is a BAM file"),
    (b"@HD\tVN:1.6\n", "it is a SAM file"),
    (gzipped(b"@SQ\tSN:chr1\tLN:5\n"), "it is a SAM file"),
    (b">r1\nACGT\n", "it is FASTA"),
    (gzipped(b">r1\nACGT\n"), "it is FASTA"),
    (b"<!DOCTYPE html>\n<html>", "it is a web page or XML"),
    (b"\xef\xbb\xbf@r\nA\n+\nI\n", "it starts with a byte order mark"),
    (b"\xff\xfe@\0r\0", "it is text in UTF-16"),
]


@pytest.mark.parametrize(("content", "message"), FORMATS)
def test_a_file_that_is_no_fastq_is_named_as_what_it_is(lane: Lane, content: bytes, message: str) -> None:
    assert f"R1.fq: {message}" in lane.refusal(content, SECOND)
    assert f"R2.fq: {message}" in lane.refusal(FIRST, content)


def measure(work: Callable[[], object], *, most: int) -> None:
    """Runs work that may allocate that many bytes at a time."""
    tracemalloc.start()
    try:
        work()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most


@pytest.mark.parametrize("compress", [bytes, gzipped])
@pytest.mark.parametrize("longer", [100_001, 12_000_000])
@pytest.mark.parametrize("which", [(0,), (1, 3), (2,), (1,), (3,)])
def test_a_line_that_is_too_long_is_refused_in_little_memory(
    lane: Lane, which: Sequence[int], longer: int, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "MAX_LINE", 100_000)
    monkeypatch.setattr(compression, "PIECE_BYTES", 1 << 18)
    lines = [b"@r0", b"A", b"+", b"I"]
    for line in which:
        lines[line] += lines[line][-1:] * longer
    pairs = lane.pairs(side(1, 1), compress(b"\n".join(lines)))
    del lines
    with pytest.raises(BadDataError, match=r"R2\.fq: a line is longer than 100000 characters"):
        measure(lambda: list(pairs.blocks()), most=9_000_000)


def test_long_lines_are_read_a_few_at_a_time(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq, "MAX_BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(compression, "PIECE_BYTES", 1 << 18)
    text = "".join(record(f"r{number}", "ACGGT" * 10_000) for number in range(100))  # 10 MB
    pairs = lane.pairs(gzipped(text.encode(), 1), side(2, 100, "r{pair}"))
    del text
    measure(lambda: [len(block) for block in pairs.blocks()], most=8_000_000)
    assert pairs.count == 100


# ---- faults of the machine, and the first line -----------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_named(lane: Lane) -> None:
    pairs = lane.pairs(*sides(3))
    (lane.folder / "R2.fq").unlink()
    with pytest.raises(StepError, match=r"cannot read .*R2\.fq: no such file"):
        list(pairs.blocks())


def test_any_error_of_the_reading_thread_is_raised(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(fastq, "check_format", fail)
    with pytest.raises(MemoryError):
        lane.interleaved(*sides(3))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        *((compress(FIRST), b"@r0 1:N:0:ACGT") for compress in (bytes, gzipped, bgzipped)),
        (b"\x1f\x8bgarbage", b""),
        (None, b""),
    ],
)
def test_the_first_line_is_read_from_any_readable_file(tmp_path: Path, content: bytes | None, line: bytes) -> None:
    if content is not None:
        (tmp_path / "r.fq").write_bytes(content)
    assert fastq.first_line(tmp_path / "r.fq") == line


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        (b"@A00123:45:HFLOWDSX:3:1101:1000:2000 1:N:0:ACGT", "HFLOWDSX.3"),
        (b"@M01:7:000000000-ABCDE:1:1101:15589:1332/1", "000000000-ABCDE.1"),
        (b"@A0:4:HF:3:1101:10:20:ACGT+TTTT 1:N:0", "HF.3"),
        (b"@SRR062634.1 HWI-EAS110:3:1:1:2 length=100", None),
        (b"@HWUSI-EAS100R:6:73:941:1973#0/1", None),
        (b"", None),
    ],
)
def test_the_platform_unit_is_flowcell_and_lane_of_an_illumina_name(header: bytes, unit: str | None) -> None:
    assert fastq.platform_unit(header) == unit


def test_checking_takes_little_longer_than_decompressing(lane: Lane) -> None:
    """Checking every block record by record would take ten times as long."""
    files = both(
        lambda n: "".join(record(f"M1:7:F:1:{pair} {n}:N:0", bases(150, 2 * pair + n)) for pair in range(3_000))
    )
    packed = [gzipped(text.encode(), 1) for text in files]

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    checking = min(seconds(lambda: list(lane.pairs(*packed).blocks())) for _ in range(3))
    assert checking < 8 * min(seconds(lambda: [gzip.decompress(file) for file in packed]) for _ in range(3))
