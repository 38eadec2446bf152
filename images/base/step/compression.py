"""Streams gzip, and recognises other compressions by their first bytes."""

from collections.abc import Callable, Iterator

from step.errors import BadDataError, printable

try:
    from isal import isal_zlib as zlib  # Intel's zlib, twice as fast, in the images that have it
except ImportError:
    import zlib

PIECE_BYTES = 1 << 22  # decompressed at a time, at most
# First bytes, what the file is, and what to do about it.
UNSUPPORTED = (
    (b"BZh", "it is compressed by bzip2", "Unpack it, or compress it by gzip (bunzip2 -c FILE | gzip)."),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd", "Unpack it, or compress it by gzip (zstd -dc FILE | gzip)."),
    (b"\xfd7zXZ\0", "it is compressed by xz", "Unpack it, or compress it by gzip (xz -dc FILE | gzip)."),
    (b"\x04\x22\x4d\x18", "it is compressed by lz4", "Unpack it, or compress it by gzip (lz4 -dc FILE | gzip)."),
    (b"\x1f\x9d", "it is compressed by compress", "Unpack it, or compress it by gzip (uncompress -c FILE | gzip)."),
    (b"PK\x03\x04", "it is a ZIP archive", "Unpack it, and give the file that it holds."),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "Unpack it, and give the file that it holds."),
)


def is_gzip(start: bytes) -> bool:
    """Whether a file that starts with these bytes is gzip."""
    return start[:2] == b"\x1f\x8b"


def gunzip(name: str, chunk: bytes, read: Callable[[], bytes]) -> Iterator[bytes]:
    """Decompresses gzip members piece by piece. After the last one, only zeros may follow.

    Args:
        name: The file's name in errors.
        chunk: The first bytes of the file.
        read: Reads the next bytes; empty at the end.

    Raises:
        BadDataError: It is truncated or damaged, or something else follows.
    """
    damaged = "The file is damaged or cut off: fetch it again."
    decompressor = zlib.decompressobj(31)
    while True:
        try:
            piece = decompressor.decompress(chunk, PIECE_BYTES)
        except zlib.error as error:
            raise BadDataError(f"cannot unpack {name}", why=printable(str(error)), fix=damaged) from error
        if piece:
            yield piece
        if decompressor.eof:
            chunk = decompressor.unused_data or read()
            if not chunk:
                return
            if chunk[:1] != b"\x1f":
                _check_padding(name, chunk, read)
                return
            decompressor = zlib.decompressobj(31)
            continue
        chunk = decompressor.unconsumed_tail
        if not chunk and len(piece) < PIECE_BYTES:
            chunk = read()
            if not chunk:
                raise BadDataError(f"cannot unpack {name}", why="its compressed data end early", fix=damaged)


def gunzip_start(chunk: bytes, limit: int) -> bytes:
    """Decompresses the first bytes of a gzip file; empty if it is damaged."""
    try:
        data: bytes = zlib.decompressobj(31).decompress(chunk, limit)
    except zlib.error:
        return b""
    return data


def _check_padding(name: str, chunk: bytes, read: Callable[[], bytes]) -> None:
    while chunk:
        if chunk.strip(b"\0"):
            raise BadDataError(
                f"cannot unpack {name}",
                why="something that is not gzip stands behind the end of its compressed data",
                fix="Data may be lost there: fetch the file again, or unpack and compress it anew.",
            )
        chunk = read()
