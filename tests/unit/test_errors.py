"""What a user sees when something is wrong: what happened, why, and the next thing to do."""

import pytest

from toolchain import errors
from toolchain.errors import StepFailedError, ToolchainError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ToolchainError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_reads_as_what_happened_why_and_what_to_do(kind: type[ToolchainError]) -> None:
    error = kind("no image", why="it was never built", fix="Build it.", details="a log")
    assert str(error) == "no image: it was never built. Build it."
    assert (error.what, error.why, error.fix) == ("no image", "it was never built", "Build it.")
    assert error.details == "a log"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_has_no_details_unless_they_are_given(kind: type[ToolchainError]) -> None:
    assert kind("a", why="b", fix="C.").details == ""


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("WrongUsageError", 64),
        ("BadDataError", 65),
        ("MissingInputError", 66),
        ("UnavailableError", 69),
        ("BuildFailedError", 70),
        ("StepFailedError", 70),
        ("CannotCreateError", 73),
        ("ConfigurationError", 78),
    ],
)
def test_exit_codes_are_those_of_sysexits(name: str, code: int) -> None:
    kind: type[ToolchainError] = getattr(errors, name)
    assert kind("a", why="b", fix="C.").exit_code == code


@pytest.mark.parametrize("code", [64, 65, 75, 137])
def test_a_step_that_failed_ends_the_command_with_its_own_code(code: int) -> None:
    assert StepFailedError("a", why="b", fix="C.", exit_code=code).exit_code == code


def test_one_step_s_code_is_not_the_next_one_s() -> None:
    StepFailedError("a", why="b", fix="C.", exit_code=75)
    assert StepFailedError("a", why="b", fix="C.").exit_code == 70
