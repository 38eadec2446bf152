"""What stock moto and botocore do over and over; when one of the first tests fails, what stands in for it can go."""

import boto3
import pytest
from support.moto_cloud import Cloud
from support.stock import answers

QUESTIONS = """
import os
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
from botocore.loaders import JSONFileLoader
from botocore.session import Session
from moto.core.base_backend import BackendDict
from moto.iam.models import IAMBackend, iam_backends

read = []
stock_read = JSONFileLoader.load_file
JSONFileLoader.load_file = lambda self, path: (read.append(path.rpartition("/")[2]), stock_read(self, path))[1]
for _ in range(2):
    Session().get_available_regions("batch")
answers["endpoints"] = read.count("endpoints")

made = []
stock_made = IAMBackend.__init__
IAMBackend.__init__ = lambda self, *given, **more: (made.append(self), stock_made(self, *given, **more))[1]
account = iam_backends["123456789012"]
answers["policies"] = [len(account[partition].managed_policies) > 1000 for partition in ("aws", "aws-cn")]
before = len(made)
BackendDict.reset()
answers["anew"] = len(made) - before
"""


@pytest.fixture(scope="module")
def stock() -> dict[str, object]:
    return answers(QUESTIONS)


def test_botocore_reads_the_list_of_endpoints_anew_for_each_session(stock: dict[str, object]) -> None:
    assert stock["endpoints"] == 2


def test_moto_reads_aws_s_policies_for_each_partition(stock: dict[str, object]) -> None:
    assert stock["policies"] == [True, True]


def test_moto_makes_backends_anew_at_its_end(stock: dict[str, object]) -> None:
    assert stock["anew"] == 2


def test_the_policies_of_aws_are_there_in_the_partition_of_the_region(cloud: Cloud) -> None:
    assert cloud.config
    names = {
        policy["PolicyName"]
        for page in boto3.client("iam").get_paginator("list_policies").paginate(Scope="AWS")
        for policy in page["Policies"]
    }
    assert "AmazonSSMManagedInstanceCore" in names


def test_sessions_share_what_they_read(cloud: Cloud) -> None:
    assert cloud.config
    first, second = (boto3.Session().client("batch").meta.service_model.metadata for _ in range(2))
    assert first is second
