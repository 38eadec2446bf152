"""Change sets: what CloudFormation would do to a stack, looked at before it is told to."""

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from toolchain.aws import code, doing
from toolchain.errors import StackFailedError, ToolchainError, TryAgainError, UnavailableError
from toolchain.stacks.layout import Stack
from toolchain.stacks.resources import body, capabilities, keeps
from toolchain.stacks.service import OURS, CloudFormation, State
from toolchain.stacks.watch import Pace

if TYPE_CHECKING:
    from types_boto3_cloudformation.type_defs import (
        DescribeChangeSetOutputTypeDef,
        ResourceChangeDetailTypeDef,
        ResourceChangeTypeDef,
    )

# CloudFormation says it in two ways.
_NOTHING = ("didn't contain changes", "No updates are to be performed")
_NAMES = 5
_SOON = 0.1
# A change set of a few dozen resources takes seconds.
_LONGEST = 600.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change set does to a resource.

    Attributes:
        action: Add, Modify, Remove, Import or Dynamic.
        logical_id: The resource's name in the template.
        type: As `AWS::S3::Bucket`.
        replacement: Whether another resource takes its place.
        causes: The properties that change, and the parameters or resources that change them.
    """

    action: str
    logical_id: str
    type: str
    replacement: Literal["yes", "perhaps", "no"]
    causes: tuple[str, ...]

    @property
    def loses_data(self) -> bool:
        """Whether what holds data may go with it."""
        gone = self.action == "Remove" or self.replacement != "no" or self.action == "Dynamic"
        return keeps(self.type) and gone


@dataclass(frozen=True, kw_only=True)
class ChangeSet:
    """A change set that can be executed.

    Attributes:
        id: Its ARN.
        stack_id: The stack's ARN.
        creates: Whether the stack is made with it.
        changes: What it does.
    """

    id: str
    stack_id: str
    creates: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class DesiredStack:
    """What a stack is to be.

    Attributes:
        stack: Which.
        parameters: Name to value.
        tags: The stack's tags, which its resources get too.
    """

    stack: Stack
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


class ChangeSets:
    """Makes, reads, executes and removes change sets."""

    def __init__(self, service: CloudFormation, pace: Pace) -> None:
        self._service = service
        self._client = service.client
        self._pace = pace

    def make(self, wish: DesiredStack, state: State | None) -> ChangeSet | None:
        """Makes the change set that leads to a wish.

        Args:
            wish: What the stack is to be.
            state: What it is; none if it is not there.

        Returns:
            The change set; none if there is nothing to change.

        Raises:
            StackFailedError: CloudFormation does not take the template, or the parameters.
            TryAgainError: Somebody else is doing something to the stack.
        """
        creates = state is None or state.status == "REVIEW_IN_PROGRESS"
        made = self._create(wish, creates=creates)
        if made is None:
            return None
        change_set, stack_id = made
        keep = False
        try:
            described = self._wait(change_set, wish.stack)
            if described["Status"] == "FAILED":
                self._require_nothing(wish, change_set, described.get("StatusReason", ""))
                return None
            keep = True
            return ChangeSet(
                id=change_set,
                stack_id=stack_id,
                creates=creates,
                changes=tuple(_change(one["ResourceChange"]) for one in described.get("Changes", ())),
            )
        finally:
            # After Ctrl-C too, nothing is left behind.
            if not keep:
                with suppress(ToolchainError):
                    self.remove(change_set, stack_id if state is None else None)

    def _require_nothing(self, wish: DesiredStack, change_set: str, reason: str) -> None:
        """Passes if a change set failed since there is nothing to change."""
        if not any(text in reason for text in _NOTHING):
            raise _refused(wish.stack, self._why(change_set, reason))

    def execute(self, change_set: ChangeSet, wish: DesiredStack, token: str) -> None:
        """Tells CloudFormation to do what a change set says.

        Args:
            change_set: Which.
            wish: What it is for.
            token: Is written into every event.

        Raises:
            TryAgainError: The stack is no longer what it was when the change set was made.
        """
        from botocore.exceptions import ClientError

        with doing(f"executing the change set of stack {wish.stack.full_name}"):
            try:
                # A stack whose creation fails takes everything with it that was made for it; else a bucket that
                # is never deleted would be left behind by every attempt.
                self._client.execute_change_set(
                    ChangeSetName=change_set.id, ClientRequestToken=token, RetainExceptOnCreate=True
                )
            except ClientError as error:
                if not _is_meanwhile(error):
                    raise
                # An answer that got lost, after which the same was asked again, looks the same.
                latest = self._service.latest(change_set.stack_id)
                if latest is None or latest.token != token:
                    raise _meanwhile(wish.stack, error) from error

    def remove(self, change_set: str, stack: str | None) -> None:
        """Removes a change set.

        Args:
            change_set: Its ARN.
            stack: The stack to remove with it: the empty one that was made for it.
        """
        with doing("removing a change set"):
            self._client.delete_change_set(ChangeSetName=change_set)
            if stack is not None:
                self._client.delete_stack(StackName=stack)

    def _create(self, wish: DesiredStack, *, creates: bool) -> tuple[str, str] | None:
        from botocore.exceptions import ClientError

        for left in reversed(range(_NAMES)):
            with doing(f"making a change set for stack {wish.stack.full_name}"):
                try:
                    answer = self._client.create_change_set(
                        StackName=wish.stack.full_name,
                        ChangeSetName=f"{OURS}{secrets.token_hex(6)}",
                        ChangeSetType="CREATE" if creates else "UPDATE",
                        TemplateBody=body(wish.stack.template),
                        Parameters=[
                            {"ParameterKey": name, "ParameterValue": value}
                            for name, value in sorted(wish.parameters.items())
                        ],
                        Capabilities=list(capabilities(wish.stack.template)),  # type: ignore[arg-type]  # texts
                        Tags=[{"Key": key, "Value": value} for key, value in sorted(wish.tags.items())],
                    )
                except ClientError as error:
                    if any(text in str(error) for text in _NOTHING):
                        return None
                    if _is_meanwhile(error):
                        raise _meanwhile(wish.stack, error) from error
                    if code(error) == "AlreadyExistsException" and left:
                        continue
                    if code(error) in {"ValidationError", "InsufficientCapabilitiesException"}:
                        raise _refused(wish.stack, error.response["Error"].get("Message", "")) from error
                    raise
            return answer["Id"], answer["StackId"]
        raise AssertionError  # the last attempt returns or raises

    def _wait(self, change_set: str, stack: Stack) -> "DescribeChangeSetOutputTypeDef":
        """A change set when it is ready or has failed, with all its changes."""
        end = time.monotonic() + _LONGEST
        seconds = min(_SOON, self._pace.look)
        while time.monotonic() < end:
            with doing(f"looking what would change in stack {stack.full_name}"):
                described = self._client.describe_change_set(ChangeSetName=change_set)
                if described["Status"] in {"CREATE_COMPLETE", "FAILED"}:
                    token = described.get("NextToken")
                    while token:
                        page = self._client.describe_change_set(ChangeSetName=change_set, NextToken=token)
                        described["Changes"] = [*described["Changes"], *page["Changes"]]
                        token = page.get("NextToken")
                    return described
            self._pace.sleep(seconds)
            seconds = min(seconds * 2, self._pace.look)
        raise UnavailableError(
            f"no change set for stack {stack.full_name}",
            why=f"CloudFormation has not made it in {_LONGEST:.0f} s",
            fix="Try again.",
        )

    def _why(self, change_set: str, reason: str) -> str:
        """Why a change set could not be made; what CloudFormation found before it tried is to be asked for."""
        from botocore.exceptions import BotoCoreError, ClientError

        if "DescribeEvents" not in reason:
            return reason
        try:
            answer = self._client.describe_events(ChangeSetName=change_set, Filters={"FailedEvents": True})
        except (BotoCoreError, ClientError):
            return reason
        found = [
            f"{one.get('LogicalResourceId', '')} {one.get('ValidationPath', '')}: {one['ValidationStatusReason']}"
            for one in answer.get("OperationEvents", ())
            if one.get("ValidationStatusReason")
        ]
        return "; ".join(found) or reason


def _is_meanwhile(error: Exception) -> bool:
    return code(error) in {"InvalidChangeSetStatus", "ChangeSetNotFound"} or "_IN_PROGRESS state" in str(error)


def _meanwhile(stack: Stack, error: Exception) -> TryAgainError:
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


def _change(one: "ResourceChangeTypeDef") -> Change:
    replacement: dict[str, Literal["yes", "perhaps", "no"]] = {"True": "yes", "Conditional": "perhaps"}
    return Change(
        action=one.get("Action", "Modify"),
        logical_id=one.get("LogicalResourceId", ""),
        type=one.get("ResourceType", ""),
        replacement=replacement.get(one.get("Replacement", ""), "no"),
        causes=_causes(one.get("Details") or ()),
    )


def _causes(details: "Sequence[ResourceChangeDetailTypeDef]") -> tuple[str, ...]:
    """Each property that changes once, with what changes it, those first that make a replacement."""
    found: dict[str, bool] = {}
    for one in details:
        target = one.get("Target") or {}
        what = target.get("Name") or target.get("Attribute") or ""
        by = one.get("CausingEntity")
        text = f"{what} by {by}" if what and by else what or by or ""
        if text:
            found[text] = found.get(text, False) or target.get("RequiresRecreation") in {"Always", "Conditionally"}
    # CloudFormation lists a parameter's change twice: as it is known, and as it would be worked out.
    texts = [text for text in found if not any(other.startswith(f"{text} by ") for other in found)]
    return tuple(sorted(texts, key=lambda text: not found[text]))
