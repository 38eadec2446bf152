"""Stacks and change sets: resources become what a template and parameters say.

moto's own keep no order between resources, see a changed parameter only where it is the whole of a property, mix up
what conditions take away, and forget what could not be made or deleted.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import yaml
from moto.cloudformation import models
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import Export, ResourceMap, clean_json, parse_condition
from moto.cloudformation.utils import generate_changeset_id, generate_stack_id
from moto.core.utils import utcnow

from toolchain.localaws.cloudformation.resource import Json, Region, Resource, changed
from toolchain.localaws.cloudformation.resource_types import resource_type
from toolchain.stacks import parameters
from toolchain.stacks import template as templates

_LOOPS: Final = "AWS::LanguageExtensions"
_RETAINED: Final = ("Retain", "RetainExceptOnCreate")


class FailedError(Exception):
    """A resource, by its logical id, could not be made, changed or deleted; an event says why."""


class Stack:
    """A stack, as it was last deployed. moto's answers read its attributes by their names."""

    def __init__(self, name: str, region: Region) -> None:
        self.name, self.region = name, region
        self.stack_id = generate_stack_id(name, region.name, region.account)
        self.creation_time = utcnow()
        self.status, self.status_reason = "", ""
        self.enable_termination_protection = False
        self.template = ""
        self.body: dict[str, Json] = {}
        self.values: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.resources: dict[str, Resource] = {}
        self.outputs: list[dict[str, str]] = []
        self.events: list[models.Event] = []
        self.token: str | None = None

    @property
    def description(self) -> str | None:
        return self.body.get("Description")

    @property
    def parameters(self) -> list[dict[str, str]]:
        return [{"ParameterKey": name, "ParameterValue": value} for name, value in self.values.items()]

    @property
    def exports(self) -> list[Export]:
        exported = [output for output in self.outputs if output["ExportName"] is not None]
        return [Export(self.stack_id, output["ExportName"], output["OutputValue"]) for output in exported]

    @property
    def stack_resources(self) -> list[Resource]:
        return list(self.resources.values())

    @property
    def is_busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def tell(self, status: str, reason: str = "", resource: Resource | None = None) -> None:
        """Notes what happens to a resource, or to the stack."""
        about = (self.name, self.stack_id, "AWS::CloudFormation::Stack")
        if resource is None:
            self.status, self.status_reason = status, reason
        else:
            about = (resource.logical_resource_id, resource.physical_resource_id, resource.cf_resource_type)
        event: Any = models.Event(self.stack_id, self.name, *about, status, reason or None, None)
        event.client_request_token = self.token
        self.events.append(event)

    @contextmanager
    def telling(self, verb: str, resource: Resource) -> Iterator[None]:
        """Notes how something that is done to a resource begins and ends.

        Raises:
            FailedError: It failed.
        """
        self.tell(f"{verb}_IN_PROGRESS", resource=resource)
        try:
            yield
        except Exception as error:
            self.tell(f"{verb}_FAILED", str(error), resource)
            raise FailedError(resource.logical_resource_id) from error
        self.tell(f"{verb}_COMPLETE", resource=resource)

    def deploy(self, change_set: "ChangeSet") -> None:
        """Does what a change set says. What was created until something fails is deleted; an update stops there."""
        verb = "CREATE" if self.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.tell(f"{verb}_IN_PROGRESS", "User Initiated")
        try:
            change_set.settle()
        except FailedError as error:
            self.resources |= change_set.settled
            reason = f"The following resource(s) failed to {verb.lower()}: [{error}]."
            if verb == "UPDATE":
                self.tell("UPDATE_FAILED", reason)
                return
            self.tell("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
            self._delete_resources("ROLLBACK")
            return
        self.resources, self.body, self.template = change_set.settled, change_set.body, change_set.text
        self.values, self.tags, self.outputs = change_set.input_parameters, change_set.tags, change_set.outputs()
        self.tell(f"{verb}_COMPLETE")

    def delete_all(self, retained: Collection[str]) -> None:
        """Deletes the resources but those that are named, or that the template retains."""
        self.tell("DELETE_IN_PROGRESS", "User Initiated")
        for name in [name for name, resource in self.resources.items() if resource.is_retained or name in retained]:
            del self.resources[name]
        self._delete_resources("DELETE")

    def _delete_resources(self, verb: str) -> None:
        # In the order of their creation, each comes after what it needs.
        for name, resource in reversed(list(self.resources.items())):
            with suppress(FailedError), self.telling("DELETE", resource):
                resource_type(resource.cf_resource_type).delete(self.region, resource)
                del self.resources[name]
        left = ", ".join(self.resources)
        self.tell(f"{verb}_FAILED" if left else f"{verb}_COMPLETE", f"Failed to delete: [{left}]." if left else "")


class ChangeSet(ResourceMap):
    """What a template and parameters make of a stack.

    Args:
        stack: The stack.
        name: The change set's name.
        text: The template.
        given: Name to value of parameters.
        tags: The stack's.
        exports: Those of all stacks.
    """

    def __init__(
        self,
        stack: Stack,
        name: str,
        text: str,
        given: Mapping[str, str],
        tags: dict[str, str],
        exports: dict[str, Export],
    ) -> None:
        self.id = generate_changeset_id(name, stack.region.name, stack.region.account)
        self.name, self.text, self.stack = name, text, stack
        self.status, self.execution_status, self.status_reason = "CREATE_COMPLETE", "AVAILABLE", ""
        body = parse(text)
        values = _values(body, given)
        lists = {name: value.split(",") for name, value in values.items()}
        self.body: dict[str, Json] = _with_zones(templates.expanded(body, lists), stack.region.name)
        region = stack.region
        super().__init__(stack.stack_id, stack.name, values, tags, region.name, region.account, self.body, exports)
        self.load()
        self._check_rules()
        self.settle(dry=True)

    def validate_outputs(self) -> None:
        """Nothing: moto asks its own classes for the attributes."""

    def settle(self, *, dry: bool = False) -> None:
        """Makes, changes and deletes resources, or only finds out what that would be.

        Raises:
            FailedError: One could not be made or changed.
        """
        self._dry = dry
        self.changes: list[dict[str, Json]] = []
        self.settled: dict[str, Resource] = {}
        self._replaced: list[Resource] = []
        for name in filter(self._is_wanted, self._resource_json_map):
            self[name]
        gone = [resource for name, resource in self.stack.resources.items() if name not in self.settled]
        self.changes += [_change("Remove", resource) for resource in gone]
        kept = {resource.physical_resource_id for resource in self.settled.values()}
        going = [resource for resource in self._replaced if resource.physical_resource_id not in kept]
        for resource in [*going, *(resource for resource in reversed(gone) if not resource.is_retained)]:
            # What cannot be deleted is left behind, in AWS too.
            with suppress(FailedError):
                self._act("DELETE", resource, resource_type(resource.cf_resource_type).delete)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to change."""
        return not self.changes and self.tags == self.stack.tags and self.outputs() == self.stack.outputs

    def outputs(self) -> list[dict[str, str]]:
        """The outputs, of which each may be exported."""
        outputs = self.body.get("Outputs", {}).items()
        return [
            {
                "OutputKey": name,
                "OutputValue": str(clean_json(output["Value"], self)),
                "Description": output.get("Description"),
                "ExportName": clean_json(output.get("Export", {}).get("Name"), self),
            }
            for name, output in outputs
            if "Condition" not in output or self.lazy_condition_map[output["Condition"]]
        ]

    def __getitem__(self, key: str) -> Any:
        """A parameter's value, or a resource, which is made or changed first if it has not been yet."""
        if key in self._parsed_resources:
            return self._parsed_resources[key]
        if not self._is_wanted(key):
            raise ValidationError(message=f"Unresolved resource dependencies [{key}] in the template")
        if key not in self.settled:
            self._settle(key, self._resource_json_map[key])
        return self.settled[key]

    def _is_wanted(self, name: str) -> bool:
        definition = self._resource_json_map.get(name)
        condition = definition and definition.get("Condition")
        return definition is not None and (condition is None or self.lazy_condition_map[condition])

    def _settle(self, name: str, definition: Mapping[str, Json]) -> None:
        needs = definition.get("DependsOn", ())
        for other in filter(self._is_wanted, [needs] if isinstance(needs, str) else needs):
            self[other]
        kind, before = resource_type(definition["Type"]), self.stack.resources.get(name)
        is_retained = definition.get("DeletionPolicy") in _RETAINED
        properties = clean_json(definition.get("Properties", {}), self)
        new = Resource(name, definition["Type"], self.stack.name, properties, is_retained)
        if before is None:
            self.changes.append(_change("Add", new))
            self._act("CREATE", new, kind.create)
        elif before.cf_resource_type != new.cf_resource_type:
            raise ValidationError(message=f"Update of resource type is not permitted: {name}")
        elif names := changed(before.properties, properties):
            replaces = kind.replaces(self.stack.region, before.properties, properties)
            self.changes.append(_change("Modify", before, names, replaces=replaces))
            if not replaces:
                new = replace(before, properties=properties, is_retained=is_retained)
                self._act("UPDATE", new, lambda region, resource: kind.update(region, resource, before.properties))
            else:
                if definition.get("UpdateReplacePolicy") not in _RETAINED:
                    self._replaced.append(before)
                self._act("UPDATE", new, kind.create)
        else:
            new = replace(before, is_retained=is_retained)
        self.settled[name] = new

    def _act(self, verb: str, resource: Resource, act: Callable[[Region, Resource], None]) -> None:
        if not self._dry:
            with self.stack.telling(verb, resource):
                act(self.stack.region, resource)

    def _check_rules(self) -> None:
        def fails(condition: Json) -> bool:
            # moto gives None for a function that it does not know.
            return parse_condition(condition, self, self.lazy_condition_map) is False

        for name, rule in self.body.get("Rules", {}).items():
            for assertion in () if fails(rule.get("RuleCondition", True)) else rule["Assertions"]:
                if fails(assertion["Assert"]):
                    raise ValidationError(message=f"Rule {name}: {assertion.get('AssertDescription', '')}")


def _change(action: str, resource: Resource, names: Iterable[str] = (), *, replaces: bool = False) -> dict[str, Json]:
    """A resource's change, as change sets describe it."""
    again = "Always" if replaces else "Never"
    targets = [{"Attribute": "Properties", "Name": name, "RequiresRecreation": again} for name in sorted(names)]
    return {
        "Action": action,
        "LogicalResourceId": resource.logical_resource_id,
        "PhysicalResourceId": resource.physical_resource_id,
        "ResourceType": resource.cf_resource_type,
        "Replacement": str(replaces) if action == "Modify" else None,
        "Details": [{"Target": target} for target in targets],
    }


def parse(text: str) -> dict[str, Json]:
    """Reads a template, as data and not as code.

    Raises:
        ValidationError: It is none, or has another transform than AWS::LanguageExtensions.
    """
    try:
        body = templates.parse(text)
    except yaml.YAMLError as error:
        raise ValidationError(message=f"Template format error: {' '.join(str(error).split())}") from error
    if not isinstance(body, dict) or not isinstance(body.get("Resources"), dict):
        raise ValidationError(message="Template format error: At least one Resources member must be defined.")
    if (transform := body.pop("Transform", _LOOPS)) not in (_LOOPS, [_LOOPS]):
        raise ValidationError(message=f"No transform named {transform} found.")
    return body


def _values(body: Json, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters' values: those that are given, and the defaults."""
    declared = templates.Template(name="", text="", body=body).parameters
    if unknown := given.keys() - declared.keys():
        raise ValidationError(message=f"Parameters: [{', '.join(sorted(unknown))}] do not exist in the template")
    values = {}
    for name, parameter in declared.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise ValidationError(message=f"Parameters: [{name}] must have values")
        if why := parameters.fault(value, parameter):
            raise ValidationError(message=f"Parameter {name} is '{value}'; {why}")
        values[name] = value
    return values


def _with_zones(body: Json, region: str) -> Json:
    """A template with Fn::GetAZs written out: moto takes no region for us-east-1."""
    if isinstance(body, list):
        return [_with_zones(item, region) for item in body]
    if not isinstance(body, dict):
        return body
    if "Fn::GetAZs" in body:
        return [f"{region}{letter}" for letter in "abc"]
    return {name: _with_zones(value, region) for name, value in body.items()}
