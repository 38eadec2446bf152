"""Bodies of requests to S3, checked against every checksum that came with them.

Not emulated: chunks that are signed one by one, which neither boto3 nor the AWS command line sends.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from toolchain.localaws.s3 import checksums
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.signature import UNSIGNED_PAYLOAD

CHUNK: Final = 1024 * 1024
_PAYLOAD_HEADER: Final = "x-amz-content-sha256"
_LARGEST_DOCUMENT: Final = 4 * 1024 * 1024
_STREAMING: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,16}")
_LONGEST_LINE: Final = 4096
_MOST_TRAILERS: Final = 10


class Body:
    """The content of a request, in pieces.

    What is wrong is found when all has come: nothing of it may be published before the iteration has ended.

    Attributes:
        checksums: Those that the sender gives: header or trailer to value.

    Raises:
        S3Error: It is cut off, not as it was signed, or its checksums differ; of headers at once, else at the end.
    """

    def __init__(self, request: Request, *, ignore_checksums: bool = False) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._request = request
        self._payload = headers.get(_PAYLOAD_HEADER, UNSIGNED_PAYLOAD)
        self._is_streaming = self._payload == _STREAMING
        is_sha256 = _SHA256.fullmatch(self._payload)
        if not (self._is_streaming or is_sha256 or self._payload == UNSIGNED_PAYLOAD):
            raise S3Error("InvalidArgument", f"{_PAYLOAD_HEADER} must be a SHA-256, UNSIGNED-PAYLOAD or {_STREAMING}")
        trailers = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
        if trailers and not self._is_streaming:
            raise S3Error("InvalidRequest", f"A trailer needs {_PAYLOAD_HEADER} to be {_STREAMING}.")
        self.checksums = {} if ignore_checksums else checksums.given(headers)
        self._computed = {name: checksums.new(name) for name in (*self.checksums, *trailers)}
        self._sha256 = hashlib.sha256() if is_sha256 else None

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._chunks() if self._is_streaming else self._read(self._request.content_length or 0):
            for checksum in self._computed.values():
                checksum.update(piece)
            if self._sha256:
                self._sha256.update(piece)
            yield piece
        if self._sha256 and self._sha256.hexdigest() != self._payload:
            message = f"The provided '{_PAYLOAD_HEADER}' header does not match what was computed."
            raise S3Error("XAmzContentSHA256Mismatch", message)
        checksums.compare(self._computed, self.checksums)

    def document(self) -> bytes:
        """All of a small body."""
        document = bytearray()
        for piece in self:
            document += piece
            if len(document) > _LARGEST_DOCUMENT:
                raise S3Error("MaxMessageLengthExceeded", "Your request was too large.")
        return bytes(document)

    def _chunks(self) -> Iterator[bytes]:
        """Takes `aws-chunked` apart: chunks with their sizes before them, an empty one, and trailers."""
        total, size = 0, -1
        while size:
            line = self._line()
            if not _CHUNK_SIZE.fullmatch(line):
                raise S3Error("InvalidChunkSizeError", "A chunk does not begin with its size.")
            size = int(line, 16)
            yield from self._read(size)
            if size and self._line():
                raise S3Error("InvalidChunkSizeError", "A chunk is longer than its size says.")
            total += size
        self._read_trailers()
        if self._request.headers.get("x-amz-decoded-content-length", str(total)) != str(total):
            raise S3Error("IncompleteBody", "The content's length is not that of x-amz-decoded-content-length.")

    def _read_trailers(self) -> None:
        for _ in range(_MOST_TRAILERS):
            line = self._line(is_optional=True).decode("latin-1")
            if not line:
                break
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name not in self._computed:
                raise S3Error("MalformedTrailerError", f"The request did not announce the trailer {name}.")
            self.checksums[name] = value

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            try:
                piece = self._request.stream.read(min(CHUNK, size))
            except (ClientDisconnected, OSError) as error:
                raise _cut_off() from error
            if not piece:
                raise _cut_off()
            size -= len(piece)
            yield piece

    def _line(self, *, is_optional: bool = False) -> bytes:
        try:
            line = self._request.stream.readline(_LONGEST_LINE)
        except (ClientDisconnected, OSError) as error:
            raise _cut_off() from error
        if not line.endswith(b"\n") and not (is_optional and not line):
            raise _cut_off()
        return line.rstrip(b"\r\n")


def _cut_off() -> S3Error:
    return S3Error("IncompleteBody", "The request body terminated unexpectedly.")
