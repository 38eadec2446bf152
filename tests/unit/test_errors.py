"""What a user sees when something is wrong: what happened, why, and the next thing to do."""

import pytest

from toolchain import errors
from toolchain.errors import SeveralFailedError, StepFailedError, ToolchainError

# By sysexits.h, and 130 for SIGINT.
CODES = {
    "ToolchainError": 70,
    "WrongUsageError": 64,
    "BadDataError": 65,
    "MissingInputError": 66,
    "UnavailableError": 69,
    "StepFailedError": 70,
    "BuildFailedError": 70,
    "StackFailedError": 70,
    "CannotCreateError": 73,
    "TryAgainError": 75,
    "ConfigurationError": 78,
    "StoppedError": 130,
}
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ToolchainError)]


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not SeveralFailedError], ids=lambda kind: kind.__name__
)
def test_an_error_reads_as_what_happened_why_and_what_to_do(kind: type[ToolchainError]) -> None:
    error = kind("no image", why="it was never built", fix="Build it.", details="a log")
    assert str(error) == "no image: it was never built. Build it."
    assert (error.what, error.why, error.fix, error.details) == ("no image", "it was never built", "Build it.", "a log")
    assert error.exit_code == CODES[kind.__name__]
    assert kind("a", why="b", fix="C.").details == ""


def test_a_step_that_failed_ends_the_command_with_its_own_code() -> None:
    assert StepFailedError("a", why="b", fix="C.", exit_code=137).exit_code == 137
    assert StepFailedError("a", why="b", fix="C.").exit_code == 70


def test_several_errors_read_and_end_as_the_first() -> None:
    several = [
        StepFailedError("a", why="b", fix="C.", details="d", exit_code=75),
        ToolchainError("e", why="f", fix="G."),
    ]
    error = SeveralFailedError(several)
    assert (str(error), error.details, error.exit_code, error.errors) == ("a: b. C.", "d", 75, tuple(several))
