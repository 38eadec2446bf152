"""The resource types of stack/.

moto's classes for them, where there are any, leave out properties (a queue's time limits, a bucket's versioning, what
goes out of a security group), and half of them delete nothing. A type whose class in moto makes, changes and deletes
all that stack/ gives can go from here: what is not here is moto's.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from botocore.exceptions import ClientError
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import get_model_map

from toolchain.localaws.cloudformation.resource import (
    Json,
    Link,
    MotoType,
    Properties,
    Region,
    Resource,
    ResourceType,
    Setting,
    changed,
)


def _permission(rule: Properties) -> dict[str, Json]:
    """A security group's rule as EC2 has it."""
    description = {name: rule[name] for name in ("Description",) if name in rule}
    permission = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in rule}
    for name, ranges in (("CidrIp", "IpRanges"), ("CidrIpv6", "Ipv6Ranges")):
        if name in rule:
            permission[ranges] = [{name: rule[name], **description}]
    if group := rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": group, **description}]
    return permission


class SecurityGroup(ResourceType):
    """A group with its rules."""

    def finish(self, region: Region, resource: Resource, before: Properties) -> None:
        # EC2 lets everything out of a new group, which goes where the template says what goes out.
        everything = {"SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]}
        ruled = "SecurityGroupEgress" in resource.properties
        super().finish(region, resource, everything if ruled and not before else before)


class SecurityGroupRule(Link):
    """A rule beside its group."""

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        return {"GroupId": resource.properties["GroupId"], "IpPermissions": [_permission(resource.properties)]}


class LaunchTemplate(ResourceType):
    """A launch template, of which a change makes another version."""

    def finish(self, region: Region, resource: Resource, before: Properties) -> None:
        super().finish(region, resource, before)
        found = region.call("ec2", "describe_launch_templates", {"LaunchTemplateIds": resource.physical_resource_id})
        resource.attributes = found["LaunchTemplates"][0]


class Bucket(ResourceType):
    """A bucket. What it holds outlives the server, so that the next server's stack gets the same one."""

    def new_name(self, region: Region, resource: Resource) -> str:
        identity = f"{region.name} {resource.stack_name} {resource.logical_resource_id}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return f"{resource.stack_name}-{resource.logical_resource_id}-{digest}"[-63:].lower()

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        place = {"CreateBucketConfiguration": {"LocationConstraint": region.name}} if region.name != "us-east-1" else {}
        return {"Bucket": resource.properties.get("BucketName") or resource.physical_resource_id, **place}

    def create(self, region: Region, resource: Resource) -> None:
        try:
            super().create(region, resource)
        except ClientError as error:
            # Unless the template names it, it is one that an earlier stack retained.
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou" or "BucketName" in resource.properties:
                raise
            self.finish(region, resource, {})
        resource.attributes = {"Arn": f"arn:aws:s3:::{resource.physical_resource_id}"}


def _encryption(value: Json, _: Properties) -> Json:
    rules = [rule["ServerSideEncryptionByDefault"] for rule in value["ServerSideEncryptionConfiguration"]]
    rules = [{"ApplyServerSideEncryptionByDefault": rule} for rule in rules]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _lifecycle(value: Json, _: Properties) -> Json:
    names = {"ExpirationInDays": "Days", "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}
    rules = []
    for rule in value["Rules"]:
        expiration = {names[name]: item for name, item in rule.items() if name in names}
        more = {"Expiration": expiration} if expiration else {}
        rules.append({**rule, **more, "Filter": {"Prefix": rule.get("Prefix", "")}})
    return {"LifecycleConfiguration": {"Rules": rules}}


def _logging(value: Json, _: Properties) -> Json:
    target = {"TargetBucket": value["DestinationBucketName"], "TargetPrefix": value.get("LogFilePrefix", "")}
    return {"BucketLoggingStatus": {"LoggingEnabled": target}}


class Batch(ResourceType):
    """A compute environment or a queue, which must be off before it is deleted."""

    def delete(self, region: Region, resource: Resource) -> None:
        off = {**self.naming(region, resource), "state": "DISABLED"}
        region.call("batch", self.operation("update"), off)
        super().delete(region, resource)


class FileSystem(ResourceType):
    """A Lustre file system, of which some settings can change."""

    def replaces(self, region: Region, before: Properties, after: Properties) -> bool:
        settings = {"AutoImportPolicy", "DataCompressionType", "PerUnitStorageThroughput", "WeeklyMaintenanceStartTime"}
        lustre = changed(before["LustreConfiguration"], after["LustreConfiguration"])
        return super().replaces(region, before, after) or not lustre <= settings

    def create(self, region: Region, resource: Resource) -> None:
        super().create(region, resource)
        resource.attributes["LustreMountName"] = resource.attributes["LustreConfiguration"]["MountName"]


class LogGroup(ResourceType):
    """A log group."""

    def create(self, region: Region, resource: Resource) -> None:
        super().create(region, resource)
        arn = f"arn:aws:logs:{region.name}:{region.account}:log-group:{resource.physical_resource_id}:*"
        resource.attributes["Arn"] = arn


class StateMachine(ResourceType):
    """A state machine."""

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        return {**super().arguments(region, resource), "definition": definition(resource.properties)}


def definition(properties: Properties) -> str:
    """A state machine's definition, with the substitutions put in."""
    is_text = "DefinitionString" in properties
    text = properties["DefinitionString"] if is_text else json.dumps(properties["Definition"])

    def value(match: re.Match[str]) -> str:
        given = properties.get("DefinitionSubstitutions", {}).get(match[1], match[0])
        plain = given if isinstance(given, str) else json.dumps(given)
        # In the text of a JSON string a value must stay within its quotes.
        return plain if is_text else json.dumps(plain)[1:-1]

    return re.sub(r"\$\{([A-Za-z0-9_]+)\}", value, text)


def _attribute(name: str, noun: str) -> Setting:
    return Setting(f"modify_{noun}_attribute", given=lambda value, _: {name: {"Value": value}})


def _topic_attribute(name: str) -> Setting:
    return Setting("set_topic_attributes", given=lambda value, _: {"AttributeName": name, "AttributeValue": value})


_TAGS: Final = {"Tags": Setting("create_tags", "delete_tags")}
_VPC: Final = {name: _attribute(name, "vpc") for name in ("EnableDnsSupport", "EnableDnsHostnames")}
_RULES: Final = {
    f"SecurityGroup{direction.capitalize()}": Setting(
        f"authorize_security_group_{direction}",
        f"revoke_security_group_{direction}",
        lambda rule, _: {"IpPermissions": _permission(rule)},
        each=True,
    )
    for direction in ("ingress", "egress")
}
_BUCKET: Final = {
    "BucketEncryption": Setting("put_bucket_encryption", given=_encryption),
    "LifecycleConfiguration": Setting("put_bucket_lifecycle_configuration", given=_lifecycle),
    "LoggingConfiguration": Setting("put_bucket_logging", given=_logging),
    "OwnershipControls": Setting("put_bucket_ownership_controls"),
    "PublicAccessBlockConfiguration": Setting("put_public_access_block"),
    "Tags": Setting("put_bucket_tagging", given=lambda tags, _: {"Tagging": {"TagSet": tags}}),
    "VersioningConfiguration": Setting("put_bucket_versioning"),
}
_REPOSITORY: Final = {
    "ImageTagMutability": Setting("put_image_tag_mutability"),
    "ImageScanningConfiguration": Setting("put_image_scanning_configuration"),
    "LifecyclePolicy": Setting("put_lifecycle_policy", given=lambda policy, _: policy),
}
_ATTACH: Final = ("attach_role_policy", "detach_role_policy")
_PUT: Final = ("put_role_policy", "delete_role_policy")
_ROLE: Final = {
    "Policies": Setting(*_PUT, lambda policy, _: policy, each=True),
    "ManagedPolicyArns": Setting(*_ATTACH, lambda arn, _: {"PolicyArn": arn}, each=True),
    "AssumeRolePolicyDocument": Setting(
        "update_assume_role_policy", given=lambda trust, _: {"PolicyDocument": trust}, on_change=True
    ),
}
_TOPIC: Final = {name: _topic_attribute(name) for name in ("DisplayName", "KmsMasterKeyId")}

_TYPES: Final = (
    Batch("AWS::Batch::ComputeEnvironment", settings={"ReplaceComputeEnvironment": Setting()}),
    Batch("AWS::Batch::JobQueue"),
    Link("AWS::CloudWatch::Alarm", "put_metric_alarm", "delete_alarms", "AlarmNames"),
    ResourceType("AWS::EC2::EIP", "allocate_address", "release_address", "AllocationId", "PublicIp", _TAGS),
    ResourceType(
        "AWS::EC2::FlowLog",
        "create_flow_logs",
        "delete_flow_logs",
        settings=_TAGS,
        renamed={"ResourceId": "ResourceIds"},
    ),
    ResourceType("AWS::EC2::InternetGateway", settings=_TAGS),
    LaunchTemplate(
        "AWS::EC2::LaunchTemplate",
        key="LaunchTemplateId",
        settings={"LaunchTemplateData": Setting("create_launch_template_version", on_change=True)},
    ),
    ResourceType("AWS::EC2::NatGateway", settings=_TAGS),
    Link("AWS::EC2::Route"),
    ResourceType("AWS::EC2::RouteTable", settings=_TAGS),
    SecurityGroup(
        "AWS::EC2::SecurityGroup",
        key="GroupId",
        settings=_TAGS | _RULES,
        renamed={"GroupDescription": "Description"},
    ),
    SecurityGroupRule(
        "AWS::EC2::SecurityGroupEgress",
        "authorize_security_group_egress",
        "revoke_security_group_egress",
        "",
        "SecurityGroupRuleId",
    ),
    SecurityGroupRule(
        "AWS::EC2::SecurityGroupIngress",
        "authorize_security_group_ingress",
        "revoke_security_group_ingress",
        "",
        "SecurityGroupRuleId",
    ),
    ResourceType(
        "AWS::EC2::Subnet", settings=_TAGS | {"MapPublicIpOnLaunch": _attribute("MapPublicIpOnLaunch", "subnet")}
    ),
    Link("AWS::EC2::SubnetRouteTableAssociation", "associate_route_table", "disassociate_route_table"),
    ResourceType("AWS::EC2::VPC", settings=_TAGS | _VPC),
    ResourceType("AWS::EC2::VPCEndpoint", deleting="delete_vpc_endpoints", settings=_TAGS),
    Link("AWS::EC2::VPCGatewayAttachment", "attach_internet_gateway", "detach_internet_gateway"),
    ResourceType("AWS::ECR::Repository", settings=_REPOSITORY),
    ResourceType("AWS::FSx::DataRepositoryAssociation"),
    FileSystem("AWS::FSx::FileSystem"),
    ResourceType(
        "AWS::IAM::ManagedPolicy",
        "create_policy",
        "delete_policy",
        id="Arn",
        settings={"Roles": Setting(*_ATTACH, lambda role, _: {"RoleName": role}, each=True)},
        renamed={"ManagedPolicyName": "PolicyName"},
    ),
    Link(
        "AWS::IAM::Policy",
        None,
        settings={"Roles": Setting(*_PUT, lambda role, policy: {**policy, "RoleName": role}, each=True)},
    ),
    ResourceType("AWS::IAM::Role", settings=_ROLE),
    Link("AWS::IAM::RolePolicy", "put_role_policy"),
    LogGroup(
        "AWS::Logs::LogGroup", settings={"RetentionInDays": Setting("put_retention_policy", "delete_retention_policy")}
    ),
    Bucket("AWS::S3::Bucket", settings=_BUCKET),
    Link("AWS::S3::BucketPolicy", "put_bucket_policy", renamed={"PolicyDocument": "Policy"}),
    ResourceType("AWS::SNS::Subscription", "subscribe", "unsubscribe"),
    ResourceType("AWS::SNS::Topic", settings=_TOPIC, renamed={"TopicName": "Name"}),
    Link(
        "AWS::SNS::TopicPolicy",
        None,
        settings={
            "Topics": Setting(
                "set_topic_attributes",
                given=lambda topic, policy: {
                    "TopicArn": topic,
                    "AttributeName": "Policy",
                    "AttributeValue": policy["PolicyDocument"],
                },
                each=True,
            )
        },
    ),
    StateMachine(
        "AWS::StepFunctions::StateMachine",
        settings={"DefinitionString": Setting(), "DefinitionSubstitutions": Setting()},
        renamed={"StateMachineName": "name", "StateMachineType": "type"},
    ),
)
TYPES: Final[Mapping[str, ResourceType]] = {kind.type_name: kind for kind in _TYPES}
# Services of the embedded AWS whose other types are moto's. Not Batch, whose API guards what job definitions say.
_SERVICES: Final = ("CloudWatch", "EC2", "ECR", "Events", "IAM", "KMS", "Logs", "S3", "SNS", "SQS", "SSM")


def resource_type(name: str) -> ResourceType:
    """The type of this name.

    Raises:
        ValidationError: There is none such here.
    """
    if name in TYPES:
        return TYPES[name]
    if name in get_model_map() and name.split("::")[1] in _SERVICES:
        return MotoType(name)
    raise ValidationError(message=f"The embedded AWS cannot make resources of these types: [{name}]")
