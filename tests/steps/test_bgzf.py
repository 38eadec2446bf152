"""BGZF: exact reads, lines, and whether a file is complete."""

import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hts_files import bgzipped, gzipped

from step import bgzf

COMPLETE = bgzipped(b"x" * 500)


@pytest.mark.parametrize(
    ("content", "is_complete"),
    [(COMPLETE, True), (bgzf.EOF_MARKER, True), (COMPLETE[:-1], False), (b"", False), (COMPLETE + b"\0", False)],
)
def test_a_complete_file_ends_with_the_eof_marker(tmp_path: Path, content: bytes, is_complete: bool) -> None:  # noqa: FBT001
    (tmp_path / "x").write_bytes(content)
    assert bgzf.has_eof_marker(tmp_path / "x") == is_complete


@given(
    data=st.binary(max_size=400), block=st.integers(1, 90), chunk=st.integers(1, 90), sizes=st.lists(st.integers(0, 60))
)
def test_bytes_are_read_across_blocks(data: bytes, block: int, chunk: int, sizes: list[int]) -> None:
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


@settings(max_examples=50)
@given(lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))), block=st.integers(1, 90))
def test_lines_are_read_across_blocks(lines: list[bytes], block: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    assert list(bgzf.Reader(io.BytesIO(bgzipped(content, block))).lines()) == lines
    assert list(bgzf.Reader(io.BytesIO(bgzipped(content + b"end", block))).lines()) == [*lines, b"end"]


@pytest.mark.parametrize(
    ("content", "error"),
    [(gzipped(b"x" * 500)[:-3], EOFError), (b"plain", zlib.error), (gzipped(b"x") + b"garbage", zlib.error)],
)
def test_truncated_gzip_and_other_data_are_errors(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        bgzf.Reader(io.BytesIO(content)).read_all()
