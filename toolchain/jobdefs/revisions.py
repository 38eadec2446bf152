"""Active revisions of job definitions, and whether one equals a rendered definition.

Batch describes a definition with other words than it was registered with: it adds defaults, leaves out what is empty,
and changes the case of words. Definitions are compared after the same normalisation.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolchain.aws import doing
from toolchain.jobdefs.template import Definition

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import JobDefinitionTypeDef

# What DescribeJobDefinitions says beyond what RegisterJobDefinition takes (botocore's model).
_SERVICES_OWN = frozenset({"jobDefinitionArn", "revision", "status", "containerOrchestrationType"})
# Lists whose order means nothing, and the key to sort them by.
_UNORDERED = {
    "environment": "name",
    "secrets": "name",
    "resourceRequirements": "type",
    "volumes": "name",
    "mountPoints": "containerPath",
    "ulimits": "name",
    "tmpfs": "containerPath",
    "devices": "hostPath",
}


@dataclass(frozen=True, kw_only=True)
class Revision:
    """An active revision; its content is normalised."""

    arn: str
    name: str
    number: int
    content: Definition

    @property
    def image(self) -> str:
        """The image that it runs."""
        return str(self.content.get("containerProperties", {}).get("image", ""))


def active(batch: "BatchClient", name: str) -> list[Revision]:
    """The active revisions of a job definition, the latest first."""
    with doing(f"looking for job definition {name}"):
        pages = batch.get_paginator("describe_job_definitions").paginate(jobDefinitionName=name, status="ACTIVE")
        return _sorted(definition for page in pages for definition in page["jobDefinitions"])


def all_active(batch: "BatchClient", prefix: str) -> dict[str, list[Revision]]:
    """Name to active revisions, the latest first, of the job definitions whose names start with a prefix."""
    definitions: dict[str, list[JobDefinitionTypeDef]] = {}
    with doing("listing job definitions"):
        for page in batch.get_paginator("describe_job_definitions").paginate(status="ACTIVE"):
            for definition in page["jobDefinitions"]:
                if definition["jobDefinitionName"].startswith(prefix):
                    definitions.setdefault(definition["jobDefinitionName"], []).append(definition)
    return {name: _sorted(described) for name, described in sorted(definitions.items())}


def _sorted(definitions: "Iterable[JobDefinitionTypeDef]") -> list[Revision]:
    revisions = [
        Revision(
            arn=definition["jobDefinitionArn"],
            name=definition["jobDefinitionName"],
            number=definition["revision"],
            content=normalised(definition),
        )
        for definition in definitions
    ]
    return sorted(revisions, key=lambda revision: -revision.number)


def matching(revisions: list[Revision], definition: Definition) -> Revision | None:
    """The revision with a definition's content, if the latest has it.

    Of several at the top, which two registrations at once may leave for a moment, it is the oldest: all callers then
    use the same one.
    """
    content = normalised(definition)
    same = None
    for revision in revisions:
        if revision.content != content:
            break
        same = revision
    return same


def normalised(definition: Mapping[str, Any]) -> Definition:
    """A definition as Batch understands it, whether it was registered or described.

    Empty and false values, environment variables without a value, the order of sets, the case of actions, the platform
    EC2 and a single attempt make no difference. The rules are those of the service's model and of
    github.com/hashicorp/terraform-provider-aws, internal/service/batch.
    """
    content = {key: value for key, value in definition.items() if key not in _SERVICES_OWN}
    content["tags"] = {key: value for key, value in (content.get("tags") or {}).items() if not key.startswith("aws:")}
    if content.get("platformCapabilities") == ["EC2"]:
        del content["platformCapabilities"]
    if (strategy := content.get("retryStrategy")) is not None:
        rules = [{**rule, "action": rule["action"].upper()} for rule in strategy.get("evaluateOnExit") or ()]
        content["retryStrategy"] = {
            "attempts": None if strategy.get("attempts") == 1 else strategy.get("attempts"),
            "evaluateOnExit": rules,
        }
    if (properties := content.get("containerProperties")) is not None:
        content["containerProperties"] = {
            **properties,
            "environment": [entry for entry in properties.get("environment") or () if entry.get("value")],
        }
    reduced = _reduced(content)
    return reduced if isinstance(reduced, dict) else {}


def _reduced(value: Any, key: str = "") -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Drops what is empty or false at any depth; keeps all strings and numbers."""
    if isinstance(value, Mapping):
        reduced = {name: _reduced(member, name) for name, member in value.items()}
        return {name: member for name, member in sorted(reduced.items()) if not _empty(member)}
    if isinstance(value, list):
        members = [_reduced(member) for member in value]
        order = _UNORDERED.get(key)
        return members if order is None else sorted(members, key=lambda member: json.dumps([member.get(order), member]))
    return value


def _empty(value: object) -> bool:
    return value is None or value is False or value in ({}, [])


def difference(before: Definition | None, after: Definition, *, names: tuple[str, str]) -> list[str]:
    """The lines of `diff -u` between two normalised definitions, under these names."""

    def lines(content: Definition | None) -> list[str]:
        return [] if content is None else json.dumps(content, indent=2, ensure_ascii=False).splitlines()

    return list(difflib.unified_diff(lines(before), lines(after), *names, lineterm=""))
