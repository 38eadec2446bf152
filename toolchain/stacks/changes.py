"""Change sets: what CloudFormation would do to a stack, looked at before it is told to do it."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from toolchain.aws import code, doing
from toolchain.errors import ConfigurationError, StackFailedError, ToolchainError, TryAgainError, UnavailableError
from toolchain.stacks.layout import Stack
from toolchain.stacks.resources import COMPUTE_ENVIRONMENT, holds_data
from toolchain.stacks.service import TOKEN_PREFIX, CloudFormation, StackState
from toolchain.stacks.template import Template
from toolchain.stacks.watch import Polling

if TYPE_CHECKING:
    from types_boto3_cloudformation.type_defs import ResourceChangeDetailTypeDef, ResourceChangeTypeDef

# What TemplateBody takes: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LARGEST_BODY = 51_200
# CloudFormation has two messages for it.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_MOST_NAMES = 5
_FIRST_INTERVAL = 0.1
# Seconds; a change set of a few dozen resources takes a few.
_LONGEST_WAIT = 600.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change set does to a resource.

    Attributes:
        action: Add, Modify, Remove, Import or Dynamic.
        causes: The properties that change, and the parameters or resources that change them.
    """

    action: str
    logical_id: str
    type: str
    replacement: Literal["yes", "perhaps", "no"] = "no"
    causes: tuple[str, ...] = ()

    @property
    def may_lose_data(self) -> bool:
        """Whether a resource that holds data may be replaced or removed."""
        return holds_data(self.type) and (self.replacement != "no" or self.action in {"Remove", "Dynamic"})

    @property
    def must_be_named(self) -> bool:
        """Whether the user has to agree: data may be lost, or hosts are replaced under the jobs that run on them.

        A compute environment's tags are create-only, and [tags] reach it. What Batch may change in place is `perhaps`.
        """
        return self.may_lose_data or (self.type == COMPUTE_ENVIRONMENT and self.replacement == "yes")


@dataclass(frozen=True, kw_only=True)
class ChangeSet:
    """A change set that can be executed; `id` and `stack_id` are ARNs."""

    id: str
    stack_id: str
    creates_stack: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class DesiredStack:
    """A stack with the parameters and tags that it is to have; its resources get the tags too."""

    stack: Stack
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def template_body(template: Template) -> str:
    """The template as it is sent: compact JSON, so that comments count neither as bytes nor as changes.

    Raises:
        ConfigurationError: It is larger than CloudFormation takes.
    """
    text = json.dumps(template.body, separators=(",", ":"), ensure_ascii=False)
    if (size := len(text.encode())) > LARGEST_BODY:
        raise ConfigurationError(
            f"stack/{template.name}.yaml is too large",
            why=f"it is {size} bytes without comments and blanks, and CloudFormation takes {LARGEST_BODY}",
            fix="Take something out of it, or split it into two stacks.",
        )
    return text


class ChangeSets:
    """Makes, executes and removes change sets."""

    def __init__(self, service: CloudFormation, polling: Polling) -> None:
        self._service = service
        self._client = service.client
        self._polling = polling

    def make(self, desired: DesiredStack, state: StackState | None) -> ChangeSet | None:
        """Makes the change set from a stack's state to what it is to be; None if nothing would change.

        Raises:
            StackFailedError: CloudFormation refuses the template or the parameters.
            TryAgainError: Somebody else is changing the stack.
        """
        creates_stack = state is None or state.status == "REVIEW_IN_PROGRESS"
        created = self._create(desired, creates_stack=creates_stack)
        if created is None:
            return None
        change_set, stack_id = created
        is_usable = False
        try:
            described = self._wait(change_set, desired.stack)
            if described["Status"] == "FAILED":
                reason = described.get("StatusReason", "")
                if not any(text in reason for text in _NO_CHANGES):
                    raise _refused(desired.stack, self._detailed(change_set, reason))
                return None
            is_usable = True
            changes = tuple(_change(entry["ResourceChange"]) for entry in described.get("Changes", ()))
            return ChangeSet(id=change_set, stack_id=stack_id, creates_stack=creates_stack, changes=changes)
        finally:
            # After Ctrl-C too, nothing is left behind.
            if not is_usable:
                with suppress(ToolchainError):
                    self.remove(change_set, stack_id if state is None else None)

    def execute(self, change_set: ChangeSet, stack: Stack, token: str) -> None:
        """Executes a change set; the token is written into every event.

        Raises:
            TryAgainError: The stack has changed since the change set was made.
        """
        with doing(f"executing the change set of stack {stack.full_name}"):
            try:
                # A stack whose creation fails takes with it everything that was made for it; otherwise every attempt
                # would leave a retained bucket behind.
                self._client.execute_change_set(
                    ChangeSetName=change_set.id, ClientRequestToken=token, RetainExceptOnCreate=True
                )
            except ClientError as error:
                if not _is_meanwhile(error):
                    raise
                # It looks the same when the answer to our own request got lost, and the request was sent again.
                last = self._service.last_event(change_set.stack_id)
                if last is None or last.token != token:
                    raise _meanwhile(stack, error) from error

    def remove(self, change_set: str, stack: str | None) -> None:
        """Removes a change set, and the empty stack that was made for it, if its ARN is given."""
        with doing("removing a change set"):
            self._client.delete_change_set(ChangeSetName=change_set)
            if stack is not None:
                self._client.delete_stack(StackName=stack)

    def _create(self, desired: DesiredStack, *, creates_stack: bool) -> tuple[str, str] | None:
        """The ARNs of a new change set and its stack; None if CloudFormation sees no changes."""
        stack = desired.stack
        parameters = sorted(desired.parameters.items())
        for attempts_left in reversed(range(_MOST_NAMES)):
            with doing(f"making a change set for stack {stack.full_name}"):
                try:
                    answer = self._client.create_change_set(
                        StackName=stack.full_name,
                        ChangeSetName=f"{TOKEN_PREFIX}{secrets.token_hex(6)}",
                        ChangeSetType="CREATE" if creates_stack else "UPDATE",
                        TemplateBody=template_body(stack.template),
                        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters],
                        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
                        # What an earlier stack of this name retained is taken in again.
                        ImportExistingResources=True,
                        Tags=[{"Key": key, "Value": value} for key, value in sorted(desired.tags.items())],
                    )
                except ClientError as error:
                    if any(text in str(error) for text in _NO_CHANGES):
                        return None
                    if _is_meanwhile(error):
                        raise _meanwhile(stack, error) from error
                    if code(error) == "AlreadyExistsException" and attempts_left:
                        continue
                    if code(error) == "ValidationError":
                        raise _refused(stack, error.response["Error"].get("Message", "")) from error
                    raise
            return answer["Id"], answer["StackId"]
        raise AssertionError  # the last attempt returns or raises

    def _wait(self, change_set: str, stack: Stack) -> Mapping[str, Any]:
        """Waits until a change set is ready or has failed; returns it with all of its changes."""
        end = time.monotonic() + _LONGEST_WAIT
        seconds = min(_FIRST_INTERVAL, self._polling.interval)
        while time.monotonic() < end:
            with doing(f"looking what would change in stack {stack.full_name}"):
                pages = self._client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
                described = pages.build_full_result()
            if described["Status"] in {"CREATE_COMPLETE", "FAILED"}:
                return described
            self._polling.sleep(seconds)
            seconds = min(seconds * 2, self._polling.interval)
        raise UnavailableError(
            f"no change set for stack {stack.full_name}",
            why=f"CloudFormation has not made it in {_LONGEST_WAIT:.0f} s",
            fix="Try again.",
        )

    def _detailed(self, change_set: str, reason: str) -> str:
        """Why a change set failed; the results of early validation have to be asked for."""
        if "DescribeEvents" not in reason:
            return reason
        try:
            answer = self._client.describe_events(ChangeSetName=change_set, Filters={"FailedEvents": True})
        except (BotoCoreError, ClientError):
            return reason
        details = [
            f"{event.get('LogicalResourceId', '')} {event.get('ValidationPath', '')}: {event['ValidationStatusReason']}"
            for event in answer.get("OperationEvents", ())
            if event.get("ValidationStatusReason")
        ]
        return "; ".join(details) or reason


def _is_meanwhile(error: ClientError) -> bool:
    return code(error) in {"InvalidChangeSetStatus", "ChangeSetNotFound"} or "_IN_PROGRESS state" in str(error)


def _meanwhile(stack: Stack, error: ClientError) -> TryAgainError:
    return TryAgainError(
        f"stack {stack.full_name} has changed meanwhile",
        why=f"somebody else is doing something to it ({code(error)})",
        fix=f"Type the same again, when it has ended: aws cloudformation describe-stack-events "
        f"--stack-name {stack.full_name} shows it.",
    )


def _refused(stack: Stack, why: str) -> StackFailedError:
    return StackFailedError(
        f"CloudFormation does not take stack {stack.full_name}",
        why=why.strip().rstrip(".") or "it gives no reason",
        fix=f"Correct stack/{stack.name}.yaml or genomics.toml, and type the same again: nothing was changed.",
    )


def _change(change: "ResourceChangeTypeDef") -> Change:
    replacements: dict[str, Literal["yes", "perhaps", "no"]] = {"True": "yes", "Conditional": "perhaps"}
    return Change(
        action=change.get("Action", "Modify"),
        logical_id=change.get("LogicalResourceId", ""),
        type=change.get("ResourceType", ""),
        replacement=replacements.get(change.get("Replacement", ""), "no"),
        causes=_causes(change.get("Details") or ()),
    )


def _causes(details: "Sequence[ResourceChangeDetailTypeDef]") -> tuple[str, ...]:
    """Each property that changes, with what changes it; those first that make a replacement."""
    recreates: dict[str, bool] = {}
    for detail in details:
        target = detail.get("Target") or {}
        name = target.get("Name") or target.get("Attribute") or ""
        cause = detail.get("CausingEntity")
        text = f"{name} by {cause}" if name and cause else name or cause or ""
        if text:
            needs = target.get("RequiresRecreation") in {"Always", "Conditionally"}
            recreates[text] = recreates.get(text, False) or needs
    # CloudFormation lists the change of a parameter twice: statically, and as it would be evaluated.
    texts = [text for text in recreates if not any(other.startswith(f"{text} by ") for other in recreates)]
    return tuple(sorted(texts, key=lambda text: not recreates[text]))
