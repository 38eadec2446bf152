"""BGZF: the blocked gzip of BAM files, compressed VCFs and their indexes (SAM specification, section 4.1)."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from step.errors import cannot_read

# The empty block that ends every BGZF file: without it the file was cut off.
END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CHUNK = 1 << 16


def is_whole(file: Path) -> bool:
    """Whether a file ends with the block that ends every BGZF file. Raises StepError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            if stream.seek(0, 2) < len(END):
                return False
            stream.seek(-len(END), 2)
            return stream.read() == END
    except OSError as error:
        raise cannot_read(file, error) from error


def unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """What a file of gzip members holds, piece by piece, from where the stream stands.

    Raises:
        zlib.error: It is not gzip.
        EOFError: It was cut off.
    """
    decompressor = zlib.decompressobj(31)
    started = False
    while chunk := stream.read(CHUNK):
        while chunk:
            started = True
            yield decompressor.decompress(chunk)
            chunk = decompressor.unused_data
            if decompressor.eof:
                decompressor = zlib.decompressobj(31)
                started = False
    if started:
        message = "the compressed data end in the middle"
        raise EOFError(message)


class Reader:
    """Reads exact numbers of bytes out of a BGZF file, from its start."""

    def __init__(self, stream: BinaryIO) -> None:
        """Take an open file."""
        self._pieces = unpacked(stream)
        self._held = bytearray()

    def read(self, count: int) -> bytes:
        """The next bytes. Raises EOFError if there are fewer, zlib.error for what is not BGZF."""
        while len(self._held) < count:
            piece = next(self._pieces, None)
            if piece is None:
                message = "the data end early"
                raise EOFError(message)
            self._held += piece
        data = bytes(self._held[:count])
        del self._held[:count]
        return data

    def rest(self) -> bytes:
        """All that is left."""
        data = bytes(self._held) + b"".join(self._pieces)
        self._held.clear()
        return data

    def lines(self) -> Iterator[bytes]:
        """The lines that follow, without their ends."""
        while True:
            at = self._held.find(b"\n")
            if at >= 0:
                line = bytes(self._held[:at])
                del self._held[: at + 1]
                yield line
                continue
            piece = next(self._pieces, None)
            if piece is None:
                if self._held:
                    yield bytes(self._held)
                return
            self._held += piece
