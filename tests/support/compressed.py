"""Bytes as gzip and as BGZF, the blocked gzip of BAM files; the same ones each time."""

import gzip
import zlib

from step.bgzf import EOF_MARKER

_START = bytes.fromhex("1f8b08040000000000ff060042430200")


def gzipped(data: bytes, level: int = 6) -> bytes:
    """Data as one member of gzip, without a time."""
    return gzip.compress(data, level, mtime=0)


def bgzipped(data: bytes, block: int = 100) -> bytes:
    """Data as BGZF.

    Args:
        data: Of any length.
        block: Bytes in each block; real files have 65,280.
    """
    parts = []
    for start in range(0, len(data), block):
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        piece = data[start : start + block]
        body = compressor.compress(piece) + compressor.flush()
        size = len(body) + 25
        parts += [_START + size.to_bytes(2, "little"), body]
        parts += [zlib.crc32(piece).to_bytes(4, "little"), len(piece).to_bytes(4, "little")]
    return b"".join(parts) + EOF_MARKER
