"""The checksums that S3 takes with an object: in a header, or in a trailer that a header announces."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from botocore.httpchecksum import BaseChecksum, Crc32Checksum, Sha1Checksum, Sha256Checksum

from toolchain.localaws.s3.errors import S3Error

PREFIX: Final = "x-amz-checksum-"
# Headers with the prefix that are no checksums.
_OTHERS: Final = frozenset({f"{PREFIX}algorithm", f"{PREFIX}mode", f"{PREFIX}type"})


class _Crc(BaseChecksum):
    """A reflected CRC that starts from all ones and ends inverted, which botocore has only with awscrt; 10 MB/s."""

    def __init__(self, polynomial: int, size: int) -> None:
        self._size = size
        self._value = self._ones = (1 << (8 * size)) - 1
        self._table = list(range(256))
        for _ in range(8):
            self._table = [(value >> 1) ^ (polynomial if value & 1 else 0) for value in self._table]

    def update(self, chunk: bytes | bytearray) -> None:
        value, table = self._value, self._table
        for byte in chunk:
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        self._value = value

    def digest(self) -> bytes:
        return (self._value ^ self._ones).to_bytes(self._size, "big")


class _Md5(BaseChecksum):
    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes | bytearray) -> None:
        self._md5.update(chunk)

    def digest(self) -> bytes:
        return self._md5.digest()


_CHECKSUMS: Final[Mapping[str, Callable[[], BaseChecksum]]] = {
    "content-md5": _Md5,
    f"{PREFIX}crc32": Crc32Checksum,
    f"{PREFIX}crc32c": lambda: _Crc(0x82F63B78, 4),
    f"{PREFIX}crc64nvme": lambda: _Crc(0x9A6C9329AC4BC9B5, 8),
    f"{PREFIX}sha1": Sha1Checksum,
    f"{PREFIX}sha256": Sha256Checksum,
}


def new(name: str) -> BaseChecksum:
    """What computes the checksum of a header or trailer.

    Raises:
        S3Error: Its algorithm is unknown.
    """
    if name not in _CHECKSUMS:
        raise S3Error("InvalidRequest", f"The embedded AWS knows no checksum {name}.")
    return _CHECKSUMS[name]()


def given(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums in headers, whose names are in lower case: header to value."""
    return {
        name: value.strip()
        for name, value in headers.items()
        if (name.startswith(PREFIX) or name in _CHECKSUMS) and name not in _OTHERS
    }


def compare(computed: Mapping[str, BaseChecksum], expected: Mapping[str, str]) -> None:
    """Compares checksums with what the sender says that they are.

    Raises:
        S3Error: One differs, or its trailer did not come.
    """
    for name, checksum in computed.items():
        if name not in expected:
            raise S3Error("MalformedTrailerError", f"The request announced the trailer {name}, and none came.")
        if expected[name] != checksum.b64digest():
            raise S3Error("BadDigest", f"The {name} you specified did not match what we received.")
