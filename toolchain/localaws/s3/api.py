"""S3's operations on objects over HTTP; those on buckets are moto's."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4
from xml.etree.ElementTree import ParseError

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from toolchain.localaws.s3 import listing, xml
from toolchain.localaws.s3.multipart import Upload, Uploads, pieces
from toolchain.localaws.s3.objects import CHUNK, Object, Objects, S3Error
from toolchain.localaws.s3.xml import Node, text

# Told of an object that came or went: the bucket, the key, and whether it is there now.
Listener = Callable[[str, str, bool], None]

# What is kept of a put, beside the caller's own metadata.
_KEPT: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_META: Final = "x-amz-meta-"
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
# What asks for something of an object that is not its content: moto knows nothing of the objects.
_OTHER: Final = frozenset({"acl", "tagging", "retention", "legal-hold", "attributes", "torrent", "restore", "select"})

_LISTING: Final = frozenset(
    {
        "list-type",
        "prefix",
        "delimiter",
        "max-keys",
        "marker",
        "start-after",
        "continuation-token",
        "encoding-type",
        "fetch-owner",
    }
)


@dataclass(frozen=True, kw_only=True)
class ObjectApi:
    """Answers requests about objects.

    Attributes:
        objects: The objects.
        uploads: Those that come in parts.
        listener: Who is told of changes.
    """

    objects: Objects
    uploads: Uploads
    listener: Listener

    def answer(self, request: Request) -> Response | None:
        """The answer to a request; none if it is about a bucket."""
        bucket, _, key = request.path.removeprefix("/").partition("/")
        query = request.args
        try:
            if key:
                return self._of_object(request, bucket, key)
            if request.method == "POST" and "delete" in query:
                return self._delete_many(bucket, request)
            if request.method == "GET" and bucket and not set(query) - _LISTING:
                return _xml(listing.answer(self.objects, bucket, query))
            if request.method == "GET" and "uploads" in query:
                return _xml(self._list_uploads(bucket))
        except S3Error as error:
            return _refusal(error, request)
        return None

    def _of_object(self, request: Request, bucket: str, key: str) -> Response:
        query = request.args
        if other := _OTHER & set(query):
            raise S3Error("NotImplemented", f"The embedded AWS has no {', '.join(other)} of objects", status=501)
        if "uploadId" in query:
            return self._of_upload(request, self.uploads.find(query["uploadId"]))
        match request.method:
            case "GET" | "HEAD":
                return _content(self.objects.get(bucket, key), request)
            case "PUT" if "x-amz-copy-source" in request.headers:
                return self._copy(bucket, key, request)
            case "PUT":
                return self._put(bucket, key, request)
            case "POST" if "uploads" in query:
                return self._begin(bucket, key, request)
            case "DELETE":
                return self._delete(bucket, key)
        raise _not_allowed()

    def _of_upload(self, request: Request, upload: Upload) -> Response:
        match request.method:
            case "GET":
                return _xml(_list_parts(upload))
            case "PUT":
                return self._put_part(upload, request)
            case "POST":
                return self._complete(upload, request)
            case "DELETE":
                self.uploads.abort(upload)
                return Response(status=204)
        raise _not_allowed()

    def _begin(self, bucket: str, key: str, request: Request) -> Response:
        new = self.uploads.begin(bucket, key, _kept(request.headers))
        nodes = [text("Bucket", bucket), text("Key", key), text("UploadId", new.id)]
        return _xml(Node("InitiateMultipartUploadResult", nodes))

    def _delete(self, bucket: str, key: str) -> Response:
        self.objects.delete(bucket, key)
        self.listener(bucket, key, False)  # noqa: FBT003  # a listener's own word
        return Response(status=204)

    def _put(self, bucket: str, key: str, request: Request) -> Response:
        self._check_conditions(bucket, key, request)
        with self.objects.new(bucket, key, _kept(request.headers)) as writing:
            for chunk in _body(request):
                writing.write(chunk)
        self.listener(bucket, key, True)  # noqa: FBT003  # likewise
        return Response(headers={"ETag": f'"{writing.md5.hexdigest()}"'})

    def _check_conditions(self, bucket: str, key: str, request: Request) -> None:
        if request.headers.get("If-None-Match") == "*" and self.objects.file(bucket, key).is_file():
            raise S3Error(
                "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", status=412
            )

    def _copy(self, bucket: str, key: str, request: Request) -> Response:
        source = self._source(request)
        replaced = request.headers.get("x-amz-metadata-directive") == "REPLACE"
        made = self.objects.copy(source, bucket, key, _kept(request.headers) if replaced else source.headers)
        self.listener(bucket, key, True)  # noqa: FBT003  # likewise
        return _xml(
            Node("CopyObjectResult", [text("ETag", f'"{made.etag}"'), text("LastModified", xml.moment(made.modified))])
        )

    def _put_part(self, upload: Upload, request: Request) -> Response:
        try:
            number = int(request.args["partNumber"])
        except ValueError as error:
            raise S3Error("InvalidArgument", str(error)) from error
        if "x-amz-copy-source" not in request.headers:
            etag = self.uploads.part(upload, number, _body(request))
            return Response(headers={"ETag": f'"{etag}"'})
        source = self._source(request)
        first, last = _span(request.headers.get("x-amz-copy-source-range"), source.size) or (0, source.size - 1)
        etag = self.uploads.part(upload, number, pieces(source.file, first, last))
        return _xml(
            Node("CopyPartResult", [text("ETag", f'"{etag}"'), text("LastModified", xml.moment(source.modified))])
        )

    def _complete(self, upload: Upload, request: Request) -> Response:
        root = _document(request)
        parts = [(int(one.findtext("PartNumber") or 0), one.findtext("ETag") or "") for one in root.iter("Part")]
        etag = self.uploads.complete(upload, parts)
        self.listener(upload.bucket, upload.key, True)  # noqa: FBT003  # likewise
        nodes = [text("Bucket", upload.bucket), text("Key", upload.key), text("ETag", f'"{etag}"')]
        return _xml(Node("CompleteMultipartUploadResult", nodes))

    def _delete_many(self, bucket: str, request: Request) -> Response:
        root = _document(request)
        gone = [one.findtext("Key") or "" for one in root.iter("Object")]
        for key in gone:
            self.objects.delete(bucket, key)
            self.listener(bucket, key, False)  # noqa: FBT003  # likewise
        quiet = root.findtext("Quiet") == "true"
        nodes = [] if quiet else [Node("Deleted", [text("Key", key)]) for key in gone]
        return _xml(Node("DeleteResult", nodes))

    def _list_uploads(self, bucket: str) -> Node:
        self.objects.bucket(bucket)
        nodes = [text("Bucket", bucket), text("IsTruncated", "false")]
        nodes += [Node("Upload", [text("Key", one.key), text("UploadId", one.id)]) for one in self.uploads.of(bucket)]
        return Node("ListMultipartUploadsResult", nodes)

    def _source(self, request: Request) -> Object:
        path = unquote(request.headers["x-amz-copy-source"]).split("?", 1)[0].removeprefix("/")
        bucket, _, key = path.partition("/")
        return self.objects.get(bucket, key)


def _not_allowed() -> S3Error:
    return S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.", status=405)


def _list_parts(upload: Upload) -> Node:
    nodes = [text("Bucket", upload.bucket), text("Key", upload.key), text("UploadId", upload.id)]
    nodes.append(text("IsTruncated", "false"))
    nodes += [
        Node(
            "Part",
            [
                text("PartNumber", str(number)),
                text("ETag", f'"{etag}"'),
                text("Size", str((upload.folder / str(number)).stat().st_size)),
            ],
        )
        for number, etag in sorted(upload.etags.items())
    ]
    return Node("ListPartsResult", nodes)


def _content(found: Object, request: Request) -> Response:
    headers = {
        "content-type": "binary/octet-stream",  # spelled as what is kept is
        **found.headers,
        "ETag": f'"{found.etag}"',
        "Last-Modified": format_datetime(found.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if request.headers.get("If-Match", headers["ETag"]) not in {headers["ETag"], found.etag, "*"}:
        raise S3Error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", status=412)
    if request.headers.get("If-None-Match") in {headers["ETag"], found.etag}:
        return Response(status=304, headers=headers)
    span = _span(request.headers.get("Range"), found.size)
    first, last = span or (0, found.size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{found.size}"
    status = 200 if span is None else 206
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    return Response(pieces(found.file, first, last), status=status, headers=headers, direct_passthrough=True)


def _span(asked: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are asked for; none for all."""
    found = _RANGE.fullmatch(asked or "")
    if found is None or not (found[1] or found[2]):
        return None
    first = int(found[1]) if found[1] else max(0, size - int(found[2]))
    last = min(size - 1, int(found[2])) if found[1] and found[2] else size - 1
    if first > last:
        raise S3Error("InvalidRange", "The requested range is not satisfiable", status=416)
    return first, last


def _kept(headers: Headers) -> dict[str, str]:
    kept = {}
    for name, value in headers.items():
        low = name.lower()
        if low.startswith(_META) or low in _KEPT:
            # A word of the transfer, not of the object.
            plain = re.sub(r"aws-chunked,?", "", value) if low == "content-encoding" else value
            if plain:
                kept[low] = plain
    return kept


def _body(request: Request) -> Iterator[bytes]:
    """What is put, piece by piece."""
    stream = request.stream
    chunked = request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    if not chunked and "aws-chunked" not in request.headers.get("content-encoding", ""):
        while piece := stream.read(CHUNK):
            yield piece
        return
    # aws-chunked: `SIZE;chunk-signature=...`, that many bytes, and so on; a chunk of none, then trailers.
    while size := int(stream.readline().split(b";")[0] or b"0", 16):
        left = size
        while left and (piece := stream.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece
        stream.readline()
    while stream.readline().strip():
        continue


def _document(request: Request) -> Any:  # noqa: ANN401  # an element of an XML document
    try:
        return xml.read(b"".join(_body(request)))
    except ParseError as error:
        raise S3Error("MalformedXML", str(error)) from error


def _xml(node: Node) -> Response:
    return Response(xml.written(node), content_type="application/xml")


def _refusal(error: S3Error, request: Request) -> Response:
    # Whoever sends on without being heard sees the connection reset, and not the answer.
    _drain(request)
    nodes = [text("Code", error.code), text("Message", error.message), text("RequestId", uuid4().hex)]
    body = b"" if request.method == "HEAD" else xml.written(Node("Error", nodes))
    return Response(body, status=error.status, content_type="application/xml")


def _drain(request: Request) -> None:
    while request.stream.read(CHUNK):
        continue
