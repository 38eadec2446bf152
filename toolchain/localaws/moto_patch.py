"""Replaces parts of moto that lack something; tests/localaws/test_extensions.py says why each is still needed."""

from typing import Any, Final

# What was replaced, such as `Rule.send_to_targets`, `batch.urls.url_paths` or `batch_backends.backend`.
REPLACED: Final[set[str]] = set()


def replace(owner: Any, name: str, replacement: object) -> Any:  # noqa: ANN401  # a class, a module or backends of moto
    """Puts something of ours in the place of a method or another attribute.

    Returns:
        What was there, for the replacement to call.
    """
    stock = getattr(owner, name)
    setattr(owner, name, replacement)
    owner_name = getattr(owner, "__name__", "") or f"{owner.service_name}_backends"
    REPLACED.add(f"{'.'.join(owner_name.split('.')[-2:])}.{name}")
    return stock
