"""Arguments of steps: what is accepted, and what is refused."""

import contextlib
import functools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from step.arguments import (
    LONGEST_NAME,
    LONGEST_PATH,
    check_lanes,
    check_name,
    check_number,
    check_path,
    check_sample,
    check_shards,
    check_skip,
    check_variable,
    is_given,
    positional,
)
from step.errors import UsageError

HOSTILE = [
    "../x",
    "a b",
    "$(id)",
    "-x",
    "",
    "näme",
    "a/b",
    "a\nb",
    "a\n",
    ".hidden",
    'a"b',
    "`id`",
    "a;b",
    "*",
    "a\0",
    "٣",
]
CHECKS: dict[str, Callable[[str], object]] = {
    "sample name": check_sample,
    "lane": lambda value: check_name("lane", value),
    "lanes": check_lanes,
    "R1": functools.partial(check_path, "R1"),
    "shard": lambda value: check_number("shard", value, 0, 10),
    "number of shards": check_shards,
    "skip": check_skip,
    "EXECUTION_ID": lambda value: check_variable({"EXECUTION_ID": value}, "EXECUTION_ID"),
}
ACCEPTED: dict[str, dict[str, object]] = {
    "sample name": {name: name for name in ("NA1", "0", "a.b_c-d", "A" * LONGEST_NAME, "HG002.v1")},
    "lane": {"steps": "steps"},
    "lanes": {"L001": ("L001",), "L002,L001": ("L002", "L001")},
    "R1": {path: path for path in ("a", "a/b.fq.gz", "_a/+b/@c/=d", "x" * LONGEST_PATH, "a-b/c.d-e")},
    "shard": {"0": 0, "7": 7, "10": 10},
    "number of shards": {"1": 1, "9999": 9999},
    "skip": {"-": set(), "": set(), "qc": {"qc"}, "qc,duplicates": {"qc", "duplicates"}},
    "EXECUTION_ID": {"a" * 80: "a" * 80},
}
NO_PATHS = [
    "../data/x",
    "/etc/passwd",
    "a//b",
    "a/../b",
    "-",
    "",
    "a b.fq",
    "a/.b",
    "a\tb",
    "a/-b",
    "$(id)",
    "b/",
    "a/..",
]
NO_NUMBERS = ["11", "-1", "x", "", "1.0", "01", "1e1", " 1", "1\n", "٣", "99999999999", "1_0", "+1"]
REFUSED: dict[str, tuple[str, list[str]]] = {
    "sample name": ("sample name", [*HOSTILE, "a" * (LONGEST_NAME + 1), "-", "steps"]),
    "lanes": ("lane", [*HOSTILE, "-", ",", "L001,", ",L001", "L001,,L002", "L001, L002", "L001,L001"]),
    "R1": ("R1", [*NO_PATHS, "+a", "=a", "@a", "a\n", "s3://b/k", "x" * (LONGEST_PATH + 1)]),
    "shard": ("bad shard", NO_NUMBERS),
    "number of shards": ("bad number of shards", ["0", "10000"]),
    "skip": ("cannot skip", ["all", "qc,", "QC", "qc,qc", "duplicates qc", "qc,-"]),
    "EXECUTION_ID": ("EXECUTION_ID", ["a" * 81, "../x", "a b", ""]),
}


@pytest.mark.parametrize(
    ("what", "value", "parsed"), [(what, *item) for what in ACCEPTED for item in ACCEPTED[what].items()]
)
def test_accepted(what: str, value: str, parsed: object) -> None:
    assert CHECKS[what](value) == parsed


@pytest.mark.parametrize(("what", "value"), [(what, value) for what in REFUSED for value in REFUSED[what][1]])
def test_refused_in_one_line(what: str, value: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[what][0]) as caught:
        CHECKS[what](value)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


def test_a_variable_that_is_missing_is_not_set() -> None:
    with pytest.raises(UsageError, match="EXECUTION_ID is not set"):
        check_variable({}, "EXECUTION_ID")


def test_arguments_are_named_in_order_and_those_missing_are_not_given() -> None:
    given = positional(["ref.fa", "-"], "reference", "sample", "skip")
    assert given == {"reference": "ref.fa", "sample": "-", "skip": ""}
    assert [is_given(value) for value in given.values()] == [True, False, False]


def test_only_dashes_may_follow_the_last_argument() -> None:
    assert positional(["ref.fa", "-", "-"], "reference") == {"reference": "ref.fa"}
    with pytest.raises(UsageError, match="too many arguments: 'more' is not expected here"):
        positional(["ref.fa", "-", "more"], "reference")


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_accepted_names_and_paths_are_safe_in_a_path_and_a_header(text: str) -> None:
    for check in (check_sample, functools.partial(check_path, "R1"), lambda value: check_lanes(value)[0]):
        with contextlib.suppress(UsageError):
            accepted = check(text)
            assert accepted.isascii()
            assert not set(accepted) & set(" \t\n\"'\\$`;*?<>|&(){}[]!#~%^")
            assert ".." not in accepted.split("/")
            assert not accepted.startswith(("/", "-", "."))
