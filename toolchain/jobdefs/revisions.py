"""Job definitions as Batch keeps them: their active revisions, and whether one says what a rendering says.

Batch gives back another text than it was given: it adds what it takes for granted, leaves out what is empty,
and writes words in another case. Two texts are compared as the service understands them.
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
# Lists whose order means nothing, and what makes their members' order. Commands, mount options and rules of
# evaluateOnExit keep theirs.
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
    """An active revision.

    Attributes:
        arn: Its ARN.
        name: The job definition's name.
        number: Its number.
        content: What it says, as the service would normalise it.
    """

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
        return _sorted(one for page in pages for one in page["jobDefinitions"])


def all_active(batch: "BatchClient", prefix: str) -> dict[str, list[Revision]]:
    """Name to active revisions, the latest first, of every job definition whose name begins like that."""
    with doing("listing job definitions"):
        pages = batch.get_paginator("describe_job_definitions").paginate(status="ACTIVE")
        found: dict[str, list[JobDefinitionTypeDef]] = {}
        for page in pages:
            for one in page["jobDefinitions"]:
                if one["jobDefinitionName"].startswith(prefix):
                    found.setdefault(one["jobDefinitionName"], []).append(one)
    return {name: _sorted(ones) for name, ones in sorted(found.items())}


def _sorted(described: "Iterable[JobDefinitionTypeDef]") -> list[Revision]:
    revisions = [
        Revision(
            arn=one["jobDefinitionArn"],
            name=one["jobDefinitionName"],
            number=one["revision"],
            content=normalised(one),
        )
        for one in described
    ]
    return sorted(revisions, key=lambda revision: -revision.number)


def current(revisions: list[Revision], wanted: Definition) -> Revision | None:
    """The revision that already says what is wanted, if the latest does.

    Where several at the top say it, which is what two runs at once may leave for a moment, it is the oldest of
    them: every run then names the same one.
    """
    content = normalised(wanted)
    same = None
    for revision in revisions:
        if revision.content != content:
            break
        same = revision
    return same


def normalised(definition: Mapping[str, Any]) -> Definition:
    """A definition as the service understands it; the same for what was registered and for what it describes.

    The rules are those of the service's model and of what Terraform's provider has learnt of it: what is empty
    or false is as if left out, environment variables with no value are dropped, the order of sets means
    nothing, the case of an action neither, the platform is EC2 unless said otherwise, and one attempt is the
    least there is: github.com/hashicorp/terraform-provider-aws, internal/service/batch.
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
    """Without what is empty or false, at any depth; texts and numbers are kept, whatever they are."""
    if isinstance(value, Mapping):
        # A map of texts to texts is the user's own: an empty text in it is a value.
        reduced = {name: _reduced(one, name) for name, one in value.items()}
        return {name: one for name, one in sorted(reduced.items()) if not _empty(one)}
    if isinstance(value, list):
        members = [_reduced(one) for one in value]
        order = _UNORDERED.get(key)
        return members if order is None else sorted(members, key=lambda one: json.dumps([one.get(order), one]))
    return value


def _empty(value: object) -> bool:
    return value is None or value is False or value in ({}, [])


def difference(before: Definition | None, after: Definition, *, names: tuple[str, str]) -> list[str]:
    """What changes from one normalised definition to another, as `diff -u` prints it.

    Args:
        before: What there is; none if nothing.
        after: What is wanted.
        names: What the two are called.
    """

    def lines(content: Definition | None) -> list[str]:
        return [] if content is None else json.dumps(content, indent=2, ensure_ascii=False).splitlines()

    return list(difflib.unified_diff(lines(before), lines(after), *names, lineterm=""))
