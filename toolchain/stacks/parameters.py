"""The parameters of a stack: what genomics.toml gives, what is computed, and what the template takes.

A template's Parameters section is the only list of them. All that it says of a value is checked before AWS is
asked for anything.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolchain.errors import ConfigurationError, SeveralFailedError
from toolchain.settings import Settings, Value
from toolchain.stacks.layout import Layout, Stack

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_LISTS = re.compile(r"CommaDelimitedList|.*List<.+>.*")
# For these, the value is the name of a parameter that holds the value.
_ELSEWHERE = "AWS::SSM::Parameter::Value<"


def check(layout: Layout, settings: Settings, computed: Mapping[str, str]) -> None:
    """Holds all of genomics.toml's `[stack.…]` against the templates.

    Args:
        layout: The stacks.
        settings: What genomics.toml says.
        computed: Parameters that no user gives, as far as they are known.

    Raises:
        SeveralFailedError: Something is wrong; an error for each.
    """
    known = {stack.name for stack in layout.stacks}
    faults = [
        f"unknown key 'stack.{name}'; stacks are {', '.join(sorted(known))}"
        for name in sorted(set(settings.stacks) - known)
    ]
    for stack in layout.stacks:
        faults += _faults(stack, settings.stacks.get(stack.name, {}), computed)
    if faults:
        raise SeveralFailedError.of([_wrong(why) for why in faults])


def values(stack: Stack, settings: Settings, computed: Mapping[str, str]) -> dict[str, str]:
    """What a stack is deployed with: every parameter of its template, the defaults written out.

    So the checkout alone says what is deployed, and nothing is left over from an earlier deployment.

    Raises:
        SeveralFailedError: Something is wrong; an error for each.
    """
    given = settings.stacks.get(stack.name, {})
    if faults := list(_faults(stack, given, computed)):
        raise SeveralFailedError.of([_wrong(why) for why in faults])
    found: dict[str, str] = {}
    for name, definition in stack.template.parameters.items():
        value = computed.get(name, given.get(name, definition.get("Default")))
        if value is not None:
            found[name] = _text(value)
    return found


def is_computed(name: str) -> bool:
    """Whether a parameter is computed, and so is none that genomics.toml may give."""
    return name in {"Project", "Images"} or name.endswith("JobDefinition")


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(
        "genomics.toml does not suit the stacks",
        why=why,
        fix="Correct it; the templates in stack/ say what each parameter means.",
    )


def _faults(stack: Stack, given: Mapping[str, Value], computed: Mapping[str, str]) -> Iterator[str]:
    parameters = stack.template.parameters
    for name in given:
        key = f"stack.{stack.name}.{name}"
        if is_computed(name):
            yield f"'{key}' cannot be given, for it is computed"
        elif name not in parameters:
            takes = sorted(one for one in parameters if not is_computed(one))
            yield f"unknown key '{key}'; known are {', '.join(takes) or 'none'}"
    for name, definition in parameters.items():
        key = f"stack.{stack.name}.{name}"
        if is_computed(name):
            if name in computed and (why := _fault(computed[name], definition)):
                yield f"what it says makes the parameter {name} of stack {stack.name} {computed[name]!r}; {why}"
        elif name in given:
            if why := _fault(given[name], definition):
                yield f"'{key}' is {_shown(given[name])}; {why}"
        elif "Default" not in definition:
            yield f"'{key}' is missing: {str(definition.get('Description', 'it has no default')).rstrip('.')}"


def _fault(value: Value, definition: Mapping[str, Any]) -> str | None:
    """What is wrong with a value, as what is allowed instead; nothing if it is right."""
    kind = str(definition.get("Type", "String"))
    if kind.startswith(_ELSEWHERE):
        return None
    listed = _LISTS.fullmatch(kind) is not None
    if isinstance(value, tuple) and not listed:
        return "it takes one value, not a list"
    text = _text(value)
    for one in [part.strip() for part in text.split(",")] if listed else [text]:
        if why := _fault_of_one(one, definition, number=kind in {"Number", "List<Number>"}):
            return why
    return None


def _fault_of_one(text: str, definition: Mapping[str, Any], *, number: bool) -> str | None:
    allowed = [_text(one) for one in definition.get("AllowedValues", ())]
    if allowed and text not in allowed:
        return f"allowed are {', '.join(one or 'the empty text' for one in allowed)}"
    if number:
        return _fault_of_number(text, definition)
    pattern = definition.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(str(pattern), text):
        return f"allowed is what matches {pattern}"
    least, most = int(definition.get("MinLength", 0)), int(definition.get("MaxLength", 4096))
    if not least <= len(text) <= most:
        return f"allowed are {least} to {most} characters"
    return None


def _fault_of_number(text: str, definition: Mapping[str, Any]) -> str | None:
    least, most = definition.get("MinValue"), definition.get("MaxValue")
    allowed = "allowed is a number"
    if least is not None and most is not None:
        allowed = f"allowed are numbers from {least} to {most}"
    elif least is not None:
        allowed = f"allowed are numbers from {least}"
    elif most is not None:
        allowed = f"allowed are numbers up to {most}"
    if not _NUMBER.fullmatch(text):
        return allowed
    if (least is not None and float(text) < float(least)) or (most is not None and float(text) > float(most)):
        return allowed
    return None


def _text(value: object) -> str:
    """A value as CloudFormation takes it: always a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value)


def _shown(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else _text(value)
