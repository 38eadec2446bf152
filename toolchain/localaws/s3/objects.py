"""Objects as files: <bucket>/<key> below one directory, whoever put them there."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from toolchain.localaws.file_copy import copy_file
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.safe_path import HIDDEN, LinkError, SafePath

CHUNK: Final = 1024 * 1024
_LONGEST_KEY: Final = 1024
_BUCKET_NAME: Final = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def is_bucket_name(name: str) -> bool:
    """Whether S3 lets a bucket have this name."""
    return _BUCKET_NAME.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object.

    Attributes:
        size: In bytes.
        etag: Changes with the content. Of what came through the API in one piece it is the MD5.
        headers: What it was put with: its content type, and the caller's own metadata.
    """

    file: SafePath
    size: int
    modified: datetime
    etag: str
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Objects:
    """The objects of all buckets.

    Attributes:
        root: The directory of the buckets' directories.
    """

    root: Path
    # Size and time, ETag, and headers: of use for as long as the file is the one that was put.
    _metadata: dict[SafePath, tuple[tuple[int, int], str, Mapping[str, str]]] = field(default_factory=dict)

    def bucket(self, name: str) -> SafePath:
        """A bucket's directory."""
        folder = SafePath(self.root, PurePosixPath(name))
        if not is_bucket_name(name) or not folder.is_folder:
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {name}", status=404)
        return folder

    def file(self, bucket: str, key: str) -> SafePath:
        """Where an object is or would be."""
        top = self.bucket(bucket)
        if len(key.encode()) > _LONGEST_KEY:
            raise S3Error("KeyTooLongError", "Your key is too long")
        if not _is_path(key.removesuffix("/")):
            raise S3Error("InvalidArgument", f"The embedded AWS cannot keep the key {key!r}: it is no path")
        return top / key

    def get(self, bucket: str, key: str) -> Object:
        """An object.

        Raises:
            S3Error: There is no such object.
            LinkError: A symbolic link is on the way.
        """
        file = self.file(bucket, key)
        if key.endswith("/") or not file.is_file:
            raise S3Error("NoSuchKey", f"The specified key does not exist: {key}", status=404)
        return self._described(file, file.status())

    def put(
        self, bucket: str, key: str, headers: Mapping[str, str], content: Iterable[bytes], etag: str | None = None
    ) -> str:
        """Writes an object, which readers see when all of its content has come, and returns its ETag.

        Args:
            bucket: Its bucket.
            key: One that ends in a slash makes a folder, and its content is dropped.
            headers: What it is put with.
            content: In pieces.
            etag: None if it is the MD5 of the content.
        """
        target = self._target(bucket, key)
        md5 = hashlib.md5(usedforsecurity=False)
        if key.endswith("/"):
            for piece in content:
                md5.update(piece)
            with target.folder(make=True):
                return md5.hexdigest()
        try:
            with target.replacing() as out:
                for piece in content:
                    out.write(piece)
                    if etag is None:
                        md5.update(piece)
        except (FileExistsError, NotADirectoryError):
            raise _clash(key) from None
        return self._remember(target, etag or md5.hexdigest(), headers).etag

    def copy(self, source: Object, bucket: str, key: str, headers: Mapping[str, str]) -> Object:
        """Makes an object a copy of another."""
        target = self._target(bucket, key)
        if target != source.file:
            copy_file(source.file, target)
        return self._remember(target, source.etag, headers)

    def delete(self, bucket: str, key: str) -> None:
        """Deletes an object if it exists, and the folders that it leaves empty."""
        top, file = self.bucket(bucket), self.file(bucket, key)
        if file.is_file and not key.endswith("/"):
            file.remove()
            self._metadata.pop(file, None)
        if file.is_folder:
            file.remove_folder()
        for parent in file.path.parents:
            if parent == top.path or not SafePath(self.root, parent).remove_folder():
                break

    def list(self, bucket: str, prefix: str) -> Iterator[tuple[str, Object]]:
        """The objects with a prefix and their keys, in S3's order; symbolic links are no objects."""
        top = self.bucket(bucket)
        folder = prefix.rpartition("/")[0]
        start = top / folder if _is_path(folder) else top
        try:
            files = [(str(file.path.relative_to(top.path)), file, status) for file, status in start.files()]
        except LinkError:
            return
        for key, file, status in sorted(files, key=lambda entry: entry[0].encode()):
            if key.startswith(prefix):
                yield key, self._described(file, status)

    def _described(self, file: SafePath, status: os.stat_result) -> Object:
        mark, etag, headers = self._metadata.get(file, (None, "", {}))
        if mark != (status.st_size, status.st_mtime_ns):
            # Nobody has read it, so its MD5 is unknown; the hyphen says that this is none.
            plain = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
            etag, headers = hashlib.md5(plain.encode(), usedforsecurity=False).hexdigest() + "-1", {}
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return Object(file=file, size=status.st_size, modified=modified, etag=etag, headers=headers)

    def _remember(self, file: SafePath, etag: str, headers: Mapping[str, str]) -> Object:
        status = file.status()
        self._metadata[file] = ((status.st_size, status.st_mtime_ns), etag, dict(headers))
        return self._described(file, status)

    def _target(self, bucket: str, key: str) -> SafePath:
        file = self.file(bucket, key)
        if file.is_folder and not key.endswith("/"):
            raise _clash(key)
        return file


def pieces(file: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    """The bytes of an open file from one to another, both included; closes it."""
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (piece := file.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece


def _is_path(key: str) -> bool:
    names = key.split("/")
    return "\0" not in key and not any(name in {"", ".", ".."} or name.startswith(HIDDEN) for name in names)


def _clash(key: str) -> S3Error:
    message = f"The embedded AWS keeps objects as files: {key} cannot be an object beside others beneath it"
    return S3Error("InvalidRequest", message, status=409)
