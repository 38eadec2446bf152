"""S3's operations on objects over HTTP; those on buckets are moto's."""

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, Final, Protocol
from urllib.parse import unquote, unquote_to_bytes
from uuid import uuid4
from xml.etree import ElementTree as ET

from moto.core.serialize import S3Serializer, SerializationContext
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from toolchain.localaws.s3 import checksums
from toolchain.localaws.s3.body import Body
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.listing import list_objects
from toolchain.localaws.s3.multipart import Part, Upload, Uploads
from toolchain.localaws.s3.objects import Object, Objects, is_bucket_name, pieces
from toolchain.localaws.safe_path import LinkError

# Headers of a put that are kept beside the caller's own metadata.
_KEPT: Final = re.compile(r"(?i)cache-control|content-(disposition|encoding|language|type)|expires|x-amz-meta-.*")
_RANGE: Final = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)")
# Queries for something of an object that is not its content: moto knows nothing of the objects.
_NOT_EMULATED: Final = {"acl", "tagging", "retention", "legal-hold", "attributes", "torrent", "restore", "select"}
_LISTING: Final = re.compile(
    "list-type|prefix|delimiter|max-keys|marker|start-after|continuation-token|encoding-type|fetch-owner"
)
# Characters that no XML document may have.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ERRORS_OF_FILES: Final = {
    errno.ENAMETOOLONG: ("KeyTooLongError", "Your key is too long", 400),
    errno.ENOENT: ("NoSuchKey", "The specified key does not exist.", 404),
    errno.ENOTDIR: ("NoSuchKey", "The specified key does not exist.", 404),
    errno.EACCES: ("AccessDenied", "Access Denied by the file system", 403),
    errno.EPERM: ("AccessDenied", "Access Denied by the file system", 403),
}


class Listener(Protocol):
    """Is told of an object that was put or deleted."""

    def __call__(self, bucket: str, key: str, *, exists: bool) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ObjectApi:
    """Answers requests about objects."""

    objects: Objects
    uploads: Uploads
    listener: Listener

    def answer(self, request: Request) -> Response | None:
        """The answer to a request; none if it is about a bucket.

        Raises:
            S3Error: The request is refused.
        """
        try:
            return self._answer(request)
        except LinkError as error:
            message = "Access Denied: a symbolic link is no object, and leads to none."
            raise S3Error("AccessDenied", message, status=403) from error
        except (HTTPException, ValueError) as error:  # a parameter that is missing, or no number
            raise S3Error("InvalidArgument", str(error)) from error
        except OSError as error:
            code, message, status = _ERRORS_OF_FILES.get(
                error.errno or 0, ("InternalError", f"The embedded AWS failed: {error.strerror}", 500)
            )
            raise S3Error(code, message, status=status) from error

    def _answer(self, request: Request) -> Response | None:
        bucket, _, key = _path(request).removeprefix("/").partition("/")
        method, query = request.method, request.args
        if bucket and not is_bucket_name(bucket):
            if method == "PUT" and not key:
                raise S3Error("InvalidBucketName", "The specified bucket is not valid.")
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {bucket}", status=404)
        if not key:
            return self._answer_of_bucket(bucket, request)
        if unsupported := _NOT_EMULATED & set(query):
            raise S3Error("NotImplemented", f"The embedded AWS has no {', '.join(unsupported)} of objects", status=501)
        if "uploadId" in query:
            return self._answer_of_upload(self.uploads.find(query["uploadId"], bucket, key), request)
        if method in {"GET", "HEAD"}:
            return _content(self.objects.get(bucket, key), request)
        if method == "PUT":
            return self._put(bucket, key, request)
        if method == "POST" and "uploads" in query:
            upload = self.uploads.begin(bucket, key, _kept(request.headers))
            return _response("CreateMultipartUpload", {"Bucket": bucket, "Key": key, "UploadId": upload.id})
        if method != "DELETE":
            raise _not_allowed()
        self._delete(bucket, key)
        return Response(status=204)

    def _answer_of_bucket(self, bucket: str, request: Request) -> Response | None:
        method, query = request.method, request.args
        if method == "POST" and "delete" in query:
            return self._delete_many(bucket, request)
        if method == "POST":  # a form of a web page, which moto would keep where no object is
            raise _not_allowed()
        if method == "GET" and bucket and all(map(_LISTING.fullmatch, query)):
            operation = "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
            return _response(operation, list_objects(self.objects, bucket, query))
        if method == "GET" and "uploads" in query:
            self.objects.bucket(bucket)
            uploads = [{"Key": upload.key, "UploadId": upload.id} for upload in self.uploads.of_bucket(bucket)]
            return _response("ListMultipartUploads", {"Bucket": bucket, "IsTruncated": False, "Uploads": uploads})
        return None

    def _answer_of_upload(self, upload: Upload, request: Request) -> Response:
        match request.method:
            case "GET":
                return _response("ListParts", _parts(upload))
            case "PUT":
                return self._put_part(upload, request)
            case "POST":
                return self._complete(upload, request)
            case "DELETE":
                self.uploads.abort(upload)
                return Response(status=204)
        raise _not_allowed()

    def _put(self, bucket: str, key: str, request: Request) -> Response:
        headers = _kept(request.headers)
        if "x-amz-copy-source" in request.headers:
            source = self._source(request)
            is_replaced = request.headers.get("x-amz-metadata-directive") == "REPLACE"
            made = self.objects.copy(source, bucket, key, headers if is_replaced else source.headers)
            self.listener(bucket, key, exists=True)
            result = {"ETag": f'"{made.etag}"', "LastModified": made.modified}
            return _response("CopyObject", {"CopyObjectResult": result})
        if request.headers.get("If-None-Match") == "*" and self.objects.file(bucket, key).is_file:
            raise _precondition_failed()
        etag = self.objects.put(bucket, key, headers, Body(request))
        self.listener(bucket, key, exists=True)
        return _response("PutObject", {"ETag": f'"{etag}"'})

    def _delete(self, bucket: str, key: str) -> None:
        self.objects.delete(bucket, key)
        self.listener(bucket, key, exists=False)

    def _delete_many(self, bucket: str, request: Request) -> Response:
        root = _document(Body(request))
        keys = [element.findtext("Key") or "" for element in root.iter("Object")]
        for key in keys:
            self._delete(bucket, key)
        is_quiet = root.findtext("Quiet") == "true"
        return _response("DeleteObjects", {"Deleted": [] if is_quiet else [{"Key": key} for key in keys]})

    def _put_part(self, upload: Upload, request: Request) -> Response:
        number = int(request.args["partNumber"])
        if "x-amz-copy-source" not in request.headers:
            part = self.uploads.put_part(upload, number, Body(request))
            return _response("UploadPart", {"ETag": f'"{part.etag}"'})
        source = self._source(request)
        first, last = _range(request.headers.get("x-amz-copy-source-range"), source.size) or (0, source.size - 1)
        part = self.uploads.put_part(upload, number, pieces(source.file.open(), first, last))
        result = {"ETag": f'"{part.etag}"', "LastModified": source.modified}
        return _response("UploadPartCopy", {"CopyPartResult": result})

    def _complete(self, upload: Upload, request: Request) -> Response:
        # A checksum in the headers is that of the object, and not of this document.
        root = _document(Body(request, ignore_checksums=True))
        parts = [
            Part(
                number=int(element.findtext("PartNumber") or 0),
                etag=(element.findtext("ETag") or "").strip('"'),
                checksums={
                    checksums.PREFIX + child.tag.removeprefix("Checksum").lower(): child.text or ""
                    for child in element
                    if child.tag.startswith("Checksum")
                },
            )
            for element in root.iter("Part")
        ]
        headers = {name.lower(): value for name, value in request.headers.items()}
        etag = self.uploads.complete(upload, parts, checksums.given(headers))
        self.listener(upload.bucket, upload.key, exists=True)
        return _response("CompleteMultipartUpload", {"Bucket": upload.bucket, "Key": upload.key, "ETag": f'"{etag}"'})

    def _source(self, request: Request) -> Object:
        path = unquote(request.headers["x-amz-copy-source"]).split("?", 1)[0].removeprefix("/")
        bucket, _, key = path.partition("/")
        return self.objects.get(bucket, key)


def _parts(upload: Upload) -> dict[str, Any]:
    parts = [
        {"PartNumber": number, "ETag": f'"{part.etag}"', "Size": upload.file(part).stat().st_size}
        for number, part in sorted(upload.parts.items())
    ]
    return {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.id, "IsTruncated": False, "Parts": parts}


def _content(found: Object, request: Request) -> Response:
    etag = f'"{found.etag}"'
    headers = {
        "content-type": "binary/octet-stream",
        **found.headers,
        "ETag": etag,
        "Last-Modified": format_datetime(found.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if request.headers.get("If-Match", etag) not in {etag, found.etag, "*"}:
        raise _precondition_failed()
    if request.headers.get("If-None-Match") in {etag, found.etag}:
        return Response(status=304, headers=headers)
    status, first, last = 200, 0, found.size - 1
    if span := _range(request.headers.get("Range"), found.size):
        status, (first, last) = 206, span
        headers["Content-Range"] = f"bytes {first}-{last}/{found.size}"
    headers["Content-Length"] = str(last - first + 1)
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    file = found.file.open()
    response = Response(pieces(file, first, last), status=status, headers=headers, direct_passthrough=True)
    response.call_on_close(file.close)
    return response


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are asked for; none for all."""
    span = _RANGE.fullmatch(header or "")
    if span is None or not (span["first"] or span["last"]):
        return None
    first = int(span["first"]) if span["first"] else max(0, size - int(span["last"]))
    last = min(size - 1, int(span["last"])) if span["first"] and span["last"] else size - 1
    if first > last:
        raise S3Error("InvalidRange", "The requested range is not satisfiable", status=416)
    return first, last


def _kept(headers: Headers) -> dict[str, str]:
    kept = {name.lower(): value for name, value in headers.items() if _KEPT.fullmatch(name)}
    # A word of the transfer, not of the object.
    encoding = re.sub(r"aws-chunked,?", "", kept.pop("content-encoding", ""))
    return {**kept, "content-encoding": encoding} if encoding else kept


def _document(body: Body) -> ET.Element:
    """The XML of a body, without namespaces."""
    try:
        root = ET.fromstring(body.document())  # noqa: S314  # from a client on this machine, whose files these are
    except ET.ParseError as error:
        raise S3Error("MalformedXML", str(error)) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _path(request: Request) -> str:
    """A request's path; werkzeug's own replaces what is no UTF-8."""
    sent: str = request.environ["RAW_URI"].partition("?")[0]
    try:
        return unquote_to_bytes(sent.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from error


def _not_allowed() -> S3Error:
    return S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.", status=405)


def _precondition_failed() -> S3Error:
    return S3Error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", status=412)


def _response(operation: str, result: Mapping[str, Any] | S3Error) -> Response:
    """Writes an operation's result or error as its model in botocore says."""
    model = get_service_model("s3").operation_model(operation)
    answer = S3Serializer(operation_model=model, context=SerializationContext(uuid4().hex)).serialize(result)
    body = _NO_XML.sub("\ufffd", str(answer["body"]))
    return Response(body, status=answer["status_code"], headers=dict(answer["headers"]))


def error_response(error: S3Error, request: Request) -> Response:
    """The answer of a request that is refused."""
    response = _response("GetObject", error)
    response.status_code = error.status
    if request.method == "HEAD":
        response.set_data(b"")
    return response
