"""Replaces parts of moto that lack something; tests/localaws/test_extensions.py says why each is still needed."""

from typing import Any, Final

# What was replaced, as `<class or module>.<name>`.
REPLACED: Final[list[str]] = []


def replace(owner: Any, name: str, replacement: object) -> Any:  # noqa: ANN401  # a class, a module or an object of moto
    """Puts something of ours in the place of a method or another attribute.

    Returns:
        What was there, for the replacement to call.
    """
    stock = getattr(owner, name)
    setattr(owner, name, replacement)
    owner_name = getattr(owner, "__name__", type(owner).__name__)
    REPLACED.append(f"{owner_name.rpartition('.')[2]}.{name}")
    return stock
