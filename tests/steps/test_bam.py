"""BAM headers and indexes."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hts_files import Indexed, bai, bgzipped, csi, gzipped, read_groups, virtual_offset
from support.hts_files import bam as bam_bytes

from step import bam, bgzf
from step.bam import BrokenIndexError, Span
from step.errors import BadDataError, StepError

WINDOW = 1 << 14
FIRST_BIN = 4681  # of those of one window, in a .bai and in a .csi of the same depth
GROUPS = read_groups("NA1", ("L001", "L002"))
CHR1 = {"chr1": 5}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "NA1.bam"


# ---- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [7, 65280])
def test_a_header_gives_sequences_in_order_and_read_groups(file: Path, block: int) -> None:
    sequences = {"HLA:HLA00001": 8, "chr2": 248_956_422, "chr1": 1, "chr20:100000-120000": 9, "long": 0x7FFFFFFF}
    text = "@RG\tID:NA1.L001\tSM:NA1\tPU:H:1\n" + GROUPS
    file.write_bytes(bgzipped(bam_bytes(sequences, text) + b"records that nobody reads", block))
    header = bam.read_header(file)
    assert list(header.sequences.items()) == list(sequences.items())
    assert header.read_groups[0] == {"ID": "NA1.L001", "SM": "NA1", "PU": "H:1"}


def test_a_header_of_thousands_of_sequences_is_read(file: Path) -> None:
    sequences = {f"HLA-A*{number:05}:01": number for number in range(3366)}
    lines = "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in sequences.items())
    file.write_bytes(bgzipped(bam_bytes(sequences, lines + GROUPS), 65280))
    assert bam.read_header(file).sequences == sequences
    assert bam.read_header(file).samples == ["NA1"]


@pytest.mark.parametrize(
    ("text", "padding", "samples"),
    [
        ("@RG\tID:b\tSM:b\n@RG\tID:a\tSM:a\n@RG\tID:c\tSM:b\n@RG\tID:d\n", b"", ["", "a", "b"]),
        ("@CO\t@RG\tSM:x\n", b"", []),
        ("@RG\tID:x\tSM:NA1\n", bytes(50), ["NA1"]),
    ],
    ids=["each once, sorted", "none", "zeros after the text"],
)
def test_the_samples_are_those_of_the_read_groups(file: Path, text: str, padding: bytes, samples: list[str]) -> None:
    file.write_bytes(bgzipped(bam_bytes(CHR1, text, padding)))
    assert bam.read_header(file).samples == samples


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BAM\1",
        b"@HD\tVN:1.6\n",
        gzipped(b""),
        gzipped(b"BAM\1"),
        bgzipped(bam_bytes(CHR1, GROUPS)[:-2]),
        bgzipped(bam_bytes(CHR1, GROUPS))[:60],
        bgzipped(b"BAM\1" + struct.pack("<i", 0x7FFFFFFF) + b"x"),
        bgzipped(b"CSI\1" + bytes(100)),
        b"\x1f\x8b\x08\x04garbage",
    ],
)
def test_a_file_without_a_bam_header_is_broken(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=r"^NA1\.bam is broken: it (has no BAM header|is not a BAM file)\. Remove"):
        bam.read_header(file)


@pytest.mark.parametrize("cut", [1, 10, 27, 28])
def test_a_bam_without_its_last_block_was_cut_off(file: Path, cut: int) -> None:
    complete = bgzipped(bam_bytes(CHR1, GROUPS) + bytes(500))
    file.write_bytes(complete)
    assert bam.check_complete(file).samples == ["NA1"]
    file.write_bytes(complete[:-cut])
    with pytest.raises(BadDataError, match="it was cut off: its last block is missing"):
        bam.check_complete(file)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    for read in (bam.read_header, bam.check_complete, bgzf.has_eof_marker, bam.read_index):
        with pytest.raises(StepError, match=r"cannot read .*NA1\.bam"):
            read(file)


# ---- indexes ---------------------------------------------------------------------------------------------------------

# Reads in the second, third and fifth of five windows; 1000 bytes, 300 bytes and 400 bytes of them.
WINDOWS = [0, virtual_offset(200, 50), virtual_offset(1200), 0, virtual_offset(1500, 7)]
BINS = {
    FIRST_BIN + 1: [(virtual_offset(200, 50), virtual_offset(1500, 7))],
    FIRST_BIN + 4: [(virtual_offset(1500, 7), virtual_offset(1900, 9))],
}
ENDS = (virtual_offset(200, 50), virtual_offset(1900, 9))


@pytest.mark.parametrize(
    ("lengths", "suffixes"),
    [
        ([], (".bai", ".tbi")),
        ([248_956_422, (1 << 29) - 1], (".bai", ".tbi")),
        ([5, 1 << 29, 5], (".csi", ".csi")),
        ([3_600_000_000], (".csi", ".csi")),
    ],
)
def test_sequences_beyond_the_reach_of_bai_and_tbi_need_a_csi(lengths: list[int], suffixes: tuple[str, str]) -> None:
    assert (bam.index_suffix(lengths), bam.vcf_index_suffix(lengths)) == suffixes


@pytest.mark.parametrize("ends", [ENDS, None], ids=["pseudo-bin", "none"])
def test_a_bai_gives_the_bytes_of_each_window(ends: tuple[int, int] | None) -> None:
    index = bam.parse_index(bai([Indexed(bins=BINS, windows=WINDOWS, ends=ends)]))
    (spans,) = index.spans
    assert [span.weight for span in spans] == [0, 1000, 300, 0, 400]
    assert [(span.start, span.end) for span in spans] == [(n * WINDOW, (n + 1) * WINDOW) for n in range(5)]
    assert index.end == 1900


def test_the_numbers_of_reads_in_a_pseudo_bin_are_no_offsets() -> None:
    chunks = [(virtual_offset(5), virtual_offset(9)), (1 << 60, 1 << 60)]
    assert bam.parse_index(bai([Indexed(bins={37450: chunks}, windows=[virtual_offset(5)])])).end == 9


def test_a_bai_of_many_sequences_keeps_those_without_reads() -> None:
    sequences = [Indexed(), Indexed(bins=BINS, windows=WINDOWS), *[Indexed()] * 3000]
    index = bam.parse_index(bai(sequences, unplaced=None))
    assert len(index.spans) == 3002
    assert [len(spans) for spans in index.spans[:3]] == [0, 5, 0]


def test_an_index_may_have_no_sequence() -> None:
    assert bam.parse_index(bai([])) == bam.parse_index(csi([])) == bam.Index(spans=(), end=0)


@pytest.mark.parametrize("ends", [ENDS, None], ids=["pseudo-bin", "none"])
@pytest.mark.parametrize("auxiliary", [b"", b"abc"])
def test_a_csi_gives_the_bytes_of_each_bin(ends: tuple[int, int] | None, auxiliary: bytes) -> None:
    bins = {
        0: [(virtual_offset(100), virtual_offset(150))],
        1: [(virtual_offset(300), virtual_offset(310)), (virtual_offset(320), virtual_offset(325, 40))],
        FIRST_BIN + 2: [(virtual_offset(1000), virtual_offset(1900))],
    }
    index = bam.parse_index(csi([Indexed(bins=bins, ends=ends)], auxiliary=auxiliary))
    spans = ((0, 1 << 26, 25), (0, 1 << 29, 50), (2 * WINDOW, 3 * WINDOW, 900))
    assert index.spans == (tuple(Span(start=start, end=end, weight=weight) for start, end, weight in spans),)
    assert index.end == 1900


def test_a_csi_reaches_beyond_a_bai() -> None:
    depth = 7
    last_bin = ((1 << 3 * (depth + 1)) - 1) // 7 - 1
    (spans,) = bam.parse_index(csi([Indexed(bins={last_bin: [(0, virtual_offset(9))]})], depth=depth)).spans
    assert spans == (Span(start=(1 << 35) - WINDOW, end=1 << 35, weight=9),)


def test_an_index_is_recognised_by_its_content(tmp_path: Path) -> None:
    sequences = [Indexed(bins=BINS, windows=WINDOWS)]
    for content in (bai(sequences), csi(sequences), bgzipped(csi(sequences)), gzipped(bai(sequences))):
        for name in ("x.bam.csi", "x.bam.bai"):
            (tmp_path / name).write_bytes(content)
            assert bam.read_index(tmp_path / name).end == 1900


COMPLETE = [
    bai([Indexed(bins=BINS, windows=WINDOWS, ends=ENDS)] * 3, unplaced=None),
    csi([Indexed(bins=BINS, ends=ENDS)] * 3)[:-8],
]


@pytest.mark.parametrize("complete", COMPLETE, ids=["bai", "csi"])
def test_a_truncated_index_is_broken(tmp_path: Path, complete: bytes) -> None:
    bam.parse_index(complete)
    for length in range(len(complete)):
        with pytest.raises(BrokenIndexError):
            bam.parse_index(complete[:length])
    for cut in (1, 20, 40, 60):
        (tmp_path / "x.csi").write_bytes(bgzipped(complete)[: -28 - cut])
        with pytest.raises(BrokenIndexError):
            bam.read_index(tmp_path / "x.csi")


@pytest.mark.parametrize("content", [b"", b"BAI", b"TBI\1" + bytes(50), b"garbage", b"BAM\1" + bytes(9)])
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.bai").write_bytes(content)
    with pytest.raises(BrokenIndexError, match=r"neither \.bai nor \.csi"):
        bam.read_index(tmp_path / "x.bai")


@settings(deadline=5000)
@given(
    complete=st.sampled_from(COMPLETE),
    at=st.integers(4, 200),
    damage=st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xfe\xff\xff\xff"]) | st.binary(max_size=300),
)
def test_a_damaged_index_is_parsed_in_no_time(complete: bytes, at: int, damage: bytes) -> None:
    with contextlib.suppress(BrokenIndexError):
        bam.parse_index(complete[:at] + damage + complete[at + len(damage) :])
