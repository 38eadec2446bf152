"""CloudFormation as it is used here: what a stack is like, and what has happened to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml

from toolchain.aws import Account, doing

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

# Operations of this tool begin their tokens so: CloudFormation writes the token into every event.
OURS = "build-py-"


@dataclass(frozen=True, kw_only=True)
class State:
    """A stack as CloudFormation has it.

    Attributes:
        id: Its ARN, which it keeps when it is gone.
        name: Its full name.
        status: Such as `UPDATE_COMPLETE`.
        reason: Why it is so, where CloudFormation says.
        protected: Whether it cannot be deleted before that is switched off.
        parameters: Name to value.
        outputs: Name to value.
    """

    id: str
    name: str
    status: str
    reason: str
    protected: bool
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def busy(self) -> bool:
        """Whether something is being done to it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def stands(self) -> bool:
        """Whether it has been there whole at some time: what never was has nothing worth keeping in it."""
        return self.status not in {"REVIEW_IN_PROGRESS", "CREATE_FAILED", "DELETE_COMPLETE"} and not (
            self.status.startswith("ROLLBACK_")
        )


@dataclass(frozen=True, kw_only=True)
class StackResource:
    """A resource of a deployed stack.

    Attributes:
        logical_id: Its name in the template.
        type: As `AWS::S3::Bucket`.
        physical_id: Its name or id in AWS.
    """

    logical_id: str
    type: str
    physical_id: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a resource of a stack, or to the stack itself.

    Attributes:
        id: Its id.
        at: When.
        logical_id: The resource's name in the template; the stack's own name for the stack.
        physical_id: What it is called in AWS.
        type: As `AWS::S3::Bucket`.
        status: Such as `CREATE_FAILED`.
        reason: Why, where CloudFormation says.
        token: The token of the operation that it is part of; empty if it has none.
        of_stack: Whether it is the stack's own.
    """

    id: str
    at: datetime
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str
    token: str
    of_stack: bool

    @property
    def ends(self) -> bool:
        """Whether an operation ends with it."""
        return self.of_stack and not self.status.endswith("_IN_PROGRESS")

    def __str__(self) -> str:
        """As an error names it."""
        return f"{self.logical_id} ({self.type}) {self.status}" + (f": {self.reason}" if self.reason else "")


class CloudFormation:
    """The stacks of an account in a region."""

    def __init__(self, account: Account) -> None:
        self.client: CloudFormationClient = account.cloudformation()

    def state(self, stack: str) -> State | None:
        """What a stack is like; none if there is none.

        Args:
            stack: Its name, or its ARN, under which one that is gone is found too.
        """
        from botocore.exceptions import ClientError

        with doing(f"looking at stack {short_name(stack)}"):
            try:
                answer = self.client.describe_stacks(StackName=stack)
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        return _state(answer["Stacks"][0]) if answer["Stacks"] else None

    def events(self, stack: str, *, since: str | None = None) -> list[Event]:
        """What has happened to a stack, the oldest first.

        Args:
            stack: Its name or ARN.
            since: The id of an event: only what came after it.
        """
        found = []
        with doing(f"reading what happens to stack {short_name(stack)}"):
            for event in self._newest_first(stack):
                if event.id == since:
                    break
                found.append(event)
        return found[::-1]

    def latest(self, stack: str) -> Event | None:
        """The last thing that happened to a stack."""
        with doing(f"reading what happens to stack {short_name(stack)}"):
            return next(self._newest_first(stack), None)

    def operation(self, stack: str) -> list[Event]:
        """The events of what is being done to a stack, or was last: the oldest first."""
        found: list[Event] = []
        with doing(f"reading what happens to stack {short_name(stack)}"):
            for event in self._newest_first(stack):
                if found and event.token != found[0].token:
                    break
                found.append(event)
                if event.of_stack and event.reason == "User Initiated":
                    break
        return found[::-1]

    def before(self, stack: str, event: Event) -> str | None:
        """The id of the event that came before one; none if it is the first."""
        with doing(f"reading what happens to stack {short_name(stack)}"):
            events = self._newest_first(stack)
            for one in events:
                if one.id == event.id:
                    return next((before.id for before in events), None)
        return None

    def _newest_first(self, stack: str) -> Iterator[Event]:
        for page in self.client.get_paginator("describe_stack_events").paginate(StackName=stack):
            yield from map(_event, page["StackEvents"])

    def exports(self) -> frozenset[str]:
        """The names of everything that stacks of this account and region export."""
        with doing("listing exports of stacks"):
            pages = self.client.get_paginator("list_exports").paginate()
            return frozenset(one["Name"] for page in pages for one in page["Exports"])

    def resources(self, stack: str) -> "list[StackResource]":
        """The resources of a stack, without those that are not made or gone.

        Args:
            stack: Its full name or ARN.
        """
        with doing(f"listing what stack {short_name(stack)} holds"):
            pages = self.client.get_paginator("list_stack_resources").paginate(StackName=stack)
            return [
                StackResource(
                    logical_id=summary["LogicalResourceId"],
                    type=summary["ResourceType"],
                    physical_id=summary["PhysicalResourceId"],
                )
                for page in pages
                for summary in page["StackResourceSummaries"]
                if summary.get("PhysicalResourceId") and summary["ResourceStatus"] != "DELETE_COMPLETE"
            ]

    def template(self, stack: str) -> Mapping[str, Any]:
        """What the template says that a stack was deployed with.

        Args:
            stack: Its full name or ARN.
        """
        with doing(f"reading the template of stack {short_name(stack)}"):
            body: Any = self.client.get_template(StackName=stack, TemplateStage="Processed").get("TemplateBody")
        if isinstance(body, str):
            # Botocore reads JSON, which is what is deployed from here. This is YAML, and somebody else's.
            body = yaml.load(body, Loader=_Untagged)  # noqa: S506  # a SafeLoader
        return body if isinstance(body, Mapping) else {}

    def protect(self, stack: str, *, on: bool) -> None:
        """Switches a stack's protection against deletion."""
        with doing(f"switching the termination protection of stack {stack} {'on' if on else 'off'}"):
            self.client.update_termination_protection(StackName=stack, EnableTerminationProtection=on)


class _Untagged(yaml.SafeLoader):
    """Reads YAML, and takes what has a tag for nothing: no policy of a resource has one."""


_Untagged.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def short_name(stack: str) -> str:
    """A stack's name, of its name or ARN."""
    return stack.rpartition(":stack/")[2].partition("/")[0]


def _state(one: "StackTypeDef") -> State:
    return State(
        id=one["StackId"],
        name=one["StackName"],
        status=one["StackStatus"],
        reason=one.get("StackStatusReason") or "",
        protected=bool(one.get("EnableTerminationProtection")),
        parameters={given["ParameterKey"]: given["ParameterValue"] for given in one.get("Parameters") or ()},
        outputs={output["OutputKey"]: output["OutputValue"] for output in one.get("Outputs") or ()},
    )


def _event(one: "StackEventTypeDef") -> Event:
    return Event(
        id=one["EventId"],
        at=one["Timestamp"],
        logical_id=one.get("LogicalResourceId") or "",
        physical_id=one.get("PhysicalResourceId") or "",
        type=one.get("ResourceType") or "",
        status=one.get("ResourceStatus") or "",
        reason=(one.get("ResourceStatusReason") or "").strip().rstrip("."),
        token=one.get("ClientRequestToken") or "",
        of_stack=one.get("PhysicalResourceId") == one["StackId"],
    )
