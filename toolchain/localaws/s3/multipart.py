"""Multipart uploads: each part is a file out of sight until all of them become an object."""

import base64
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final
from uuid import uuid4

from toolchain.localaws.s3 import checksums
from toolchain.localaws.s3.body import Body
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.objects import Objects, pieces

_MOST_PARTS: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an upload.

    Attributes:
        etag: Its MD5.
        checksums: Those that came with it, or that are said to have come: header to value.
    """

    number: int
    etag: str
    checksums: Mapping[str, str]


@dataclass(kw_only=True)
class Upload:
    """An upload that was begun.

    Attributes:
        headers: What the object is put with.
        folder: Of the parts' files, which are named by their numbers.
    """

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    folder: Path
    parts: dict[int, Part] = field(default_factory=dict)

    def file(self, part: Part) -> Path:
        """The file of a part."""
        return self.folder / str(part.number)


class Uploads:
    """The uploads that were begun and have not ended.

    Args:
        objects: Where they become objects.
        folder: Where their parts are until then.
    """

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects = objects
        self._folder = folder
        self._uploads: dict[str, Upload] = {}
        # Parts of an earlier server, whose uploads nobody knows.
        shutil.rmtree(folder, ignore_errors=True)

    def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> Upload:
        """Begins an upload."""
        self._objects.file(bucket, key)
        upload_id = uuid4().hex
        upload = Upload(id=upload_id, bucket=bucket, key=key, headers=headers, folder=self._folder / upload_id)
        upload.folder.mkdir(parents=True)
        self._uploads[upload_id] = upload
        return upload

    def find(self, upload_id: str, bucket: str, key: str) -> Upload:
        """The upload of an object."""
        upload = self._uploads.get(upload_id)
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            raise S3Error("NoSuchUpload", "The specified upload does not exist.", status=404)
        return upload

    def of_bucket(self, bucket: str) -> list[Upload]:
        """The uploads of a bucket."""
        return [upload for upload in list(self._uploads.values()) if upload.bucket == bucket]

    def put_part(self, upload: Upload, number: int, content: Iterator[bytes] | Body) -> Part:
        """Writes a part."""
        if not 1 <= number <= _MOST_PARTS:
            raise S3Error("InvalidArgument", f"Part number must be an integer between 1 and {_MOST_PARTS}")
        md5 = hashlib.md5(usedforsecurity=False)
        file = upload.folder / f"{number}.{uuid4().hex}"
        with file.open("wb") as out:
            for piece in content:
                md5.update(piece)
                out.write(piece)
        given = content.checksums if isinstance(content, Body) else {}
        part = Part(number=number, etag=md5.hexdigest(), checksums=given)
        file.replace(upload.file(part))
        upload.parts[number] = part
        return part

    def complete(self, upload: Upload, parts: Sequence[Part], expected: Mapping[str, str]) -> str:
        """Makes the parts an object, and returns its ETag.

        Args:
            upload: The upload.
            parts: As the client says that they are.
            expected: The object's checksums, as the client says: header to value. `VALUE-N` is that of N checksums.

        Raises:
            S3Error: They are not so.
        """
        for part in parts:
            known = upload.parts.get(part.number)
            if known is None or known.etag != part.etag:
                raise S3Error("InvalidPart", f"Part {part.number} could not be found, or its ETag is another.")
            if not part.checksums.items() <= known.checksums.items():
                raise S3Error("BadDigest", f"A checksum of part {part.number} did not match what we received.")
        if not parts or any(first.number >= second.number for first, second in pairwise(parts)):
            raise S3Error("InvalidPartOrder", "The list of parts was not in ascending order.")
        known_parts = [upload.parts[part.number] for part in parts]
        of_object = {name: value for name, value in expected.items() if "-" not in value}  # which base64 has not
        for name in expected.keys() - of_object.keys():
            if expected[name] != _composite(known_parts, name):
                raise S3Error("BadDigest", f"The {name} you specified did not match what we received.")
        md5s = b"".join(bytes.fromhex(part.etag) for part in known_parts)
        etag = f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(parts)}"
        files = [upload.file(part) for part in parts]
        self._objects.put(upload.bucket, upload.key, upload.headers, _joined(files, of_object), etag)
        self.abort(upload)
        return etag

    def abort(self, upload: Upload) -> None:
        """Forgets an upload, and removes its parts."""
        self._uploads.pop(upload.id, None)
        shutil.rmtree(upload.folder, ignore_errors=True)


def _composite(parts: Sequence[Part], name: str) -> str:
    """The checksum of the parts' checksums, of those that came with theirs."""
    checksum, values = checksums.new(name), [part.checksums[name] for part in parts if name in part.checksums]
    for value in values:
        checksum.update(base64.b64decode(value))
    return f"{checksum.b64digest()}-{len(values)}"


def _joined(files: Sequence[Path], expected: Mapping[str, str]) -> Iterator[bytes]:
    computed = {name: checksums.new(name) for name in expected}
    for file in files:
        for piece in pieces(file.open("rb"), 0, file.stat().st_size - 1):
            for checksum in computed.values():
                checksum.update(piece)
            yield piece
    checksums.compare(computed, expected)
