"""Objects as files: <bucket>/<key> below one directory, whoever put them there."""

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Final

from toolchain.localaws.beneath import HIDDEN, Beneath, LinkError
from toolchain.localaws.file_copy import copy_file
from toolchain.localaws.s3.errors import S3Error

CHUNK: Final = 1024 * 1024
_LONGEST_KEY: Final = 1024
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def no_such_key(key: str) -> S3Error:
    """What a missing object is told of."""
    return S3Error("NoSuchKey", f"The specified key does not exist: {key}", status=404)


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object.

    Attributes:
        key: Its key.
        file: Where it is.
        size: In bytes.
        modified: When its content came to be.
        etag: Changes with the content. Of what came through the API it is the MD5.
        headers: What it was put with: its type, and the caller's own metadata.
    """

    key: str
    file: Beneath
    size: int
    modified: datetime
    etag: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What a file cannot tell of an object; of use for as long as the file is the one that was put."""

    mark: tuple[int, int]
    etag: str
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Objects:
    """The objects of all buckets.

    Attributes:
        root: The directory of the buckets' directories.
    """

    root: Path
    _known: dict[Beneath, _Known] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def bucket(self, name: str) -> Beneath:
        """A bucket's directory.

        Raises:
            S3Error: There is none such.
        """
        folder = Beneath(self.root, PurePosixPath(name))
        if not is_bucket_name(name) or not folder.is_folder:
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {name}", status=404)
        return folder

    def get(self, bucket: str, key: str) -> Object:
        """An object.

        Raises:
            S3Error: There is none such.
            LinkError: It is a link, or beneath one.
        """
        file = self.file(bucket, key)
        # What is hidden is not there yet; a folder is none.
        if key.endswith("/") or not file.is_file:
            raise no_such_key(key)
        return self.described(key, file)

    def described(self, key: str, file: Beneath, status: os.stat_result | None = None) -> Object:
        """An object whose file is there."""
        status = status or file.status()
        mark = (status.st_size, status.st_mtime_ns)
        known = self._known.get(file)
        if known is None or known.mark != mark:
            # Read by nobody, so no MD5 is known: the form with a hyphen says that it is none.
            plain = f"{status.st_ino}-{mark[0]}-{mark[1]}"
            etag = hashlib.md5(plain.encode(), usedforsecurity=False).hexdigest() + "-1"
            known = _Known(mark=mark, etag=etag, headers={})
        return Object(
            key=key,
            file=file,
            size=status.st_size,
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
            etag=known.etag,
            headers=known.headers,
        )

    @contextmanager
    def new(self, bucket: str, key: str, headers: Mapping[str, str], *, etag: str | None = None) -> Iterator["Writing"]:
        """Writes an object: a reader sees the old one, or all of the new one when the block has ended.

        Args:
            bucket: Where.
            key: Its key.
            headers: What it is put with.
            etag: Its ETag, if that is not the MD5 of what is written.

        Raises:
            S3Error: It cannot be a file.
        """
        target = self.file(bucket, key)
        if key.endswith("/"):
            with tempfile.TemporaryFile() as out:  # its content is nobody's
                yield Writing(out=out)
            with target.folder(make=True):
                return
        if target.is_folder:
            raise _clash(key)
        try:
            with target.replacing() as out:
                writing = Writing(out=out)
                yield writing
        except (FileExistsError, NotADirectoryError):
            raise _clash(key) from None
        self.note(target, etag or writing.md5.hexdigest(), headers)

    def copy(self, source: Object, bucket: str, key: str, headers: Mapping[str, str]) -> Object:
        """Makes an object the same as another."""
        target = self.file(bucket, key)
        if target.is_folder:
            raise _clash(key)
        if target != source.file:
            copy_file(source.file, target)
        self.note(target, source.etag, headers)
        return self.described(key, target)

    def delete(self, bucket: str, key: str) -> None:
        """Deletes an object, and the folders that it leaves empty; one that is not there is deleted."""
        top, file = self.bucket(bucket), self.file(bucket, key)
        if file.is_file and not key.endswith("/"):
            file.remove()
            self._known.pop(file, None)
        if file.is_folder:
            file.remove_folder()
        for parent in file.path.parents:
            if parent == top.path or not Beneath(self.root, parent).remove_folder():
                break

    def keys(self, bucket: str, prefix: str) -> list[tuple[str, Beneath, os.stat_result]]:
        """All keys with a prefix, in S3's order; a link is no object, and nothing beneath one is."""
        top = self.bucket(bucket)
        folder = prefix.rpartition("/")[0]
        start = top / folder if folder and _plain(folder) else top
        try:
            found = [(str(file.path.relative_to(top.path)), file, status) for file, status in start.files()]
        except LinkError:
            return []
        return sorted((entry for entry in found if entry[0].startswith(prefix)), key=lambda entry: entry[0].encode())

    def file(self, bucket: str, key: str) -> Beneath:
        """Where an object is or would be.

        Raises:
            S3Error: Its key cannot be a path.
        """
        top = self.bucket(bucket)
        if len(key.encode()) > _LONGEST_KEY:
            raise S3Error("KeyTooLongError", "Your key is too long")
        if not _plain(key.removesuffix("/")) or not key:
            raise S3Error("InvalidArgument", f"The embedded AWS cannot keep the key {key!r}: it is no path")
        return top / key

    def note(self, file: Beneath, etag: str, headers: Mapping[str, str]) -> None:
        """Keeps what a file cannot tell."""
        status = file.status()
        with self._guard:
            self._known[file] = _Known(mark=(status.st_size, status.st_mtime_ns), etag=etag, headers=dict(headers))


def is_bucket_name(name: str) -> bool:
    """Whether a bucket may be called so."""
    return _BUCKET.fullmatch(name) is not None and ".." not in name


class Writing:
    """A file that is being written, and its MD5.

    Args:
        out: The file.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.md5 = hashlib.md5(usedforsecurity=False)

    def write(self, chunk: bytes) -> None:
        """Writes some more."""
        self.md5.update(chunk)
        self._out.write(chunk)

    def append(self, file: Path) -> None:
        """Writes what another file holds; its MD5 is of no use."""
        with file.open("rb") as part:
            shutil.copyfileobj(part, self._out, CHUNK)


def _plain(path: str) -> bool:
    """Whether a key's parts are all names of files."""
    parts = path.split("/")
    return "\0" not in path and all(part not in {"", ".", ".."} and not part.startswith(HIDDEN) for part in parts)


def _clash(key: str) -> S3Error:
    return S3Error(
        "InvalidRequest",
        f"The embedded AWS keeps objects as files: {key} cannot be an object beside others beneath it",
        status=409,
    )
