"""A container's output as lines."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.localaws.batch.logs import LONGEST_EVENT, Lines


def fed(*chunks: bytes) -> list[str]:
    lines = Lines()
    return [line for chunk in chunks for line in lines.feed(chunk)] + lines.end()


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ((b"a\nb\n",), ["a", "b"]),
        ((b"a\n", b"b"), ["a", "b"]),
        ((b"a", b"b\n"), ["ab"]),
        ((b"a\n\n\nb\n",), ["a", "", "", "b"]),
        ((b"\xff\n",), ["\ufffd"]),
        ((b"\xc3", b"\xa9\n"), ["\u00e9"]),
        ((), []),
    ],
)
def test_lines_are_whole_in_order_and_blank_ones_kept(chunks: tuple[bytes, ...], lines: list[str]) -> None:
    assert fed(*chunks) == lines


@given(text=st.text(st.characters(codec="utf-8")), cuts=st.lists(st.integers(0, 50)))
def test_however_bytes_arrive_the_lines_are_the_same(text: str, cuts: list[int]) -> None:
    data = text.encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    expected = text.split("\n")
    assert fed(*pieces) == (expected[:-1] if expected[-1] == "" else expected)


def test_a_line_without_end_is_cut_as_the_log_driver_cuts_it() -> None:
    data = b"x" * (2 * LONGEST_EVENT + 7)
    assert [len(line) for line in fed(data)] == [LONGEST_EVENT, LONGEST_EVENT, 7]
    assert [len(line) for line in fed(data + b"\n")] == [LONGEST_EVENT, LONGEST_EVENT, 7]
