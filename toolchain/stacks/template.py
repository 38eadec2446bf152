"""CloudFormation templates, read from YAML, with tags in their long form."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from toolchain.errors import ConfigurationError

Json = Any  # what YAML holds

# The stacks, each after those that it imports from.
ORDER: Final = ("registry", "network", "results", "compute", "workflow", "watch", "storage")
# What costs money by the hour. Nothing imports from it, so that it comes and goes.
STORAGE: Final = "storage"


class _Loader(yaml.CSafeLoader):
    """Reads YAML as CloudFormation does; libyaml is ten times as fast as the Python parser."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    """The long form of a tag: `!Sub x` is {"Fn::Sub": "x"}, `!GetAtt A.B` has a list of two."""
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type] # no fourth kind
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)
# A policy's `Version: 2012-10-17` is a string, quoted or not.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A template's parameter. Numbers are strings, as the API takes them.

    Attributes:
        kind: CloudFormation's type.
        default: None if a value must be given.
        allowed: The only values; empty for any.
        pattern: What the whole value must match, or each member of a list.
        lowest: The lowest number, or the shortest length of a string.
        highest: The highest number, or the greatest length of a string.
    """

    name: str
    kind: str
    description: str
    default: str | None
    allowed: tuple[str, ...]
    pattern: str | None
    lowest: int | None
    highest: int | None

    @classmethod
    def parse(cls, name: str, body: Mapping[str, Json]) -> "Parameter":
        """Reads a declaration."""
        default = body.get("Default")
        return cls(
            name=name,
            kind=body["Type"],
            description=" ".join(body.get("Description", "").split()),
            default=None if default is None else str(default),
            allowed=tuple(str(value) for value in body.get("AllowedValues", ())),
            pattern=body.get("AllowedPattern"),
            lowest=body.get("MinValue", body.get("MinLength")),
            highest=body.get("MaxValue", body.get("MaxLength")),
        )


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template: the stem of its file's name, the file's text, and the parsed text."""

    name: str
    text: str
    body: Mapping[str, Json]

    @property
    def resources(self) -> Mapping[str, Json]:
        """Its resources, loops not expanded."""
        resources: Mapping[str, Json] = self.body["Resources"]
        return resources

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """Name to parameter, in order."""
        declared = self.body.get("Parameters", {})
        return {name: Parameter.parse(name, body) for name, body in declared.items()}

    @cached_property
    def exports(self) -> frozenset[str]:
        """The names under which it exports, without the project's prefix."""
        exported = (output.get("Export", {}).get("Name") for output in self.body.get("Outputs", {}).values())
        return frozenset(_unprefixed(name) for name in exported if name is not None)

    @cached_property
    def imports(self) -> frozenset[str]:
        """The names that it imports, without the project's prefix."""
        return frozenset(_unprefixed(name) for name in _called(self.body, "Fn::ImportValue"))


@lru_cache(maxsize=16)
def _parse_once(text: str) -> Json:
    """`parse` for readers, who change nothing: a command reads the same templates several times."""
    return parse(text)


def parse(text: str) -> Json:
    """Parses YAML, with tags in their long form."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader


def read(file: Path) -> Template:
    """Reads a template; a file that is none is a ConfigurationError."""
    try:
        text = file.read_text(encoding="utf-8")
        body = _parse_once(text)
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = f"it is not YAML: {' '.join(str(error).split())}"
    else:
        if isinstance(body, dict) and isinstance(body.get("Resources"), dict):
            return Template(name=file.stem, text=text, body=body)
        why = "it has no Resources"
    raise ConfigurationError(f"{file} is wrong", why=why, fix="Correct it; cfn-lint says more.")


def state_machine(stacks: Path) -> Json:
    """The definition of the germline state machine, its substitutions not made."""
    return read(stacks / "workflow.yaml").resources["Germline"]["Properties"]["Definition"]


def expanded(body: Json, lists: Mapping[str, Sequence[str]]) -> Json:
    """Expands the loops (`Fn::ForEach`) in a part of a template, as AWS::LanguageExtensions does.

    Args:
        body: The template's body, or a part of it.
        lists: The values of the parameters that loops go over.
    """
    if isinstance(body, list):
        return [expanded(value, lists) for value in body]
    if not isinstance(body, dict):
        return body
    result = {}
    for key, value in body.items():
        if not key.startswith("Fn::ForEach::"):
            result[key] = expanded(value, lists)
            continue
        identifier, collection, fragment = value
        for item in lists[collection["Ref"]] if isinstance(collection, dict) else collection:
            result.update(expanded(_with_item(fragment, identifier, item), lists))
    return result


def _with_item(fragment: Json, identifier: str, item: str) -> Json:
    """The fragment of a loop for one item; `&{...}` keeps only the item's letters and digits."""
    if isinstance(fragment, str):
        plain = re.sub("[^A-Za-z0-9]", "", item)
        return fragment.replace(f"${{{identifier}}}", item).replace(f"&{{{identifier}}}", plain)
    if isinstance(fragment, list):
        return [_with_item(value, identifier, item) for value in fragment]
    if isinstance(fragment, dict):
        if fragment == {"Ref": identifier}:
            return item
        return {
            _with_item(key, identifier, item): _with_item(value, identifier, item) for key, value in fragment.items()
        }
    return fragment


def _called(body: Json, function: str) -> Iterator[Json]:
    """The arguments of all calls of a function."""
    if isinstance(body, list):
        for value in body:
            yield from _called(value, function)
    elif isinstance(body, dict):
        for key, value in body.items():
            if key == function:
                yield value
            yield from _called(value, function)


def _unprefixed(name: Json) -> str:
    """X of `${Project}-X`, as all exports are named."""
    text = name.get("Fn::Sub") if isinstance(name, dict) else None
    return text.removeprefix("${Project}-") if isinstance(text, str) else str(name)
