"""BGZF: exact reads and lines out of gzip members, and whether a file is whole."""

import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compressed import bgzipped, gzipped

from step import bgzf


def test_a_file_is_whole_if_it_ends_with_the_last_block(tmp_path: Path) -> None:
    file = tmp_path / "x"
    whole = bgzipped(b"x" * 500)
    for content, is_whole in (
        (whole, True),
        (bgzf.EOF_MARKER, True),
        (whole[:-1], False),
        (b"", False),
        (whole + b"\0", False),
    ):
        file.write_bytes(content)
        assert bgzf.has_eof_marker(file) == is_whole


@settings(deadline=None)
@given(
    data=st.binary(max_size=400), block=st.integers(1, 90), chunk=st.integers(1, 90), sizes=st.lists(st.integers(0, 60))
)
def test_bytes_are_read_by_number_wherever_blocks_end(data: bytes, block: int, chunk: int, sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bgzf, "CHUNK_BYTES", chunk)
        reader, at = bgzf.Reader(io.BytesIO(bgzipped(data, block))), 0
        for size in sizes:
            if at + size > len(data):
                with pytest.raises(EOFError):
                    reader.read(size)
                return
            assert reader.read(size) == data[at : at + size]
            at += size
        assert reader.read_all() == data[at:]
        assert reader.read_all() == b""


@settings(deadline=None)
@given(lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))), block=st.integers(1, 90))
def test_lines_are_read_wherever_blocks_end(lines: list[bytes], block: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    assert list(bgzf.Reader(io.BytesIO(bgzipped(content, block))).lines()) == lines
    assert list(bgzf.Reader(io.BytesIO(bgzipped(content + b"end", block))).lines()) == [*lines, b"end"]


def test_data_that_were_cut_off_within_a_member_end_early() -> None:
    with pytest.raises(EOFError):
        bgzf.Reader(io.BytesIO(gzipped(b"x" * 500)[:-3])).read_all()


@pytest.mark.parametrize("content", [b"plain", gzipped(b"x") + b"garbage"])
def test_what_is_not_gzip_cannot_be_unpacked(content: bytes) -> None:
    with pytest.raises(zlib.error):
        bgzf.Reader(io.BytesIO(content)).read_all()
