"""A container's output, split into lines."""

from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.localaws.batch.logs import MAX_EVENT, LogStream


def split(*chunks: bytes) -> list[str]:
    """The messages of what comes in these chunks."""
    backend = Mock()
    stream = LogStream(backend, "group", "name")
    for chunk in chunks:
        stream.feed(chunk, None)
    stream.end()
    return [event["message"] for call in backend.put_log_events.call_args_list for event in call.args[2]]


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ((b"a\nb\n",), ["a", "b"]),
        ((b"a\n", b"b"), ["a", "b"]),
        ((b"a\n\n\nb\n",), ["a", "", "", "b"]),
        ((b"\xff\n",), ["\ufffd"]),
        ((), []),
    ],
)
def test_lines_are_complete_and_in_order_with_blank_ones(chunks: tuple[bytes, ...], lines: list[str]) -> None:
    assert split(*chunks) == lines


@settings(max_examples=25)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40), size=st.integers(1, 9))
def test_lines_are_the_same_however_bytes_arrive(text: str, size: int) -> None:
    data = text.encode()
    *lines, last = text.split("\n")
    assert split(*(data[at : at + size] for at in range(0, len(data), size))) == lines + [last] * bool(last)


@pytest.mark.parametrize(("rest", "sizes"), [(0, [MAX_EVENT, MAX_EVENT]), (7, [MAX_EVENT, MAX_EVENT, 7])])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_long_lines_are_split_as_the_log_driver_splits_them(rest: int, sizes: list[int], end: bytes) -> None:
    data = b"x" * (2 * MAX_EVENT + rest) + end
    assert [len(line) for line in split(data)] == sizes
    assert [len(line) for line in split(data[:-1], data[-1:])] == sizes
