"""The errors that a user sees: what happened, why, and the next thing to type.

Everything below `cli.main` raises one of these for a mistake of the user or a fault of a machine or service. `main`
prints it and exits with its code, as of sysexits.h. Any other exception is a bug.
"""

from collections.abc import Sequence

_MOST_ERRORS = 20


class ToolchainError(Exception):
    """An error with an exit code.

    Args:
        what: What happened, and to what.
        why: The cause, as far as it is known.
        fix: The next thing to do or to type.
        details: Output to show before the error, such as that of a build step that failed.
    """

    exit_code: int = 70

    def __init__(self, what: str, *, why: str, fix: str, details: str = "") -> None:
        super().__init__(f"{what}: {why}. {fix}")
        self.what = what
        self.why = why
        self.fix = fix
        self.details = details


class SeveralFailedError(ToolchainError):
    """Some of several things failed and the others were finished; reads, and ends the command, as the first error."""

    def __init__(self, errors: Sequence[ToolchainError]) -> None:
        first = errors[0]
        super().__init__(first.what, why=first.why, fix=first.fix, details=first.details)
        self.errors = tuple(errors)
        self.exit_code = first.exit_code


def raise_all(errors: Sequence[ToolchainError]) -> None:
    """Raises the error if there is one, all of them as one if there are several, of many the first and their number."""
    if len(errors) > _MOST_ERRORS:
        more = f"{len(errors) - _MOST_ERRORS} more errors"
        last = type(errors[0])(more, why="they are not shown", fix="Correct these first.")
        errors = (*errors[:_MOST_ERRORS], last)
    if len(errors) > 1:
        raise SeveralFailedError(errors)
    if errors:
        raise errors[0]


class WrongUsageError(ToolchainError):
    """The command line is wrong (EX_USAGE)."""

    exit_code = 64


class BadDataError(ToolchainError):
    """The content of a file is wrong (EX_DATAERR)."""

    exit_code = 65


class MissingInputError(ToolchainError):
    """A file or an image does not exist (EX_NOINPUT)."""

    exit_code = 66


class UnavailableError(ToolchainError):
    """A service does not answer: the Docker engine, a registry, AWS (EX_UNAVAILABLE)."""

    exit_code = 69


class StepFailedError(ToolchainError):
    """A container on this machine failed; the command ends with its exit code, 64 to 75 or 128+N for signal N."""

    def __init__(self, what: str, *, why: str, fix: str, details: str = "", exit_code: int = 70) -> None:
        super().__init__(what, why=why, fix=fix, details=details)
        self.exit_code = exit_code


class BuildFailedError(ToolchainError):
    """An image cannot be built (EX_SOFTWARE)."""

    exit_code = 70


class StackFailedError(ToolchainError):
    """CloudFormation failed to change a stack (EX_SOFTWARE)."""

    exit_code = 70


class CannotCreateError(ToolchainError):
    """A result cannot be written (EX_CANTCREAT)."""

    exit_code = 73


class TryAgainError(ToolchainError):
    """Temporary failure; retrying may succeed (EX_TEMPFAIL)."""

    exit_code = 75


class ConfigurationError(ToolchainError):
    """A file of this repository is wrong: image.toml, genomics.toml, a template (EX_CONFIG)."""

    exit_code = 78


class StoppedError(ToolchainError):
    """Ctrl-C, while something elsewhere goes on (128+SIGINT)."""

    exit_code = 130
