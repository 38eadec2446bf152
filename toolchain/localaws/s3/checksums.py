"""The checksums that S3 takes beside an object: each sent with it or after it, and compared with what came."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from toolchain.localaws.s3.errors import S3Error

PREFIX: Final = "x-amz-checksum-"
# Headers of that prefix that are no checksums.
_OTHER: Final = frozenset({"algorithm", "mode", "type"})


class Hasher(Protocol):
    """What hashlib's objects are."""

    def update(self, data: bytes, /) -> None:
        """Takes some more."""

    def digest(self) -> bytes:
        """The checksum of all."""


class _Crc32:
    """zlib's."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc:
    """A reflected CRC that starts from all ones and ends inverted; some 10 MB a second.

    Args:
        polynomial: Reflected.
        size: In bytes.
    """

    def __init__(self, polynomial: int, size: int) -> None:
        self._size = size
        self._ones = (1 << (8 * size)) - 1
        self._value = self._ones
        self._table = [_remainder(byte, polynomial) for byte in range(256)]

    def update(self, data: bytes, /) -> None:
        value, table = self._value, self._table
        for byte in data:
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        self._value = value

    def digest(self) -> bytes:
        return (self._value ^ self._ones).to_bytes(self._size, "big")


def _remainder(byte: int, polynomial: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (polynomial if byte & 1 else 0)
    return byte


ALGORITHMS: Final[Mapping[str, Callable[[], Hasher]]] = {
    "crc32": _Crc32,
    "crc32c": lambda: _Crc(0x82F63B78, 4),
    "crc64nvme": lambda: _Crc(0x9A6C9329AC4BC9B5, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}


class Expected:
    """A checksum that was said to be, and what came so far.

    Args:
        algorithm: One of `ALGORITHMS`.
        name: What the caller calls it.
    """

    def __init__(self, algorithm: str, name: str) -> None:
        self.name = name
        self.algorithm = algorithm
        self.hasher = ALGORITHMS[algorithm]()
        self._digest: bytes | None = None

    def value(self, text: str) -> None:
        """Tells what it is said to be.

        Raises:
            S3Error: It is no checksum of this algorithm.
        """
        try:
            digest = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != len(self.hasher.digest()):
            if self.name == "Content-MD5":
                raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid.")
            raise S3Error("InvalidRequest", f"Value for {self.name} header is invalid.")
        self._digest = digest

    def check(self) -> None:
        """Compares.

        Raises:
            S3Error: It is another, or was never said.
        """
        if self._digest is None:
            raise S3Error("MalformedTrailerError", f"The request announced the trailer {self.name}, and none came.")
        if self._digest != self.hasher.digest():
            raise S3Error("BadDigest", f"The {self.name} you specified did not match what we received.")


def announced(headers: Mapping[str, str]) -> list[Expected]:
    """The checksums that a request's headers hold, or say to follow in its trailer.

    Args:
        headers: By names in lower case.

    Raises:
        S3Error: One is not valid, or of an algorithm that is not known.
    """
    found: list[Expected] = []
    if (text := headers.get("content-md5")) is not None:
        found.append(Expected("md5", "Content-MD5"))
        found[-1].value(text)
    for name, value in headers.items():
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in _OTHER:
            found.append(_expected(name))
            found[-1].value(value)
    trailers = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
    found += [_expected(name) for name in trailers]
    return found


def _expected(name: str) -> Expected:
    algorithm = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or algorithm not in ALGORITHMS:
        raise S3Error("InvalidRequest", f"The embedded AWS knows no checksum {name}.")
    return Expected(algorithm, name)
