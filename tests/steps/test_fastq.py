"""FASTQ: what a lane's two files may look like, what is refused, and what the aligner then reads."""

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
from support.compressed import bgzipped, gzipped

from step import compression, fastq
from step.errors import BadDataError, StepError

GOOD = "FFFF:,#"  # qualities of the usual scale


def bases(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))  # noqa: S311


def record(head: str, read: str = "ACGTTGCA", qualities: str = "") -> str:
    return f"@{head}\n{read}\n+\n{qualities or (GOOD * (len(read) // len(GOOD) + 1))[: len(read)]}\n"


def side(number: int, pairs: int, head: str = "r{pair} {side}:N:0:ACGT", length: int = 30) -> str:
    """One file of pairs that are good."""
    return "".join(
        record(head.format(pair=pair, side=number), bases(length, 2 * pair + number)) for pair in range(pairs)
    )


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Runs the check on two files as they would lie below /scratch/data."""

    folder: Path

    def mates(self, first: str | bytes, second: str | bytes) -> fastq.ReadPairs:
        sources = []
        for name, content in (("R1.fq", first), ("R2.fq", second)):
            file = self.folder / name
            file.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
            sources.append(fastq.FastqFile(name=name, path=file))
        return fastq.ReadPairs(r1=sources[0], r2=sources[1])

    def interleaved(self, first: str | bytes, second: str | bytes) -> str:
        return b"".join(self.mates(first, second).blocks()).decode("latin-1")

    def refused(self, first: str | bytes, second: str | bytes) -> str:
        with pytest.raises(BadDataError) as caught:
            self.interleaved(first, second)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(folder=tmp_path)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two records, out of plain files that are read 64 bytes at a time."""
    monkeypatch.setattr(fastq, "BLOCK_LINES", 8)
    monkeypatch.setattr(fastq, "CHUNK_BYTES", 64)
    monkeypatch.setattr(compression, "PIECE_BYTES", 64)


def woven(first: str, second: str) -> str:
    """Interleaved, by the simplest way there is."""
    sides = [text.split("\n") for text in (first, second)]
    records = [["\n".join(lines[at : at + 4]) for at in range(0, len(lines) - 1, 4)] for lines in sides]
    return "".join(f"{one}\n{two}\n" for one, two in zip(*records, strict=True))


# ---- what is accepted ------------------------------------------------------------------------------------------------


def test_records_are_interleaved_as_they_are(lane: Lane) -> None:
    assert lane.interleaved(side(1, 50), side(2, 50)) == woven(side(1, 50), side(2, 50))


def test_what_is_written_counted_and_digested_is_the_whole_of_both_files(lane: Lane) -> None:
    first, second = gzipped(side(1, 50).encode()), side(2, 50).encode()
    mates, pipe = lane.mates(first, second), io.BytesIO()
    assert mates(pipe) >= 0
    assert pipe.getvalue().decode() == woven(side(1, 50), side(2, 50))
    assert mates.count == 50
    assert [mates.r1.sha256, mates.r2.sha256] == [hashlib.sha256(data).hexdigest() for data in (first, second)]


@pytest.mark.parametrize(
    "head",
    [
        "r{pair} {side}:N:0:ACGT",
        "r{pair}\t{side}:Y:0:",
        "r{pair}/{side}",
        "r{pair}/{side} a comment",
        "r{pair}",
        "r{pair} {pair} length=30",
        "SRR{pair}.1",
        "SRR1.{pair}.1 both end in .1",
        "A00:1:H:1:1101:{pair}:1000 {side}:N:0:ACGT+TTTT",
    ],
)
def test_the_ways_of_naming_mates_are_accepted(lane: Lane, head: str) -> None:
    first, second = side(1, 9, head), side(2, 9, head)
    assert lane.interleaved(first, second) == woven(first, second)


@pytest.mark.parametrize("comment", ["", " 7 length=30", "\tBC:Z:ACGT"])
def test_mates_told_apart_by_dot_1_and_dot_2_get_one_name(lane: Lane, comment: str) -> None:
    head = "SRR9.{pair}.{side}" + comment
    lines = lane.interleaved(side(1, 9, head), side(2, 9, head)).splitlines()
    assert [line.split()[0] for line in lines[::4]] == [f"@SRR9.{pair}" for pair in range(9) for _ in (1, 2)]


def test_dot_names_and_equal_names_may_be_in_one_block(lane: Lane) -> None:
    first, second = (
        side(number, 2, "a{pair}.{side}") + side(number, 2, "b{pair}") + side(number, 2, "c{pair}.1")
        for number in (1, 2)
    )
    heads = lane.interleaved(first, second).splitlines()[::4]
    assert heads == [f"@{name}" for name in ("a0", "a1", "b0", "b1", "c0.1", "c1.1") for _ in (1, 2)]


@pytest.mark.parametrize("name", [".1", "/1", ".2 x", "/1 x"])
def test_what_tells_mates_apart_is_no_name_by_itself(lane: Lane, name: str) -> None:
    other = name.replace("1", "2")
    assert "record 1 is broken: its first line does not start with '@' and a name" in lane.refused(
        record(name), record(other)
    )


def test_an_empty_read_is_kept(lane: Lane) -> None:
    first, second = (side(number, 3) + record("e", read) + record("f") for number, read in ((1, ""), (2, "ACGT")))
    assert lane.interleaved(first, second) == woven(first, second)


@pytest.mark.parametrize("end", ["\n", "\n\n", "\n\n\n\n\n\n"])
def test_empty_lines_at_the_end_are_none_of_a_record(lane: Lane, end: str) -> None:
    assert lane.interleaved(side(1, 3) + end, side(2, 3)) == woven(side(1, 3), side(2, 3))
    assert lane.interleaved(side(1, 3), side(2, 3) + end) == woven(side(1, 3), side(2, 3))


def test_empty_lines_behind_an_empty_read_leave_it_as_it_is(lane: Lane) -> None:
    first, second = side(1, 2) + record("e", ""), side(2, 2) + record("e", "")
    assert lane.interleaved(first + "\n", second) == woven(first, second)


def test_the_last_line_may_have_no_end(lane: Lane) -> None:
    assert lane.interleaved(side(1, 3)[:-1], side(2, 3)[:-1]) == woven(side(1, 3), side(2, 3))


def test_what_the_third_line_repeats_is_left_out(lane: Lane) -> None:
    first = side(1, 3).replace("\n+\n", "\n+r0 1:N:0\n")
    assert lane.interleaved(first, side(2, 3)) == woven(side(1, 3), side(2, 3))


def test_every_letter_that_an_aligner_takes_is_a_base(lane: Lane) -> None:
    read = "ACGTNacgtnRYKMSWBDHV.*-"
    assert read in lane.interleaved(record("a", read), record("a", bases(23, 1)))


def test_every_quality_from_33_to_126_is_one(lane: Lane) -> None:
    qualities = "".join(map(chr, range(33, 127)))
    assert qualities in lane.interleaved(record("a", bases(94, 1), qualities), record("a", bases(94, 2), qualities))


def test_a_name_may_have_254_characters(lane: Lane) -> None:
    name = "n" * 254
    for mark in ("", "/{side}", " {side}:N:0:" + "ACGT" * 80):
        first, second = (record(name + mark.format(side=number), bases(30, number)) for number in (1, 2))
        assert lane.interleaved(first, second) == woven(first, second)
        first, second = (record("n" + name + mark.format(side=number), bases(30, number)) for number in (1, 2))
        assert "record 1 is broken: its name is longer than 254 characters" in lane.refused(first, second)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30),
    block=st.integers(1, 9),
    chunk=st.integers(2, 200),
    compressions=st.tuples(*[st.sampled_from([bytes, gzipped, bgzipped])] * 2),
)
def test_where_files_are_cut_into_blocks_does_not_show_in_the_result(
    lane: Lane,
    lengths: Sequence[tuple[int, int]],
    block: int,
    chunk: int,
    compressions: Sequence[Callable[[bytes], bytes]],
) -> None:
    sides = [
        "".join(record(f"r{pair} {number + 1}:N:0", bases(both[number], pair)) for pair, both in enumerate(lengths))
        for number in (0, 1)
    ]
    sides = [record("r", bases(30, number)) + text for number, text in enumerate(sides)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastq, "BLOCK_LINES", block * fastq.LINES)
        patch.setattr(fastq, "CHUNK_BYTES", chunk)
        patch.setattr(compression, "PIECE_BYTES", chunk)
        patch.setattr(fastq, "are_copies", lambda *_, **__: False)
        content = [compress(text.encode()) for compress, text in zip(compressions, sides, strict=True)]
        assert lane.interleaved(*content) == woven(*sides)


# ---- broken records --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\nACGT\n+\nIIII\n", "its first line does not start with '@' and a name"),
        ("@\nACGT\n+\nIIII\n", "its first line does not start with '@' and a name"),
        ("@ 1:N:0:ACGT\nACGT\n+\nIIII\n", "its first line does not start with '@' and a name"),
        ("\nACGT\n+\nIIII\n", "its first line does not start with '@' and a name"),
        ("@@r3 1:N:0\nACGT\n+\nIIII\n", "its name starts with '@'"),
        ("@@\nACGT\n+\nIIII\n", "its name starts with '@'"),
        ("@r3 1:N:0\nACGT\nIIII\n", "its third line does not start with '+'"),
        ("@r3 1:N:0\nACGT\n\nIIII\n", "its third line does not start with '+'"),
        ("@r3 1:N:0\nACGT\n+\nIII\n", "4 bases but 3 qualities"),
        ("@r3 1:N:0\nACG\n+\nIIII\n", "3 bases but 4 qualities"),
        ("@r3 1:N:0\nACGT\n+\n\n", "4 bases but 0 qualities"),
        ("@r3 1:N:0\nAC\x01T\n+\nIIII\n", "its bases hold something that is not a base"),
        ("@r3 1:N:0\nAC\0T\n+\nIIII\n", "its bases hold something that is not a base"),
        ("@r3 1:N:0\nAC\rT\n+\nIIII\n", "its bases hold something that is not a base"),
        ("@r3 1:N:0\nAC T\n+\nIIII\n", "its bases hold something that is not a base"),
        ("@r3 1:N:0\nACGT\n+\nII I\n", "its qualities hold something that is none"),
        ("@r3 1:N:0\nACGT\n+\nII\rI\n", "its qualities hold something that is none"),
        ("@r3 1:N:0\nACGT\n+\nII\xe9I\n", "its qualities hold something that is none"),
        ("@r3 1:N:0\r\nACGT\r\n+\r\nIIII\r\n", "its lines end as on Windows (CRLF)"),
    ],
)
@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_a_broken_record_is_refused_with_its_file_and_number(lane: Lane, text: str, said: str, broken: int) -> None:
    sides = [side(1, 9), side(2, 9)]
    whole = record(f"r3 {broken}:N:0:ACGT", bases(30, 6 + broken))
    assert whole in sides[broken - 1]
    sides[broken - 1] = sides[broken - 1].replace(whole, text)
    assert f"bad reads: R{broken}.fq: record 4 is broken: {said}" in lane.refused(*sides)


def test_files_with_windows_line_ends_are_refused_with_what_to_do(lane: Lane) -> None:
    said = lane.refused(side(1, 9).replace("\n", "\r\n"), side(2, 9).replace("\n", "\r\n") + "\r\n")
    assert "R1.fq: record 1 is broken: its lines end as on Windows (CRLF)" in said
    assert "dos2unix" in said


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_last_record_that_is_cut_short_is_refused(lane: Lane, lines: int) -> None:
    extra = "".join(record("r9 1:N:0", bases(30, 1)).splitlines(keepends=True)[:lines])
    assert "R1.fq: record 10 is broken: cut off in the middle" in lane.refused(side(1, 9) + extra, side(2, 10))


def test_a_file_that_is_shorter_than_the_other_is_refused(lane: Lane) -> None:
    assert "R1.fq: ends after 8 reads, and R2.fq goes on" in lane.refused(side(1, 8), side(2, 9))
    assert "R2.fq: ends after 8 reads, and R1.fq goes on" in lane.refused(side(1, 9), side(2, 8))


@pytest.mark.usefixtures("small_blocks")
def test_a_name_that_does_not_match_is_refused_with_the_number_of_its_record_however_deep(lane: Lane) -> None:
    first = side(1, 9).replace("@r5 ", "@other ")
    assert "R1.fq and R2.fq: record 6 is 'other' in one and 'r5' in the other" in lane.refused(first, side(2, 9))


def test_a_name_in_an_error_is_one_line_of_ascii_and_not_too_long(lane: Lane) -> None:
    said = lane.refused(record("\x1b[31m\xff" + "n" * 200), record("m"))
    assert f"'?[31m?{'n' * 74}' in one" in said


@pytest.mark.parametrize("head", ["r{pair} {side}:N:0", "r{pair}/{side}", "r{pair}\t{side}:N:0", "r{pair}/{side} x"])
def test_swapped_files_are_refused(lane: Lane, head: str) -> None:
    assert "record 1 says that the files are swapped" in lane.refused(side(2, 9, head), side(1, 9, head))


def test_swapped_files_with_dot_names_are_refused(lane: Lane) -> None:
    swapped = (side(number, 9, "r{pair}.{side}") for number in (2, 1))
    assert "record 1 says that the files are swapped" in lane.refused(*swapped)
    sides = (side(number, 9, "r{pair}." + str(number) + f" {3 - number}:N:0") for number in (1, 2))
    assert "the files are swapped" in lane.refused(*sides)


@pytest.mark.parametrize("head", ["read {pair}/{side}", "r {side}:N:0", "r/{side}", "r.{side}", "r"])
def test_reads_that_all_have_one_name_are_refused(lane: Lane, head: str) -> None:
    sides = [side(number, 9, head) for number in (1, 2)]
    assert "R1.fq: each of the first 9 reads has the name of the one beside it, 'r" in lane.refused(*sides)


def test_two_interleaved_files_of_one_lane_are_refused(lane: Lane) -> None:
    sides = [woven(side(number, 9, "r{pair}"), side(3 - number, 9, "r{pair}")) for number in (1, 2)]
    assert "R1.fq: each of the first 18 reads has the name of the one beside it" in lane.refused(*sides)


def test_some_names_may_stand_twice(lane: Lane) -> None:
    sides = [10 * side(number, 9) + side(number, 2) for number in (1, 2)]
    assert lane.interleaved(*sides) == woven(*sides)


# ---- mates that are none ---------------------------------------------------------------------------------------------

UNMARKED = "r{pair}"


def test_a_second_file_that_is_a_copy_of_the_first_is_refused(lane: Lane) -> None:
    assert "record 1 says that both hold first reads" in lane.refused(side(1, 40), side(1, 40))
    assert "record 1 says that both hold second reads" in lane.refused(side(2, 40), side(2, 40))
    same = side(1, 40, UNMARKED)
    assert "R2.fq: its reads are those of R1.fq again" in lane.refused(same, same)


def test_a_copy_whose_names_were_changed_to_those_of_mates_is_refused(lane: Lane) -> None:
    first = side(1, 40)
    assert "R2.fq: its reads are those of R1.fq again" in lane.refused(first, first.replace(" 1:N", " 2:N"))


@pytest.mark.parametrize("cut", [slice(0, 25), slice(3, None), slice(2, 27)])
@pytest.mark.parametrize("trimmed", [1, 2])
def test_a_trimmed_copy_is_refused(lane: Lane, cut: slice, trimmed: int) -> None:
    whole = side(1, 40, UNMARKED)
    lines = whole.splitlines()
    lines[1::2] = [line[cut] if len(line) > 1 else line for line in lines[1::2]]
    lines[2::4] = ["+"] * 40
    other = "\n".join(lines) + "\n"
    assert "its reads are those of" in lane.refused(*((other, whole) if trimmed == 1 else (whole, other)))


@pytest.mark.parametrize("head", [UNMARKED, "r{pair} {side}:N:0", "r{pair}/{side}"])
def test_one_interleaved_file_given_twice_is_refused(lane: Lane, head: str) -> None:
    both = woven(side(1, 20, head), side(2, 20, head))
    said = lane.refused(both, both)
    assert "both hold first reads" in said or "its reads are those of R1.fq again" in said


@pytest.mark.usefixtures("small_blocks")
def test_a_copy_is_found_behind_a_start_that_tells_nothing(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq, "BLOCK_LINES", 80)
    start = "".join(record(f"g{number}", "G" * 30) for number in range(60))
    same = start + side(1, 100, UNMARKED)
    assert "its reads are those of" in lane.refused(same, same)


@pytest.mark.parametrize("read", ["G" * 30, "N" * 30, "GN" * 15, "AC" * 15, "ACGTACGT", ""])
def test_equal_reads_that_tell_nothing_are_accepted(lane: Lane, read: str) -> None:
    same = record("first", bases(30, 1)) + "".join(record(f"r{number}", read) for number in range(30))
    other = same.replace(bases(30, 1), bases(30, 2))
    assert lane.interleaved(same, other) == woven(same, other)


def test_some_pairs_of_equal_reads_are_accepted(lane: Lane) -> None:
    first = side(1, 100, UNMARKED)
    second = side(1, 5, UNMARKED) + side(2, 100, UNMARKED)[len(side(2, 5, UNMARKED)) :]
    assert lane.interleaved(first, second) == woven(first, second)


@pytest.mark.usefixtures("small_blocks")
def test_a_last_block_of_one_pair_of_equal_reads_is_accepted(lane: Lane) -> None:
    first, second = (side(number, 8, UNMARKED) + record("last", bases(30, 7)) for number in (1, 2))
    assert lane.interleaved(first, second) == woven(first, second)


def test_a_side_without_a_base_is_refused_as_single_end(lane: Lane) -> None:
    empty = side(2, 9, length=0)
    assert "R2.fq: every read is empty" in lane.refused(side(1, 9), empty)
    assert "R1.fq: every read is empty" in lane.refused(side(1, 9, length=0), side(2, 9))
    assert "single-end reads are not supported" in lane.refused(side(1, 9), empty)


def test_single_end_reads_beside_an_empty_gzip_file_are_refused_as_such(lane: Lane) -> None:
    said = lane.refused(side(1, 9), gzipped(b""))
    assert "R2.fq: ends after 0 reads, and R1.fq goes on" in said
    assert "single-end reads are not supported" in said


@pytest.mark.parametrize("nothing", [gzipped(b""), gzipped(b"\n\n"), b"\n"])
def test_files_without_a_read_are_refused(lane: Lane, nothing: bytes) -> None:
    assert "R1.fq and R2.fq: there is no read in them" in lane.refused(nothing, nothing)


def test_an_empty_file_is_refused(lane: Lane) -> None:
    assert "no reads in R1.fq: the file is empty" in lane.refused(b"", side(2, 9))


# ---- gzip ------------------------------------------------------------------------------------------------------------

PAIRS = 40


@pytest.fixture
def second() -> bytes:
    return side(2, PAIRS).encode()


@pytest.mark.parametrize("chunk", [20, 1000, 1 << 18])
def test_members_and_padding_of_zeros_are_accepted(
    lane: Lane, second: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "CHUNK_BYTES", chunk)
    data = side(1, PAIRS).encode()
    expected = woven(data.decode(), second.decode())
    members = b"".join(gzipped(data[at : at + 97]) for at in range(0, len(data), 97))
    for content in (members, members + bytes(5000), bgzipped(data), bgzipped(data) + bytes(512)):
        assert lane.interleaved(content, second) == expected
    assert lane.interleaved(gzipped(b"") + gzipped(data) + gzipped(b""), second) == expected


@pytest.mark.parametrize(
    "garbage",
    [
        b"x",
        b"@r40\nACGT\n+\nIIII\n",
        bytes(100) + b"x",
        bytes(100) + gzipped(b"@r\nAC\n+\nII\n"),
        b"\0\0\x1f\x8b",
    ],
)
@pytest.mark.parametrize("chunk", [20, 1 << 18])
def test_what_is_not_gzip_behind_the_end_of_gzip_is_refused(
    lane: Lane, second: bytes, garbage: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "CHUNK_BYTES", chunk)
    said = lane.refused(gzipped(side(1, PAIRS).encode()) + garbage, second)
    assert "cannot unpack R1.fq: something that is not gzip stands behind the end" in said


@pytest.mark.parametrize(
    "garbage", [b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"\x1fgarbage", b"\x1f\x8b\x08\xffgarbage"]
)
def test_garbage_that_starts_as_gzip_does_is_refused(lane: Lane, second: bytes, garbage: bytes) -> None:
    assert "cannot unpack R1.fq" in lane.refused(gzipped(side(1, PAIRS).encode()) + garbage, second)


def test_gzip_that_was_cut_off_anywhere_is_refused(lane: Lane, second: bytes) -> None:
    whole = gzipped(side(1, PAIRS).encode())
    for cut in (3, 9, 10, 11, 200, len(whole) - 9, len(whole) - 8, len(whole) - 1):
        assert "cannot unpack R1.fq: its compressed data end early" in lane.refused(whole[:cut], second)
    assert "cannot unpack R2.fq: its compressed data end early" in lane.refused(side(1, PAIRS), whole[:-1])


def test_gzip_with_a_damaged_byte_is_refused(lane: Lane, second: bytes) -> None:
    whole = bytearray(gzipped(side(1, PAIRS).encode()))
    for at in (len(whole) - 6, len(whole) - 2, 300):
        damaged = bytes(whole[:at]) + bytes((whole[at] ^ 0xFF,)) + bytes(whole[at + 1 :])
        assert "R1.fq" in lane.refused(damaged, second)


# ---- qualities of another scale --------------------------------------------------------------------------------------

OLD = "efgh@BK"  # Phred+64
HIGH = "?MSZ~"  # Phred+33, of long or consensus reads


def scaled(number: int, pairs: int, scale: str) -> str:
    return "".join(record(f"r{pair}", bases(30, 2 * pair + number), (scale * 30)[:30]) for pair in range(pairs))


@pytest.mark.parametrize(("one", "two", "named"), [(OLD, OLD, "R1.fq"), (OLD, GOOD, "R1.fq"), (GOOD, OLD, "R2.fq")])
@pytest.mark.parametrize("pairs", [1, 9, 10_500])
def test_phred_64_is_refused_in_either_file_however_few_reads_there_are(
    lane: Lane, one: str, two: str, named: str, pairs: int
) -> None:
    said = lane.refused(scaled(1, pairs, one), scaled(2, pairs, two))
    assert f"{named}: its qualities are of the scale Phred+64, from '@' to 'h'" in said
    assert "seqtk seq -Q64 -V" in said


@pytest.mark.parametrize("scale", [HIGH, "@ABCK", "K", "@", "?h", "I"])
def test_phred_33_is_accepted_whatever_its_highest(lane: Lane, scale: str) -> None:
    assert lane.interleaved(scaled(1, 9, scale), scaled(2, 9, scale)) == woven(scaled(1, 9, scale), scaled(2, 9, scale))


@pytest.mark.parametrize(("scale", "is_old"), [("@L", True), ("@K", False), ("?L", False), ("~", True)])
def test_the_scale_is_old_if_none_is_below_64_and_some_above_75(lane: Lane, scale: str, is_old: bool) -> None:  # noqa: FBT001
    first, second = scaled(1, 3, scale), scaled(2, 3, GOOD)
    if is_old:
        assert "Phred+64" in lane.refused(first, second)
    else:
        assert lane.interleaved(first, second) == woven(first, second)


@pytest.mark.parametrize("low", [4, 5])
@pytest.mark.parametrize("block", [1, 2, 64])
def test_the_scale_is_known_by_the_first_reads_and_no_later_one(
    lane: Lane, low: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastq, "SCALE_READS", 5)
    monkeypatch.setattr(fastq, "BLOCK_LINES", block * fastq.LINES)
    monkeypatch.setattr(fastq, "CHUNK_BYTES", 50)
    first = scaled(1, low, OLD) + record("low", bases(30, 99), "#" * 30) + record("more", bases(30, 98), "h" * 30)
    second = scaled(2, low, GOOD) + record("low", bases(30, 97)) + record("more", bases(30, 96))
    if low < 5:
        assert lane.interleaved(first, second) == woven(first, second)
    else:
        assert "Phred+64" in lane.refused(first, second)


# ---- files that are something else -----------------------------------------------------------------------------------

TEXT = b"@r\nACGT\n+\nIIII\n" * 50
TAR = (b"reads.fq" + bytes(249) + b"ustar\x0000").ljust(512, b"\0")


@pytest.mark.parametrize(
    ("content", "said"),
    [
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
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_file_that_is_no_fastq_is_named_as_what_it_is(lane: Lane, content: bytes, said: str, number: int) -> None:
    files = [side(1, 3).encode(), side(2, 3).encode()]
    files[number - 1] = content
    assert f"R{number}.fq: {said}" in lane.refused(*files)


@pytest.mark.parametrize("compress", [bytes, gzipped])
@pytest.mark.parametrize("line", [0, 1, 2, 3])
def test_a_line_longer_than_a_million_is_refused_in_little_memory(
    lane: Lane, line: int, compress: Callable[[bytes], bytes]
) -> None:
    lines = [b"@r0", b"A", b"+", b"I"]
    lines[line] += lines[line][-1:] * 60_000_000
    mates = lane.mates(compress(b"\n".join(lines)), side(2, 3))
    del lines
    tracemalloc.start()
    try:
        with pytest.raises(BadDataError, match=r"R1\.fq: a line is longer than 1000000 characters"):
            list(mates.blocks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


@pytest.mark.parametrize("compress", [bytes, gzipped])
@pytest.mark.parametrize("line", [0, 1, 2, 3])
@pytest.mark.parametrize("number", [1, 2])
def test_a_line_somewhat_longer_than_a_million_is_refused(
    lane: Lane, line: int, compress: Callable[[bytes], bytes], number: int
) -> None:
    lines = [f"@r0 {number}:N:0".encode(), bases(9, number).encode(), b"+", b"IIIIIIIII"]
    for longer in {1: (1, 3), 3: (1, 3)}.get(line, (line,)):
        lines[longer] += lines[longer][-1:] * 1_000_001
    files = [compress(side(mate, 3).encode()) for mate in (1, 2)]
    files[number - 1] = compress(b"\n".join(lines) + b"\n" + side(number, 3).encode().partition(b"\n@")[2])
    assert f"R{number}.fq: a line is longer than 1000000 characters" in lane.refused(*files)


def test_long_lines_are_read_a_few_at_a_time(lane: Lane) -> None:
    text = "".join(record(f"r{number}", "ACGGT" * 100_000) for number in range(60))  # 60 MB
    mates = lane.mates(gzipped(text.encode(), 1), gzipped(side(2, 60, "r{pair}").encode()))
    del text
    tracemalloc.start()
    try:
        written = sum(map(len, mates.blocks()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (mates.count, written > 60_000_000) == (60, True)
    assert peak < 100_000_000


# ---- faults of the machine, and the first line -----------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_said_to_be_so(lane: Lane) -> None:
    mates = lane.mates(side(1, 3), side(2, 3))
    (lane.folder / "R2.fq").unlink()
    with pytest.raises(StepError, match=r"cannot read .*R2\.fq: no such file"):
        list(mates.blocks())


def test_whatever_happens_to_the_thread_that_unpacks_is_raised(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(fastq, "check_format", none_left)
    with pytest.raises(MemoryError):
        lane.interleaved(side(1, 3), side(2, 3))


@pytest.mark.parametrize("compress", [bytes, gzipped, bgzipped])
def test_the_first_line_is_read_out_of_any_file(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / "r.fq").write_bytes(compress(side(1, 9).encode()))
    assert fastq.first_line(tmp_path / "r.fq") == b"@r0 1:N:0:ACGT"


def test_the_first_line_of_a_file_that_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.fq").write_bytes(b"\x1f\x8bgarbage")
    assert fastq.first_line(tmp_path / "r.fq") == b""
    assert fastq.first_line(tmp_path / "none.fq") == b""


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (b"@A00123:45:HFLOWDSX:3:1101:1000:2000 1:N:0:ACGT", "HFLOWDSX.3"),
        (b"@M01:7:000000000-ABCDE:1:1101:15589:1332/1", "000000000-ABCDE.1"),
        (b"@A0:4:HF:3:1101:10:20:ACGT+TTTT 1:N:0", "HF.3"),
        (b"@SRR062634.1 HWI-EAS110:3:1:1:2 length=100", None),
        (b"@HWUSI-EAS100R:6:73:941:1973#0/1", None),
        (b"@r", None),
        (b"", None),
    ],
)
def test_the_platform_unit_is_flowcell_and_lane_of_an_illumina_name(head: bytes, unit: str | None) -> None:
    assert fastq.platform_unit(head) == unit


def test_the_check_costs_little_more_than_unpacking(lane: Lane) -> None:
    """Whole blocks are looked at: record by record, it would cost ten times as much, and a tenth of what bwa costs."""
    source = random.Random(3)  # noqa: S311  # reads, no secrets
    letters, qualities = "ACGT", "#,:FFFFFFFFF"
    packed = [
        gzipped(
            "".join(
                f"@M1:7:FLOW1:1:{pair}:1:1 {number}:N:0:A\n{''.join(source.choices(letters, k=150))}\n+\n"
                f"{''.join(source.choices(qualities, k=150))}\n"
                for pair in range(10_000)
            ).encode()
        )
        for number in (1, 2)
    ]

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    whole = min(seconds(lambda: list(lane.mates(*packed).blocks())) for _ in range(3))
    unpacking = min(seconds(lambda: [gzip.decompress(file) for file in packed]) for _ in range(3))
    assert whole < 8 * unpacking
