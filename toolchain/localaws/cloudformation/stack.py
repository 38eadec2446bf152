"""Stacks and change sets: resources become what a template and parameters say.

moto's own keep no order between resources, see a changed parameter only where it is the whole of a property, mix up
what conditions take away, and forget what could not be made or deleted.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import yaml
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Event
from moto.cloudformation.parsing import Export, ResourceMap, clean_json, parse_condition
from moto.cloudformation.utils import generate_changeset_id, generate_stack_id
from moto.core.utils import utcnow

from toolchain.localaws.cloudformation.resources import Json, Region, Resource, changed, resource_type
from toolchain.stacks import parameters
from toolchain.stacks import template as templates

_LOOPS: Final = "AWS::LanguageExtensions"
_RETAINED: Final = ("Retain", "RetainExceptOnCreate")
_ZONES: Final = re.compile(r'\{"Fn::GetAZs": ("[^"]*"|\{[^}]*\})\}')


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
        self.template, self.description = "", ""
        self.parameters: list[dict[str, str]] = []
        self.tags: dict[str, str] = {}
        self.outputs: list[dict[str, str]] = []
        self.exports: list[Export] = []
        self.events: list[Any] = []
        self.token: str | None = None
        self.resources: dict[str, Resource] = {}

    @property
    def stack_resources(self) -> Collection[Resource]:
        return self.resources.values()

    def tell(self, status: str, reason: str = "", resource: Resource | None = None) -> None:
        """Notes what happens to a resource, or to the stack."""
        about = (self.name, self.stack_id, "AWS::CloudFormation::Stack")
        if resource is None:
            self.status, self.status_reason = status, reason
        else:
            about = (resource.logical_resource_id, resource.physical_resource_id, resource.cf_resource_type)
        self.events.append(Event(self.stack_id, self.name, *about, status, reason or None, None))
        self.events[-1].client_request_token = self.token

    def act(self, verb: str, resource: Resource, do: Callable[[Region, Resource], None]) -> None:
        """Does something to a resource, and notes how that goes."""
        self.tell(f"{verb}_IN_PROGRESS", resource=resource)
        try:
            do(self.region, resource)
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
            self.outputs = change_set.outputs()
        except Exception as error:  # noqa: BLE001  # a reference that is none, as well as what fails to be made
            self.resources |= change_set.settled
            reason = f"The following resource(s) failed to {verb.lower()}: [{error}]."
            if verb == "UPDATE":
                self.tell("UPDATE_FAILED", reason)
            else:
                self.tell("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
                self._delete_resources("ROLLBACK")
            return
        self.resources, self.template, self.tags = change_set.settled, change_set.text, change_set.tags
        self.description = change_set.body.get("Description", "")
        values = change_set.input_parameters.items()
        self.parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values]
        exported = [(output["ExportName"], output["OutputValue"]) for output in self.outputs if output["ExportName"]]
        self.exports = [Export(self.stack_id, *export) for export in exported]
        self.tell(f"{verb}_COMPLETE")

    def delete(self, retained: Collection[str]) -> None:
        """Deletes the resources but those that are named, or that the template retains."""
        self.tell("DELETE_IN_PROGRESS", "User Initiated")
        for name in [name for name, resource in self.resources.items() if resource.is_retained or name in retained]:
            del self.resources[name]
        self._delete_resources("DELETE")

    def _delete_resources(self, verb: str) -> None:
        # In the order of their creation, each comes after what it needs.
        for name, resource in reversed(list(self.resources.items())):
            with suppress(FailedError):
                self.act("DELETE", resource, resource_type(resource.cf_resource_type).remove)
                del self.resources[name]
        left = ", ".join(self.resources)
        self.tell(f"{verb}_FAILED" if left else f"{verb}_COMPLETE", f"Failed to delete: [{left}]." if left else "")


class ChangeSet(ResourceMap):
    """What a template and parameters make of a stack, beside the exports of all stacks."""

    def __init__(
        self, stack: Stack, name: str, text: str, given: Mapping[str, str], tags: Any, exports: Any, *, imports: bool
    ) -> None:
        self.stack, self.name, self.text, region = stack, name, text, stack.region
        self._imports = imports
        self.id = generate_changeset_id(name, region.name, region.account)
        self.status, self.execution_status, self.status_reason = "CREATE_COMPLETE", "AVAILABLE", ""
        body = parse(text)
        values = _values(body, given)
        loops = templates.expanded(body, {name: value.split(",") for name, value in values.items()})
        # moto takes "" for us-east-1.
        zones = json.dumps([f"{region.name}{letter}" for letter in "abc"])
        self.body: dict[str, Json] = json.loads(_ZONES.sub(zones, json.dumps(loops)))
        super().__init__(stack.stack_id, stack.name, values, tags, region.name, region.account, self.body, exports)
        self.load()
        self._check_rules()
        self.settle(dry=True)

    def validate_outputs(self) -> None:
        """Nothing: moto asks its own classes for the attributes."""

    def settle(self, *, dry: bool = False) -> None:
        """Makes, changes and deletes resources, or only finds out what that would be."""
        self._dry = dry
        self.changes: list[dict[str, Json]] = []
        self.settled: dict[str, Resource] = {}
        self._replaced: list[Resource] = []
        for name in filter(self._is_wanted, self._resource_json_map):
            self[name]
        gone = [resource for name, resource in self.stack.resources.items() if name not in self.settled]
        self.changes += [_change("Remove", resource) for resource in gone]
        for resource in [*self._replaced, *(resource for resource in reversed(gone) if not resource.is_retained)]:
            # What cannot be deleted is left behind, in AWS too.
            with suppress(FailedError):
                self._act("DELETE", resource, resource_type(resource.cf_resource_type).remove)

    def outputs(self) -> list[dict[str, str]]:
        """The outputs, of which each may be exported."""
        return [
            {
                "OutputKey": name,
                "OutputValue": str(clean_json(output["Value"], self)),
                "Description": output.get("Description"),
                "ExportName": clean_json(output.get("Export", {}).get("Name"), self),
            }
            for name, output in self.body.get("Outputs", {}).items()
            if "Condition" not in output or self.lazy_condition_map[output["Condition"]]
        ]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to change."""
        return not self.changes and self.tags == self.stack.tags and self.outputs() == self.stack.outputs

    def __getitem__(self, key: str) -> Any:
        """A parameter's value, or a resource, which is made or changed first if it has not been yet."""
        if key in self._parsed_resources:
            return self._parsed_resources[key]
        if not self._is_wanted(key):
            raise ValidationError(message=f"Unresolved resource dependencies [{key}] in the template")
        if key not in self.settled:
            self.settled[key] = self._settled(key, self._resource_json_map[key])
        return self.settled[key]

    def _is_wanted(self, name: str) -> bool:
        definition = self._resource_json_map.get(name, {"Condition": None})
        return "Condition" not in definition or bool(self.lazy_condition_map.get(definition["Condition"]))

    def _settled(self, name: str, definition: Mapping[str, Json]) -> Resource:
        needs = definition.get("DependsOn", ())
        for other in filter(self._is_wanted, [needs] if isinstance(needs, str) else needs):
            self[other]
        kind, before = resource_type(definition["Type"]), self.stack.resources.get(name)
        properties = _without_none(clean_json(definition.get("Properties", {}), self))
        is_retained = definition.get("DeletionPolicy") in _RETAINED
        new = Resource(name, definition["Type"], self.stack.name, properties, is_retained)
        if before is None and self._imports and is_retained and kind.adopt(self.stack.region, new):
            self.changes.append(_change("Import", new))
            self._act("IMPORT", new, lambda region, resource: kind.finish(region, resource, {}))
            return new
        if before is None:
            self.changes.append(_change("Add", new))
            self._act("CREATE", new, kind.make)
            return new
        kept = replace(before, properties=properties, is_retained=is_retained)
        if names := changed(before.properties, properties):
            is_kept = kind.can_change(self.stack.region, before.properties, properties)
            self.changes.append(_change("Modify", before, names, replaces=not is_kept))
            if not is_kept:
                self._act("UPDATE", new, kind.make)
                if definition.get("UpdateReplacePolicy") not in _RETAINED:
                    self._replaced.append(before)
                return new
            self._act("UPDATE", kept, lambda region, resource: kind.change(region, resource, before.properties))
        return kept

    def _act(self, verb: str, resource: Resource, do: Callable[[Region, Resource], None]) -> None:
        if not self._dry:
            self.stack.act(verb, resource, do)

    def _check_rules(self) -> None:
        def fails(condition: Json) -> bool:
            # moto gives None for a function that it does not know.
            return parse_condition(condition, self, self.lazy_condition_map) is False

        for name, rule in self.body.get("Rules", {}).items():
            for assertion in () if fails(rule.get("RuleCondition", True)) else rule["Assertions"]:
                if fails(assertion["Assert"]):
                    raise ValidationError(message=f"Rule {name}: {assertion.get('AssertDescription', '')}")


def _without_none(value: Json) -> Json:
    """AWS::NoValue takes an item out of a list; moto leaves None there."""
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return {name: _without_none(item) for name, item in value.items()} if isinstance(value, dict) else value


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
    """Reads a template, as data: moto reads it as code."""
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
