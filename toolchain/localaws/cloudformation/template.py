"""A template's text, read: YAML with CloudFormation's tags, or JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from toolchain.localaws.cloudformation import foreach
from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.stacks.template import parse

# Whatever JSON holds: a template is that, and its functions may stand anywhere.
Json: TypeAlias = Any

LANGUAGE_EXTENSIONS: Final = "AWS::LanguageExtensions"
_SECTIONS: Final = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Mappings",
        "Conditions",
        "Rules",
        "Transform",
        "Resources",
        "Outputs",
        "Hooks",
    }
)


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template.

    Attributes:
        text: As it came.
        body: As it was read.
    """

    text: str
    body: Mapping[str, Json]

    def section(self, name: str) -> dict[str, Json]:
        """One of its sections; empty if it has none such."""
        return dict(self.body.get(name) or {})

    @property
    def description(self) -> str | None:
        """What it says of itself."""
        return self.body.get("Description")

    @property
    def transforms(self) -> list[str]:
        """The macros that it names."""
        named = self.body.get("Transform") or []
        return [named] if isinstance(named, str) else list(named)

    def expanded(self, parameters: Mapping[str, Json]) -> "Template":
        """With the loops of AWS::LanguageExtensions written out.

        Raises:
            RefusalError: It names another macro, or a loop is not one.
        """
        for name in self.transforms:
            if name != LANGUAGE_EXTENSIONS:
                raise RefusalError(f"No transform named {name} found.")
        if not self.transforms:
            return self
        return Template(text=self.text, body=foreach.expanded(self.body, parameters))


def read(text: str) -> Template:
    """Reads a template.

    Raises:
        RefusalError: It is none.
    """
    import yaml

    try:
        body = json.loads(text) if text.lstrip().startswith("{") else parse(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise RefusalError(f"Template format error: YAML not well-formed. ({error})") from error
    if not isinstance(body, dict):
        raise RefusalError("Template format error: unsupported structure.")
    if unknown := sorted(set(body) - _SECTIONS):
        raise RefusalError(f"Invalid template property or properties [{', '.join(unknown)}]")
    if not body.get("Resources"):
        raise RefusalError("Template format error: At least one Resources member must be defined.")
    return Template(text=text, body=body)
