"""The parameters of a stack: given in genomics.toml or computed, checked by the template before AWS is asked."""

import re
from collections.abc import Collection, Iterator, Mapping

from toolchain.errors import ConfigurationError, SeveralFailedError
from toolchain.settings import Settings, Value
from toolchain.stacks.layout import Layout, Stack
from toolchain.stacks.template import Parameter

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_LIST = re.compile(r"CommaDelimitedList|.*List<.+>.*")
# The value of such a parameter is the name of an SSM parameter that holds the real value.
_INDIRECT = "AWS::SSM::Parameter::Value<"
COMPUTED = frozenset({"Project", "Workflow", "Images", "JobDefinitions", "SessionManagerEndpoint"})


def check(layout: Layout, chosen: Collection[Stack], settings: Settings, computed: Mapping[str, str]) -> None:
    """Checks all of genomics.toml's `[stack.…]`; no parameter of the chosen stacks may be missing.

    Raises:
        SeveralFailedError: An error for each fault.
    """
    names = [stack.name for stack in layout.stacks]
    faults = [
        f"unknown key 'stack.{name}'; stacks are {', '.join(names)}" for name in settings.stacks if name not in names
    ]
    for stack in layout.stacks:
        given = settings.stacks.get(stack.name, {})
        faults += _wrong(stack, given, computed)
        if stack in chosen:
            faults += _missing(stack, given)
    _require_none(faults)


def values(stack: Stack, settings: Settings, computed: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter of a template, defaults included: nothing is kept from an earlier deployment.

    Raises:
        SeveralFailedError: An error for each fault.
    """
    given = settings.stacks.get(stack.name, {})
    _require_none([*_wrong(stack, given, computed), *_missing(stack, given)])
    parameters = stack.template.parameters.items()
    values = {name: computed.get(name, given.get(name, parameter.default)) for name, parameter in parameters}
    return {name: _text(value) for name, value in values.items() if value is not None}


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
        if name in COMPUTED:
            yield f"'{key}' cannot be given, for it is computed"
        elif name not in parameters:
            yield f"unknown key '{key}'; known are {', '.join(sorted(parameters.keys() - COMPUTED)) or 'none'}"
    for name, parameter in parameters.items():
        if name in COMPUTED:
            if name in computed and (why := fault(computed[name], parameter)):
                yield f"it makes the parameter {name} of stack {stack.name} {_shown(computed[name])}; {why}"
        elif name in given and (why := fault(given[name], parameter)):
            yield f"'stack.{stack.name}.{name}' is {_shown(given[name])}; {why}"


def _missing(stack: Stack, given: Mapping[str, Value]) -> Iterator[str]:
    for name, parameter in stack.template.parameters.items():
        if name not in given and parameter.default is None and name not in COMPUTED:
            yield f"'stack.{stack.name}.{name}' is missing: {parameter.description.rstrip('.') or 'it has no default'}"


def fault(value: Value, parameter: Parameter) -> str | None:
    """What is allowed instead of a value; None if the value is valid."""
    if parameter.kind.startswith(_INDIRECT):
        return None
    is_list = _LIST.fullmatch(parameter.kind) is not None
    if isinstance(value, tuple) and not is_list:
        return "allowed is one value, not a list"
    text = _text(value)
    members = [member.strip() for member in text.split(",")] if is_list else [text]
    return next(filter(None, (_member_fault(member, parameter) for member in members)), None)


def _member_fault(text: str, parameter: Parameter) -> str | None:
    if parameter.allowed and text not in parameter.allowed:
        return f"allowed are {', '.join(value or 'the empty text' for value in parameter.allowed)}"
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, text):
        return f"allowed is what matches {parameter.pattern}"
    lowest, highest = parameter.lowest, parameter.highest
    allowed_range = ("" if lowest is None else f" from {lowest}") + ("" if highest is None else f" to {highest}")
    is_number = parameter.kind in {"Number", "List<Number>"}
    if is_number and not _NUMBER.fullmatch(text):
        return f"allowed are numbers{allowed_range}"
    size = float(text) if is_number else len(text)
    if (lowest is not None and size < lowest) or (highest is not None and size > highest):
        return f"allowed are {'numbers' if is_number else 'lengths'}{allowed_range}"
    return None


def _text(value: Value) -> str:
    """A value as CloudFormation takes it: a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _shown(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else _text(value)
