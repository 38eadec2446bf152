"""The functions of templates: what they come to, and what they refer to."""

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.template import Json

_VARIABLE: Final = re.compile(r"\$\{(!?)([^}]*)\}")
_PAIR: Final = 2


class _NoValue:
    """AWS::NoValue: what it stands for is left out."""


class _Unknown:
    """What is known only once a resource has been made or changed."""

    def __repr__(self) -> str:
        return "{{changeSet:KNOWN_AFTER_APPLY}}"


NO_VALUE: Final = _NoValue()
UNKNOWN: Final = _Unknown()


class UnknownYetError(Exception):
    """A value cannot be told before the stack's operation has come so far."""


class Resources(Protocol):
    """What Ref and Fn::GetAtt give of a stack's resources."""

    def ref(self, name: str) -> str:
        """The physical id; UnknownYetError if there is none yet."""

    def attribute(self, name: str, attribute: str) -> Json:
        """An attribute; UnknownYetError if there is none yet."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """All that the functions of one stack's template may look at.

    Attributes:
        template: The sections of the template.
        parameters: Values by name, pseudo parameters included.
        resources: The stack's resources.
        imported: The value of an export.
        zones: The region's availability zones.
    """

    template: Mapping[str, Json]
    parameters: Mapping[str, Json]
    resources: Resources
    imported: Callable[[str], str]
    zones: tuple[str, ...]
    _conditions: dict[str, bool] = field(default_factory=dict)

    def resolved(self, part: Json) -> Json:
        """A part of the template with everything resolved.

        Raises:
            UnknownYetError: Something in it is not known yet.
            RefusalError: Something in it is wrong.
        """
        return self._walk(part, lenient=False)

    def foreseen(self, part: Json) -> Json:
        """Likewise, with UNKNOWN in place of what is not known yet."""
        return self._walk(part, lenient=True)

    def holds(self, condition: str) -> bool:
        """Whether one of the template's conditions holds.

        Raises:
            RefusalError: There is none such.
        """
        if condition not in self._conditions:
            known = self.template.get("Conditions") or {}
            if condition not in known:
                raise RefusalError(f"Template format error: Unresolved condition dependency {condition}")
            self._conditions[condition] = self.true(known[condition])
        return self._conditions[condition]

    def true(self, test: Json) -> bool:
        """Whether a condition function holds."""
        if isinstance(test, dict) and len(test) == 1:
            [(name, arguments)] = test.items()
            if name == "Condition":
                return self.holds(arguments)
            if name in _TESTS:
                return _TESTS[name](self, arguments)
        return _text(self.resolved(test)) == "true"

    def present(self, entry: Mapping[str, Json]) -> bool:
        """Whether a resource's or an output's own condition, if it has one, holds."""
        return "Condition" not in entry or self.holds(entry["Condition"])

    def _walk(self, part: Json, *, lenient: bool) -> Json:
        if isinstance(part, list):
            items = [self._child(one, lenient=lenient) for one in part]
            return [one for one in items if one is not NO_VALUE]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            [(name, arguments)] = part.items()
            if name == "Fn::If":
                return self._walk(self._chosen(arguments), lenient=lenient)
            if name in _FUNCTIONS:
                try:
                    return _FUNCTIONS[name](self, arguments)
                except UnknownYetError:
                    if lenient:
                        return UNKNOWN
                    raise
        walked = {key: self._child(one, lenient=lenient) for key, one in part.items()}
        return {key: one for key, one in walked.items() if one is not NO_VALUE}

    def _child(self, part: Json, *, lenient: bool) -> Json:
        return self._walk(part, lenient=lenient)

    def _chosen(self, arguments: Json) -> Json:
        condition, then, otherwise = arguments
        return then if self.holds(condition) else otherwise

    def named(self, name: str) -> Json:
        """What `Ref: name` comes to."""
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.parameters:
            return self.parameters[name]
        if name in (self.template.get("Resources") or {}):
            return self.resources.ref(name)
        raise RefusalError(f"Template format error: Unresolved resource dependencies [{name}] in the template")


def _ref(scope: Scope, name: Json) -> Json:
    return scope.named(name)


def _get_att(scope: Scope, arguments: Json) -> Json:
    name, attribute = arguments.split(".", 1) if isinstance(arguments, str) else arguments
    return scope.resources.attribute(name, scope.resolved(attribute))


def _join(scope: Scope, arguments: Json) -> str:
    separator, parts = arguments
    return str(separator).join(_text(one) for one in scope.resolved(parts))


def _split(scope: Scope, arguments: Json) -> list[str]:
    separator, text = arguments
    return _text(scope.resolved(text)).split(separator)


def _select(scope: Scope, arguments: Json) -> Json:
    number, items = arguments[0], scope.resolved(arguments[1])
    if isinstance(items, str):
        items = items.split(",")
    index = int(scope.resolved(number))
    if index >= len(items):
        raise RefusalError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return items[index]


def _sub(scope: Scope, arguments: Json) -> str:
    text, local = arguments if isinstance(arguments, list) else (arguments, {})

    def value(found: re.Match[str]) -> str:
        literal, name = found[1], found[2].strip()
        if literal:
            return f"${{{found[2]}}}"
        if name in local:
            return _text(scope.resolved(local[name]))
        if "." in name and not name.startswith("AWS::"):
            return _text(_get_att(scope, name))
        return _text(scope.named(name))

    return _VARIABLE.sub(value, text)


def _import(scope: Scope, name: Json) -> str:
    return scope.imported(_text(scope.resolved(name)))


def _zones(scope: Scope, _region: Json) -> list[str]:
    return list(scope.zones)


def _base64(scope: Scope, text: Json) -> str:
    return base64.b64encode(_text(scope.resolved(text)).encode()).decode()


def _find_in_map(scope: Scope, arguments: Json) -> Json:
    keys = [_text(scope.resolved(one)) for one in arguments[:3]]
    found: Json = scope.template.get("Mappings") or {}
    for key in keys:
        if key not in found:
            if len(arguments) > len(keys):
                return scope.resolved(arguments[3]["DefaultValue"])
            raise RefusalError(f"Template error: Unable to get mapping for {'::'.join(keys)}")
        found = found[key]
    return found


def _to_json(scope: Scope, value: Json) -> str:
    return json.dumps(scope.resolved(value), separators=(",", ":"))


def _length(scope: Scope, value: Json) -> int:
    return len(scope.resolved(value))


def _cidr(scope: Scope, arguments: Json) -> list[str]:
    block, count, *rest = (scope.resolved(one) for one in arguments)
    network = ipaddress.ip_network(block)
    bits = int(rest[0]) if rest else 8
    subnets = network.subnets(new_prefix=network.max_prefixlen - bits)
    return [str(next(subnets)) for _ in range(int(count))]


_FUNCTIONS: Final[Mapping[str, Callable[[Scope, Json], Json]]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::Sub": _sub,
    "Fn::ImportValue": _import,
    "Fn::GetAZs": _zones,
    "Fn::Base64": _base64,
    "Fn::FindInMap": _find_in_map,
    "Fn::ToJsonString": _to_json,
    "Fn::Length": _length,
    "Fn::Cidr": _cidr,
}


def _equal(scope: Scope, arguments: Json) -> bool:
    left, right = (_text(scope.resolved(one)) for one in arguments)
    return left == right


def _member_in(scope: Scope, arguments: Json) -> bool:
    members, allowed = (scope.resolved(one) for one in arguments)
    return all(one in allowed for one in members)


_TESTS: Final[Mapping[str, Callable[[Scope, Json], bool]]] = {
    "Fn::Equals": _equal,
    "Fn::Not": lambda scope, arguments: not scope.true(arguments[0]),
    "Fn::And": lambda scope, arguments: all(scope.true(one) for one in arguments),
    "Fn::Or": lambda scope, arguments: any(scope.true(one) for one in arguments),
    "Fn::Contains": lambda scope, arguments: scope.resolved(arguments[1]) in scope.resolved(arguments[0]),
    "Fn::EachMemberIn": _member_in,
    "Fn::EachMemberEquals": lambda scope, arguments: all(
        one == scope.resolved(arguments[1]) for one in scope.resolved(arguments[0])
    ),
}


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_text(one) for one in value)
    return str(value)


@dataclass(frozen=True, kw_only=True, order=True)
class Reference:
    """What a part of a template refers to.

    Attributes:
        name: A parameter or a resource.
        attribute: The resource's attribute; empty for the thing itself.
    """

    name: str
    attribute: str = ""


def references(part: Json, scope: Scope) -> Iterator[Reference]:
    """What a part of a template refers to, in the branches that its conditions choose."""
    if isinstance(part, list):
        for one in part:
            yield from references(one, scope)
    elif isinstance(part, dict):
        if len(part) == 1:
            [(name, arguments)] = part.items()
            if name == "Fn::If" and len(arguments) > _PAIR:
                yield from references(arguments[1 if scope.holds(arguments[0]) else 2], scope)
                return
            if name == "Ref":
                yield Reference(name=arguments)
                return
            if name == "Fn::GetAtt":
                found = arguments.split(".", 1) if isinstance(arguments, str) else arguments
                yield Reference(name=found[0], attribute=str(found[1]))
                return
            if name == "Fn::Sub":
                yield from _sub_references(arguments, scope)
                return
        for one in part.values():
            yield from references(one, scope)


def _sub_references(arguments: Json, scope: Scope) -> Iterator[Reference]:
    text, local = arguments if isinstance(arguments, list) else (arguments, {})
    for literal, inside in _VARIABLE.findall(text):
        name = inside.strip()
        if literal:
            continue
        if name in local:
            yield from references(local[name], scope)
        elif "." in name and not name.startswith("AWS::"):
            owner, attribute = name.split(".", 1)
            yield Reference(name=owner, attribute=attribute)
        else:
            yield Reference(name=name)
