"""The aligner of a run in AWS: by the reference's size in S3 and the hosts that jobs may get."""

from collections.abc import Iterator

import pytest
from support.aws_double import Json, RefusedError
from support.doctor_aws import DoctorAws, deployed

from toolchain import settings
from toolchain.errors import MissingInputError
from toolchain.runs import aws_aligner
from toolchain.settings import AlignerChoice
from toolchain.workflow.aligners import Choice

HUMAN = 3_150_000_000


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorAws]:
    with deployed(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def aws(deployment: DoctorAws) -> DoctorAws:
    """A deployment whose reference is as large as a human genome, and has no index beside it."""
    deployment.reset()

    def head(request: Json) -> Json:
        assert request["Bucket"] == "references"
        if request["Key"] == "hg38/human.fa":
            return {"ContentLength": HUMAN}
        raise RefusedError("404")

    deployment.answer("HeadObject", head)
    return deployment


def choose(aws: DoctorAws, reference: str = "human.fa", wanted: AlignerChoice = "auto") -> Choice:
    known = settings.load(aws.checkout.settings)
    return aws_aligner.choose(aws.account, aws.checkout, known, reference, wanted)


def test_a_human_genome_is_indexed_by_one_large_job_and_aligned_by_the_usual_ones(aws: DoctorAws) -> None:
    choice = choose(aws)
    assert choice.aligner == "bwa-mem3"
    assert choice.memory == {"index": HUMAN * 25 // 1024**2 + 1024}


def test_hosts_that_are_too_small_leave_bwa(aws: DoctorAws) -> None:
    aws.put("DescribeComputeEnvironments", "computeEnvironments[*].computeResources.instanceTypes", ["m5.2xlarge"])
    assert choose(aws) == Choice(
        aligner="bwa", reason="bwa-mem3 takes 76125 MiB, and no host has more than 31201 for jobs"
    )


def test_an_index_that_comes_with_the_reference_need_not_be_made(aws: DoctorAws) -> None:
    aws.answer("HeadObject", lambda _: {"ContentLength": HUMAN})
    assert choose(aws).memory == {}


def test_a_reference_that_is_not_in_the_bucket_is_an_error_and_one_that_cannot_be_seen_leaves_bwa(
    aws: DoctorAws,
) -> None:
    with pytest.raises(MissingInputError, match=r"s3://references/hg38/mouse\.fa does not exist"):
        choose(aws, "mouse.fa")
    aws.refuse("HeadObject", "403")
    choice = choose(aws)
    assert choice.aligner == "bwa"
    assert "looking for s3://references/hg38/human.fa failed: 403" in choice.reason
    assert choose(aws, wanted="bwa") == Choice(aligner="bwa", reason="as asked for")
