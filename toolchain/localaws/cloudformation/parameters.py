"""The parameters of a template: their values, held against what the template allows, and its rules over them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.template import Json, Template

_SSM: Final = "AWS::SSM::Parameter::Value<"
HIDDEN: Final = "****"


@dataclass(frozen=True, kw_only=True)
class Given:
    """A parameter as a call gives it.

    Attributes:
        value: Its value; none for the one that the stack has.
    """

    value: str | None


def texts(template: Template, given: Mapping[str, Given], before: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter of a template, as text.

    Args:
        template: The template.
        given: What a call gives.
        before: What the stack has.

    Raises:
        RefusalError: One is missing, unknown, or not allowed.
    """
    declared = template.section("Parameters")
    if unknown := sorted(set(given) - set(declared)):
        raise RefusalError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values: dict[str, str] = {}
    missing = []
    for name, declaration in declared.items():
        handed = given.get(name)
        if handed is not None and handed.value is not None:
            values[name] = handed.value
        elif handed is not None and name in before:
            values[name] = before[name]
        elif "Default" in declaration:
            values[name] = _plain(declaration["Default"])
        else:
            missing.append(name)
    if missing:
        raise RefusalError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        _check(name, value, declared[name])
    return values


def resolved(template: Template, values: Mapping[str, str], stored: Callable[[str], str]) -> dict[str, Json]:
    """What Ref gives of each parameter: text, or a list of it.

    Args:
        template: The template.
        values: The parameters.
        stored: The value of a parameter of the Parameter Store.
    """
    result: dict[str, Json] = {}
    for name, declaration in template.section("Parameters").items():
        kind, value = str(declaration["Type"]), values[name]
        if kind.startswith(_SSM):
            kind, value = kind.removeprefix(_SSM).removesuffix(">"), stored(value)
        result[name] = _items(value) if _is_list(kind) else value
    return result


def check_rules(template: Template, true: Callable[[Json], bool]) -> None:
    """Holds the parameters against the template's rules.

    Raises:
        RefusalError: One is broken.
    """
    broken = []
    for name, rule in template.section("Rules").items():
        if "RuleCondition" in rule and not true(rule["RuleCondition"]):
            continue
        broken += [
            f"{name}: {one.get('AssertDescription', 'the assertion is false')}"
            for one in rule["Assertions"]
            if not true(one["Assert"])
        ]
    if broken:
        raise RefusalError(f"Template error: the parameters break a rule. {' '.join(broken)}")


def _is_list(kind: str) -> bool:
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def _items(value: str) -> list[str]:
    return [one.strip() for one in value.split(",")] if value else []


def _plain(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check(name: str, value: str, declaration: Mapping[str, Json]) -> None:
    values = _items(value) if _is_list(declaration["Type"]) else [value]
    if "AllowedValues" in declaration:
        allowed = [_plain(one) for one in declaration["AllowedValues"]]
        if any(one not in allowed for one in values):
            _refuse(name, f"must be one of AllowedValues: [{', '.join(allowed)}]", declaration)
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not all(re.fullmatch(pattern, one) for one in values):
        _refuse(name, f"must match pattern {pattern}", declaration)
    if len(value) < int(declaration.get("MinLength", 0)):
        _refuse(name, f"must contain at least {declaration['MinLength']} characters", declaration)
    if "MaxLength" in declaration and len(value) > int(declaration["MaxLength"]):
        _refuse(name, f"must contain at most {declaration['MaxLength']} characters", declaration)
    if declaration["Type"] in {"Number", "List<Number>"}:
        for one in values:
            _check_number(name, one, declaration)


def _check_number(name: str, value: str, declaration: Mapping[str, Json]) -> None:
    try:
        number = float(value)
    except ValueError:
        raise RefusalError(f"Parameter '{name}' must be a number.") from None
    if "MinValue" in declaration and number < float(declaration["MinValue"]):
        _refuse(name, f"must be a number not less than {declaration['MinValue']}", declaration)
    if "MaxValue" in declaration and number > float(declaration["MaxValue"]):
        _refuse(name, f"must be a number not greater than {declaration['MaxValue']}", declaration)


def _refuse(name: str, why: str, declaration: Mapping[str, Json]) -> None:
    if "ConstraintDescription" in declaration:
        why = f"failed to satisfy constraint: {declaration['ConstraintDescription']}"
    raise RefusalError(f"Parameter '{name}' {why}")
