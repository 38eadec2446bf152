"""The errors that a user sees: what happened, why, and the next thing to type.

Everything below `cli.main` raises one of these for whatever a user, a machine or a service can do wrong;
`main` prints it and exits with its code. Anything else that gets there is a fault of ours.
"""

from collections.abc import Sequence


class ToolchainError(Exception):
    """An error with an exit code of sysexits.h.

    Args:
        what: What happened, naming the thing that it happened to.
        why: The cause, as far as it is known.
        fix: The next thing to do or to type.
        details: Lines of output to show before the error, such as those of a build step that failed.
    """

    exit_code: int = 70

    def __init__(self, what: str, *, why: str, fix: str, details: str = "") -> None:
        super().__init__(f"{what}: {why}. {fix}")
        self.what = what
        self.why = why
        self.fix = fix
        self.details = details


class SeveralFailedError(ToolchainError):
    """Some of several things that were done side by side failed; the others were finished.

    The command ends with the first one's code.

    Args:
        what: As of every error.
        why: As of every error.
        fix: As of every error.
        details: As of every error.
        errors: An error for each that failed.
    """

    def __init__(
        self, what: str, *, why: str, fix: str, details: str = "", errors: Sequence[ToolchainError] = ()
    ) -> None:
        super().__init__(what, why=why, fix=fix, details=details)
        self.errors = tuple(errors) or (self,)
        self.exit_code = errors[0].exit_code if errors else ToolchainError.exit_code

    @classmethod
    def of(cls, errors: Sequence[ToolchainError]) -> "SeveralFailedError":
        """The one error for these; it reads as the first of them."""
        first = errors[0]
        return cls(first.what, why=first.why, fix=first.fix, details=first.details, errors=errors)


class WrongUsageError(ToolchainError):
    """What was typed cannot be meant (64)."""

    exit_code = 64


class BadDataError(ToolchainError):
    """A file holds what it must not (65)."""

    exit_code = 65


class MissingInputError(ToolchainError):
    """A file or an image that is needed is not there (66)."""

    exit_code = 66


class UnavailableError(ToolchainError):
    """A service that is needed does not answer: the Docker engine, a registry, AWS (69)."""

    exit_code = 69


class StepFailedError(ToolchainError):
    """A container that was run here ended with another exit code than 0.

    The command ends with the step's own code, which says of what kind the failure is: 64 to 75 as above, or
    128+N where signal N ended it.
    """

    def __init__(self, what: str, *, why: str, fix: str, details: str = "", exit_code: int = 70) -> None:
        super().__init__(what, why=why, fix=fix, details=details)
        self.exit_code = exit_code


class BuildFailedError(ToolchainError):
    """An image cannot be built (70)."""

    exit_code = 70


class StackFailedError(ToolchainError):
    """CloudFormation could not do to a stack what it was told (70)."""

    exit_code = 70


class CannotCreateError(ToolchainError):
    """A result cannot be written (73)."""

    exit_code = 73


class TryAgainError(ToolchainError):
    """Nothing is wrong for good: something is in the way that ends by itself, or that somebody can end (75)."""

    exit_code = 75


class ConfigurationError(ToolchainError):
    """A file of this repository does not say what it must: image.toml, genomics.toml, a template (78)."""

    exit_code = 78


class StoppedError(ToolchainError):
    """Ctrl-C, while something goes on elsewhere that does not stop with it (130)."""

    exit_code = 130
