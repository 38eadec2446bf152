"""CloudFormation templates: YAML whose short tags (`!Ref`, `!Sub`, …) are read as the long functions they stand for."""

from pathlib import Path
from typing import Any

import yaml

from toolchain.errors import ConfigurationError


class _Loader(yaml.SafeLoader):
    """Reads the tags of CloudFormation."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # nothing else is left
    return {name: value}


_Loader.add_multi_constructor("!", _function)


def load(path: Path) -> dict[str, Any]:
    """Reads a template.

    Raises:
        ConfigurationError: It is not there, or is no template.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{path} is no template", why=" ".join(str(error).split()), fix="Correct it."
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("Resources"), dict):
        raise ConfigurationError(f"{path} is no template", why="it has no Resources", fix="Correct it.")
    return data
