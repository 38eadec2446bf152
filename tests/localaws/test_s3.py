"""S3 whose objects are files, for clients that nobody here wrote."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded

PART = 5 * 1024 * 1024


@pytest.fixture(scope="module")
def s3(embedded: Embedded) -> Any:
    return embedded.client("s3")


@pytest.fixture
def bucket(embedded: Embedded) -> str:
    return embedded.bucket()


@pytest.fixture
def folder(embedded: Embedded, bucket: str) -> Path:
    return embedded.config.buckets / bucket


def keys(s3: Any, bucket: str, **parameters: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, **parameters).get("Contents", ())]


def read(s3: Any, bucket: str, key: str, **parameters: Any) -> bytes:
    content: bytes = s3.get_object(Bucket=bucket, Key=key, **parameters)["Body"].read()
    return content


def test_an_object_that_is_put_is_a_file(s3: Any, bucket: str, folder: Path) -> None:
    key, text = "a/b c+ä\x01.txt", {"ContentType": "text/plain", "ContentEncoding": "x", "Metadata": {"who": "me"}}
    etag = s3.put_object(Bucket=bucket, Key=key, Body=b"text", **text)["ETag"]
    assert (folder / "a" / "b c+ä\x01.txt").read_bytes() == b"text"
    found = s3.get_object(Bucket=bucket, Key=key)
    assert (found["Body"].read(), {name: found[name] for name in text}) == (b"text", text)
    assert found["ETag"] == etag == '"1cb251ec0d568de6a929b520c4aed8d1"'
    assert read(s3, bucket, key, IfMatch=etag) == b"text"
    for code, condition in (("412", {"IfMatch": '"x"'}), ("304", {"IfNoneMatch": etag})):
        with pytest.raises(ClientError, match=code):
            s3.head_object(Bucket=bucket, Key=key, **condition)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"other", IfNoneMatch="*")


def test_a_file_that_was_made_by_hand_is_an_object(s3: Any, bucket: str, folder: Path) -> None:
    file = folder / "dropped" / "file"
    file.parent.mkdir()
    file.write_bytes(b"0123456789")
    assert keys(s3, bucket) == ["dropped/file"]
    before = s3.head_object(Bucket=bucket, Key="dropped/file")
    assert before["ContentLength"] == 10
    for span, content in (("2-4", b"234"), ("-3", b"789"), ("8-", b"89"), ("8-99", b"89")):
        assert read(s3, bucket, "dropped/file", Range=f"bytes={span}") == content
    file.write_bytes(b"other")
    assert s3.head_object(Bucket=bucket, Key="dropped/file")["ETag"] != before["ETag"]


def test_a_directory_that_was_made_by_hand_is_a_bucket(embedded: Embedded, s3: Any) -> None:
    (embedded.config.buckets / "made-by-hand").mkdir()
    assert "made-by-hand" in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    s3.put_object(Bucket="made-by-hand", Key="a", Body=b"")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket="made-by-hand")
    s3.delete_object(Bucket="made-by-hand", Key="a")
    s3.delete_bucket(Bucket="made-by-hand")
    assert not (embedded.config.buckets / "made-by-hand").exists()


def test_lists_are_in_the_order_of_keys_fold_folders_and_come_in_pages(s3: Any, bucket: str) -> None:
    for name in ("a-b", "a/b", "a/c/d", "b/x", "ä", "a.txt"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    assert keys(s3, bucket) == ["a-b", "a.txt", "a/b", "a/c/d", "b/x", "ä"]
    assert keys(s3, bucket, Prefix="a/") == ["a/b", "a/c/d"]
    assert keys(s3, bucket, Prefix="a/c") == ["a/c/d"]
    folded = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in folded["CommonPrefixes"]] == ["a/", "b/"]
    assert [entry["Key"] for entry in folded["Contents"]] == ["a-b", "a.txt", "ä"]
    for operation in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
        listed = [[entry["Key"] for entry in page["Contents"]] for page in pages]
        assert listed == [["a-b", "a.txt"], ["a/b", "a/c/d"], ["b/x", "ä"]]


def test_what_does_not_exist_is_said_not_to(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="short", Body=b"x")
    for code, operation, parameters in (
        ("NoSuchKey", s3.get_object, {"Bucket": bucket, "Key": "nothing"}),
        ("NoSuchKey", s3.get_object, {"Bucket": bucket, "Key": "short/er"}),
        ("404", s3.head_object, {"Bucket": bucket, "Key": "nothing"}),
        ("NoSuchBucket", s3.list_objects_v2, {"Bucket": "no-such-bucket-at-all"}),
        ("InvalidRange", s3.get_object, {"Bucket": bucket, "Key": "short", "Range": "bytes=5-9"}),
    ):
        with pytest.raises(ClientError, match=code):
            operation(**parameters)
    s3.delete_object(Bucket=bucket, Key="nothing")


@pytest.mark.parametrize("key", ["a/../../b", "/a", "a//b", "a/./b", ".new-x"])
def test_a_key_that_is_no_path_is_refused(s3: Any, bucket: str, folder: Path, key: str) -> None:
    with pytest.raises(ClientError, match="InvalidArgument"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert not list(folder.iterdir())


def test_a_folder_and_an_object_cannot_have_one_name(s3: Any, bucket: str, folder: Path) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"")
    s3.put_object(Bucket=bucket, Key="empty/", Body=b"")
    assert (folder / "empty").is_dir()
    for key in ("a", "a/b/c"):
        with pytest.raises(ClientError, match="cannot be an object beside others"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.delete_object(Bucket=bucket, Key="empty/")
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_objects_are_deleted_many_at_once_and_leave_no_folders(s3: Any, bucket: str, folder: Path) -> None:
    for name in ("a/b/c", "a/d", "e"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/b/c"}, {"Key": "a/d"}]})["Deleted"]
    assert [entry["Key"] for entry in deleted] == ["a/b/c", "a/d"]
    assert [file.name for file in folder.iterdir()] == ["e"]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "e"}], "Quiet": True})


def test_a_copy_is_an_object_of_its_own(s3: Any, bucket: str) -> None:
    source = {"Bucket": bucket, "Key": "a"}
    s3.put_object(**source, Body=b"one", Metadata={"k": "v"})
    s3.copy_object(Bucket=bucket, Key="b/c", CopySource=source)
    s3.copy_object(**source, CopySource=source, MetadataDirective="REPLACE", Metadata={"k": "w"})
    assert s3.head_object(**source)["Metadata"] == {"k": "w"}
    s3.put_object(**source, Body=b"two")
    found = s3.get_object(Bucket=bucket, Key="b/c")
    assert (found["Body"].read(), found["Metadata"]) == (b"one", {"k": "v"})
    with pytest.raises(ClientError, match="cannot be an object beside others"):
        s3.copy_object(Bucket=bucket, Key="b", CopySource=source)


def test_a_large_object_comes_in_parts_and_never_exists_in_part(s3: Any, bucket: str, folder: Path) -> None:
    content = os.urandom(2 * PART + 7)
    s3.put_object(Bucket=bucket, Key="source", Body=content)
    upload = {"Bucket": bucket, "Key": "large"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    first = s3.upload_part(**upload, PartNumber=1, Body=content[:PART])["ETag"]
    span, source = f"bytes={PART}-{2 * PART + 6}", {"Bucket": bucket, "Key": "source"}
    second = s3.upload_part_copy(**upload, PartNumber=2, CopySource=source, CopySourceRange=span)
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second["CopyPartResult"]["ETag"]}]
    assert keys(s3, bucket) == ["source"]
    assert [entry["Key"] for entry in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["large"]
    assert [part["Size"] for part in s3.list_parts(**upload)["Parts"]] == [PART, PART + 7]
    assert s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})["ETag"].endswith('-2"')
    assert (folder / "large").read_bytes() == content
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.abort_multipart_upload(**upload)
    upload["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    s3.abort_multipart_upload(**upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_a_bucket_keeps_its_settings(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_transfers_of_boto3_work_both_ways(s3: Any, bucket: str) -> None:
    content, received = os.urandom(9 * 1024 * 1024), io.BytesIO()
    s3.upload_fileobj(io.BytesIO(content), bucket, "results/a.vcf")
    s3.download_fileobj(bucket, "results/a.vcf", received)
    assert received.getvalue() == content
