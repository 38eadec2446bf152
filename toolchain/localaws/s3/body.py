"""What a request to S3 carries, piece by piece, held against every digest that came with it.

A wrong one is found when all has come: what was written until then must not be published before.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from toolchain.localaws.s3.checksums import announced
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.signature import CHUNKS, UNSIGNED_PAYLOAD, ChunkSigner

CHUNK: Final = 1024 * 1024
_LARGEST_DOCUMENT: Final = 4 * 1024 * 1024
_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_TRAILER: Final = "-TRAILER"
_STREAMING: Final = frozenset({f"STREAMING-UNSIGNED-PAYLOAD{_TRAILER}", _SIGNED, _SIGNED + _TRAILER})
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# `SIZE;chunk-signature=SIGNATURE`
_HEAD: Final = re.compile(rb"(?P<size>[0-9a-fA-F]{1,16})(;chunk-signature=(?P<signature>[0-9a-f]{64}))?")
_LONGEST_LINE: Final = 4096
_MOST_TRAILERS: Final = 10


def chunks(request: Request) -> Iterator[bytes]:
    """The content of a request.

    Raises:
        S3Error: It is cut off, not as it was signed, or another than its checksums say.
    """
    payload = request.headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
    if payload not in _STREAMING and payload != UNSIGNED_PAYLOAD and not _DIGEST.fullmatch(payload):
        raise S3Error("InvalidArgument", "x-amz-content-sha256 must be a SHA-256, UNSIGNED-PAYLOAD or STREAMING-...")
    expected = announced({name.lower(): value for name, value in request.headers.items()})
    if payload not in _STREAMING and "x-amz-trailer" in request.headers:
        raise S3Error("InvalidRequest", "A trailer needs x-amz-content-sha256 to be STREAMING-...-TRAILER.")
    trailers: dict[str, str] = {}
    whole = hashlib.sha256()
    for piece in _Framed(request, payload, trailers).pieces() if payload in _STREAMING else _plain(request):
        for checksum in expected:
            checksum.hasher.update(piece)
        if _DIGEST.fullmatch(payload):
            whole.update(piece)
        yield piece
    if _DIGEST.fullmatch(payload) and whole.hexdigest() != payload:
        raise S3Error(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        )
    if surprising := sorted(set(trailers) - {checksum.name for checksum in expected}):
        raise S3Error("MalformedTrailerError", f"The request did not announce the trailer {surprising[0]}.")
    for checksum in expected:
        if checksum.name in trailers:
            checksum.value(trailers[checksum.name])
        checksum.check()


def document(request: Request) -> bytes:
    """The same of a request whose content is small.

    Raises:
        S3Error: Likewise, or it is not small.
    """
    found = bytearray()
    for piece in chunks(request):
        found += piece
        if len(found) > _LARGEST_DOCUMENT:
            raise S3Error("MaxMessageLengthExceeded", "Your request was too large.")
    return bytes(found)


def _plain(request: Request) -> Iterator[bytes]:
    left = request.content_length or 0
    while left:
        piece = _read(request, min(CHUNK, left))
        left -= len(piece)
        yield piece


def _read(request: Request, size: int) -> bytes:
    """Some bytes; fewer only where fewer have come yet."""
    try:
        piece = request.stream.read(size)
    except (ClientDisconnected, OSError) as error:
        raise _cut_off() from error
    if not piece:
        raise _cut_off()
    return piece


def _cut_off() -> S3Error:
    return S3Error("IncompleteBody", "The request body terminated unexpectedly.")


class _Framed:
    """A body of chunks, `aws-chunked`, each with its size before it: the last of none, and then trailers.

    Args:
        request: The request.
        payload: Its x-amz-content-sha256.
        trailers: Is filled with what follows the last chunk.
    """

    def __init__(self, request: Request, payload: str, trailers: dict[str, str]) -> None:
        self._request = request
        self._has_trailer = payload.endswith(_TRAILER)
        self._trailers = trailers
        self._signer: ChunkSigner | None = request.environ[CHUNKS] if payload.startswith(_SIGNED) else None

    def pieces(self) -> Iterator[bytes]:
        """What the chunks hold."""
        total = 0
        while True:
            head = _HEAD.fullmatch(self._line())
            if head is None:
                raise S3Error("InvalidChunkSizeError", "A chunk does not begin with its size.")
            size = left = int(head["size"], 16)
            digest = hashlib.sha256()
            while left:
                piece = _read(self._request, min(CHUNK, left))
                left -= len(piece)
                digest.update(piece)
                yield piece
            self._check(head["signature"], digest.hexdigest())
            total += size
            if not size:
                break
            if self._line():
                raise S3Error("InvalidChunkSizeError", "A chunk is longer than its size says.")
        self._read_trailers()
        told = self._request.headers.get("x-amz-decoded-content-length")
        if told is not None and told != str(total):
            raise S3Error("IncompleteBody", "The content's length is not that of x-amz-decoded-content-length.")

    def _check(self, signature: bytes | None, digest: str) -> None:
        if self._signer is not None and not self._signer.is_next(digest, (signature or b"").decode()):
            raise S3Error("SignatureDoesNotMatch", "A chunk's signature is not the one that it gives.", status=403)

    def _read_trailers(self) -> None:
        text = ""
        for _ in range(_MOST_TRAILERS):
            line = self._line(may_end=True).decode("latin-1")
            if not line:
                break
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name == "x-amz-trailer-signature" and self._signer is not None:
                if not self._signer.is_trailer(text, value):
                    raise S3Error("SignatureDoesNotMatch", "The trailer's signature is not its own.", status=403)
                return
            text += f"{name}:{value}\n"
            self._trailers[name] = value
        if self._signer is not None and self._has_trailer:
            raise S3Error("SignatureDoesNotMatch", "The trailer is not signed.", status=403)

    def _line(self, *, may_end: bool = False) -> bytes:
        try:
            line = self._request.stream.readline(_LONGEST_LINE)
        except (ClientDisconnected, OSError) as error:
            raise _cut_off() from error
        if not line.endswith(b"\n") and not (may_end and not line):
            raise _cut_off()
        return line.rstrip(b"\r\n")
