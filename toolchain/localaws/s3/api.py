"""S3's operations on objects over HTTP; those on buckets are moto's."""

import errno
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes
from uuid import uuid4
from xml.etree.ElementTree import ParseError

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from toolchain.localaws.beneath import LinkError
from toolchain.localaws.s3 import body, checksums, listing, xml
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.multipart import Upload, Uploads, pieces
from toolchain.localaws.s3.objects import Object, Objects, is_bucket_name
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
        try:
            return self._answer(request)
        except S3Error as error:
            return refusal(error, request)
        except LinkError:
            message = "Access Denied: a symbolic link is no object, and leads to none."
            return refusal(S3Error("AccessDenied", message, status=403), request)
        except (HTTPException, ValueError) as error:  # a parameter that is missing, or no number
            return refusal(S3Error("InvalidArgument", str(error)), request)
        except OSError as error:
            return refusal(_of_system(error), request)

    def _answer(self, request: Request) -> Response | None:
        bucket, _, key = _path(request).removeprefix("/").partition("/")
        query = request.args
        if bucket and not is_bucket_name(bucket):
            if request.method == "PUT" and not key:
                raise S3Error("InvalidBucketName", "The specified bucket is not valid.")
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {bucket}", status=404)
        return self._of(request, bucket, key, query)

    def _of(self, request: Request, bucket: str, key: str, query: Mapping[str, str]) -> Response | None:
        if key:
            return self._of_object(request, bucket, key)
        if request.method == "POST" and "delete" in query:
            return self._delete_many(bucket, request)
        if request.method == "POST":  # a form of a web page, which moto would keep where no object is
            raise _not_allowed()
        if request.method == "GET" and bucket and not set(query) - _LISTING:
            return _xml(listing.answer(self.objects, bucket, query))
        if request.method == "GET" and "uploads" in query:
            return _xml(self._list_uploads(bucket))
        return None

    def _of_object(self, request: Request, bucket: str, key: str) -> Response:
        query = request.args
        if other := _OTHER & set(query):
            raise S3Error("NotImplemented", f"The embedded AWS has no {', '.join(other)} of objects", status=501)
        if "uploadId" in query:
            return self._of_upload(request, self.uploads.find(query["uploadId"], bucket, key))
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
            for chunk in body.chunks(request):
                writing.write(chunk)
        self.listener(bucket, key, True)  # noqa: FBT003  # likewise
        return Response(headers={"ETag": f'"{writing.md5.hexdigest()}"'})

    def _check_conditions(self, bucket: str, key: str, request: Request) -> None:
        if request.headers.get("If-None-Match") == "*" and self.objects.file(bucket, key).is_file:
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
            etag = self.uploads.part(upload, number, body.chunks(request))
            return Response(headers={"ETag": f'"{etag}"'})
        source = self._source(request)
        first, last = _span(request.headers.get("x-amz-copy-source-range"), source.size) or (0, source.size - 1)
        etag = self.uploads.part(upload, number, pieces(source.file.open(), first, last))
        return _xml(
            Node("CopyPartResult", [text("ETag", f'"{etag}"'), text("LastModified", xml.moment(source.modified))])
        )

    def _complete(self, upload: Upload, request: Request) -> Response:
        # A checksum in the headers is that of the object, and not of this request.
        given = ((name.lower(), value) for name, value in request.headers.items())
        headers = {name: value for name, value in given if name.startswith(checksums.PREFIX)}
        # One that ends in the number of parts is the checksum of their checksums; base64 has no hyphen.
        whole = checksums.announced({name: value for name, value in headers.items() if "-" not in value})
        parted = {name: value.rpartition("-") for name, value in headers.items() if "-" in value}
        composite = checksums.announced({name: value for name, (value, _, _) in parted.items()})
        root = _document(request, without=headers)
        parts = [
            (int(part.findtext("PartNumber") or 0), part.findtext("ETag") or "", _sums_of(part))
            for part in root.iter("Part")
        ]
        if any(number != str(len(parts)) for _, _, number in parted.values()):
            raise S3Error("BadDigest", "A checksum of the parts' checksums names another number of parts.")
        etag = self.uploads.complete(upload, parts, whole, composite)
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
    data = found.file.open()
    answer = Response(pieces(data, first, last), status=status, headers=headers, direct_passthrough=True)
    answer.call_on_close(data.close)
    return answer


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


def _document(request: Request, *, without: Mapping[str, str] = MappingProxyType({})) -> Any:  # noqa: ANN401  # an element of an XML document
    """A request's XML.

    Args:
        request: The request.
        without: Headers that say nothing of this document.
    """
    if without:
        request = Request({name: value for name, value in request.environ.items() if name not in _keys(without)})
    try:
        return xml.read(body.document(request))
    except ParseError as error:
        raise S3Error("MalformedXML", str(error)) from error


def _keys(headers: Iterable[str]) -> set[str]:
    return {f"HTTP_{name.upper().replace('-', '_')}" for name in headers}


def _sums_of(part: Any) -> list[checksums.Expected]:  # noqa: ANN401  # an element of an XML document
    """What the checksums of a part are said to be."""
    given = {
        checksums.PREFIX + element.tag.removeprefix("Checksum").lower(): element.text or ""
        for element in part
        if element.tag.startswith("Checksum")
    }
    return checksums.announced(given)


def _path(request: Request) -> str:
    """A request's path; werkzeug's own has other characters in the place of what is no UTF-8."""
    sent: str = request.environ["RAW_URI"].partition("?")[0]
    try:
        return unquote_to_bytes(sent.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from error


def _of_system(error: OSError) -> S3Error:
    match error.errno:
        case errno.ENAMETOOLONG:
            return S3Error("KeyTooLongError", "Your key is too long")
        case errno.ENOENT | errno.ENOTDIR:
            return S3Error("NoSuchKey", "The specified key does not exist.", status=404)
        case errno.EACCES | errno.EPERM:
            return S3Error("AccessDenied", f"Access Denied: {error.strerror}", status=403)
        case _:
            return S3Error("InternalError", f"The embedded AWS failed: {error.strerror}", status=500)


def _xml(node: Node) -> Response:
    return Response(xml.written(node), content_type="application/xml")


def refusal(error: S3Error, request: Request) -> Response:
    """What says it."""
    nodes = [text("Code", error.code), text("Message", error.message), text("RequestId", uuid4().hex)]
    content = b"" if request.method == "HEAD" else xml.written(Node("Error", nodes))
    return Response(content, status=error.status, content_type="application/xml")
