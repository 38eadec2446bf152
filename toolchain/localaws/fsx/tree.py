"""The files of a file system: a directory, what came into it from S3, and what has gone there."""

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from toolchain.localaws.beneath import Beneath, LinkError
from toolchain.localaws.file_copy import copy_file

_LONGEST_KEY: Final = 1024
_LARGEST_FILE: Final = 5 * 1024**4
# Whom steps run as.
_STEP_USER: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Linked:
    """A directory of a file system, and the keys that its files have in S3.

    Attributes:
        path: Within the file system; `/` for all of it.
        bucket: The directory that stands for the bucket.
        prefix: What the keys begin with.
    """

    path: PurePosixPath
    bucket: Beneath
    prefix: str

    def key(self, path: PurePosixPath) -> str:
        """The key of a file of the file system."""
        relative = path.relative_to(self.path)
        return str(PurePosixPath(self.prefix) / relative) if self.prefix else str(relative)


class ExportError(Exception):
    """A file cannot be exported; the text is FSx's code for it."""


@dataclass(kw_only=True)
class Tree:
    """A file system's directory.

    Attributes:
        root: The directory.
    """

    root: Path
    # What S3 has of it, each file's size and time: only what changed is exported.
    _known: dict[PurePosixPath, tuple[int, int]] = field(default_factory=dict)

    def prepare(self, path: PurePosixPath, *, writable: bool) -> None:
        """Makes a directory.

        Args:
            path: The directory.
            writable: Whether steps write to it.

        Raises:
            OSError: It cannot be made, or a link leads to it.
        """
        if not self.root.is_dir():
            self.root.mkdir(parents=True)
            self.root.chmod(0o755)
        with self._at(path).folder(make=True) as folder:
            if writable:
                _give_to_steps(folder)

    def bring(self, mapping: Linked, *, keep_keys: bool) -> int:
        """Brings the files of S3 that are beneath a mapping's prefix, and returns how many are new.

        Args:
            mapping: From where to where.
            keep_keys: Whether a file keeps its whole key as its path, as the older import path has it.
        """
        top = mapping.bucket / mapping.prefix
        brought = 0
        for source, status in top.files():
            path = mapping.path / source.path.relative_to(mapping.bucket.path if keep_keys else top.path)
            target = self._at(path)
            there = _mark_of(target)
            # What was changed here stays as it is.
            if there is None or self._known.get(path) == there != _mark(status):
                copy_file(source, target)
                self._known[path] = _mark(target.status())
                brought += 1
        return brought

    def follow(self, linked: Linked, key: str, *, there: bool) -> None:
        """Does to one file what was done to its object, unless the file was changed here."""
        path = linked.path / PurePosixPath(key).relative_to(linked.prefix)
        target = self._at(path)
        try:
            mark = _mark_of(target)
            if mark is not None and self._known.get(path) != mark:
                return
            source = linked.bucket / key
            if not there:
                target.remove()
            elif source.is_file:
                copy_file(source, target)
                self._known[path] = _mark(target.status())
        except LinkError:
            # What a job put there in its place was changed here too.
            return

    def changed(self, path: PurePosixPath) -> list[PurePosixPath]:
        """The files at or beneath a path that S3 does not have as they are, in order.

        Raises:
            FileNotFoundError: There is nothing at the path, or a link leads to it.
        """
        top = self._at(path)
        try:
            status = top.status() if path != PurePosixPath("/") else self.root.stat()
        except OSError as error:
            raise FileNotFoundError(str(path)) from error
        found = [(top, status)] if stat.S_ISREG(status.st_mode) else top.files()
        paths = [(PurePosixPath("/") / file.path, _mark(status)) for file, status in found]
        return sorted(name for name, mark in paths if self._known.get(name) != mark)

    def export(self, path: PurePosixPath, mapping: Linked) -> None:
        """Puts one file into S3.

        Raises:
            ExportError: It cannot be.
        """
        key, source = mapping.key(path), self._at(path)
        if len(key.encode()) > _LONGEST_KEY:
            raise ExportError("PathSizeTooLong")
        if not mapping.bucket.is_folder:
            raise ExportError("S3BucketNotFound")
        try:
            status = source.status()
            if status.st_size > _LARGEST_FILE:
                raise ExportError("FileSizeTooLarge")
            copy_file(source, mapping.bucket / key)
        except PermissionError as error:
            raise ExportError("S3AccessDenied") from error
        except FileNotFoundError as error:
            raise ExportError("FileNotFound") from error
        except OSError as error:
            raise ExportError("ResourceBusy") from error
        # What was written meanwhile is not what was exported: it counts as changed.
        self._known[path] = _mark(status)

    def remove(self, bin_: Path) -> None:
        """Takes the directory away: at once out of sight, and then as far as its files' owners let it."""
        if self.root.exists():
            bin_.parent.mkdir(parents=True, exist_ok=True)
            self.root.replace(bin_)
            shutil.rmtree(bin_, ignore_errors=True)

    def _at(self, path: PurePosixPath) -> Beneath:
        return Beneath(self.root, path.relative_to("/"))


def _give_to_steps(folder: int) -> None:
    """Lets steps write to an open directory, and nobody else where that can be.

    Root gives it to them. Another user cannot: there everybody may write to it, and nobody comes to it but through the
    embedded AWS's root, which is its owner's only.
    """
    if os.geteuid() == 0:
        os.fchown(folder, _STEP_USER, _STEP_USER)
    is_theirs = os.fstat(folder).st_uid == _STEP_USER
    if not is_theirs or os.geteuid() in {0, _STEP_USER}:
        os.fchmod(folder, 0o755 if is_theirs else 0o1777)


def _mark(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _mark_of(file: Beneath) -> tuple[int, int] | None:
    """The same of a file that may not be there."""
    try:
        return _mark(file.status())
    except (FileNotFoundError, NotADirectoryError):
        return None
