"""The IAM policy of whoever types the commands: every operation that the code calls, and what CloudFormation may do."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from toolchain.stacks.layout import Layout

# Service, as boto3 names it, to operation to the resources that it is allowed on. `*` where IAM knows no resource for
# it, or where the command looks through all of an account: quotas, hosts, what state machines name.
_ANY: Final = "*"
_STACK: Final = "cloudformation:{region}:{account}:stack/{project}-*/*"
_DEFINITION: Final = "batch:{region}:{account}:job-definition/{project}-*"
_ROLE: Final = "iam::{account}:role/{project}-*"
_REPOSITORY: Final = "ecr:{region}:{account}:repository/{project}/*"
OPERATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "batch": {
        "DeregisterJobDefinition": _DEFINITION,
        "DescribeComputeEnvironments": _ANY,
        "DescribeJobDefinitions": _ANY,
        "DescribeJobQueues": _ANY,
        "DescribeJobs": _ANY,
        "ListJobs": _ANY,
        "RegisterJobDefinition": _DEFINITION,
        "SubmitJob": "batch:{region}:{account}:job-*/{project}-*",
        "TerminateJob": "batch:{region}:{account}:job/*",
        "UpdateComputeEnvironment": "batch:{region}:{account}:compute-environment/{project}-*",
    },
    "cloudformation": {
        "ContinueUpdateRollback": _STACK,
        "CreateChangeSet": _STACK,
        "DeleteChangeSet": _STACK,
        "DeleteStack": _STACK,
        "DescribeChangeSet": _STACK,
        "DescribeEvents": _STACK,
        "DescribeStackEvents": _STACK,
        "DescribeStacks": _STACK,
        "ExecuteChangeSet": _STACK,
        "GetTemplate": _STACK,
        "ListExports": _ANY,
        "ListStackResources": _STACK,
        "UpdateTerminationProtection": _STACK,
    },
    "ec2": {
        "DescribeInstanceTypeOfferings": _ANY,
        "DescribeInstanceTypes": _ANY,
        "DescribeInstances": _ANY,
        "DescribeLaunchTemplateVersions": _ANY,
        "DescribeSecurityGroups": _ANY,
        "DescribeSubnets": _ANY,
    },
    "ecr": {"BatchGetImage": _REPOSITORY, "DescribeRepositories": _REPOSITORY, "GetAuthorizationToken": _ANY},
    "fsx": {
        "DescribeDataRepositoryAssociations": _ANY,
        "DescribeDataRepositoryTasks": _ANY,
        "DescribeFileSystems": _ANY,
    },
    "iam": {
        "CreateServiceLinkedRole": "iam::{account}:role/aws-service-role/*",
        "GetInstanceProfile": "iam::{account}:instance-profile/{project}-*",
        "GetRole": _ROLE,
        "GetRolePolicy": _ROLE,
        "ListAttachedRolePolicies": _ROLE,
        "ListRolePolicies": _ROLE,
        "ListRoles": _ANY,
    },
    "logs": {"GetLogEvents": "logs:{region}:{account}:log-group:/{project}/jobs:*"},
    "s3": {"GetObject": "{objects}", "HeadObject": "{objects}", "ListObjectsV2": "{buckets}", "PutObject": "{trial}"},
    "service-quotas": {
        "GetAWSDefaultServiceQuota": _ANY,
        "GetServiceQuota": _ANY,
        "ListAWSDefaultServiceQuotas": _ANY,
        "ListServiceQuotas": _ANY,
    },
    "ssm": {"GetParameter": "ssm:{region}:{account}:parameter/{project}/scratch/*"},
    "stepfunctions": {
        "DescribeExecution": "states:{region}:{account}:execution:{project}-*",
        "DescribeStateMachine": _ANY,
        "DescribeStateMachineForExecution": _ANY,
        "ListExecutions": _ANY,
        "ListStateMachineVersions": _ANY,
        "ListStateMachines": _ANY,
        "StartExecution": "states:{region}:{account}:stateMachine:{project}-*",
        "StopExecution": "states:{region}:{account}:execution:{project}-*",
    },
    "sts": {"GetCallerIdentity": _ANY},
}
# What these operations need of IAM under another name, and what a push needs, which speaks to the registry itself.
_ACTIONS: Final = {"s3:HeadObject": "s3:GetObject", "s3:ListObjectsV2": "s3:ListBucket"}
_BESIDE: Final = {
    "batch:TagResource": _DEFINITION,
    "cloudformation:CreateChangeSet": "cloudformation:{region}:aws:transform/LanguageExtensions",
    "ecr:BatchCheckLayerAvailability": _REPOSITORY,
    "ecr:CompleteLayerUpload": _REPOSITORY,
    "ecr:GetDownloadUrlForLayer": _REPOSITORY,
    "ecr:InitiateLayerUpload": _REPOSITORY,
    "ecr:PutImage": _REPOSITORY,
    "ecr:UploadLayerPart": _REPOSITORY,
    "iam:PassRole": _ROLE,
}
# IAM's prefix of a service, where it is not boto3's, or CloudFormation's in lower case.
_PREFIXES: Final = {"stepfunctions": "states", "service-quotas": "servicequotas"}


def policy(layout: Layout, buckets: Iterable[str], *, partition: str, region: str, account: str) -> dict[str, Any]:
    """The policy document.

    Args:
        layout: The stacks, whose resources CloudFormation makes with the rights of who deploys.
        buckets: Those of references and reads.
        partition: Such as `aws`.
        region: Where; `*` for any.
        account: Whose; `*` for any.
    """
    names = {"project": layout.project, "region": region, "account": account}
    inputs = tuple(dict.fromkeys(buckets))
    # Of what lies in S3: the results' bucket too; and what `doctor --deep` puts beside references and reads.
    patterns = {
        "{objects}": [f"{bucket}/*" for bucket in (*inputs, f"{layout.project}-*")],
        "{buckets}": [*inputs, f"{layout.project}-*"],
        "{trial}": [f"{bucket}/*doctor/*" for bucket in inputs],
    }

    def arns(pattern: str) -> tuple[str, ...]:
        if pattern == _ANY:
            return (_ANY,)
        if pattern in patterns:
            return tuple(f"arn:{partition}:s3:::{path}" for path in patterns[pattern])
        return (f"arn:{partition}:{pattern.format(**names)}",)

    actions = [
        (f"{_PREFIXES.get(service, service)}:{operation}", pattern)
        for service, operations in OPERATIONS.items()
        for operation, pattern in operations.items()
    ]
    allowed: dict[tuple[str, ...], set[str]] = {}
    for action, pattern in (*actions, *_BESIDE.items()):
        allowed.setdefault(arns(pattern), set()).add(_ACTIONS.get(action, action))
    statements = [
        {"Effect": "Allow", "Action": sorted(granted), "Resource": list(resources)}
        for resources, granted in allowed.items()
    ]
    return {"Version": "2012-10-17", "Statement": [*statements, *_by_cloudformation(layout, arns)]}


def made_services(layout: Layout) -> tuple[str, ...]:
    """IAM's prefixes of the services whose resources are in the stacks."""
    names = {resource.type.split("::")[1].lower() for stack in layout.stacks for resource in stack.resources}
    return tuple(sorted(_PREFIXES.get(name, name) for name in names))


def _by_cloudformation(layout: Layout, arns: Callable[[str], tuple[str, ...]]) -> list[dict[str, Any]]:
    """CloudFormation acts with the rights of its caller: all of these services through it, but of IAM its own roles."""
    through = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["cloudformation.amazonaws.com"]}}
    own = [arns(f"iam::{{account}}:{kind}/{{project}}-*")[0] for kind in ("role", "instance-profile", "policy")]
    services = [f"{service}:*" for service in made_services(layout) if service != "iam"]
    return [
        {"Effect": "Allow", "Action": services, "Resource": "*", "Condition": through},
        {"Effect": "Allow", "Action": "iam:*", "Resource": own, "Condition": through},
    ]
