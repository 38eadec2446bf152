"""What AWS itself says of each resource type: its properties, which of them need a replacement, its attributes.

These are the resource providers' schemas, which CloudFormation works by; the package cfn-lint carries them.
"""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# A schema's word that moto's or AWS's reference contradicts. The user guide of AWS::FSx::FileSystem says "Update
# requires: Replacement" of these, and the schema does not.
_REPLACED_TOO: Final[Mapping[str, frozenset[str]]] = {
    "AWS::FSx::FileSystem": frozenset(
        {
            "FileSystemTypeVersion",
            "StorageType",
            "LustreConfiguration/DeploymentType",
            "LustreConfiguration/DriveCacheType",
            "LustreConfiguration/ExportPath",
            "LustreConfiguration/ImportPath",
            "LustreConfiguration/ImportedFileChunkSize",
        }
    )
}


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The schema of a resource type.

    Attributes:
        type_name: As in `AWS::S3::Bucket`.
        body: The schema.
        create_only: Paths of properties whose change means another resource, as in `LustreConfiguration/ImportPath`.
        maybe_create_only: Paths of those whose change may mean it.
        attributes: What Fn::GetAtt takes.
    """

    type_name: str
    body: Mapping[str, Any] = field(repr=False)
    create_only: frozenset[str]
    maybe_create_only: frozenset[str]
    attributes: frozenset[str]

    def coerce(self, properties: Any) -> Any:  # noqa: ANN401  # JSON
        """Makes text of numbers and numbers of text where the type wants it, as CloudFormation does."""
        return _coerce(properties, self.body, self.body)

    def faults(self, properties: Any) -> list[str]:  # noqa: ANN401  # JSON
        """What is wrong with properties, in CloudFormation's words."""
        return list(_faults(properties, self.body, self.body, "#"))

    @property
    def taggable(self) -> bool:
        """Whether there is a property Tags."""
        return "Tags" in self.body["properties"]


@cache
def _folder() -> Path:
    # Found without importing it, which takes half a second.
    found = importlib.util.find_spec("cfnlint")
    assert found is not None  # noqa: S101  # a dependency
    assert found.origin is not None  # noqa: S101  # likewise
    return Path(found.origin).parent / "data" / "schemas"


@cache
def _index() -> dict[str, str]:
    text = (_folder() / "providers" / "us-east-1.json").read_text(encoding="utf-8")
    index: dict[str, str] = json.loads(text)
    return index


@cache
def schema_of(type_name: str) -> Schema | None:
    """The schema of a type; none if AWS has no such type."""
    name = _index().get(type_name)
    if name is None:
        return None
    body = json.loads((_folder() / "resources" / f"{name}.json").read_text(encoding="utf-8"))

    def paths(key: str) -> frozenset[str]:
        return frozenset(path.removeprefix("/properties/") for path in body.get(key, ()))

    return Schema(
        type_name=type_name,
        body=body,
        create_only=paths("createOnlyProperties") | _REPLACED_TOO.get(type_name, frozenset()),
        maybe_create_only=paths("conditionalCreateOnlyProperties"),
        attributes=paths("readOnlyProperties"),
    )


def _resolved(part: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in part:
        target: Any = root
        for word in part["$ref"].removeprefix("#/").split("/"):
            target = target[word]
        part = target
    return part


def _coerce(value: Any, part: Mapping[str, Any], root: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON
    part = _resolved(part, root)
    kind = part.get("type")
    if isinstance(value, dict):
        known = part.get("properties", {})
        return {name: _coerce(one, known[name], root) if name in known else one for name, one in value.items()}
    if isinstance(value, list):
        return [_coerce(one, part["items"], root) for one in value] if "items" in part else value
    return _converted(value, kind)


def _converted(value: Any, kind: Any) -> Any:  # noqa: ANN401  # JSON
    if kind == "string" and isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, str):
        if kind == "boolean" and value in {"true", "false"}:
            return value == "true"
        if kind in {"integer", "number"} and _NUMBER.fullmatch(value):
            return float(value) if "." in value else int(value)
    return value


def _faults(value: Any, part: Mapping[str, Any], root: Mapping[str, Any], where: str) -> Iterator[str]:  # noqa: ANN401
    part = _resolved(part, root)
    if isinstance(value, dict):
        known = part.get("properties", {})
        if known and part.get("additionalProperties") is False and "patternProperties" not in part:
            yield from (f"{where}: extraneous key [{name}] is not permitted" for name in value if name not in known)
        yield from (
            f"{where}: required key [{name}] not found" for name in part.get("required", ()) if name not in value
        )
        for name, one in value.items():
            if name in known:
                yield from _faults(one, known[name], root, f"{where}/{name}")
    elif isinstance(value, list):
        if "items" in part:
            for number, one in enumerate(value):
                yield from _faults(one, part["items"], root, f"{where}/{number}")
    elif "enum" in part and value not in part["enum"]:
        yield f"{where}: #: {value} is not a valid enum value"
