"""Service-linked roles, which services act by. A new account has none, and not every service makes its own in time.

The first cluster of an account fails where ECS's role is only just being made (aws/containers-roadmap#2614), and Batch
makes clusters by itself. So they are made before the first stack.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from toolchain.aws import code, doing
from toolchain.stacks.layout import Stack

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

# Type of resource to the services that it makes act.
SERVICES: Mapping[str, tuple[str, ...]] = {
    "AWS::Batch::ComputeEnvironment": (
        "ecs.amazonaws.com",
        "batch.amazonaws.com",
        "autoscaling.amazonaws.com",
        "spot.amazonaws.com",
    ),
    "AWS::FSx::FileSystem": ("fsx.amazonaws.com",),
}
_PATH = "/aws-service-role/"


def missing(iam: "IAMClient", stacks: Iterable[Stack]) -> list[str]:
    """The services that stacks need and that have no role in this account."""
    types = {resource.type for stack in stacks for resource in stack.resources}
    needed = [service for kind, services in SERVICES.items() if kind in types for service in services]
    if not needed:
        return []
    with doing("listing service-linked roles"):
        pages = iam.get_paginator("list_roles").paginate(PathPrefix=_PATH)
        existing = {role["Path"].removeprefix(_PATH).rstrip("/") for page in pages for role in page["Roles"]}
    return [service for service in needed if service not in existing]


def make(iam: "IAMClient", services: Iterable[str]) -> None:
    """Makes the roles of services; one that somebody else makes meanwhile is as good."""
    for service in services:
        with doing(f"making the service-linked role of {service}"):
            try:
                iam.create_service_linked_role(AWSServiceName=service)
            except ClientError as error:
                if code(error) != "InvalidInput" or "has been taken" not in str(error):
                    raise
