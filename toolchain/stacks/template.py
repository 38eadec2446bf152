"""A template of stack/, and what follows from it: what it needs, what it gives, what must not be lost with it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.errors import ConfigurationError

# What TemplateBody takes: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LARGEST_BODY = 51_200
FILE_SYSTEM = "AWS::FSx::FileSystem"
BUCKET = "AWS::S3::Bucket"
# What holds data: nothing of these types goes or is replaced unless it is named.
KEEPERS = frozenset({FILE_SYSTEM, BUCKET})
# With these policies a resource stays when its stack goes.
STAYING = frozenset({"Retain", "RetainExceptOnCreate", "Snapshot"})
_IAM_NAMES = frozenset({"RoleName", "ManagedPolicyName", "UserName", "GroupName", "InstanceProfileName", "PolicyName"})
_EXPORT = re.compile(r"\$\{Project\}-(.+)")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a template.

    Attributes:
        logical_id: Its name in the template.
        type: As `AWS::S3::Bucket`.
        definition: All of it.
    """

    logical_id: str
    type: str
    definition: Mapping[str, Any]

    @property
    def stays(self) -> bool:
        """Whether it is still there when its stack is gone."""
        return self.definition.get("DeletionPolicy") in STAYING

    @property
    def keeps(self) -> bool:
        """Whether it holds data."""
        return self.type in KEEPERS


@dataclass(frozen=True, kw_only=True)
class Template:
    """A CloudFormation template.

    Attributes:
        name: The stack's name, such as `storage`.
        content: All of it, functions in their long form.
    """

    name: str
    content: Mapping[str, Any]

    @property
    def body(self) -> str:
        """The text that is sent: compact JSON, so that comments count neither as bytes nor as changes.

        Raises:
            ConfigurationError: It is more than CloudFormation takes.
        """
        # An unquoted date in YAML is a date.
        text = json.dumps(self.content, separators=(",", ":"), ensure_ascii=False, default=str)
        if (size := len(text.encode())) > LARGEST_BODY:
            raise ConfigurationError(
                f"stack/{self.name}.yaml is too large",
                why=f"it is {size} bytes without comments and blanks, and CloudFormation takes {LARGEST_BODY}",
                fix="Take something out of it, or split it into two stacks.",
            )
        return text

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """Its parameters: name to definition."""
        return self.content.get("Parameters") or {}

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Its resources; one in a loop stands for all that the loop makes."""
        return tuple(_resources(self.content.get("Resources") or {}))

    @property
    def keepers(self) -> tuple[Resource, ...]:
        """Those that hold data."""
        return tuple(one for one in self.resources if one.keeps)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What CloudFormation wants to be told that we know of it."""
        found = []
        roles = [one for one in self.resources if one.type.startswith("AWS::IAM::")]
        if any(_IAM_NAMES & set(one.definition.get("Properties") or {}) for one in roles):
            found.append("CAPABILITY_NAMED_IAM")
        elif roles:
            found.append("CAPABILITY_IAM")
        if "Transform" in self.content or any(_values(self.content, "Fn::Transform")):
            found.append("CAPABILITY_AUTO_EXPAND")
        return tuple(found)

    @property
    def exports(self) -> frozenset[str]:
        """What other stacks may import of it, less the project's name before each."""
        outputs = (self.content.get("Outputs") or {}).values()
        return frozenset(_short(one["Export"]["Name"]) for one in outputs if "Export" in one)

    @property
    def imports(self) -> frozenset[str]:
        """What it imports of other stacks, likewise."""
        return frozenset(_short(one) for one in _values(self.content, "Fn::ImportValue"))


def _resources(mapping: Mapping[str, Any]) -> Iterator[Resource]:
    for name, definition in mapping.items():
        if name.startswith("Fn::ForEach"):
            # Its name, what it goes over, and what it makes of each.
            yield from _resources(definition[2])
        else:
            yield Resource(logical_id=name, type=str(definition.get("Type", "")), definition=definition)


def _values(value: object, key: str) -> Iterator[Any]:
    """What stands under a key, at any depth."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name == key:
                yield one
            yield from _values(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _values(one, key)


def _short(name: object) -> str:
    text = name.get("Fn::Sub", "") if isinstance(name, Mapping) else name
    text = text[0] if isinstance(text, list) else text
    found = _EXPORT.fullmatch(str(text))
    return found[1] if found else str(text)
