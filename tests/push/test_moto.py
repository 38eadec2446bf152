"""What stock moto does that the service does not: when one of these fails, what works around it can go."""

import base64
from datetime import UTC, datetime

import pytest
from support.fault_proxy import FaultProxy

from toolchain.aws import Account

DEFINITION = {
    "image": "x@sha256:" + "0" * 64,
    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
}


@pytest.mark.usefixtures("aws")
def test_moto_hands_out_a_login_that_has_expired() -> None:
    data = Account().ecr().get_authorization_token()["authorizationData"][0]
    assert data["expiresAt"] < datetime(2016, 1, 1, tzinfo=UTC)
    assert base64.b64decode(data["authorizationToken"]) == b"AWS:123456789012-auth-token"


@pytest.mark.usefixtures("aws")
def test_moto_gives_repositories_in_china_addresses_of_the_aws_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    made = Account().ecr().create_repository(repositoryName="xy")["repository"]
    assert made["repositoryUri"].endswith(".dkr.ecr.cn-north-1.amazonaws.com/xy")


@pytest.mark.usefixtures("aws")
def test_moto_keeps_the_first_revisions_propagate_tags_for_ever() -> None:
    """The service takes each revision's own. Tests of comparing therefore change other fields."""
    batch = Account().batch()
    for propagate in (False, True):
        batch.register_job_definition(
            jobDefinitionName="x",
            type="container",
            propagateTags=propagate,
            containerProperties=DEFINITION,  # type: ignore[arg-type]
        )
    assert [one["propagateTags"] for one in batch.describe_job_definitions()["jobDefinitions"]] == [False, False]


@pytest.mark.usefixtures("aws")
def test_moto_finds_no_job_definition_by_its_short_name_and_revision() -> None:
    """The service takes `name:revision` beside ARNs. The toolchain asks by name."""
    batch = Account().batch()
    batch.register_job_definition(
        jobDefinitionName="x",
        type="container",
        containerProperties=DEFINITION,  # type: ignore[arg-type]
    )
    assert batch.describe_job_definitions(jobDefinitions=["x:1"])["jobDefinitions"] == []


def test_moto_gives_all_job_definitions_in_one_page(aws: FaultProxy) -> None:
    """The service gives at most a hundred, and a token for the next: pages are tried with botocore's stub."""
    batch = Account().batch()
    for _ in range(101):
        batch.register_job_definition(
            jobDefinitionName="x",
            type="container",
            containerProperties=DEFINITION,  # type: ignore[arg-type]
        )
    aws.seen.clear()
    answer = batch.describe_job_definitions(jobDefinitionName="x")
    assert len(answer["jobDefinitions"]) == 101
    assert "nextToken" not in answer
