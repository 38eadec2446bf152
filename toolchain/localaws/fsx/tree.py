"""The files of a file system: a directory, and what S3 has of it."""

import os
import re
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from moto.core.exceptions import ServiceException

from toolchain.localaws.file_copy import copy_file
from toolchain.localaws.safe_path import LinkError, SafePath

_URL: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>.*))?", re.DOTALL)
_LONGEST_KEY: Final = 1024
# The user of steps in the images.
_STEP_USER: Final = 1000


class FsxError(ServiceException):
    """An error of the API: its code and its message."""


@dataclass(frozen=True)
class S3Path:
    """A prefix in a bucket, without slashes at its ends."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "S3Path":
        """Reads `s3://bucket/prefix`.

        Raises:
            FsxError: It is none, or leads out of the bucket.
        """
        parts = _URL.fullmatch(url)
        prefix = ((parts and parts["prefix"]) or "").strip("/")
        if parts is None or {".", ".."} & set(prefix.split("/")):
            raise FsxError("BadRequest", f"The data repository path {url} is not valid: it must be s3://bucket/prefix.")
        return cls(parts["bucket"], prefix)

    def contains(self, other: "S3Path") -> bool:
        """Whether another path is this one or beneath it."""
        return self.bucket == other.bucket and f"{other.prefix}/".startswith(f"{self.prefix}/" if self.prefix else "")

    def key(self, relative: PurePosixPath | str) -> str:
        """The key of an object beneath this prefix."""
        return str(PurePosixPath(self.prefix) / relative)

    def file(self, buckets: Path, relative: PurePosixPath | str) -> SafePath:
        """The file of such an object."""
        return SafePath(buckets, PurePosixPath(self.bucket)) / self.key(relative)

    def bucket_exists(self, buckets: Path) -> bool:
        """Whether the bucket is a directory among the buckets."""
        folder = buckets / self.bucket
        return folder.is_dir() and not folder.is_symlink()


@dataclass(frozen=True)
class Link:
    """A directory of a file system, `/` for all of it, and where its files are in S3."""

    path: PurePosixPath
    repository: S3Path


@dataclass(kw_only=True)
class Tree:
    """A file system's directory. Paths of files begin with a slash.

    Attributes:
        root: The directory.
        buckets: The directory of the buckets.
    """

    root: Path
    buckets: Path
    # Size and time of each file when it was imported or exported: only what changed since is exported.
    _synced: dict[PurePosixPath, tuple[int, int]] = field(default_factory=dict)

    def make_directory(self, path: PurePosixPath, *, for_steps: bool) -> None:
        """Makes a directory, writable for steps if asked so.

        Raises:
            OSError: It cannot be made, or a symbolic link is on the way.
        """
        if not self.root.is_dir():
            self.root.mkdir(parents=True)
            self.root.chmod(0o755)
        with self._at(path).folder(make=True) as folder:
            if for_steps:
                _give_to_steps(folder)

    def import_objects(self, link: Link) -> int:
        """Copies the objects of a link that are new or changed, and returns how many; files changed here stay."""
        top = link.repository.file(self.buckets, "")
        imported = 0
        for source, status in top.files():
            path = link.path / source.path.relative_to(top.path)
            target = self._at(path)
            mark = _mark_of(target)
            if mark is None or self._synced.get(path) == mark != _mark(status):
                self._import(path, source)
                imported += 1
        return imported

    def object_changed(self, link: Link, key: str, *, exists: bool) -> None:
        """Copies or removes one file as was done to its object; one that was changed here stays."""
        relative = PurePosixPath(key).relative_to(link.repository.prefix)
        path, source = link.path / relative, link.repository.file(self.buckets, relative)
        target = self._at(path)
        try:
            mark = _mark_of(target)
            if mark is not None and self._synced.get(path) != mark:
                return
            if not exists:
                target.remove()
            elif source.is_file:
                self._import(path, source)
        except LinkError:
            return  # a job put a link in its place

    def changed_files(self, path: PurePosixPath) -> list[PurePosixPath]:
        """The files at or beneath a path that S3 does not have as they are, in order.

        Raises:
            FileNotFoundError: There is nothing at the path, or a symbolic link is on the way.
        """
        top = self._at(path)
        try:
            status = top.status() if path != PurePosixPath("/") else self.root.stat()
        except OSError as error:
            raise FileNotFoundError(str(path)) from error
        files = [(top, status)] if stat.S_ISREG(status.st_mode) else top.files()
        marks = [(PurePosixPath("/") / file.path, _mark(status)) for file, status in files]
        return sorted(name for name, mark in marks if self._synced.get(name) != mark)

    def export(self, path: PurePosixPath, link: Link) -> str | None:
        """Copies one file to S3; if it cannot, returns why, as a code of FSx's completion reports."""
        relative, source = path.relative_to(link.path), self._at(path)
        if len(link.repository.key(relative).encode()) > _LONGEST_KEY:
            return "PathSizeTooLong"
        if not link.repository.bucket_exists(self.buckets):
            return "S3BucketNotFound"
        try:
            status = source.status()
            copy_file(source, link.repository.file(self.buckets, relative))
        except PermissionError:
            return "S3AccessDenied"
        except FileNotFoundError:
            return "FileNotFound"
        except OSError:
            return "ResourceBusy"
        # As it was before the copy: what was written meanwhile counts as changed.
        self._synced[path] = _mark(status)
        return None

    def remove(self, trash: Path) -> None:
        """Moves the directory away, and deletes what other users' permissions let it delete."""
        if self.root.exists():
            trash.parent.mkdir(parents=True, exist_ok=True)
            self.root.replace(trash)
            shutil.rmtree(trash, ignore_errors=True)

    def _import(self, path: PurePosixPath, source: SafePath) -> None:
        target = self._at(path)
        copy_file(source, target)
        self._synced[path] = _mark(target.status())

    def _at(self, path: PurePosixPath) -> SafePath:
        return SafePath(self.root, path.relative_to("/"))


def _give_to_steps(folder: int) -> None:
    """Lets steps write to an open directory.

    Root gives it to their user. Another user cannot, and lets everybody write to it: nobody else comes to it, as the
    root of the embedded AWS is its owner's only.
    """
    if os.geteuid() == 0:
        os.fchown(folder, _STEP_USER, _STEP_USER)
    is_theirs = os.fstat(folder).st_uid == _STEP_USER
    if not is_theirs or os.geteuid() in {0, _STEP_USER}:
        os.fchmod(folder, 0o755 if is_theirs else 0o1777)


def _mark(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _mark_of(file: SafePath) -> tuple[int, int] | None:
    try:
        return _mark(file.status())
    except (FileNotFoundError, NotADirectoryError):
        return None
