"""Uploads in parts: each part is a file out of sight until all of them become an object."""

import hashlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from toolchain.localaws.s3.checksums import ALGORITHMS, Expected
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.objects import CHUNK, Objects, Writing

_MOST_PARTS = 10_000


@dataclass(kw_only=True)
class Upload:
    """An upload that has begun.

    Attributes:
        folder: Where its parts are, each a file by its number.
        etags: The parts' ETags, by number.
    """

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    folder: Path
    etags: dict[int, str] = field(default_factory=dict)


class Uploads:
    """All uploads that have begun and not ended.

    Args:
        objects: Where they become objects.
        folder: Where their parts are until then.
    """

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects = objects
        self._folder = folder
        self._begun: dict[str, Upload] = {}
        self._guard = threading.Lock()
        # Parts of a server that is no more: nobody knows their uploads.
        shutil.rmtree(folder, ignore_errors=True)

    def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> Upload:
        """Begins an upload."""
        self._objects.file(bucket, key)
        new = uuid4().hex
        upload = Upload(id=new, bucket=bucket, key=key, headers=headers, folder=self._folder / new)
        upload.folder.mkdir(parents=True)
        with self._guard:
            self._begun[new] = upload
        return upload

    def find(self, upload: str, bucket: str, key: str) -> Upload:
        """An upload.

        Raises:
            S3Error: There is none such, or it is that of another object.
        """
        with self._guard:
            found = self._begun.get(upload)
        if found is None or (found.bucket, found.key) != (bucket, key):
            raise S3Error("NoSuchUpload", "The specified upload does not exist.", status=404)
        return found

    def of(self, bucket: str) -> list[Upload]:
        """The uploads of a bucket."""
        with self._guard:
            return [one for one in self._begun.values() if one.bucket == bucket]

    def part(self, upload: Upload, number: int, chunks: Iterable[bytes]) -> str:
        """Takes a part, and returns its ETag."""
        if not 1 <= number <= _MOST_PARTS:
            raise S3Error("InvalidArgument", f"Part number must be an integer between 1 and {_MOST_PARTS}")
        file = upload.folder / f"{number}.new"
        with file.open("wb") as out:
            writing = Writing(out)
            for chunk in chunks:
                writing.write(chunk)
        file.replace(upload.folder / str(number))
        etag = upload.etags[number] = writing.md5.hexdigest()
        return etag

    def complete(
        self,
        upload: Upload,
        parts: Sequence[tuple[int, str, Sequence[Expected]]],
        whole: Sequence[Expected] = (),
        composite: Sequence[Expected] = (),
    ) -> str:
        """Makes the parts an object, and returns its ETag.

        Args:
            upload: The upload.
            parts: Each with its number, its ETag, and what its checksums are said to be.
            whole: What the object's are said to be.
            composite: What the checksums of its parts' checksums are said to be.
        """
        chosen = [(number, etag) for number, etag, _ in parts]
        for number, etag in chosen:
            if upload.etags.get(number) != etag.strip('"'):
                raise S3Error("InvalidPart", f"Part {number} could not be found, or its ETag is another.")
        if [number for number, _ in chosen] != sorted(number for number, _ in chosen) or not chosen:
            raise S3Error("InvalidPartOrder", "The list of parts was not in ascending order.")
        self._check(upload, parts, whole, composite)
        digests = b"".join(bytes.fromhex(upload.etags[number]) for number, _ in chosen)
        etag_of_all = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(chosen)}"
        with self._objects.new(upload.bucket, upload.key, upload.headers, etag=etag_of_all) as writing:
            for number, _ in chosen:
                writing.append(upload.folder / str(number))
        self.abort(upload)
        return etag_of_all

    @staticmethod
    def _check(
        upload: Upload,
        parts: Sequence[tuple[int, str, Sequence[Expected]]],
        whole: Sequence[Expected],
        composite: Sequence[Expected],
    ) -> None:
        """Reads the parts once more, if there is a checksum that tells of them."""
        for number, _, said in parts:
            hashers = [ALGORITHMS[checksum.algorithm]() for checksum in composite]
            told = [checksum.hasher for checksum in (*said, *whole)]
            for piece in _read(upload.folder / str(number)) if hashers or told else ():
                for hasher in (*hashers, *told):
                    hasher.update(piece)
            for checksum in said:
                checksum.check()
            for checksum, hasher in zip(composite, hashers, strict=True):
                checksum.hasher.update(hasher.digest())
        for checksum in (*whole, *composite):
            checksum.check()

    def abort(self, upload: Upload) -> None:
        """Forgets an upload."""
        with self._guard:
            self._begun.pop(upload.id, None)
        shutil.rmtree(upload.folder, ignore_errors=True)


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as data:
        while piece := data.read(CHUNK):
            yield piece


def pieces(data: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    """The bytes of an open file from one to another, both included, in pieces; closes it."""
    with data:
        data.seek(first)
        left = last - first + 1
        while left > 0 and (piece := data.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece
