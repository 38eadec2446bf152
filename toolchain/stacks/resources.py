"""What a template means for a deployment: what must not be lost with it, and what CloudFormation wants to be told."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.errors import ConfigurationError
from toolchain.stacks.template import Template

# What TemplateBody takes: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LARGEST_BODY = 51_200
FILE_SYSTEM = "AWS::FSx::FileSystem"
BUCKET = "AWS::S3::Bucket"
# What holds data: nothing of these types goes or is replaced unless it is named.
_KEEPERS = frozenset({FILE_SYSTEM, BUCKET})
# With these policies a resource stays when its stack goes.
_STAYING = frozenset({"Retain", "RetainExceptOnCreate", "Snapshot"})
_IAM_NAMES = frozenset({"RoleName", "ManagedPolicyName", "UserName", "GroupName", "InstanceProfileName"})


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a template.

    Attributes:
        logical_id: Its name in the template.
        type: As `AWS::S3::Bucket`.
        stays: Whether it is still there when its stack is gone.
        named: Whether it is an identity that has a name of its own.
    """

    logical_id: str
    type: str
    stays: bool
    named: bool

    @property
    def keeps(self) -> bool:
        """Whether it holds data."""
        return keeps(self.type)


def keeps(kind: str) -> bool:
    """Whether what is of this type holds data."""
    return kind in _KEEPERS


def body(template: Template) -> str:
    """The text that is sent: compact JSON, so that comments count neither as bytes nor as changes.

    Raises:
        ConfigurationError: It is more than CloudFormation takes.
    """
    text = json.dumps(template.body, separators=(",", ":"), ensure_ascii=False)
    if (size := len(text.encode())) > LARGEST_BODY:
        raise ConfigurationError(
            f"stack/{template.name}.yaml is too large",
            why=f"it is {size} bytes without comments and blanks, and CloudFormation takes {LARGEST_BODY}",
            fix="Take something out of it, or split it into two stacks.",
        )
    return text


def resources(body: Mapping[str, Any]) -> tuple[Resource, ...]:
    """A template's resources; one in a loop stands for all that the loop makes.

    Args:
        body: What the template says.
    """
    return tuple(_resources(body.get("Resources") or {}))


def capabilities(template: Template) -> tuple[str, ...]:
    """What CloudFormation wants to be told that we know: that roles are made, and that macros are run."""
    identities = [one for one in resources(template.body) if one.type.startswith("AWS::IAM::")]
    found = []
    if identities:
        found.append("CAPABILITY_NAMED_IAM" if any(one.named for one in identities) else "CAPABILITY_IAM")
    if _mentions(template.body, "Transform") or _mentions(template.body, "Fn::Transform"):
        found.append("CAPABILITY_AUTO_EXPAND")
    return tuple(found)


def _resources(mapping: Mapping[str, Any]) -> Iterator[Resource]:
    for name, definition in mapping.items():
        if name.startswith("Fn::ForEach"):
            # What an item is called, the items, and what is made of each.
            yield from _resources(definition[2])
        else:
            yield Resource(
                logical_id=name,
                type=str(definition.get("Type", "")),
                stays=definition.get("DeletionPolicy") in _STAYING,
                named=bool(_IAM_NAMES & set(definition.get("Properties") or {})),
            )


def _mentions(value: object, key: str) -> bool:
    if isinstance(value, Mapping):
        return key in value or any(_mentions(one, key) for one in value.values())
    return isinstance(value, list) and any(_mentions(one, key) for one in value)
