"""What a change set says: which resources would be added, changed, replaced or removed, and why."""

from collections.abc import Iterator, Mapping
from typing import Final

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.intrinsics import UNKNOWN, Reference, references
from toolchain.localaws.cloudformation.known import Ahead
from toolchain.localaws.cloudformation.region import Region
from toolchain.localaws.cloudformation.schemas import Schema, schema_of
from toolchain.localaws.cloudformation.stack import Change, Detail, Resource, Shape, Stack
from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types import KINDS
from toolchain.localaws.cloudformation.view import View

KEEPING: Final = frozenset({"Retain", "RetainExceptOnCreate"})
_ABOUT: Final = ("Metadata", "DeletionPolicy", "UpdatePolicy", "UpdateReplacePolicy")
_RANK: Final = ("Never", "Conditionally", "Always")


def changes(shape: Shape, stack: Stack, region: Region) -> tuple[Change, ...]:
    """What a stack would go through to become what is asked.

    Raises:
        RefusalError: It cannot be what is asked.
    """
    ahead = Ahead(stack=stack)
    view = View.of(shape, stack, region, ahead)
    check_types(view)
    found: list[Change] = []
    for group in view.order():
        for name in group:
            change = _change(view, name, stack, ahead)
            if change is not None:
                found.append(change)
                ahead.changed.add(name)
                if change.replacement in {"True", "Conditional"}:
                    ahead.replaced.add(name)
    found += [
        Change(
            action="Remove",
            name=name,
            type_name=one.type_name,
            physical_id=one.physical_id,
            policy="Retain" if one.entry.get("DeletionPolicy") in KEEPING else "Delete",
        )
        for name, one in stack.resources.items()
        if name not in view.entries
    ]
    return tuple(found)


def check_types(view: View) -> None:
    """Refuses what cannot be made here: a blank in its place would be a resource that nobody made.

    Raises:
        RefusalError: A type is unknown, to AWS or here.
    """
    types = {str(one.get("Type")) for one in view.template.section("Resources").values()}
    if unknown := sorted(one for one in types if schema_of(one) is None):
        raise RefusalError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    if lacking := sorted(one for one in types if one not in KINDS):
        raise RefusalError(
            f"The embedded AWS cannot make resources of these types: [{', '.join(lacking)}]. "
            "They are added in toolchain/localaws/cloudformation/types."
        )


def _change(view: View, name: str, stack: Stack, ahead: Ahead) -> Change | None:
    entry = view.entries[name]
    existing = stack.resources.get(name)
    if existing is None:
        return Change(action="Add", name=name, type_name=entry["Type"])
    if existing.type_name != entry["Type"]:
        raise RefusalError(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{name}]"
        )
    details = [*_details(view, name, existing, ahead)]
    details += [
        Detail(attribute=one, name=None, recreation="Never", certain=True, source="DirectModification")
        for one in _ABOUT
        if entry.get(one) != existing.entry.get(one)
    ]
    if not details:
        return None
    replacement = _replacement(details)
    policy = None
    if replacement == "True":
        policy = "ReplaceAndRetain" if entry.get("UpdateReplacePolicy") in KEEPING else "ReplaceAndDelete"
    return Change(
        action="Modify",
        name=name,
        type_name=entry["Type"],
        physical_id=existing.physical_id,
        replacement=replacement,
        policy=policy,
        details=tuple(details),
    )


def _replacement(details: list[Detail]) -> str:
    if any(one.recreation == "Always" and one.certain for one in details):
        return "True"
    return "Conditional" if any(one.recreation != "Never" for one in details) else "False"


def _details(view: View, name: str, existing: Resource, ahead: Ahead) -> Iterator[Detail]:
    schema = schema_of(existing.type_name)
    assert schema is not None  # noqa: S101  # check_types has looked
    raw = view.entries[name].get("Properties") or {}
    new = view.foreseen(name)
    for one in sorted(set(new) | set(existing.properties)):
        if new.get(one) == existing.properties.get(one):
            continue
        recreation = recreation_of(schema, one, existing.properties.get(one), new.get(one))
        attribute = "Tags" if one == "Tags" else "Properties"
        certain = not _uncertain(new.get(one))
        causes: list[tuple[str, str | None]] = [
            *sorted(set(_causes(references(raw.get(one), view.scope), ahead, view)))
        ]
        for source, cause in causes or [("DirectModification", None)]:
            yield Detail(
                attribute=attribute,
                name=None if attribute == "Tags" else one,
                recreation=recreation,
                certain=certain,
                source=source,
                cause=cause,
            )


def _causes(found: Iterator[Reference], ahead: Ahead, view: View) -> Iterator[tuple[str, str]]:
    before = ahead.stack.shape.parameters if ahead.stack.shape else {}
    now = {name: value for name, value in view.scope.parameters.items() if not name.startswith("AWS::")}
    for one in found:
        if one.name in now:
            value = now[one.name]
            if (",".join(value) if isinstance(value, list) else value) != before.get(one.name):
                yield "ParameterReference", one.name
        elif one.attribute and one.name in ahead.changed:
            yield "ResourceAttribute", f"{one.name}.{one.attribute}"
        elif one.name in ahead.replaced or one.name not in ahead.stack.resources:
            yield "ResourceReference", one.name


def recreation_of(schema: Schema, name: str, old: Json, new: Json) -> str:
    """Whether the change of a property means another resource: Never, Conditionally or Always."""
    ranks = [0]
    for path in _paths(name, old, new):
        if _meets(path, schema.create_only):
            ranks.append(2)
        elif _meets(path, schema.maybe_create_only):
            ranks.append(1)
    return _RANK[max(ranks)]


def _meets(path: str, known: frozenset[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in known)


def _paths(path: str, old: Json, new: Json) -> Iterator[str]:
    """The paths at which two values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {*old, *new}:
            if old.get(key) != new.get(key):
                yield from _paths(f"{path}/{key}", old.get(key), new.get(key))
    else:
        yield path


def _uncertain(value: Json) -> bool:
    if isinstance(value, Mapping):
        return any(_uncertain(one) for one in value.values())
    return any(_uncertain(one) for one in value) if isinstance(value, list) else value is UNKNOWN
