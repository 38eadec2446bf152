"""Lists the files of a run to export."""

import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from step.errors import InputOutputError, MissingInputError, TryAgainError, printable


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The files below a directory.

    Attributes:
        digest: Over every file's name, size, time, mode and owner.
        count: The number of files.
        size: In bytes, of all files.
    """

    digest: str
    count: int
    size: int

    @classmethod
    def scan(cls, folder: Path, exclude: Collection[Path]) -> "Contents":
        """Lists a directory, without the excluded files.

        Raises:
            MissingInputError: It is missing or has no files.
            InputOutputError: A directory in it cannot be listed.
            TryAgainError: It changes while it is listed.
        """
        try:
            files = {path: path.lstat() for path in _walk(folder) if path not in exclude}
        except FileNotFoundError as error:
            if not folder.exists():
                raise MissingInputError(
                    "nothing to export",
                    why=f"{folder} is not there",
                    fix="Check WORKFLOW_NAME, EXECUTION_ID and the sample, and that the steps before have run.",
                ) from error
            raise TryAgainError(
                f"{folder} changes while it is listed",
                why=f"{printable(str(error.filename), 400)} was there and is gone",
                fix="Run the step again when no other step writes to this run.",
            ) from error
        except OSError as error:
            raise InputOutputError(
                f"cannot read {folder}",
                why=f"{printable(str(error.filename), 400)}: {error.strerror}, for user {os.getuid()}",
                fix="Check its permissions.",
            ) from error
        if not files:
            raise MissingInputError(
                "nothing to export", why=f"{folder} holds no file", fix="Check that the steps before this one have run."
            )
        digest = hashlib.sha256()
        for path, status in sorted(files.items()):
            metadata = (status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid)
            digest.update(os.fsencode(path.relative_to(folder)) + b"\0" + repr(metadata).encode() + b"\0")
        return cls(digest=digest.hexdigest(), count=len(files), size=sum(status.st_size for status in files.values()))


def _walk(folder: Path) -> Iterator[Path]:
    """Every file and symbolic link below a directory. Raises OSError."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in names:
            yield Path(parent, name)
        for name in folders:
            path = Path(parent, name)
            if path.is_symlink():
                yield path


def _raise(error: OSError) -> NoReturn:
    raise error
