"""BAM headers and indexes: what is read out of them, and what is refused."""

import contextlib
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bam_indexes import Indexed, bai, csi, virtual
from support.compressed import bgzipped, gzipped

from step import bam, bgzf
from step.bam import BrokenIndexError, Span
from step.errors import BadDataError, StepError

WINDOW = 1 << 14
FIRST_BIN = 4681  # of those of one window, in a .bai and in a .csi of the same depth

GROUPS = "@RG\tID:NA1.L001\tSM:NA1\tPU:H:1\n@RG\tID:NA1.L002\tSM:NA1\n"


def bam_of(sequences: Mapping[str, int], text: str = GROUPS, padding: bytes = b"") -> bytes:
    """A BAM file without reads, not compressed."""
    parts = [b"BAM\1", struct.pack("<i", len(text) + len(padding)), text.encode(), padding]
    parts.append(struct.pack("<i", len(sequences)))
    for name, length in sequences.items():
        encoded = name.encode() + b"\0"
        parts += [struct.pack("<i", len(encoded)), encoded, struct.pack("<i", length)]
    return b"".join(parts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "NA1.bam"


# ---- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [7, 65280])
def test_a_header_gives_sequences_in_order_and_read_groups(file: Path, block: int) -> None:
    sequences = {"HLA:HLA00001": 8, "chr2": 248_956_422, "chr1": 1, "chr20:100000-120000": 9, "long": 0x7FFFFFFF}
    file.write_bytes(bgzipped(bam_of(sequences) + b"records that nobody reads", block))
    header = bam.read_header(file)
    assert list(header.sequences.items()) == list(sequences.items())
    assert header.read_groups[0] == {"ID": "NA1.L001", "SM": "NA1", "PU": "H:1"}
    assert header.samples == ["NA1"]


def test_a_header_of_thousands_of_sequences_is_read(file: Path) -> None:
    sequences = {f"HLA-A*{number:05}:01": number for number in range(3366)}
    lines = "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in sequences.items())
    file.write_bytes(bgzipped(bam_of(sequences, lines + GROUPS), 65280))
    assert bam.read_header(file).sequences == sequences
    assert bam.read_header(file).samples == ["NA1"]


def test_samples_are_each_named_once_and_sorted(file: Path) -> None:
    file.write_bytes(bgzipped(bam_of({}, "@RG\tID:b\tSM:b\n@RG\tID:a\tSM:a\n@RG\tID:c\tSM:b\n@RG\tID:d\n")))
    assert bam.read_header(file).samples == ["", "a", "b"]


def test_a_header_without_read_groups_has_no_sample(file: Path) -> None:
    file.write_bytes(bgzipped(bam_of({"chr1": 5}, "@CO\t@RG\tSM:x\n")))
    assert (bam.read_header(file).read_groups, bam.read_header(file).samples) == ((), [])


def test_zeros_that_pad_the_text_are_no_part_of_it(file: Path) -> None:
    file.write_bytes(bgzipped(bam_of({"chr1": 5}, "@RG\tID:x\tSM:NA1\n", bytes(50))))
    assert bam.read_header(file).samples == ["NA1"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BAM\1",
        b"@HD\tVN:1.6\n",
        gzipped(b""),
        gzipped(b"BAM\1"),
        bgzipped(bam_of({"chr1": 5})[:-2]),
        bgzipped(bam_of({"chr1": 5}))[:60],
        bgzipped(b"BAM\1" + struct.pack("<i", 0x7FFFFFFF) + b"x"),
        bgzipped(b"CSI\1" + bytes(100)),
        b"\x1f\x8b\x08\x04garbage",
    ],
)
def test_what_is_no_bam_is_broken(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(
        BadDataError, match=r"^NA1\.bam is broken: it (has no BAM header|is not a BAM file)\. Remove it"
    ):
        bam.read_header(file)


@pytest.mark.parametrize("cut", [1, 10, 27, 28])
def test_a_bam_without_its_last_block_was_cut_off(file: Path, cut: int) -> None:
    whole = bgzipped(bam_of({"chr1": 5}) + bytes(500))
    file.write_bytes(whole)
    assert bam.check_complete(file).samples == ["NA1"]
    file.write_bytes(whole[:-cut])
    with pytest.raises(BadDataError, match="it was cut off: its last block is missing"):
        bam.check_complete(file)


def test_a_bam_that_cannot_be_read_is_said_to_be_so(file: Path) -> None:
    for read in (bam.read_header, bam.check_complete, bgzf.has_eof_marker, bam.read_index):
        with pytest.raises(StepError, match=r"cannot read .*NA1\.bam"):
            read(file)


# ---- which index -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "suffix"),
    [
        ([], ".bai"),
        ([248_956_422, 242_193_529], ".bai"),
        ([(1 << 29) - 1], ".bai"),
        ([1 << 29], ".csi"),
        ([5, (1 << 29) + 1, 5], ".csi"),
        ([3_600_000_000], ".csi"),
    ],
)
def test_sequences_beyond_the_reach_of_a_bai_need_a_csi(lengths: list[int], suffix: str) -> None:
    assert bam.index_suffix(lengths) == suffix
    assert bam.needs_csi(lengths) == (suffix == ".csi")


# ---- .bai ------------------------------------------------------------------------------------------------------------

# Reads in the second, third and fifth of five windows; 1000 bytes, 300 bytes and 400 bytes of them.
THREE = [0, virtual(200, 50), virtual(1200), 0, virtual(1500, 7)]
BINS = {FIRST_BIN + 1: [(virtual(200, 50), virtual(1500, 7))], FIRST_BIN + 4: [(virtual(1500, 7), virtual(1900, 9))]}


@pytest.mark.parametrize("ends", [(virtual(200, 50), virtual(1900, 9)), None], ids=["pseudo-bin", "none"])
def test_a_bai_gives_the_bytes_of_each_window(ends: tuple[int, int] | None) -> None:
    index = bam.parse_index(bai([Indexed(bins=BINS, windows=THREE, ends=ends)]))
    (spans,) = index.spans
    assert [span.weight for span in spans] == [0, 1000, 300, 0, 400]
    assert [(span.start, span.end) for span in spans] == [(n * WINDOW, (n + 1) * WINDOW) for n in range(5)]
    assert index.end == 1900


def test_the_numbers_of_reads_in_a_pseudo_bin_are_no_offsets() -> None:
    many = Indexed(bins={37450: [(virtual(5), virtual(9)), (1 << 60, 1 << 60)]}, windows=[virtual(5)])
    assert bam.parse_index(bai([many])).end == 9


def test_a_bai_of_many_sequences_keeps_those_without_reads() -> None:
    sequences = [Indexed(bins={}), Indexed(bins=BINS, windows=THREE), *[Indexed(bins={})] * 3000]
    index = bam.parse_index(bai(sequences, unplaced=None))
    assert len(index.spans) == 3002
    assert [len(spans) for spans in index.spans[:3]] == [0, 5, 0]


def test_an_index_of_no_sequence_is_one() -> None:
    assert bam.parse_index(bai([])) == bam.Index(spans=(), end=0)
    assert bam.parse_index(csi([])) == bam.Index(spans=(), end=0)


# ---- .csi ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(virtual(200), virtual(1900)), None], ids=["pseudo-bin", "none"])
@pytest.mark.parametrize("auxiliary", [b"", b"abc"])
def test_a_csi_gives_the_bytes_of_each_bin(ends: tuple[int, int] | None, auxiliary: bytes) -> None:
    bins = {
        0: [(virtual(100), virtual(150))],
        1: [(virtual(300), virtual(310)), (virtual(320), virtual(325, 40))],
        FIRST_BIN + 2: [(virtual(1000), virtual(1900))],
    }
    index = bam.parse_index(csi([Indexed(bins=bins, ends=ends)], auxiliary=auxiliary))
    assert index.spans == (
        (
            Span(start=0, end=1 << 26, weight=25),
            Span(start=0, end=1 << 29, weight=50),
            Span(start=2 * WINDOW, end=3 * WINDOW, weight=900),
        ),
    )
    assert index.end == 1900


def test_a_csi_reaches_beyond_a_bai() -> None:
    depth = 7
    last = ((1 << 3 * (depth + 1)) - 1) // 7 - 1
    (spans,) = bam.parse_index(csi([Indexed(bins={last: [(0, virtual(9))]})], depth=depth)).spans
    assert spans == (Span(start=(1 << 35) - WINDOW, end=1 << 35, weight=9),)


@pytest.mark.parametrize("name", ["x.bam.csi", "x.bam.bai"])
def test_an_index_is_read_as_its_bytes_say_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    sequences = [Indexed(bins=BINS, windows=THREE)]
    for content in (bai(sequences), csi(sequences), bgzipped(csi(sequences)), gzipped(bai(sequences))):
        (tmp_path / name).write_bytes(content)
        assert bam.read_index(tmp_path / name).end == 1900


# ---- broken indexes --------------------------------------------------------------------------------------------------

WHOLE = [
    bai([Indexed(bins=BINS, windows=THREE, ends=(virtual(200), virtual(1900)))] * 3, unplaced=None),
    csi([Indexed(bins=BINS, ends=(virtual(200), virtual(1900)))] * 3)[:-8],
]


@pytest.mark.parametrize("whole", WHOLE, ids=["bai", "csi"])
def test_an_index_that_was_cut_off_anywhere_is_broken(whole: bytes) -> None:
    bam.parse_index(whole)
    for cut in range(len(whole)):
        with pytest.raises(BrokenIndexError):
            bam.parse_index(whole[:cut])


@pytest.mark.parametrize("cut", [1, 20, 40, 60])
def test_a_compressed_index_that_was_cut_off_is_broken(tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.csi").write_bytes(bgzipped(WHOLE[1])[: -28 - cut])
    with pytest.raises(BrokenIndexError):
        bam.read_index(tmp_path / "x.csi")


@pytest.mark.parametrize("content", [b"", b"BAI", b"TBI\1" + bytes(50), b"garbage", b"BAM\1" + bytes(9)])
def test_what_is_no_index_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.bai").write_bytes(content)
    with pytest.raises(BrokenIndexError, match=r"neither \.bai nor \.csi"):
        bam.read_index(tmp_path / "x.bai")


@settings(deadline=5000)
@given(st.sampled_from([b"BAI\1", b"CSI\1"]), st.binary(max_size=300))
def test_garbage_behind_an_index_s_magic_ends_at_once(magic: bytes, garbage: bytes) -> None:
    with contextlib.suppress(BrokenIndexError):
        bam.parse_index(magic + garbage)


@pytest.mark.parametrize("whole", WHOLE, ids=["bai", "csi"])
@settings(deadline=5000)
@given(at=st.integers(4, 200), value=st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xfe\xff\xff\xff"]))
def test_a_number_in_an_index_that_makes_no_sense_ends_at_once(whole: bytes, at: int, value: bytes) -> None:
    with contextlib.suppress(BrokenIndexError):
        bam.parse_index(whole[:at] + value + whole[at + 4 :])
