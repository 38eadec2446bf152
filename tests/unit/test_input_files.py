"""What is looked for in the bucket before a run starts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from toolchain.errors import BadDataError, MissingInputError, SeveralFailedError, UnavailableError
from toolchain.workflow.data_link import DataLink
from toolchain.workflow.input_files import check_objects

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

LINK = DataLink(uri="s3://lab/reads", keeps_keys=False)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="lab")
        for name in ("a_1.fq", "a_2.fq", "run/b_1.fq"):
            client.put_object(Bucket="lab", Key=f"reads/{name}", Body=name.encode())
        yield client


def test_reads_that_are_in_the_bucket_are_found(s3: "S3Client") -> None:
    check_objects(s3, LINK, ["a_1.fq", "a_2.fq", "run/b_1.fq"])
    check_objects(s3, DataLink(uri="s3://lab/reads", keeps_keys=True), ["reads/a_1.fq", "reads/a_2.fq"])


def test_all_that_are_missing_are_told_at_once(s3: "S3Client") -> None:
    with pytest.raises(SeveralFailedError) as caught:
        check_objects(s3, LINK, ["a_1.fq", "b_1.fq", "reads/a_2.fq"])
    assert [error.what for error in caught.value.errors] == ["b_1.fq does not exist", "reads/a_2.fq does not exist"]
    assert caught.value.exit_code == MissingInputError.exit_code


def test_of_hundreds_the_first_are_told_and_the_others_counted(s3: "S3Client") -> None:
    with pytest.raises(SeveralFailedError) as caught:
        check_objects(s3, LINK, [f"{number}.fq" for number in range(300)])
    assert len(caught.value.errors) == 21
    assert str(caught.value.errors[-1]) == "280 more errors: they are not shown. Correct these first."


def test_a_copy_of_another_lane_s_reads_is_told(s3: "S3Client") -> None:
    s3.put_object(Bucket="lab", Key="reads/copy_1.fq", Body=b"a_1.fq")
    with pytest.raises(BadDataError, match=r"copy_1\.fq is named twice: its reads are those of a_1\.fq"):
        check_objects(s3, LINK, ["a_1.fq", "a_2.fq", "copy_1.fq"])


def test_without_the_permission_to_look_it_is_left_to_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    check_objects(Refusing("403"), LINK, ["a_1.fq"])  # type: ignore[arg-type]  # the one call that is made
    assert "S3 refuses it to you" in capsys.readouterr().err


def test_a_service_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="looking for the reads in S3 failed: 503"):
        check_objects(Refusing("503"), LINK, ["a_1.fq"])  # type: ignore[arg-type]  # likewise


class Refusing:
    """Answers every call with an error."""

    def __init__(self, code: str) -> None:
        self.code = code

    def head_object(self, **_: str) -> None:
        raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "HeadObject")
