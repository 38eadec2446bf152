"""The parameters of a stack: what genomics.toml gives, what is computed, and what the template takes.

A template's Parameters section is the only list of them. All that it says of a value is checked before AWS is
asked for anything.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from toolchain.errors import ConfigurationError, SeveralFailedError
from toolchain.settings import Settings, Value
from toolchain.stacks.layout import Layout, Stack
from toolchain.stacks.template import Parameter

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_LIST = re.compile(r"CommaDelimitedList|.*List<.+>.*")
# For these, the value is the name of a parameter that holds the value.
_ELSEWHERE = "AWS::SSM::Parameter::Value<"
_COMPUTED = frozenset({"Project", "Workflow", "Images", "JobDefinitions"})


def is_computed(name: str) -> bool:
    """Whether a parameter is computed, and so is none that genomics.toml may give to a stack."""
    return name in _COMPUTED


def check(layout: Layout, chosen: Collection[Stack], settings: Settings, computed: Mapping[str, str]) -> None:
    """Holds all of genomics.toml's `[stack.…]` against the templates.

    Args:
        layout: The stacks.
        chosen: Those for which nothing may be missing.
        settings: What genomics.toml says.
        computed: Parameters that no user gives, as far as they are known.

    Raises:
        SeveralFailedError: Something is wrong; an error for each.
    """
    known = [stack.name for stack in layout.stacks]
    faults = [
        f"unknown key 'stack.{name}'; stacks are {', '.join(known)}" for name in settings.stacks if name not in known
    ]
    for stack in layout.stacks:
        given = settings.stacks.get(stack.name, {})
        faults += _wrong(stack, given, computed)
        if stack in chosen:
            faults += _missing(stack, given)
    _require_none(faults)


def values(stack: Stack, settings: Settings, computed: Mapping[str, str]) -> dict[str, str]:
    """What a stack is deployed with: every parameter of its template, the defaults written out.

    So the checkout alone says what is deployed, and nothing is left over from an earlier deployment.

    Raises:
        SeveralFailedError: Something is wrong; an error for each.
    """
    given = settings.stacks.get(stack.name, {})
    _require_none([*_wrong(stack, given, computed), *_missing(stack, given)])
    found = {}
    for name, parameter in stack.template.parameters.items():
        value = computed.get(name, given.get(name, parameter.default))
        if value is not None:
            found[name] = _text(value)
    return found


def _require_none(faults: list[str]) -> None:
    if faults:
        fix = "Correct it; the templates in stack/ say what each parameter means."
        raise SeveralFailedError(
            [ConfigurationError("genomics.toml does not suit the stacks", why=why, fix=fix) for why in faults]
        )


def _wrong(stack: Stack, given: Mapping[str, Value], computed: Mapping[str, str]) -> Iterator[str]:
    parameters = stack.template.parameters
    for name in given:
        key = f"stack.{stack.name}.{name}"
        if is_computed(name):
            yield f"'{key}' cannot be given, for it is computed"
        elif name not in parameters:
            takes = sorted(one for one in parameters if not is_computed(one))
            yield f"unknown key '{key}'; known are {', '.join(takes) or 'none'}"
    for name, parameter in parameters.items():
        key = f"stack.{stack.name}.{name}"
        if is_computed(name):
            if name in computed and (why := fault(computed[name], parameter)):
                yield f"it makes the parameter {name} of stack {stack.name} {_shown(computed[name])}; {why}"
        elif name in given and (why := fault(given[name], parameter)):
            yield f"'{key}' is {_shown(given[name])}; {why}"


def _missing(stack: Stack, given: Mapping[str, Value]) -> Iterator[str]:
    for name, parameter in stack.template.parameters.items():
        if name not in given and parameter.default is None and not is_computed(name):
            yield f"'stack.{stack.name}.{name}' is missing: {parameter.description.rstrip('.') or 'it has no default'}"


def fault(value: Value, parameter: Parameter) -> str | None:
    """What is wrong with a value, said as what is allowed instead; nothing if it is right."""
    if parameter.kind.startswith(_ELSEWHERE):
        return None
    listed = _LIST.fullmatch(parameter.kind) is not None
    if isinstance(value, tuple) and not listed:
        return "allowed is one value, not a list"
    text = _text(value)
    for one in [part.strip() for part in text.split(",")] if listed else [text]:
        if why := _fault_of_one(one, parameter):
            return why
    return None


def _fault_of_one(text: str, parameter: Parameter) -> str | None:
    if parameter.allowed and text not in parameter.allowed:
        return f"allowed are {', '.join(one or 'the empty text' for one in parameter.allowed)}"
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, text):
        return f"allowed is what matches {parameter.pattern}"
    number = parameter.kind in {"Number", "List<Number>"}
    if number and not _NUMBER.fullmatch(text):
        return f"allowed are numbers{_range(parameter)}"
    size = float(text) if number else len(text)
    lowest, highest = parameter.lowest, parameter.highest
    if (lowest is not None and size < lowest) or (highest is not None and size > highest):
        return f"allowed are {'numbers' if number else 'lengths'}{_range(parameter)}"
    return None


def _range(parameter: Parameter) -> str:
    lowest = "" if parameter.lowest is None else f" from {parameter.lowest}"
    return lowest if parameter.highest is None else f"{lowest} to {parameter.highest}"


def _text(value: Value) -> str:
    """A value as CloudFormation takes it: always a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _shown(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else _text(value)
