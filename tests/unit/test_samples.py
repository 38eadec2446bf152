"""Names that steps accept, checked before anything is started."""

import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from step import arguments
from step.errors import UsageError
from toolchain.errors import WrongUsageError
from toolchain.workflow.samples import LONGEST_NAME, Skip, check_name, check_sample, in_order, is_path

GOOD = ["S1", "NA12878", "7", "a.b_c-d", "a..", "x" * LONGEST_NAME]
BAD = [
    "",
    "-S1",
    ".S1",
    "_S1",
    "a b",
    "a/b",
    "..",
    "../x",
    "a\n",
    "\na",
    "é",
    "٣",
    "$(id)",
    "a;b",
    "a'b",
    "Ref::x",
    "a\0",
]


@pytest.mark.parametrize("name", GOOD)
def test_letters_digits_dots_underscores_and_hyphens_are_a_name(name: str) -> None:
    assert check_name("sample name", name) == name


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_refused_and_shown(name: str) -> None:
    with pytest.raises(WrongUsageError) as caught:
        check_name("lane", name)
    assert caught.value.what == f"bad lane {name!r}"


def test_a_name_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(WrongUsageError, match=r"it has 65 characters, 64 are allowed\. Shorten it\."):
        check_name("sample name", "x" * (LONGEST_NAME + 1))


@settings(max_examples=50)
@given(st.text(max_size=1000))
def test_any_other_text_is_refused_in_one_short_line(name: str) -> None:
    try:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", check_name("sample name", name))
    except WrongUsageError as error:
        message = str(error)
        assert message.startswith("bad sample name ")
        assert len(message.splitlines()) == 1
        assert len(message) < 300


@given(st.text(st.sampled_from("aZ0._-/+=@ steps\n"), max_size=70))
def test_steps_accept_the_same_sample_names_and_paths(text: str) -> None:
    def accepts(check: Callable[[str], object], error: type[Exception]) -> bool:
        try:
            check(text)
        except error:
            return False
        return True

    assert accepts(check_sample, WrongUsageError) == accepts(arguments.check_sample, UsageError)
    assert is_path(text) == accepts(partial(arguments.check_path, "R1"), UsageError)


@pytest.mark.parametrize(
    ("skip", "ordered"),
    [
        ((), ()),
        (("qc",), ("qc",)),
        (("qc", "duplicates"), ("duplicates", "qc")),
        (("qc", "qc"), ("qc",)),
    ],
)
def test_what_is_skipped_is_in_one_order_and_there_once(skip: tuple[Skip, ...], ordered: tuple[Skip, ...]) -> None:
    assert in_order(skip) == ordered
