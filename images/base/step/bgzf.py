"""Reads BGZF, the blocked gzip of BAM files, compressed VCFs and their indexes (SAM specification, section 4.1)."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from step.errors import cannot_read

# The empty block at the end of every BGZF file. A file without it was truncated.
EOF_MARKER = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CHUNK_BYTES = 1 << 16


def has_eof_marker(file: Path) -> bool:
    """Whether a BGZF file is complete. Raises StepError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            if stream.seek(0, 2) < len(EOF_MARKER):
                return False
            stream.seek(-len(EOF_MARKER), 2)
            return stream.read() == EOF_MARKER
    except OSError as error:
        raise cannot_read(file, error) from error


def decompress(stream: BinaryIO) -> Iterator[bytes]:
    """Decompresses gzip members piece by piece. Raises zlib.error if it is not gzip, EOFError if it was truncated."""
    decompressor = zlib.decompressobj(31)
    started = False
    while chunk := stream.read(CHUNK_BYTES):
        while chunk:
            started = True
            yield decompressor.decompress(chunk)
            chunk = decompressor.unused_data
            if decompressor.eof:
                decompressor = zlib.decompressobj(31)
                started = False
    if started:
        raise EOFError("the compressed data end in the middle")


class Reader:
    """Reads the uncompressed bytes of a BGZF file."""

    def __init__(self, stream: BinaryIO) -> None:
        """Takes a file, open at its start."""
        self._pieces = decompress(stream)
        self._buffer = bytearray()

    def read(self, count: int) -> bytes:
        """Exactly that many bytes. Raises EOFError if there are fewer, zlib.error if it is not BGZF."""
        while len(self._buffer) < count:
            piece = next(self._pieces, None)
            if piece is None:
                raise EOFError("the data end early")
            self._buffer += piece
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def read_all(self) -> bytes:
        """The remaining bytes."""
        data = bytes(self._buffer) + b"".join(self._pieces)
        self._buffer.clear()
        return data

    def lines(self) -> Iterator[bytes]:
        """The remaining lines, without their line ends."""
        while True:
            at = self._buffer.find(b"\n")
            if at >= 0:
                line = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                yield line
                continue
            piece = next(self._pieces, None)
            if piece is None:
                if self._buffer:
                    yield bytes(self._buffer)
                return
            self._buffer += piece
