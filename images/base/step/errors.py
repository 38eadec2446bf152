"""The errors that end a step: one line each, with an exit code of sysexits.h (the table is in ../README.md)."""

import contextlib
import errno
import os
from pathlib import Path
from typing import ClassVar


class StepError(Exception):
    """Says what happened, why, and what to do next. The class determines the exit code."""

    code: ClassVar[int]

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        """Joins the three parts; only the last ends in a full stop."""
        super().__init__(f"{what}: {why}. {fix}")


class UsageError(StepError):
    """The arguments or the environment are wrong (EX_USAGE)."""

    code = 64


class BadDataError(StepError):
    """The data are bad; retrying cannot help (EX_DATAERR)."""

    code = 65


class MissingInputError(StepError):
    """An input is missing or may not be read (EX_NOINPUT)."""

    code = 66


class ToolFailedError(StepError):
    """A program failed, after printing its own messages (EX_SOFTWARE)."""

    code = 70


class CannotCreateError(StepError):
    """An output cannot be created (EX_CANTCREAT)."""

    code = 73


class InputOutputError(StepError):
    """Reading or writing failed, for instance because a mount is missing or a file system full (EX_IOERR)."""

    code = 74


class TryAgainError(StepError):
    """Temporary failure; retrying may succeed (EX_TEMPFAIL)."""

    code = 75


class KilledError(StepError):
    """A program of the step got SIGKILL, most likely because memory ran out."""

    code = 137


class TerminatedError(BaseException):
    """A signal asked the step to end. A BaseException, so that no `except Exception` swallows it."""

    def __init__(self, number: int) -> None:
        """Takes the signal's number."""
        super().__init__(number)
        self.code = 128 + number


_FULL = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file grows too large",
}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_OBSTRUCTED = {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG}
FULL_FIX = "Remove old runs, or raise the file system's capacity."


def cannot_write(path: Path | str, error: OSError) -> StepError:
    """The error for a file or directory that could not be written."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return InputOutputError(f"cannot write {path}", why=_FULL[error.errno], fix=FULL_FIX)
    if error.errno in _DENIED:
        return CannotCreateError(
            f"cannot write {path}", why=reason, fix="Make its directory writable for the user that this job runs as."
        )
    if error.errno in _OBSTRUCTED:
        return CannotCreateError(
            f"cannot write {path}", why=reason, fix="Remove what is in its way, and run the step again."
        )
    return InputOutputError(f"cannot write {path}", why=reason, fix="Check the file system, and run the step again.")


def cannot_read(path: Path | str, error: OSError) -> StepError:
    """The error for a file that exists and could not be read."""
    reason = (error.strerror or str(error)).lower()
    return InputOutputError(f"cannot read {path}", why=reason, fix="Check the file system, and run the step again.")


def write_stderr(data: bytes) -> None:
    """Writes to stderr. If that fails (a closed pipe, a full disk), the step goes on without its log."""
    view = memoryview(data)
    with contextlib.suppress(OSError):
        while view:
            view = view[os.write(2, view) :]


def printable(text: str | bytes, limit: int = 80) -> str:
    """The first characters as one line of printable ASCII, with `?` for all others."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:limit])
