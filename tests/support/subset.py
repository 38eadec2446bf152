"""Compares a part of a document."""

from collections.abc import Iterator, Mapping
from typing import Any

# Expected of a key that must not be there.
ABSENT = object()


def differences(actual: Any, expected: Any, path: str = "") -> Iterator[str]:
    """Where a document is not as expected; keys that the expectation does not name may be anything."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            yield from differences(actual.get(key, ABSENT), value, f"{path}.{key}" if path else str(key))
    elif actual != expected:
        yield f"{path} is {'absent' if actual is ABSENT else actual}"
