"""The resources of a template: which hold data, and which stay when their stack is deleted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FILE_SYSTEM = "AWS::FSx::FileSystem"
BUCKET = "AWS::S3::Bucket"
COMPUTE_ENVIRONMENT = "AWS::Batch::ComputeEnvironment"
_RETAINING_POLICIES = frozenset({"Retain", "RetainExceptOnCreate", "Snapshot"})


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a template, and whether it stays when its stack is deleted."""

    logical_id: str
    type: str
    is_retained: bool


def holds_data(resource_type: str) -> bool:
    """Whether resources of a type hold data: they are replaced or removed only if the user names them."""
    return resource_type in {FILE_SYSTEM, BUCKET}


def resources(mapping: Mapping[str, Any]) -> Iterator[Resource]:
    """The resources in a template's `Resources`; one in a loop stands for all that the loop makes."""
    for logical_id, definition in mapping.items():
        if logical_id.startswith("Fn::ForEach"):
            # The identifier, the collection, and the resources made for each of its members.
            yield from resources(definition[2])
        else:
            yield Resource(
                logical_id=logical_id,
                type=str(definition.get("Type", "")),
                is_retained=definition.get("DeletionPolicy") in _RETAINING_POLICIES,
            )
