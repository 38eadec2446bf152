"""S3 takes nothing that is not what its sender says it is, and answers whatever comes in its own words."""

import base64
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.attacks import Answer, Call, raw
from support.embedded_services import Embedded

from toolchain.localaws.s3 import checksums

BODY = b"what was sent"
CRC32 = "x-amz-checksum-crc32"
PAYLOAD = "x-amz-content-sha256"


@pytest.fixture
def bucket(embedded: Embedded) -> str:
    return embedded.bucket()


@pytest.fixture
def file(embedded: Embedded, bucket: str) -> Path:
    """Where the object of these tests is, if it was taken."""
    return embedded.config.buckets / bucket / "a" / "key"


@pytest.fixture
def call(bucket: str) -> Call:
    """A call that puts that object."""
    return Call(service="s3", method="PUT", path=f"/{bucket}/a/key", body=BODY)


def checksum(name: str, data: bytes = BODY) -> str:
    computed = checksums.new(name.lower())
    computed.update(data)
    return computed.b64digest()


def put(embedded: Embedded, call: Call, headers: Mapping[str, str], body: bytes = BODY) -> Answer:
    return replace(call, headers=headers, body=body).owned(embedded.server)


def answered(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers.get_content_type() == "application/xml"


# ---- checksums ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "check"), [("crc32", "y/Q5Jg=="), ("crc32c", "4waSgw=="), ("crc64nvme", "rosUhgp5mIg=")]
)
def test_crcs_are_those_of_the_catalogues(algorithm: str, check: str) -> None:
    """Of the nine digits, which catalogues of CRCs give for a check."""
    assert checksum(f"x-amz-checksum-{algorithm}", b"123456789") == check


@pytest.mark.parametrize(
    "name", ["Content-MD5", *(f"x-amz-checksum-{name}" for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"))]
)
def test_a_wrong_checksum_is_refused_and_leaves_the_object_as_it_was(
    embedded: Embedded, call: Call, file: Path, name: str
) -> None:
    assert put(embedded, call, {name: checksum(name)}).status == 200
    for wrong in (checksum(name, b"another"), "AAAA", "no base64!"):
        answered(put(embedded, call, {name: wrong}), 400, "BadDigest")
    assert file.read_bytes() == BODY
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("operation", ["/a/key", "?delete", "?versioning", "?tagging", ""])
def test_another_body_than_the_signed_one_is_refused(embedded: Embedded, bucket: str, operation: str) -> None:
    method = "POST" if operation == "?delete" else "PUT"
    call = Call(service="s3", method=method, path=f"/{bucket}{operation}", body=b"<Delete/>")
    other = replace(call, body=b"<delete/>")
    answered(other.sent(embedded.server, call.signed(embedded.server)), 400, "XAmzContentSHA256Mismatch")
    answered(put(embedded, call, {"Content-MD5": checksum("Content-MD5", b"x")}), 400, "BadDigest")


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("x-amz-checksum-md4", "AAAA", "InvalidRequest"),
        ("x-amz-trailer", CRC32, "InvalidRequest"),
        (PAYLOAD, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "InvalidArgument"),
    ],
)
def test_unknown_checksums_and_payloads_are_refused(
    embedded: Embedded, call: Call, header: str, value: str, code: str
) -> None:
    answered(put(embedded, call, {header: value}), 400, code)


def test_parts_are_compared_with_their_checksums_and_so_is_the_whole(embedded: Embedded, bucket: str) -> None:
    s3 = embedded.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    where: dict[str, Any] = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    right, wrong = ({"ChecksumCRC32": checksum(CRC32, data)} for data in (BODY, b"another"))
    composite = checksum(CRC32, base64.b64decode(checksum(CRC32)))
    with pytest.raises(ClientError, match="BadDigest"):
        s3.upload_part(**where, PartNumber=1, Body=BODY, **wrong)
    assert "Parts" not in s3.list_parts(**where)
    part = {"PartNumber": 1, "ETag": s3.upload_part(**where, PartNumber=1, Body=BODY)["ETag"]}
    for parts, whole, code in (
        ([{**part, **wrong}], {}, "BadDigest"),
        ([part], wrong, "BadDigest"),
        ([part], {"ChecksumCRC32": f"{checksum(CRC32)}-1"}, "BadDigest"),
        ([part], {"ChecksumCRC32": f"{composite}-2"}, "BadDigest"),
        ([part], {"ChecksumSHA256": f"{checksum('x-amz-checksum-sha256')}-1"}, "BadDigest"),
        ([{**part, "ETag": '"0"'}], {}, "InvalidPart"),
        ([{**part, "PartNumber": 2}], {}, "InvalidPart"),
        ([part, part], {}, "InvalidPartOrder"),
    ):
        with pytest.raises(ClientError, match=code):
            s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, **whole)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.complete_multipart_upload(
        **where, MultipartUpload={"Parts": [{**part, **right}]}, ChecksumCRC32=f"{composite}-1"
    )
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == BODY
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    s3.upload_part(**{**where, "UploadId": upload}, PartNumber=1, Body=BODY)
    s3.complete_multipart_upload(**{**where, "UploadId": upload}, MultipartUpload={"Parts": [part]}, **right)


# ---- chunks ---------------------------------------------------------------------------------------------------------


def framed(*chunks: bytes, trailer: str = "") -> bytes:
    """`aws-chunked`, as SDKs send it that sign no body."""
    before = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return before + f"0\r\n{trailer}\r\n".encode()


def streamed(embedded: Embedded, call: Call, body: bytes, **headers: str) -> Answer:
    streaming = {PAYLOAD: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked"}
    return put(embedded, call, {**streaming, **headers}, body)


def test_chunks_are_taken_apart_and_compared_with_their_trailer(embedded: Embedded, call: Call, file: Path) -> None:
    announced = {"x-amz-trailer": CRC32}
    long = {"x-amz-decoded-content-length": str(len(BODY) + 1)}
    right, wrong = (f"{CRC32}:{checksum(CRC32, data)}\r\n" for data in (BODY, b"x"))
    for body, headers, code in (
        (framed(BODY[:5], BODY[5:], trailer=wrong), announced, "BadDigest"),
        (framed(BODY), announced, "MalformedTrailerError"),
        (framed(BODY, trailer=right), {**announced, **long}, "IncompleteBody"),
        (framed(BODY, trailer=right), {}, "MalformedTrailerError"),
    ):
        answered(streamed(embedded, call, body, **headers), 400, code)
    assert not file.exists()
    assert streamed(embedded, call, framed(BODY[:5], BODY[5:], trailer=right), **announced).status == 200
    assert file.read_bytes() == BODY
    found = embedded.client("s3").head_object(Bucket=file.parts[-3], Key="a/key")
    assert "aws-chunked" not in found.get("ContentEncoding", "")


@pytest.mark.parametrize(
    "body",
    [b"", b"5", b"\r\n", b"5\r\nab", b"5\r\nabcde\r\n", b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\n", b"2\r\nabcd\r\n0\r\n\r\n"],
)
def test_chunks_that_are_none_are_refused(embedded: Embedded, call: Call, file: Path, body: bytes) -> None:
    answer = streamed(embedded, call, body)
    assert answer.status == 400, answer
    assert answer.code in {"IncompleteBody", "InvalidChunkSizeError"}, answer
    assert not file.exists()


# ---- what is no request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "content", "status", "code"),
    [
        ("100", BODY, 400, "IncompleteBody"),
        ("", b"", 411, "MissingContentLength"),
        *((length, BODY, 400, "InvalidRequest") for length in ("many", "-1", "+1", "1_0", "\xb2")),
    ],
)
def test_a_body_of_another_length_is_no_object(
    embedded: Embedded, call: Call, file: Path, length: str, content: bytes, status: int, code: str
) -> None:
    host = {"Host": embedded.server.endpoint.removeprefix("http://"), "Content-Length": length}
    headers = "".join(
        f"{name}: {value}\r\n" for name, value in {**call.signed(embedded.server), **host}.items() if value
    )
    request = f"PUT {call.path} HTTP/1.1\r\n{headers}\r\n".encode("latin-1") + content
    answered(raw(embedded.server, request), status, code)
    assert not file.exists()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "?max-keys=many", 400, "InvalidArgument"),
        ("GET", "?max-keys=-1", 400, "InvalidArgument"),
        ("GET", "?list-type=2&continuation-token=%FF", 400, "InvalidArgument"),
        ("GET", "/%FF", 400, "InvalidURI"),
        ("GET", "/%00", 400, "InvalidArgument"),
        ("GET", "/..%2f..%2fetc/passwd", 400, "InvalidArgument"),
        ("GET", "/a/./b", 400, "InvalidArgument"),
        ("GET", "/" + "k" * 1025, 400, "KeyTooLongError"),
        ("PUT", "/" + "k" * 300, 400, "KeyTooLongError"),
        ("PUT", "/key?partNumber=1&uploadId=none", 404, "NoSuchUpload"),
        ("PUT", "/key?uploadId={upload}", 400, "InvalidArgument"),
        ("PUT", "/key?uploadId={upload}&partNumber=0", 400, "InvalidArgument"),
        ("PUT", "/key?uploadId={upload}&partNumber=10001", 400, "InvalidArgument"),
        ("PUT", "/other?uploadId={upload}&partNumber=1", 404, "NoSuchUpload"),
        ("PATCH", "/key?uploadId={upload}", 405, "MethodNotAllowed"),
        ("PATCH", "/key", 405, "MethodNotAllowed"),
        ("GET", "/key?acl", 501, "NotImplemented"),
        ("PROPFIND", "", 400, "MethodNotAllowed"),
        ("POST", "", 405, "MethodNotAllowed"),
        ("POST", "?delete", 400, "MalformedXML"),
        ("PUT", "?publicAccessBlock", 400, "MalformedXML"),
    ],
)
def test_what_is_no_call_of_s3_is_refused_in_its_words(
    embedded: Embedded, bucket: str, method: str, path: str, status: int, code: str
) -> None:
    upload = embedded.client("s3").create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    call = Call(service="s3", method=method, path=f"/{bucket}{path.format(upload=upload)}")
    answered(call.owned(embedded.server), status, code)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a", "UPPER", "a..b", "a%20b", "x" * 64])
def test_what_cannot_be_the_name_of_a_bucket_is_none(embedded: Embedded, name: str) -> None:
    refusals = {"PUT": (400, "InvalidBucketName"), "GET": (404, "NoSuchBucket"), "DELETE": (404, "NoSuchBucket")}
    for method, (status, code) in refusals.items():
        answered(Call(service="s3", method=method, path=f"/{name}").owned(embedded.server), status, code)


@pytest.mark.parametrize("operation", ["tagging", "lifecycle", "ownershipControls"])
def test_a_document_that_is_another_is_malformed(embedded: Embedded, bucket: str, operation: str) -> None:
    entity = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Tagging>&x;</Tagging>'
    for document in (b"<", b"<a/>", entity):
        call = Call(service="s3", method="PUT", path=f"/{bucket}?{operation}", body=document)
        answered(call.owned(embedded.server), 400, "MalformedXML")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % number for number in range(200)) + b"\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_what_is_no_http_ends_its_connection_and_nothing_else(embedded: Embedded, data: bytes) -> None:
    host, _, port = embedded.server.endpoint.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection, suppress(ConnectionResetError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    embedded.client("s3").list_buckets()
