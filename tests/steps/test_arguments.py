"""Arguments of steps: what is accepted, and what is refused as usage."""

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


@pytest.mark.parametrize("name", ["NA1", "0", "a.b_c-d", "A" * LONGEST_NAME, "HG002.v1"])
def test_names_of_letters_digits_dots_and_dashes_are_accepted(name: str) -> None:
    assert check_name("lane", name) == name
    assert check_sample(name) == name


@pytest.mark.parametrize("name", [*HOSTILE, "a" * (LONGEST_NAME + 1), "-"])
def test_other_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError, match="sample name") as caught:
        check_sample(name)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


def test_a_sample_cannot_be_called_as_a_run_s_own_files_are() -> None:
    with pytest.raises(UsageError, match="bad sample name 'steps'"):
        check_sample("steps")
    assert check_name("lane", "steps") == "steps"


@pytest.mark.parametrize("path", ["a", "a/b.fq.gz", "_a/+b/@c/=d", "x" * LONGEST_PATH, "a-b/c.d-e"])
def test_relative_paths_are_accepted(path: str) -> None:
    assert check_path("R1", path) == path


@pytest.mark.parametrize(
    "path",
    [
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
        "+a",
        "=a",
        "@a",
        "a\n",
        "s3://b/k",
        "x" * (LONGEST_PATH + 1),
    ],
)
def test_other_paths_are_refused_in_one_line(path: str) -> None:
    with pytest.raises(UsageError, match="R1") as caught:
        check_path("R1", path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("7", 7), ("10", 10)])
def test_whole_numbers_within_range_are_accepted(value: str, number: int) -> None:
    assert check_number("shard", value, 0, 10) == number


@pytest.mark.parametrize(
    "value", ["11", "-1", "x", "", "1.0", "01", "1e1", " 1", "1\n", "٣", "99999999999", "1_0", "+1"]
)
def test_other_numbers_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="bad shard"):
        check_number("shard", value, 0, 10)


def test_lanes_are_separated_by_commas() -> None:
    assert check_lanes("L001") == ("L001",)
    assert check_lanes("L002,L001") == ("L002", "L001")


@pytest.mark.parametrize("value", ["", "-", ",", "L001,", ",L001", "L001,,L002", "L001, L002", "L001,L001", *HOSTILE])
def test_other_lanes_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="lane"):
        check_lanes(value)


def test_duplicates_and_qc_can_be_skipped() -> None:
    assert check_skip("-") == check_skip("") == frozenset()
    assert check_skip("qc") == {"qc"}
    assert check_skip("qc,duplicates") == {"qc", "duplicates"}


@pytest.mark.parametrize("value", ["all", "qc,", "QC", "qc,qc", "duplicates qc", "qc,-"])
def test_nothing_else_can_be_skipped(value: str) -> None:
    with pytest.raises(UsageError, match=f"cannot skip '{value}'"):
        check_skip(value)


def test_arguments_are_named_in_order_and_those_not_there_are_absent() -> None:
    given = positional(["ref.fa", "-"], "reference", "sample", "skip")
    assert given == {"reference": "ref.fa", "sample": "-", "skip": ""}
    assert [is_given(value) for value in given.values()] == [True, False, False]


def test_dashes_beyond_the_last_argument_are_none() -> None:
    assert positional(["ref.fa", "-", "-"], "reference") == {"reference": "ref.fa"}
    with pytest.raises(UsageError, match="too many arguments: 'more' is not expected here"):
        positional(["ref.fa", "-", "more"], "reference")


def test_a_variable_of_the_environment_must_be_a_name() -> None:
    assert check_variable({"EXECUTION_ID": "a" * 80}, "EXECUTION_ID") == "a" * 80
    for value in ("a" * 81, "../x", "a b"):
        with pytest.raises(UsageError, match="EXECUTION_ID"):
            check_variable({"EXECUTION_ID": value}, "EXECUTION_ID")
    for environment in ({}, {"EXECUTION_ID": ""}):
        with pytest.raises(UsageError, match="EXECUTION_ID is not set"):
            check_variable(environment, "EXECUTION_ID")


CHECKS: tuple[Callable[[str], str], ...] = (
    check_sample,
    functools.partial(check_path, "R1"),
    lambda value: check_lanes(value)[0],
)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40))
def test_whatever_is_accepted_is_safe_in_a_path_and_a_header(text: str) -> None:
    for check in CHECKS:
        with contextlib.suppress(UsageError):
            accepted = check(text)
            assert accepted.isascii()
            assert not set(accepted) & set(" \t\n\"'\\$`;*?<>|&(){}[]!#~%^")
            assert ".." not in accepted.split("/")
            assert not accepted.startswith(("/", "-", "."))
