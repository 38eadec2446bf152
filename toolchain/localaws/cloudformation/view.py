"""One stack's template with its values filled in: its resources in order, their properties, its outputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolchain.localaws.cloudformation import parameters as checked
from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.intrinsics import Reference, Resources, Scope, references
from toolchain.localaws.cloudformation.region import Region
from toolchain.localaws.cloudformation.schemas import schema_of
from toolchain.localaws.cloudformation.stack import Output, Shape, Stack
from toolchain.localaws.cloudformation.template import Json, Template


@dataclass(frozen=True, kw_only=True)
class View:
    """A template, with the values of its parameters, over the resources of a stack.

    Attributes:
        template: With its loops written out.
        scope: What its functions look at.
        entries: The resources whose condition holds, by logical id.
        needs: What each of them must come after.
    """

    template: Template
    scope: Scope
    entries: Mapping[str, Json]
    needs: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, shape: Shape, stack: Stack, region: Region, resources: Resources) -> "View":
        """Reads a template for a stack.

        Raises:
            RefusalError: It cannot be what it says.
        """
        values = checked.resolved(shape.template, shape.parameters, region.stored_parameter)
        template = shape.template.expanded(values)
        scope = Scope(
            template=template.body,
            parameters={**values, **region.pseudo_parameters(stack.id, stack.name)},
            resources=resources,
            imported=region.imported,
            zones=region.zones,
        )
        checked.check_rules(template, scope.true)
        present = {name: one for name, one in template.section("Resources").items() if scope.present(one)}
        needs = {name: frozenset(_needs(name, one, present, template, scope)) for name, one in present.items()}
        view = cls(template=template, scope=scope, entries=present, needs=needs)
        view.order()
        return view

    def order(self) -> list[list[str]]:
        """The logical ids, in groups each of which needs only those before it.

        Raises:
            RefusalError: There is a circle.
        """
        groups: list[list[str]] = []
        done: set[str] = set()
        while left := [name for name in self.entries if name not in done]:
            ready = [name for name in left if self.needs[name] <= done]
            if not ready:
                raise RefusalError(f"Circular dependency between resources: [{', '.join(left)}]")
            groups.append(ready)
            done.update(ready)
        return groups

    def properties(self, name: str) -> dict[str, Json]:
        """The properties of a resource, with everything in them known."""
        return self._coerced(name, self.scope.resolved(self.entries[name].get("Properties") or {}))

    def foreseen(self, name: str) -> dict[str, Json]:
        """Likewise, as far as they are known."""
        return self._coerced(name, self.scope.foreseen(self.entries[name].get("Properties") or {}))

    def _coerced(self, name: str, properties: Json) -> dict[str, Json]:
        schema = schema_of(self.entries[name]["Type"])
        result: dict[str, Json] = schema.coerce(properties) if schema else properties
        return result

    def outputs(self) -> dict[str, Output]:
        """The outputs whose condition holds.

        Raises:
            RefusalError: An output is no text.
        """
        outputs = {}
        for name, one in self.template.section("Outputs").items():
            if self.scope.present(one):
                value = self.scope.resolved(one["Value"])
                if isinstance(value, list | dict):
                    raise RefusalError(f"Template format error: The Value field of output {name} must be a string")
                export = one.get("Export", {}).get("Name")
                outputs[name] = Output(
                    value=str(value).lower() if isinstance(value, bool) else str(value),
                    description=one.get("Description"),
                    export=None if export is None else str(self.scope.resolved(export)),
                )
        return outputs

    def imports(self) -> frozenset[str]:
        """The exports that the template uses."""
        parts = [
            *self.entries.values(),
            *(one for one in self.template.section("Outputs").values() if self.scope.present(one)),
        ]
        return frozenset(str(self.scope.resolved(one)) for part in parts for one in _imports(part, self.scope))


def _needs(
    name: str, entry: Mapping[str, Json], present: Mapping[str, Json], template: Template, scope: Scope
) -> Iterator[str]:
    declared = entry.get("DependsOn") or []
    for one in [declared] if isinstance(declared, str) else declared:
        if one not in template.section("Resources"):
            raise RefusalError(
                f"Template format error: Unresolved resource dependencies [{one}] in the Resources block of the "
                "template"
            )
        if one in present:
            yield one
    for reference in references(entry.get("Properties") or {}, scope):
        if reference.name in present:
            if reference.name == name:
                raise RefusalError(f"Circular dependency between resources: [{name}]")
            _check_attribute(reference, present)
            yield reference.name
        elif reference.name not in scope.parameters and reference.name != "AWS::NoValue":
            raise RefusalError(
                f"Template format error: Unresolved resource dependencies [{reference.name}] in the Resources block of "
                "the template"
            )


def _check_attribute(reference: Reference, present: Mapping[str, Json]) -> None:
    schema = schema_of(present[reference.name]["Type"])
    if schema is None or not reference.attribute:
        return
    first = reference.attribute.split(".", 1)[0]
    if reference.attribute.replace(".", "/") not in schema.attributes and first not in schema.body["properties"]:
        raise RefusalError(
            f"Template error: resource {reference.name} does not support attribute type {reference.attribute} in "
            "Fn::GetAtt"
        )


def _imports(part: Json, scope: Scope) -> Iterator[Json]:
    if isinstance(part, list):
        for one in part:
            yield from _imports(one, scope)
    elif isinstance(part, dict):
        if set(part) == {"Fn::ImportValue"}:
            yield part["Fn::ImportValue"]
        elif set(part) == {"Fn::If"}:
            condition, then, otherwise = part["Fn::If"]
            yield from _imports(then if scope.holds(condition) else otherwise, scope)
        else:
            for one in part.values():
                yield from _imports(one, scope)
