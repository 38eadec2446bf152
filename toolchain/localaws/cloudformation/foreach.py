"""Fn::ForEach of AWS::LanguageExtensions: a loop in a template, written out.

    Fn::ForEach::Name: [Variable, [a, b], {"Key${Variable}": body}]

`${Variable}` is replaced in keys and values, and so is {"Ref": "Variable"}; `&{Variable}` leaves out whatever is
neither a letter nor a digit, since logical ids take nothing else.
"""

from collections.abc import Mapping
from typing import Any, Final

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.stacks.template import with_item

_LOOP: Final = "Fn::ForEach::"
_PARTS: Final = 3


def expanded(body: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A template without loops.

    Args:
        body: The template.
        parameters: The values that a loop's collection may refer to.

    Raises:
        RefusalError: A loop is not one, or makes a key twice.
    """
    written: dict[str, Any] = _written(dict(body), parameters)
    return written


def _written(part: Any, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON
    if isinstance(part, list):
        return [_written(one, parameters) for one in part]
    if not isinstance(part, dict):
        return part
    result: dict[str, Any] = {}
    for key, value in part.items():
        pairs = _turns(key, value, parameters) if key.startswith(_LOOP) else [(key, _written(value, parameters))]
        for name, one in pairs:
            if name in result:
                raise RefusalError(f"Fn::ForEach: the key {name} is made twice")
            result[name] = one
    return result


def _turns(loop: str, arguments: Any, parameters: Mapping[str, Any]) -> list[tuple[str, Any]]:  # noqa: ANN401  # JSON
    if not isinstance(arguments, list) or len(arguments) != _PARTS or not isinstance(arguments[2], dict):
        raise RefusalError(f"{loop} layout is incorrect")
    variable, collection, body = arguments
    pairs: list[tuple[str, Any]] = []
    for item in _items(loop, collection, parameters):
        pairs.extend(_written(with_item(body, variable, str(item)), parameters).items())
    return pairs


def _items(loop: str, collection: Any, parameters: Mapping[str, Any]) -> list[Any]:  # noqa: ANN401  # JSON
    if isinstance(collection, dict) and set(collection) == {"Ref"}:
        collection = parameters.get(collection["Ref"])
    if not isinstance(collection, list):
        raise RefusalError(f"{loop} could not resolve the collection: it is no list")
    items: list[Any] = []
    for item in collection:
        if isinstance(item, dict) and set(item) == {"Ref"}:
            value = parameters.get(item["Ref"])
            items.extend(value if isinstance(value, list) else [value])
        else:
            items.append(item)
    return items
