"""Digests, directories, and files that appear in one piece."""

import contextlib
import hashlib
import os
from pathlib import Path

from step.errors import cannot_read, cannot_write

_HASH_BYTES = 1 << 20


def sha256(file: Path) -> str:
    """The digest of a file. Raises StepError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as stream:
            while chunk := stream.read(_HASH_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise cannot_read(file, error) from error
    return digest.hexdigest()


def make_folder(folder: Path) -> Path:
    """Creates a directory and its parents if need be. Raises StepError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def temporary_name(file: Path) -> Path:
    """A unique name beside a file, to be renamed later. Random, since process ids repeat across containers."""
    return file.with_name(f".{file.name}.{os.urandom(6).hex()}")


def write_text(file: Path, text: str) -> None:
    """Writes a file atomically. Raises StepError."""
    make_folder(file.parent)
    temporary = temporary_name(file)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise cannot_write(file, error) from error
