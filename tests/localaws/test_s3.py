"""S3 whose objects are files, for clients that nobody here wrote."""

import io
import os
import subprocess
import sys
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


def folder(embedded: Embedded, bucket: str) -> Path:
    return embedded.config.buckets / bucket


def keys(s3: Any, bucket: str, **more: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, **more).get("Contents", ())]


def test_an_object_that_is_put_is_a_file(embedded: Embedded, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b c+ä.txt", Body=b"text", ContentType="text/plain", Metadata={"who": "me"})
    assert (folder(embedded, bucket) / "a" / "b c+ä.txt").read_bytes() == b"text"
    found = s3.get_object(Bucket=bucket, Key="a/b c+ä.txt")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"text", "text/plain", {"who": "me"})
    assert found["ETag"] == '"1cb251ec0d568de6a929b520c4aed8d1"'


def test_a_file_that_somebody_put_there_is_an_object(embedded: Embedded, s3: Any, bucket: str) -> None:
    file = folder(embedded, bucket) / "dropped" / "file"
    file.parent.mkdir()
    file.write_bytes(b"0123456789")
    assert keys(s3, bucket) == ["dropped/file"]
    assert s3.head_object(Bucket=bucket, Key="dropped/file")["ContentLength"] == 10
    assert s3.get_object(Bucket=bucket, Key="dropped/file", Range="bytes=2-4")["Body"].read() == b"234"
    assert s3.get_object(Bucket=bucket, Key="dropped/file", Range="bytes=-3")["Body"].read() == b"789"
    before = s3.head_object(Bucket=bucket, Key="dropped/file")["ETag"]
    file.write_bytes(b"other")
    assert s3.head_object(Bucket=bucket, Key="dropped/file")["ETag"] != before


def test_a_directory_that_somebody_made_is_a_bucket(embedded: Embedded, s3: Any) -> None:
    (embedded.config.buckets / "made-by-hand").mkdir()
    assert "made-by-hand" in {one["Name"] for one in s3.list_buckets()["Buckets"]}
    s3.put_object(Bucket="made-by-hand", Key="a", Body=b"")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket="made-by-hand")
    s3.delete_object(Bucket="made-by-hand", Key="a")
    s3.delete_bucket(Bucket="made-by-hand")
    assert not (embedded.config.buckets / "made-by-hand").exists()


def test_lists_are_in_the_order_of_keys_fold_folders_and_come_in_pages(s3: Any, bucket: str) -> None:
    names = ["a", "a-b", "a/b", "a/c/d", "b/x", "ä"]
    for name in (*names, "a.txt"):
        if name != "a":  # a file and a folder of one name cannot both be
            s3.put_object(Bucket=bucket, Key=name, Body=b"")
    assert keys(s3, bucket) == ["a-b", "a.txt", "a/b", "a/c/d", "b/x", "ä"]
    assert keys(s3, bucket, Prefix="a/") == ["a/b", "a/c/d"]
    assert keys(s3, bucket, Prefix="a/c") == ["a/c/d"]
    folded = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["a/", "b/"]
    assert [one["Key"] for one in folded["Contents"]] == ["a-b", "a.txt", "ä"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [[one["Key"] for one in page["Contents"]] for page in pages] == [
        ["a-b", "a.txt"],
        ["a/b", "a/c/d"],
        ["b/x", "ä"],
    ]
    old = s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 4})
    assert [len(page["Contents"]) for page in old] == [4, 2]


def test_what_is_not_there_is_said_not_to_be(s3: Any, bucket: str) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="nothing")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="nothing")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket-at-all")
    s3.put_object(Bucket=bucket, Key="short", Body=b"x")
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(Bucket=bucket, Key="short", Range="bytes=5-9")
    s3.delete_object(Bucket=bucket, Key="nothing")


@pytest.mark.parametrize("key", ["a/../../b", "/a", "a//b", "a/./b"])
def test_a_key_that_is_no_path_is_refused(embedded: Embedded, s3: Any, bucket: str, key: str) -> None:
    with pytest.raises(ClientError):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert not list(folder(embedded, bucket).iterdir())


def test_objects_are_deleted_many_at_once_and_leave_no_folders(embedded: Embedded, s3: Any, bucket: str) -> None:
    for name in ("a/b/c", "a/d", "e"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/b/c"}, {"Key": "a/d"}]})["Deleted"]
    assert [one["Key"] for one in gone] == ["a/b/c", "a/d"]
    assert [one.name for one in folder(embedded, bucket).iterdir()] == ["e"]


def test_a_copy_is_an_object_of_its_own(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"one", Metadata={"k": "v"})
    s3.copy_object(Bucket=bucket, Key="b/c", CopySource={"Bucket": bucket, "Key": "a"})
    s3.put_object(Bucket=bucket, Key="a", Body=b"two")
    found = s3.get_object(Bucket=bucket, Key="b/c")
    assert (found["Body"].read(), found["Metadata"]) == (b"one", {"k": "v"})


def test_a_large_object_comes_in_parts_and_is_never_there_in_part(embedded: Embedded, s3: Any, bucket: str) -> None:
    content = os.urandom(2 * PART + 7)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), PART), start=1):
        etag = s3.upload_part(
            Bucket=bucket, Key="large", UploadId=upload, PartNumber=number, Body=content[start : start + PART]
        )["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    assert keys(s3, bucket) == []
    listed = s3.list_parts(Bucket=bucket, Key="large", UploadId=upload)["Parts"]
    assert [one["Size"] for one in listed] == [PART, PART, 7]
    done = s3.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-3"')
    assert (folder(embedded, bucket) / "large").read_bytes() == content
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.abort_multipart_upload(Bucket=bucket, Key="large", UploadId=upload)


def test_boto3s_own_transfers_work_both_ways(s3: Any, bucket: str) -> None:
    content = os.urandom(9 * 1024 * 1024)
    s3.upload_fileobj(io.BytesIO(content), bucket, "transfer")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "transfer", out)
    assert out.getvalue() == content


def test_a_buckets_settings_are_kept(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_the_aws_command_lists_and_copies(embedded: Embedded, s3: Any, bucket: str, tmp_path: Path) -> None:
    s3.put_object(Bucket=bucket, Key="results/a.vcf", Body=b"variants")

    def aws(*words: str) -> str:
        return subprocess.run(
            [Path(sys.executable).parent / "aws", "s3", *words],
            env={**os.environ, **embedded.server.environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    assert bucket in aws("ls")
    assert "a.vcf" in aws("ls", f"s3://{bucket}/results/")
    aws("cp", f"s3://{bucket}/results/a.vcf", str(tmp_path / "a.vcf"))
    assert (tmp_path / "a.vcf").read_bytes() == b"variants"
    (tmp_path / "up").write_bytes(b"x" * (9 * 1024 * 1024))
    aws("cp", str(tmp_path / "up"), f"s3://{bucket}/up")
    assert (folder(embedded, bucket) / "up").stat().st_size == 9 * 1024 * 1024
