"""The CloudFormation API, as far as stacks are deployed and destroyed with it."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from toolchain.aws import Account, doing
from toolchain.stacks.template import parse

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

# The beginning of our operations' tokens: CloudFormation writes the token into every event.
TOKEN_PREFIX = "build-py-"  # noqa: S105  # no secret


@dataclass(frozen=True, kw_only=True)
class StackState:
    """A stack as DescribeStacks has it; `id` is its ARN."""

    id: str
    name: str
    status: str
    reason: str
    protected: bool
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def is_busy(self) -> bool:
        """Whether an operation is going on."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def is_deployed(self) -> bool:
        """Whether it was ever complete; one that never was holds nothing worth keeping."""
        return self.status not in {"REVIEW_IN_PROGRESS", "CREATE_FAILED", "DELETE_COMPLETE"} and not (
            self.status.startswith("ROLLBACK_")
        )


@dataclass(frozen=True, kw_only=True)
class StackResource:
    """A resource of a stack: its name in the template, its type as `AWS::S3::Bucket`, its name or id in AWS."""

    logical_id: str
    type: str
    physical_id: str

    def __str__(self) -> str:
        """As people look for it."""
        match self.type:
            case "AWS::S3::Bucket":
                return f"bucket s3://{self.physical_id}"
            case "AWS::FSx::FileSystem":
                return f"file system {self.physical_id}"
            case other:
                return f"{other} {self.physical_id}"


@dataclass(frozen=True, kw_only=True)
class StackEvent:
    """An event of a resource, or of the stack itself; with the token of its operation, if that has one."""

    id: str
    time: datetime
    logical_id: str
    type: str
    status: str
    reason: str
    token: str
    of_stack: bool

    @property
    def starts_operation(self) -> bool:
        """Whether somebody's request caused it."""
        return self.of_stack and self.reason == "User Initiated"

    @property
    def ends_operation(self) -> bool:
        """Whether nothing comes after it."""
        return self.of_stack and not self.status.endswith("_IN_PROGRESS")

    def __str__(self) -> str:
        """As an error names it."""
        return f"{self.logical_id} ({self.type}) {self.status}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation on a stack: its token, if it has one, and the id of the last event before it."""

    token: str
    start: datetime
    previous_event: str | None


class CloudFormation:
    """The stacks of an account in a region. A stack is named by its full name or its ARN."""

    def __init__(self, account: Account) -> None:
        self.client: CloudFormationClient = account.cloudformation()

    def state(self, stack: str) -> StackState | None:
        """Describes a stack; None if there is none. A deleted one is found by its ARN only."""
        with doing(f"looking at stack {short_name(stack)}"):
            try:
                stacks = self.client.describe_stacks(StackName=stack)["Stacks"]
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        return _state(stacks[0]) if stacks else None

    def events(self, stack: str, *, since: str | None = None) -> list[StackEvent]:
        """The events of a stack after the one with the id `since`, the oldest first."""
        events = []
        for event in self._newest_first(stack):
            if event.id == since:
                break
            events.append(event)
        return events[::-1]

    def last_event(self, stack: str) -> StackEvent | None:
        """The last event of a stack."""
        return next(self._newest_first(stack), None)

    def operation(self, stack: str) -> Operation | None:
        """The operation that is going on with a stack, or the last one; None if nothing ever happened to it."""
        first = previous = None
        for event in self._newest_first(stack):
            if first is not None and (first.starts_operation or event.token != first.token):
                previous = event.id
                break
            first = event
        return Operation(token=first.token, start=first.time, previous_event=previous) if first else None

    def _newest_first(self, stack: str) -> Iterator[StackEvent]:
        with doing(f"reading what happens to stack {short_name(stack)}"):
            for page in self.client.get_paginator("describe_stack_events").paginate(StackName=stack):
                yield from map(_event, page["StackEvents"])

    def exports(self) -> frozenset[str]:
        """The names of everything that stacks of this account and region export."""
        with doing("listing exports of stacks"):
            pages = self.client.get_paginator("list_exports").paginate()
            return frozenset(export["Name"] for page in pages for export in page["Exports"])

    def resources(self, stack: str) -> list[StackResource]:
        """The resources of a stack, without those that are not made or gone."""
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
        """The template that a stack was deployed with."""
        with doing(f"reading the template of stack {short_name(stack)}"):
            body: Any = self.client.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
        # Botocore parses JSON, which is what we deploy; YAML is what somebody else deployed.
        template: Mapping[str, Any] = parse(body) if isinstance(body, str) else body
        return template

    def protect(self, stack: str, *, on: bool) -> None:
        """Switches a stack's termination protection."""
        with doing(f"switching the termination protection of stack {short_name(stack)} {'on' if on else 'off'}"):
            self.client.update_termination_protection(StackName=stack, EnableTerminationProtection=on)

    def delete(self, stack: str, *, retain: Sequence[str] = ()) -> None:
        """Begins to delete a stack, without the resources of these logical ids."""
        with doing(f"deleting stack {short_name(stack)}"):
            self.client.delete_stack(
                StackName=stack, RetainResources=list(retain), ClientRequestToken=new_token("destroy")
            )

    def continue_rollback(self, stack: str) -> None:
        """Begins again with a rollback that failed."""
        with doing(f"going on with the rollback of stack {short_name(stack)}"):
            self.client.continue_update_rollback(StackName=stack, ClientRequestToken=new_token("rollback"))


def new_token(purpose: str) -> str:
    """A token for an operation of ours."""
    return f"{TOKEN_PREFIX}{purpose}-{secrets.token_hex(4)}"


def short_name(stack: str) -> str:
    """The name in an ARN, or the name itself."""
    return stack.rpartition(":stack/")[2].partition("/")[0]


def _state(stack: "StackTypeDef") -> StackState:
    return StackState(
        id=stack["StackId"],
        name=stack["StackName"],
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason") or "",
        protected=bool(stack.get("EnableTerminationProtection")),
        parameters={entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters") or ()},
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs") or ()},
    )


def _event(event: "StackEventTypeDef") -> StackEvent:
    return StackEvent(
        id=event["EventId"],
        time=event["Timestamp"],
        logical_id=event.get("LogicalResourceId") or "",
        type=event.get("ResourceType") or "",
        status=event.get("ResourceStatus") or "",
        reason=(event.get("ResourceStatusReason") or "").strip().rstrip("."),
        token=event.get("ClientRequestToken") or "",
        of_stack=event.get("PhysicalResourceId") == event["StackId"],
    )
