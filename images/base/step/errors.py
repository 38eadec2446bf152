"""The errors that end a step: one line each, and an exit code of sysexits.h.

64 usage, 65 bad data, 66 missing input, 70 the tool failed, 73 cannot create, 74 I/O, 75 try again. 128+N stands
for a step that signal N ended; 137 also for one of whose programs the kernel killed.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import ClassVar


class StepError(Exception):
    """What happened, why, and what to do next. The class gives the exit code."""

    code: ClassVar[int]

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        """Keep the three parts; only the last ends in a full stop."""
        super().__init__(f"{what}: {why}. {fix}")


class UsageError(StepError):
    """The arguments or the environment are wrong (EX_USAGE)."""

    code = 64


class BadDataError(StepError):
    """The data are wrong: trying again cannot help (EX_DATAERR)."""

    code = 65


class MissingInputError(StepError):
    """An input is not there, or cannot be read (EX_NOINPUT)."""

    code = 66


class ToolFailedError(StepError):
    """A program failed; its own messages stand above (EX_SOFTWARE)."""

    code = 70


class CannotCreateError(StepError):
    """An output cannot be created (EX_CANTCREAT)."""

    code = 73


class InputOutputError(StepError):
    """Reading or writing failed: a mount is missing, a file system is full (EX_IOERR)."""

    code = 74


class TryAgainError(StepError):
    """Temporary failure; retrying may succeed (EX_TEMPFAIL)."""

    code = 75


class KilledError(StepError):
    """SIGKILL ended a program of the step: out of memory, most likely."""

    code = 137


class ToldToEndError(BaseException):
    """A signal told the step to end. No StepError, so that no handler of errors takes it for one."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.code = 128 + number


_FULL = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file grows too large",
}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG}
FULL_FIX = "Remove old runs, or raise the file system's capacity."


def cannot_write(path: Path | str, error: OSError) -> StepError:
    """The error for a file or directory that could not be written.

    Args:
        path: What was to be written.
        error: What the system said.
    """
    said = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return InputOutputError(f"cannot write {path}", why=_FULL[error.errno], fix=FULL_FIX)
    if error.errno in _DENIED:
        return CannotCreateError(
            f"cannot write {path}", why=said, fix="Make its directory writable for the user that this job runs as."
        )
    if error.errno in _IN_THE_WAY:
        return CannotCreateError(
            f"cannot write {path}", why=said, fix="Remove what is in its way, and run the step again."
        )
    return InputOutputError(f"cannot write {path}", why=said, fix="Check the file system, and run the step again.")


def cannot_read(path: Path | str, error: OSError) -> StepError:
    """The error for a file that is there and could not be read."""
    said = (error.strerror or str(error)).lower()
    return InputOutputError(f"cannot read {path}", why=said, fix="Check the file system, and run the step again.")


def tell(data: bytes) -> None:
    """Writes to stderr. Where nobody reads the log, or its disk is full, the step goes on without it."""
    view = memoryview(data)
    with contextlib.suppress(OSError):
        while view:
            view = view[os.write(2, view) :]


def printable(text: str | bytes, most: int = 80) -> str:
    """Anything at all as one line of printable ASCII, cut short."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:most])
