"""Resources of stacks: made, changed and deleted by calls of their services' APIs, as resource_types.yaml says.

moto's classes for most of these types leave out properties (a queue's time limits, a bucket's versioning, what goes out
of a security group), and half of them delete nothing; for eight types there is none. A type whose class in moto makes,
changes and deletes all that stack/ gives needs nothing here.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from botocore import xform_name
from botocore.exceptions import ClientError
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import generate_resource_name

from toolchain.localaws.access import Access

Json = Any  # what a template holds, and what an API takes and answers
Properties = Mapping[str, Json]
_GONE: Final = re.compile("NotFound|NoSuch|DoesNotExist|does not exist")


@dataclass(frozen=True)
class Region:
    """The services' APIs in an account and region."""

    access: Access
    account: str
    name: str

    def takes(self, service: str, operation: str) -> Any:
        """Botocore's model of what an operation takes; None where there is no such operation."""
        meta = _client(self.access, self.name, service).meta
        name = meta.method_to_api_mapping.get(operation)
        return name and meta.service_model.operation_model(name).input_shape

    def call(self, service: str, operation: str, given: Properties, renamed: Mapping[str, str]) -> Json:
        """Calls an operation with the properties that it takes, spelled and typed as it takes them."""
        arguments = _fitted(given, self.takes(service, operation), renamed)
        return getattr(_client(self.access, self.name, service), operation)(**arguments)


@cache
def _client(access: Access, region: str, service: str) -> Any:
    # One try: what fails here fails for good, and a stack says so at once.
    return access.client(service, region, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


def _fitted(value: Json, shape: Any, renamed: Mapping[str, str]) -> Json:
    match shape.type_name:
        case "structure":
            value = _STRUCTURES.get(shape.name, dict)(value)
            names = {name.lower(): name for name in shape.members}
            aliases = {name: names.get(renamed[name].lower()) for name in renamed}
            spelled = {names.get(name.lower(), aliases.get(name)): item for name, item in value.items()}
            return {name: _fitted(item, shape.members[name], renamed) for name, item in spelled.items() if name}
        case "list":
            return [_fitted(item, shape.member, renamed) for item in (value if isinstance(value, list) else [value])]
        case "map":
            return {item["Key"]: item["Value"] for item in value} if isinstance(value, list) else value
        case "boolean":
            return str(value).lower() == "true"
        case "integer" | "long" | "float" | "double":
            return float(value) if "." in str(value) else int(value)
    # A policy is a text to an API.
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


def _permission(rule: Properties) -> Properties:
    """A security group's rule as EC2 has it, beside what EC2 does not take of it."""
    ranges = {name: rule for name, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")) if key in rule}
    group = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId")
    return {**rule, **ranges, **({"UserIdGroupPairs": {**rule, "GroupId": group}} if group else {})}


def _lifecycle_rule(rule: Properties) -> Properties:
    """A bucket's rule as S3 has it, likewise."""
    expires = rule.keys() & {"ExpirationInDays", "ExpiredObjectDeleteMarker"}
    return {**rule, "Filter": {"Prefix": rule.get("Prefix", "")}, **({"Expiration": rule} if expires else {})}


_STRUCTURES: Final[Mapping[str, Any]] = {"IpPermission": _permission, "LifecycleRule": _lifecycle_rule}


@dataclass
class Resource:
    """A resource of a stack, which has no physical id while it is not made; moto's answers read these names."""

    logical_resource_id: str
    cf_resource_type: str
    stack_name: str
    properties: Properties
    is_retained: bool
    physical_resource_id: str = ""
    attributes: dict[str, Json] = field(default_factory=dict)

    def get_cfn_attribute(self, name: str) -> Json:
        """What Fn::GetAtt gives; an API may have a longer name for it, as `repositoryArn`."""
        if not self.physical_resource_id:
            return f"{self.logical_resource_id}.{name}"
        names = [key for key in self.attributes if key.lower().endswith(name.lower())]
        if not names:
            raise ValidationError(message=f"{self.cf_resource_type} has no attribute {name}")
        return self.attributes[min(names, key=len)]


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """A type of resources; resource_types.yaml says what its fields mean."""

    service: str
    create: str
    update: str
    delete: str
    release: Properties = field(default_factory=dict)
    key: str = ""
    id: str = ""
    name: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    existing: Mapping[str, Properties] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    set: Mapping[str, Properties] = field(default_factory=dict)

    def new_name(self, region: Region, resource: Resource) -> str:
        return generate_resource_name(resource.cf_resource_type, resource.stack_name, resource.logical_resource_id)

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        return {self.name: resource.physical_resource_id, **resource.properties}

    def target(self, resource: Resource) -> Json:
        return resource.attributes.get(self.key, resource.physical_resource_id)

    def adopt(self, region: Region, resource: Resource) -> bool:
        """Takes in what exists by the name that the template gives; whether there is such a thing."""
        name = resource.properties.get(self.name)
        for operation, given in self.existing.items() if name else ():
            with _unless_gone():
                answer = region.call(self.service, operation, _filled(given, {"id": name}), self.rename)
                found = _flat(answer)
                if name in found.values():
                    resource.physical_resource_id = str(name)
                    self._describe(region, resource, found)
                    return True
        return False

    def _describe(self, region: Region, resource: Resource, found: Mapping[str, Json]) -> None:
        resource.attributes = dict(found)
        names = {**resource.attributes, "region": region.name, "account": region.account}
        names["id"] = resource.physical_resource_id
        resource.attributes |= {name: text.format(**names) for name, text in self.attributes.items()}

    def make(self, region: Region, resource: Resource) -> None:
        name = resource.properties.get(self.name) or resource.physical_resource_id
        resource.physical_resource_id = name or self.new_name(region, resource)
        if self.create:
            given = self.arguments(region, resource)
            resource.attributes = {**given, **_flat(region.call(self.service, self.create, given, self.rename) or {})}
            name = resource.attributes.get(self.id or self.key, resource.physical_resource_id)
            resource.physical_resource_id = str(name)
        self._describe(region, resource, resource.attributes)
        try:
            self.finish(region, resource, {})
        except Exception:
            with suppress(Exception):
                self.remove(region, resource)
            raise

    def can_change(self, region: Region, before: Properties, after: Properties) -> bool:
        """Whether a change can be made in place: by the update, by settings, or where all is in the properties."""
        others = [{name: value for name, value in given.items() if name not in self.set} for given in (before, after)]
        return not self.key or _takes(region.takes(self.service, self.update), *others)

    def change(self, region: Region, resource: Resource, before: Properties) -> None:
        """Changes a resource in place, from the properties that it had before."""
        if not self.key:
            # The old one would be in the new one's way.
            self.remove(region, replace(resource, properties=before))
            self.make(region, resource)
            return
        if changed(before, resource.properties) - self.set.keys():
            given = {**self.arguments(region, resource), self.key: self.target(resource)}
            region.call(self.service, self.update, given, self.rename)
        self.finish(region, resource, before)

    def finish(self, region: Region, resource: Resource, before: Properties) -> None:
        """Sets the properties that have operations of their own."""
        for name in changed(before, resource.properties) & self.set.keys():
            self._set(region, resource, name, "unset", before)
            self._set(region, resource, name, "set", resource.properties)

    def _set(self, region: Region, resource: Resource, name: str, verb: str, properties: Properties) -> None:
        setting, target = self.set[name], self.target(resource)
        if verb in setting and properties.get(name) is not None:
            for item in properties[name] if "each" in setting else [properties[name]]:
                parts = item if isinstance(item, dict) else {}
                values = {**properties, **parts, "value": item, "id": target}
                given = _filled(setting.get("given", {name: "$value"}), values)
                region.call(self.service, setting[verb], {self.key: target, **given}, self.rename)

    def remove(self, region: Region, resource: Resource) -> None:
        for name in self.set:
            with _unless_gone():
                self._set(region, resource, name, "unset", resource.properties)
        given = {self.key: self.target(resource)} if self.key else self.arguments(region, resource)
        with _unless_gone():
            if self.release:
                region.call(self.service, self.update, {**given, **self.release}, self.rename)
            if self.create:
                region.call(self.service, self.delete, given, self.rename)


@contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if not _GONE.search(str(error)):
            raise


def _takes(shape: Any, before: Properties, after: Properties) -> bool:
    """Whether an operation takes all that is not the same in both."""
    members = {name.lower(): member for name, member in shape.members.items()} if shape else {}
    for name in changed(before, after):
        member, old, new = members.get(name.lower()), before.get(name), after.get(name)
        if member is None or (member.type_name == "structure" and old and new and not _takes(member, old, new)):
            return False
    return True


def _filled(given: Json, values: Properties) -> Json:
    if isinstance(given, dict):
        return {name: _filled(item, values) for name, item in given.items()}
    return values[given[1:]] if given.startswith("$") else given


def _flat(answer: Properties) -> dict[str, Json]:
    """An answer with what is in its objects, or the first of its lists; an outer name comes before an inner one."""
    outer = {name: value[0] if isinstance(value, list) and value else value for name, value in answer.items()}
    found: dict[str, Json] = {}
    for value in outer.values():
        found |= _flat(value) if isinstance(value, dict) else {}
    return found | outer


def changed(before: Properties, after: Properties) -> set[str]:
    """The names of what is not the same in both."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


# ---- types that need more ------------------------------------------------------------------------------------------


class _SecurityGroup(ResourceType):
    def finish(self, region: Region, resource: Resource, before: Properties) -> None:
        # EC2 lets everything out of a new group, which goes where the template says what goes out.
        everything = {"SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]}
        is_ruled = "SecurityGroupEgress" in resource.properties
        super().finish(region, resource, everything if is_ruled and not before else before)


class _SecurityGroupRule(ResourceType):
    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        return {"GroupId": resource.properties["GroupId"], "IpPermissions": resource.properties}


class _Budget(ResourceType):
    """Named by its account and by a property of its property."""

    def new_name(self, region: Region, resource: Resource) -> str:
        return str(resource.properties["Budget"]["BudgetName"])

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        name = resource.physical_resource_id
        return {"AccountId": region.account, "BudgetName": name, **resource.properties}


class _Bucket(ResourceType):
    """What a bucket holds outlives the server: the next server's stack gets the same one."""

    def new_name(self, region: Region, resource: Resource) -> str:
        identity = f"{region.name} {resource.stack_name} {resource.logical_resource_id}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return f"{resource.stack_name}-{resource.logical_resource_id}-{digest}"[-63:].lower()

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        place = {"CreateBucketConfiguration": {"LocationConstraint": region.name}} if region.name != "us-east-1" else {}
        return {**super().arguments(region, resource), **place}

    def make(self, region: Region, resource: Resource) -> None:
        try:
            super().make(region, resource)
        except ClientError as error:
            # Unless the template names it, it is one that an earlier stack retained.
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou" or "BucketName" in resource.properties:
                raise
            replace(self, create="").make(region, resource)


class _StateMachine(ResourceType):
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


_CLASSES: Final = {
    "AWS::Budgets::Budget": _Budget,
    "AWS::EC2::SecurityGroup": _SecurityGroup,
    "AWS::EC2::SecurityGroupEgress": _SecurityGroupRule,
    "AWS::EC2::SecurityGroupIngress": _SecurityGroupRule,
    "AWS::S3::Bucket": _Bucket,
    "AWS::StepFunctions::StateMachine": _StateMachine,
}
_TYPES: Final = yaml.safe_load((Path(__file__).parent / "resource_types.yaml").read_text(encoding="utf-8"))


def resource_type(name: str) -> ResourceType:
    """The type of this name, such as `AWS::S3::Bucket`."""
    if name not in _TYPES:
        raise ValidationError(message=f"The embedded AWS cannot make resources of these types: [{name}]")
    _, service, noun = name.split("::")
    operations = {verb: f"{verb}_{xform_name(noun)}" for verb in ("create", "update", "delete")}
    return _CLASSES.get(name, ResourceType)(service=service.lower(), **operations | _TYPES[name])
