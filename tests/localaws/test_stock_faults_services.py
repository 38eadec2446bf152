"""What stock moto's ECR and Batch refuse or ignore, which the templates ask of them."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.stock_server import Stock


def test_ecr_hands_out_a_login_that_has_expired(stock: Stock) -> None:
    (data,) = stock.client("ecr").get_authorization_token()["authorizationData"]
    assert data["expiresAt"].year < 2016


def test_ecr_refuses_lifecycle_rules_that_archive(stock: Stock) -> None:
    ecr = stock.client("ecr")
    ecr.create_repository(repositoryName="archived")
    rule = {
        "rulePriority": 1,
        "selection": {
            "tagStatus": "tagged",
            "tagPatternList": ["*"],
            "countType": "sinceImagePulled",
            "countUnit": "days",
            "countNumber": 90,
        },
        "action": {"type": "transition", "targetStorageClass": "archive"},
    }
    with pytest.raises(ClientError, match="validation failure"):
        ecr.put_lifecycle_policy(repositoryName="archived", lifecyclePolicyText=json.dumps({"rules": [rule]}))


@pytest.fixture(scope="module")
def resources(stock: Stock) -> dict[str, Any]:
    iam, ec2 = stock.client("iam"), stock.client("ec2")
    iam.create_role(RoleName="service", AssumeRolePolicyDocument="{}")
    profile = iam.create_instance_profile(InstanceProfileName="host")["InstanceProfile"]["Arn"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])["SecurityGroups"]
    return {
        "type": "SPOT",
        "minvCpus": 0,
        "maxvCpus": 4,
        "instanceTypes": ["m7i.large"],
        "instanceRole": profile,
        "subnets": [subnet["SubnetId"]],
        "securityGroupIds": [groups[0]["GroupId"]],
    }


def test_batch_wants_a_service_role(stock: Stock, resources: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ServiceRole is required"):
        stock.client("batch").create_compute_environment(
            computeEnvironmentName="none", type="MANAGED", computeResources=resources
        )


def test_batch_does_not_know_the_default_instance_types(stock: Stock, resources: dict[str, Any]) -> None:
    role = stock.client("iam").get_role(RoleName="service")["Role"]["Arn"]
    with pytest.raises(ClientError, match="default_x86_64 does not exist"):
        stock.client("batch").create_compute_environment(
            computeEnvironmentName="default",
            type="MANAGED",
            serviceRole=role,
            computeResources={**resources, "instanceTypes": ["default_x86_64"]},
        )


def test_batch_ignores_an_update_of_the_resources(stock: Stock, resources: dict[str, Any]) -> None:
    batch = stock.client("batch")
    role = stock.client("iam").get_role(RoleName="service")["Role"]["Arn"]
    batch.create_compute_environment(
        computeEnvironmentName="updated",
        type="MANAGED",
        state="ENABLED",
        serviceRole=role,
        computeResources={**resources, "instanceTypes": ["optimal"]},
    )
    batch.update_compute_environment(computeEnvironment="updated", computeResources={"maxvCpus": 8})
    [found] = batch.describe_compute_environments(computeEnvironments=["updated"])["computeEnvironments"]
    assert found["computeResources"]["maxvCpus"] == 4
