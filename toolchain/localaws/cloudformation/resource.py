"""Resources of stacks: made, changed and deleted by calls of their services' APIs."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from botocore import xform_name
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError

from toolchain.localaws.access import Access

Json = Any  # what a template holds, and what an API takes and answers
Properties = Mapping[str, Json]


class Region:
    """The services' APIs in an account and region."""

    def __init__(self, access: Access, account: str, name: str) -> None:
        self.account, self.name = account, name
        self._access = access
        self._clients: dict[str, Any] = {}

    def takes(self, service: str, operation: str) -> Any:
        """Botocore's model of what an operation takes.

        Raises:
            KeyError: There is no such operation.
        """
        if service not in self._clients:
            # One try: what fails here fails for good, and a stack says so at once.
            config: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}}
            self._clients[service] = self._access.client(service, self.name, **config)
        meta = self._clients[service].meta
        return meta.service_model.operation_model(meta.method_to_api_mapping[operation]).input_shape

    def call(self, service: str, operation: str, given: Properties) -> dict[str, Json]:
        """Calls an operation with the properties of a template that it takes, spelled and typed as the API has them."""
        arguments = _fitted(given, self.takes(service, operation))
        answer: dict[str, Json] = getattr(self._clients[service], operation)(**arguments)
        return answer

    def close(self) -> None:
        """Ends the connections."""
        for client in self._clients.values():
            client.close()


def _fitted(value: Json, shape: Any) -> Json:  # noqa: PLR0911  # a kind of shape a return
    match shape.type_name:
        case "structure":
            names = {name.lower(): name for name in shape.members}
            spelled = {names[name.lower()]: item for name, item in value.items() if name.lower() in names}
            return {name: _fitted(item, shape.members[name]) for name, item in spelled.items()}
        case "list":
            items = value if isinstance(value, list) else [value]
            return [_fitted(item, shape.member) for item in items if item is not None]
        case "map":
            return {item["Key"]: item["Value"] for item in value} if isinstance(value, list) else value
        case "boolean":
            return str(value).lower() == "true"
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
    # A policy is a text to an API.
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


@dataclass
class Resource:
    """A resource of a stack; moto's answers read the attributes whose names end with `resource_id` or `type`.

    Attributes:
        logical_resource_id: Its name in the template.
        cf_resource_type: As `AWS::S3::Bucket`.
        stack_name: Its stack.
        properties: Resolved.
        is_retained: Whether it stays when its stack goes.
        physical_resource_id: What Ref gives; empty while it is not made.
        attributes: What Fn::GetAtt gives.
        model: moto's own object, of a type that moto makes.
    """

    logical_resource_id: str
    cf_resource_type: str
    stack_name: str
    properties: Properties
    is_retained: bool
    physical_resource_id: str = ""
    attributes: dict[str, Json] = field(default_factory=dict)
    model: Any = None

    def get_cfn_attribute(self, name: str) -> Json:
        """What Fn::GetAtt gives; a service's answer may call it by a longer name, as `repositoryArn`."""
        if not self.physical_resource_id:
            return f"{self.logical_resource_id}.{name}"
        if self.model is not None:
            return self.model.get_cfn_attribute(name)
        names = [key for key in self.attributes if key.lower().endswith(name.lower())]
        if not names:
            raise ValidationError(message=f"{self.cf_resource_type} has no attribute {name}")
        return self.attributes[min(names, key=len)]


@dataclass(frozen=True)
class Setting:
    """An operation that sets a property.

    Attributes:
        set: The operation.
        unset: The operation that takes the value back, where a new one would not.
        given: The operation's parameters from a value and all properties; the property itself where it is none.
        each: Whether each item of the value is set by itself.
        on_change: Whether the creating operation takes the property, so that only a change is set.
    """

    set: str = ""
    unset: str = ""
    given: Callable[[Json, Properties], Properties] | None = None
    each: bool = False
    on_change: bool = False


@dataclass(frozen=True)
class ResourceType:
    """A type of resources. Its operations follow from its name, and what they need from botocore's models of them.

    Attributes:
        type_name: As `AWS::EC2::NatGateway`, which `create_nat_gateway` makes.
        creating: The operation that makes one, where it is called otherwise; None where settings are all that is made.
        deleting: The operation that deletes one, likewise.
        key: The parameter by which operations know one, where the deleting operation requires none.
        id: What the creation's answer calls the physical id, where that is not the value of that parameter.
        settings: Properties that other operations set.
        renamed: Properties that the API names otherwise.
    """

    type_name: str
    creating: str | None = ""
    deleting: str = ""
    key: str = ""
    id: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return self.type_name.split("::")[1].lower()

    def operation(self, verb: str) -> str:
        """The operation that creates, updates or deletes one."""
        given = {"create": self.creating, "delete": self.deleting}.get(verb)
        return given or f"{verb}_{xform_name(self.type_name.split('::')[2])}"

    def new_name(self, region: Region, resource: Resource) -> str:
        """A name for a resource to which the template gives none."""
        return parsing.generate_resource_name(self.type_name, resource.stack_name, resource.logical_resource_id)

    def arguments(self, region: Region, resource: Resource) -> dict[str, Json]:
        """What operations are given: properties, and a name where the creation requires one and there is none."""
        given = {
            self.renamed.get(name, name): value
            for name, value in resource.properties.items()
            if name not in self.settings or self.settings[name].on_change
        }
        names = {name.lower() for name in given}
        for member in region.takes(self.service, self.operation("create")).required_members:
            if member.lower().endswith("name") and member.lower() not in names:
                given[member] = resource.physical_resource_id
        return given

    def naming(self, region: Region, resource: Resource) -> dict[str, Json]:
        """The parameters by which operations know a resource."""
        if self.creating is None:
            return {}
        required = region.takes(self.service, self.operation("delete")).required_members
        known = {name.lower(): value for name, value in self.arguments(region, resource).items()}
        known |= {name.lower(): value for name, value in resource.attributes.items()}
        keys = [self.key] if self.key else required
        return {key: known.get(key.lower(), resource.physical_resource_id) for key in keys}

    def create(self, region: Region, resource: Resource) -> None:
        """Makes one."""
        resource.physical_resource_id = resource.physical_resource_id or self.new_name(region, resource)
        if self.creating is not None:
            given = self.arguments(region, resource)
            resource.attributes = _flat(region.call(self.service, self.operation("create"), given) or {})
            known = {name.lower(): value for name, value in {**given, **resource.attributes}.items()}
            keys = [self.id] if self.id else self.naming(region, resource)
            names = [name for key in keys for name in (key, f"{key}Arn", key.removesuffix("s"))]
            found = (known[name.lower()] for name in names if name.lower() in known)
            resource.physical_resource_id = str(next(found, resource.physical_resource_id))
        self.finish(region, resource, {})

    def replaces(self, region: Region, before: Properties, after: Properties) -> bool:
        """Whether a change of properties is one that neither an `update_…` nor a setting can make."""
        try:
            taken = {name.lower() for name in region.takes(self.service, self.operation("update")).members}
        except KeyError:
            taken = set()
        return any(name.lower() not in taken and name not in self.settings for name in changed(before, after))

    def update(self, region: Region, resource: Resource, before: Properties) -> None:
        """Changes one in place, from what its properties were."""
        if changed(before, resource.properties) - set(self.settings):
            given = {**self.arguments(region, resource), **self.naming(region, resource)}
            region.call(self.service, self.operation("update"), given)
        self.finish(region, resource, before)

    def finish(self, region: Region, resource: Resource, before: Properties) -> None:
        """Sets the properties that have operations of their own."""
        for name in changed(before, resource.properties) & set(self.settings):
            setting = self.settings[name]
            self._set(region, resource, name, setting.unset, before)
            if before or not setting.on_change:
                self._set(region, resource, name, setting.set, resource.properties)

    def _set(self, region: Region, resource: Resource, name: str, operation: str, properties: Properties) -> None:
        setting, value = self.settings[name], properties.get(name)
        if operation and value is not None:
            naming = self.naming(region, resource)
            for item in value if setting.each else [value]:
                given = setting.given(item, properties) if setting.given else {name: item}
                # `Resources` is how EC2 names what it tags.
                region.call(self.service, operation, {"Resources": [*naming.values()], **naming, **given})

    def delete(self, region: Region, resource: Resource) -> None:
        """Deletes one."""
        for name, setting in self.settings.items():
            self._set(region, resource, name, setting.unset, resource.properties)
        if self.creating is not None:
            region.call(self.service, self.operation("delete"), self.naming(region, resource))


class Link(ResourceType):
    """A type that holds nothing: one that changes is deleted, and made anew."""

    def replaces(self, region: Region, before: Properties, after: Properties) -> bool:
        return False

    def update(self, region: Region, resource: Resource, before: Properties) -> None:
        self.delete(region, replace(resource, properties=before))
        self.create(region, resource)

    def naming(self, region: Region, resource: Resource) -> dict[str, Json]:
        """All properties: there may be nothing else."""
        if self.creating is None:
            return {}
        return {**self.arguments(region, resource), **super().naming(region, resource)}


class MotoType(ResourceType):
    """A type that moto's own class makes and deletes."""

    def create(self, region: Region, resource: Resource) -> None:
        name = parsing.resource_name_property_from_type(self.type_name) or ""
        given = {"Properties": deepcopy(resource.properties)}
        made: Any = parsing.get_model_map()[self.type_name]
        resource.model = made.create_from_cloudformation_json(
            resource.properties.get(name) or self.new_name(region, resource), given, region.account, region.name
        )
        resource.physical_resource_id = resource.model.physical_resource_id

    def replaces(self, region: Region, before: Properties, after: Properties) -> bool:
        return True

    def delete(self, region: Region, resource: Resource) -> None:
        try:
            resource.model.delete(region.account, region.name)
        except (AttributeError, TypeError):  # as moto itself finds out which of the two a class has
            given = {"Type": self.type_name, "Properties": deepcopy(resource.properties)}
            parsing.parse_and_delete_resource(resource.physical_resource_id, given, region.account, region.name)


def _flat(answer: Properties) -> dict[str, Json]:
    """An answer with what is in its objects, or in the first of its lists; an outer name comes before an inner one."""
    outer = {name: value[0] if isinstance(value, list) and value else value for name, value in answer.items()}
    inner = [value for value in outer.values() if isinstance(value, dict)]
    return {name: value for values in [*inner, outer] for name, value in values.items()}


def changed(before: Properties, after: Properties) -> set[str]:
    """The names of what is not the same in both."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}
