"""S3 takes nothing that is not what its sender says it is, and answers whatever comes in its own words."""

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.attacks import Answer, Call, raw
from support.embedded_services import Embedded

from toolchain.localaws.s3.checksums import ALGORITHMS
from toolchain.localaws.signature import ChunkSigner, Claim

BODY = b"what was sent"
ALL = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
PAYLOAD = "x-amz-content-sha256"


@pytest.fixture
def bucket(embedded: Embedded) -> str:
    return embedded.bucket()


@pytest.fixture
def folder(embedded: Embedded, bucket: str) -> Path:
    return embedded.config.buckets / bucket


def checksum(algorithm: str, data: bytes = BODY) -> str:
    hasher = ALGORITHMS[algorithm]()
    hasher.update(data)
    return base64.b64encode(hasher.digest()).decode()


def put(embedded: Embedded, bucket: str, headers: Mapping[str, str], body: bytes = BODY) -> Answer:
    call = Call(service="s3", method="PUT", path=f"/{bucket}/a/key", body=body, headers=headers)
    return call.owned(embedded.server)


def answered(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


@pytest.mark.parametrize(
    ("algorithm", "known"),
    [
        ("crc32", "y/Q5Jg=="),
        ("crc32c", "4waSgw=="),
        ("crc64nvme", "rosUhgp5mIg="),
        ("sha1", "98PJmbVDj3H/fTLHf+n7iFuE2eA="),
        ("sha256", "FeKwb8ogYMTndFOnRTiMIvBXu9KjbjWA9LMBkhmYgxs="),
    ],
)
def test_checksums_are_those_of_the_catalogues_of_algorithms(algorithm: str, known: str) -> None:
    """Of the nine digits, which catalogues of CRCs give for a check."""
    if algorithm.startswith("crc"):
        assert checksum(algorithm, b"123456789") == known
    else:
        assert base64.b64decode(checksum(algorithm, b"123456789")) == hashlib.new(algorithm, b"123456789").digest()


@pytest.mark.parametrize("algorithm", ALL)
def test_a_right_checksum_is_taken_and_a_wrong_one_is_not(
    embedded: Embedded, bucket: str, folder: Path, algorithm: str
) -> None:
    name = f"x-amz-checksum-{algorithm}"
    answered(put(embedded, bucket, {name: checksum(algorithm, b"another")}), 400, "BadDigest")
    answered(put(embedded, bucket, {name: "AAAA"}), 400, "InvalidRequest")
    answered(put(embedded, bucket, {name: "no base64!"}), 400, "InvalidRequest")
    assert list(folder.rglob("*")) == [folder / "a"]
    assert put(embedded, bucket, {name: checksum(algorithm)}).status == 200
    assert (folder / "a" / "key").read_bytes() == BODY


def test_a_right_md5_is_taken_and_a_wrong_one_is_not(embedded: Embedded, bucket: str, folder: Path) -> None:
    answered(put(embedded, bucket, {"Content-MD5": checksum("md5", b"another")}), 400, "BadDigest")
    answered(put(embedded, bucket, {"Content-MD5": "x"}), 400, "InvalidDigest")
    assert not (folder / "a" / "key").exists()
    assert put(embedded, bucket, {"Content-MD5": checksum("md5")}).status == 200


def test_a_wrong_object_leaves_the_one_before_as_it_is(embedded: Embedded, bucket: str, folder: Path) -> None:
    assert put(embedded, bucket, {}, b"first").status == 200
    answered(put(embedded, bucket, {"Content-MD5": checksum("md5", b"x")}, b"second"), 400, "BadDigest")
    assert (folder / "a" / "key").read_bytes() == b"first"
    assert [file.name for file in (folder / "a").iterdir()] == ["key"]


def test_an_unknown_checksum_is_refused(embedded: Embedded, bucket: str) -> None:
    answered(put(embedded, bucket, {"x-amz-checksum-md4": "AAAA"}), 400, "InvalidRequest")


def test_another_body_than_the_signed_one_is_refused(embedded: Embedded, bucket: str, folder: Path) -> None:
    call = Call(service="s3", method="PUT", path=f"/{bucket}/a/key", body=BODY)
    other = replace(call, body=BODY.upper())
    answered(other.sent(embedded.server, call.signed(embedded.server)), 400, "XAmzContentSHA256Mismatch")
    assert not (folder / "a" / "key").exists()


@pytest.mark.parametrize("operation", ["?delete", "?versioning", "?tagging", ""])
def test_it_is_so_for_every_operation_on_a_bucket(embedded: Embedded, bucket: str, operation: str) -> None:
    method = "POST" if operation == "?delete" else "PUT"
    call = Call(service="s3", method=method, path=f"/{bucket}{operation}", body=b"<Delete/>")
    other = replace(call, body=b"<delete/>")
    answered(other.sent(embedded.server, call.signed(embedded.server)), 400, "XAmzContentSHA256Mismatch")
    wrong = replace(call, headers={"Content-MD5": checksum("md5", b"x")})
    answered(wrong.owned(embedded.server), 400, "BadDigest")


def test_parts_are_held_against_their_checksums_and_so_is_the_whole(embedded: Embedded, bucket: str) -> None:
    s3 = embedded.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    where: dict[str, Any] = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    wrong = {"ChecksumCRC32": checksum("crc32", b"another")}
    with pytest.raises(ClientError, match="BadDigest"):
        s3.upload_part(**where, PartNumber=1, Body=BODY, **wrong)
    assert "Parts" not in s3.list_parts(**where)
    etag = s3.upload_part(**where, PartNumber=1, Body=BODY)["ETag"]
    part = {"PartNumber": 1, "ETag": etag}
    composite = checksum("crc32", base64.b64decode(checksum("crc32")))
    with pytest.raises(ClientError, match="BadDigest"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{**part, **wrong}]})
    with pytest.raises(ClientError, match="BadDigest"):
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [part]}, **wrong)
    for value in (f"{checksum('crc32')}-1", f"{composite}-2"):
        with pytest.raises(ClientError, match="BadDigest"):
            s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [part]}, ChecksumCRC32=value)
    right = {"ChecksumCRC32": checksum("crc32")}
    s3.complete_multipart_upload(
        **where, MultipartUpload={"Parts": [{**part, **right}]}, ChecksumCRC32=f"{composite}-1"
    )
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == BODY


# ---- chunks ---------------------------------------------------------------------------------------------------------


def framed(*chunks: bytes, trailer: str = "") -> bytes:
    """`aws-chunked`, as SDKs send it where they sign no body."""
    before = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return before + f"0\r\n{trailer}\r\n".encode()


def streamed(embedded: Embedded, bucket: str, body: bytes, **headers: str) -> Answer:
    given = {PAYLOAD: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked", **headers}
    return put(embedded, bucket, given, body)


CRC = f"x-amz-checksum-crc32:{checksum('crc32')}\r\n"


def test_chunks_are_taken_apart_and_held_against_their_trailer(embedded: Embedded, bucket: str, folder: Path) -> None:
    announced = {"x-amz-trailer": "x-amz-checksum-crc32"}
    wrong = f"x-amz-checksum-crc32:{checksum('crc32', b'x')}\r\n"
    answered(streamed(embedded, bucket, framed(BODY[:5], BODY[5:], trailer=wrong), **announced), 400, "BadDigest")
    answered(streamed(embedded, bucket, framed(BODY), **announced), 400, "MalformedTrailerError")
    length = {"x-amz-decoded-content-length": str(len(BODY) + 1)}
    answered(streamed(embedded, bucket, framed(BODY, trailer=CRC), **announced, **length), 400, "IncompleteBody")
    assert not (folder / "a" / "key").exists()
    for trailer in (wrong, CRC):
        answered(streamed(embedded, bucket, framed(BODY, trailer=trailer)), 400, "MalformedTrailerError")
    assert streamed(embedded, bucket, framed(BODY[:5], BODY[5:], trailer=CRC), **announced).status == 200
    assert (folder / "a" / "key").read_bytes() == BODY
    found = embedded.client("s3").head_object(Bucket=bucket, Key="a/key")
    assert "aws-chunked" not in found.get("ContentEncoding", "")


@pytest.mark.parametrize(
    "body",
    [b"", b"5", b"\r\n", b"5\r\nab", b"5\r\nabcde\r\n", b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\n", b"2\r\nabcd\r\n0\r\n\r\n"],
)
def test_chunks_that_are_none_are_refused(embedded: Embedded, bucket: str, folder: Path, body: bytes) -> None:
    answer = streamed(embedded, bucket, body)
    assert answer.status == 400, answer
    assert answer.code in {"IncompleteBody", "InvalidChunkSizeError"}, answer
    assert not (folder / "a" / "key").exists()


def signed_chunks(embedded: Embedded, bucket: str, *chunks: bytes) -> tuple[Call, dict[str, str]]:
    """What SDKs send that sign each chunk."""
    payload = {PAYLOAD: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    call = Call(service="s3", method="PUT", path=f"/{bucket}/a/key", headers=payload)
    headers = call.signed(embedded.server)
    environ = {
        "QUERY_STRING": "",
        "HTTP_AUTHORIZATION": headers["Authorization"],
        "HTTP_X_AMZ_DATE": headers["X-Amz-Date"],
    }
    signer = ChunkSigner(Claim.of(environ), embedded.server.key)
    body = b""
    for chunk in (*chunks, b""):
        signer.is_next(hashlib.sha256(chunk).hexdigest(), "")
        body += f"{len(chunk):x};chunk-signature={signer._last}\r\n".encode() + chunk + b"\r\n"  # noqa: SLF001  # what it expects
    return replace(call, body=body), headers


def test_signed_chunks_are_held_against_their_signatures(embedded: Embedded, bucket: str, folder: Path) -> None:
    call, headers = signed_chunks(embedded, bucket, BODY[:5], BODY[5:])
    changed = replace(call, body=call.body.replace(BODY[5:], BODY[5:].upper()))
    answered(changed.sent(embedded.server, headers), 403, "SignatureDoesNotMatch")
    unsigned = replace(call, body=framed(BODY))
    answered(unsigned.sent(embedded.server, headers), 403, "SignatureDoesNotMatch")
    assert not (folder / "a" / "key").exists()
    assert call.sent(embedded.server, headers).status == 200
    assert (folder / "a" / "key").read_bytes() == BODY


# ---- what is no request ---------------------------------------------------------------------------------------------


def test_a_body_that_is_cut_off_is_no_object(embedded: Embedded, bucket: str, folder: Path) -> None:
    call = Call(service="s3", method="PUT", path=f"/{bucket}/a/key", body=BODY)
    headers = {**call.signed(embedded.server), "Host": embedded.server.endpoint.removeprefix("http://")}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": "100"}.items())
    answer = raw(embedded.server, f"PUT /{bucket}/a/key HTTP/1.1\r\n{head}\r\n".encode() + BODY)
    answered(answer, 400, "IncompleteBody")
    assert not (folder / "a" / "key").exists()


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "?max-keys=many", "InvalidArgument"),
        ("GET", "?max-keys=-1", "InvalidArgument"),
        ("GET", "?list-type=2&continuation-token=%FF", "InvalidArgument"),
        ("GET", "/%FF", "InvalidURI"),
        ("GET", "/%00", "InvalidArgument"),
        ("GET", "/a%00b", "InvalidArgument"),
        ("GET", "/..%2f..%2fetc/passwd", "InvalidArgument"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", "InvalidArgument"),
        ("GET", "/a/./b", "InvalidArgument"),
        ("GET", "/" + "k" * 1025, "KeyTooLongError"),
        ("GET", "/" + "k" * 300, "KeyTooLongError"),
        ("PUT", "/" + "k" * 300, "KeyTooLongError"),
        ("PUT", "/key?partNumber=1&uploadId=none", "NoSuchUpload"),
        ("POST", "?delete", "MalformedXML"),
        ("PATCH", "/key", "MethodNotAllowed"),
        ("GET", "/key?acl", "NotImplemented"),
        ("PROPFIND", "", "MethodNotAllowed"),
        ("POST", "", "MethodNotAllowed"),
        ("POST", "?acl", "MethodNotAllowed"),
        ("PUT", "?acl", "MalformedXML"),
        ("PUT", "?lifecycle", "MalformedXML"),
        ("PUT", "?publicAccessBlock", "MalformedXML"),
    ],
)
def test_what_is_no_call_of_s3_is_refused_in_its_words(
    embedded: Embedded, bucket: str, method: str, path: str, code: str
) -> None:
    answer = Call(service="s3", method=method, path=f"/{bucket}{path}").owned(embedded.server)
    assert answer.code == code, answer
    assert 400 <= answer.status < 502
    assert answer.headers.get_content_type() == "application/xml"


@pytest.mark.parametrize("name", ["..", "%2e%2e", "...", "a", "UPPER", "a..b", "-a-", "a b", "x" * 64])
def test_what_cannot_be_a_bucket_s_name_is_none(embedded: Embedded, name: str) -> None:
    path = f"/{name.replace(' ', '%20')}"
    answered(Call(service="s3", method="PUT", path=path).owned(embedded.server), 400, "InvalidBucketName")
    answered(Call(service="s3", method="GET", path=path).owned(embedded.server), 404, "NoSuchBucket")
    answered(Call(service="s3", method="DELETE", path=path).owned(embedded.server), 404, "NoSuchBucket")
    assert embedded.config.scratch.is_dir()


@pytest.mark.parametrize(
    "document", [b"<", b"<a/>", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Tagging>&x;</Tagging>']
)
def test_a_document_that_is_another_is_malformed(embedded: Embedded, bucket: str, document: bytes) -> None:
    for operation in ("tagging", "lifecycle", "ownershipControls"):
        call = Call(service="s3", method="PUT", path=f"/{bucket}?{operation}", body=document)
        answered(call.owned(embedded.server), 400, "MalformedXML")


def test_an_upload_is_that_of_one_object(embedded: Embedded, bucket: str) -> None:
    upload = embedded.client("s3").create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    for path in (f"/{bucket}/other", f"/{embedded.bucket()}/key"):
        for method in ("PUT", "GET", "POST", "DELETE"):
            call = Call(service="s3", method=method, path=f"{path}?uploadId={upload}&partNumber=1")
            answered(call.owned(embedded.server), 404, "NoSuchUpload")


def test_a_part_without_a_number_is_refused(embedded: Embedded, bucket: str) -> None:
    upload = embedded.client("s3").create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    for number in ("", "&partNumber=x", "&partNumber=0", "&partNumber=10001", "&partNumber=-1"):
        call = Call(service="s3", method="PUT", path=f"/{bucket}/key?uploadId={upload}{number}")
        answered(call.owned(embedded.server), 400, "InvalidArgument")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/x\r\n\r\n",
        b"one two three four five\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % number for number in range(200)) + b"\r\n",
        b"GET / HTTP/1.1\r\nh: " + b"x" * 70_000 + b"\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_too(embedded: Embedded, data: bytes) -> None:
    answer = raw(embedded.server, data)
    assert 400 <= answer.status < 600
    assert answer.code
    assert answer.headers.get_content_type() == "application/xml"


@pytest.fixture
def lengths(bucket: str) -> Call:
    return Call(service="s3", method="PUT", path=f"/{bucket}/a/key")


@pytest.mark.parametrize("length", ["many", "-1", "+1", "1_0", "\xb2"])
def test_a_length_that_is_none_is_refused(embedded: Embedded, lengths: Call, length: str) -> None:
    headers = {**lengths.signed(embedded.server), "Content-Length": length}
    answered(lengths.sent(embedded.server, headers), 400, "InvalidRequest")


def test_an_object_without_a_length_is_refused(embedded: Embedded, lengths: Call, folder: Path) -> None:
    headers = {**lengths.signed(embedded.server), "Host": embedded.server.endpoint.removeprefix("http://")}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "Content-Length")
    answered(raw(embedded.server, f"PUT {lengths.path} HTTP/1.1\r\n{head}\r\n".encode()), 411, "MissingContentLength")
    assert not list(folder.iterdir())


def test_the_crc_of_zlib_is_the_one_of_the_table() -> None:
    from toolchain.localaws.s3 import checksums

    table = checksums._Crc(0xEDB88320, 4)  # noqa: SLF001  # the same CRC, by the way of the others
    table.update(BODY)
    assert table.digest() == zlib.crc32(BODY).to_bytes(4, "big")
