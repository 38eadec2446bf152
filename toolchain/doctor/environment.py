"""Compute environments as Batch describes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.aws import doing

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import ComputeEnvironmentDetailTypeDef


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A compute environment, deployed or about to be.

    Attributes:
        arn: Its ARN; empty if it is not deployed.
        name: How it is called here.
        kind: What its hosts are: `SPOT` or `EC2`, which is on demand.
        types: The instance types and families that it may take.
        most_vcpus: The most vCPUs that it runs at a time.
        state: `ENABLED` or `DISABLED`.
        status: `VALID`, or what else.
        reason: Why it is not valid.
        subnets: Where its hosts are.
        groups: The security groups that they wear.
        profile: Their instance profile.
        template: The id of their launch template.
        version: The launch template's version, as it was given.
    """

    arn: str = ""
    name: str
    kind: str
    types: tuple[str, ...]
    most_vcpus: int
    state: str = "ENABLED"
    status: str = "VALID"
    reason: str = ""
    subnets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    profile: str = ""
    template: str = ""
    version: str = ""


def deployed(batch: "BatchClient", arns: Sequence[str]) -> tuple[Environment, ...]:
    """The environments of these ARNs that are there, in this order."""
    with doing("looking at the compute environments"):
        answer = batch.describe_compute_environments(computeEnvironments=list(arns))
    found = {one["computeEnvironmentArn"]: _environment(one) for one in answer["computeEnvironments"]}
    return tuple(found[arn] for arn in arns if arn in found)


def _environment(one: "ComputeEnvironmentDetailTypeDef") -> Environment:
    resources = one["computeResources"]
    launch = resources.get("launchTemplate", {})
    return Environment(
        arn=one["computeEnvironmentArn"],
        name=one["computeEnvironmentName"],
        kind=resources["type"],
        types=tuple(resources.get("instanceTypes", ())),
        most_vcpus=resources["maxvCpus"],
        state=one.get("state", ""),
        status=one.get("status", ""),
        reason=one.get("statusReason", ""),
        subnets=tuple(resources["subnets"]),
        groups=tuple(resources.get("securityGroupIds", ())),
        profile=resources.get("instanceRole", ""),
        template=launch.get("launchTemplateId", ""),
        version=launch.get("version", ""),
    )
