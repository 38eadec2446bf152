"""Objects as files: <bucket>/<key> below one directory, whoever put them there."""

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from toolchain.localaws.links import HIDDEN, duplicate, regular_files

CHUNK: Final = 1024 * 1024


class S3Error(Exception):
    """A refusal, with the service's code.

    Args:
        code: The code.
        message: What the caller reads.
        status: Of the HTTP answer.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


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
    file: Path
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
    _known: dict[Path, _Known] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def bucket(self, name: str) -> Path:
        """A bucket's directory.

        Raises:
            S3Error: There is none such.
        """
        folder = self.root / name
        if name in {"", ".", ".."} or "/" in name or not folder.is_dir():
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {name}", status=404)
        return folder

    def get(self, bucket: str, key: str) -> Object:
        """An object.

        Raises:
            S3Error: There is none such.
        """
        file = self.file(bucket, key)
        # What is hidden is not there yet; a folder is none.
        if key.endswith("/") or not file.is_file():
            raise no_such_key(key)
        return self.described(key, file)

    def described(self, key: str, file: Path) -> Object:
        """An object whose file is there."""
        status = file.stat()
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
            target.mkdir(parents=True, exist_ok=True)
            yield Writing(out=tempfile.TemporaryFile())  # noqa: SIM115  # its content is nobody's
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise _clash(key) from None
        if target.is_dir():
            raise _clash(key)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=HIDDEN) as folder:
            file = Path(folder) / "file"
            with file.open("wb") as out:
                writing = Writing(out=out)
                yield writing
            file.replace(target)
        self.note(target, etag or writing.md5.hexdigest(), headers)

    def copy(self, source: Object, bucket: str, key: str, headers: Mapping[str, str]) -> Object:
        """Makes an object the same as another."""
        target = self.file(bucket, key)
        if target.is_dir():
            raise _clash(key)
        if target != source.file:
            duplicate(source.file, target)
        self.note(target, source.etag, headers)
        return self.described(key, target)

    def delete(self, bucket: str, key: str) -> None:
        """Deletes an object, and the folders that it leaves empty; one that is not there is deleted."""
        top, file = self.bucket(bucket), self.file(bucket, key)
        if file.is_file() and not key.endswith("/"):
            file.unlink()
            self._known.pop(file, None)
        folder = file if file.is_dir() else file.parent
        while folder != top and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def keys(self, bucket: str, prefix: str) -> list[tuple[str, Path]]:
        """All keys with a prefix, in S3's order."""
        top = self.bucket(bucket)
        start = top / prefix.rpartition("/")[0] if _plain(prefix.rpartition("/")[0]) else top
        found = [(str(one.relative_to(top)), one) for one in regular_files(start)]
        return sorted((pair for pair in found if pair[0].startswith(prefix)), key=lambda pair: pair[0].encode())

    def file(self, bucket: str, key: str) -> Path:
        """Where an object is or would be.

        Raises:
            S3Error: Its key cannot be a path.
        """
        top = self.bucket(bucket)
        if not _plain(key.removesuffix("/")) or not key:
            raise S3Error("InvalidArgument", f"The embedded AWS cannot keep the key {key!r}: it is no path")
        return top / key

    def note(self, file: Path, etag: str, headers: Mapping[str, str]) -> None:
        """Keeps what a file cannot tell."""
        status = file.stat()
        with self._guard:
            self._known[file] = _Known(mark=(status.st_size, status.st_mtime_ns), etag=etag, headers=dict(headers))


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
    return all(part not in {"", ".", ".."} and not part.startswith(HIDDEN) for part in path.split("/"))


def _clash(key: str) -> S3Error:
    return S3Error(
        "InvalidRequest",
        f"The embedded AWS keeps objects as files: {key} cannot be an object beside others beneath it",
        status=409,
    )
