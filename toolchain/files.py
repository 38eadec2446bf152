"""Files in dist/ that two commands may write at once: whole or not at all, and none loses what the other wrote."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.errors import CannotCreateError


def write(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Writes a file beneath a temporary name and renames it: a reader sees the old text or the new.

    Args:
        file: The file.
        text: What it is to hold.
        mode: Who may read it.

    Raises:
        CannotCreateError: It cannot be written.
    """
    temporary: str | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).chmod(mode)
        Path(temporary).replace(file)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise CannotCreateError(
            f"cannot write {file}", why=str(error.strerror), fix="Make room, or make the directory writable."
        ) from error


def write_json(file: Path, data: Any) -> None:  # noqa: ANN401  # whatever JSON can hold
    """Writes JSON: the same bytes for the same data."""
    write(file, json.dumps(data, indent=2, sort_keys=True) + "\n")


def make_private(folder: Path) -> None:
    """Makes a directory that nobody but its owner may enter, or makes one so that is there.

    Raises:
        CannotCreateError: It cannot be made, or is somebody else's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise CannotCreateError(
            f"cannot keep {folder} to its owner",
            why=str(error.strerror),
            fix="Type the command as the user whose directory it is; or remove the directory.",
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder's lock, so that reading a file in it, changing and writing it is one act.

    Raises:
        CannotCreateError: The folder cannot be made, or nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w", encoding="ascii")
    except OSError as error:
        raise CannotCreateError(
            f"cannot write to {folder}", why=str(error.strerror), fix="Make the directory writable."
        ) from error
    with lock:
        # Closing the file, or the process's end, gives it back.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
