"""Brings a stack from whatever state it was left in to one from which it can be deployed, or says why it cannot."""

import hashlib
import json
import secrets
from dataclasses import dataclass

from toolchain.aws import doing
from toolchain.console import note
from toolchain.errors import StackFailedError, ToolchainError, TryAgainError
from toolchain.stacks.changes import DesiredStack
from toolchain.stacks.layout import Stack
from toolchain.stacks.resources import body
from toolchain.stacks.service import OURS, CloudFormation, Event, State
from toolchain.stacks.watch import Ended, Follower


def digest(wish: DesiredStack) -> str:
    """What tells one wish from another."""
    text = json.dumps([body(wish.stack.template), dict(wish.parameters), dict(wish.tags)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def token(wish: DesiredStack) -> str:
    """The token of an operation that makes this wish true: whoever wishes the same knows it by its beginning."""
    return f"{OURS}deploy-{digest(wish)}-{secrets.token_hex(4)}"


@dataclass(frozen=True, kw_only=True)
class Mender:
    """Mends stacks.

    Attributes:
        service: CloudFormation.
        follower: Follows what it does.
    """

    service: CloudFormation
    follower: Follower

    def mend(self, wish: DesiredStack, state: State | None) -> tuple[State | None, Ended | None]:
        """Makes a stack ready for a change set.

        Args:
            wish: What the stack is to be.
            state: What it is; none if it is not there.

        Returns:
            What it is then, and how an operation ended that an earlier run of the same command had begun.

        Raises:
            TryAgainError: Somebody else is doing something to it.
            StackFailedError: It cannot be mended from here.
        """
        stack = wish.stack
        ended = None
        if state is not None and state.busy:
            ended = self._attach(wish, state)
            state = self.service.state(stack.full_name)
        if state is None:
            return None, ended
        if state.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}:
            note(f"{stack}: its creation failed ({state.status}): what is left of it is deleted first")
            self._delete(stack, state)
            return None, None
        if state.status in {"CREATE_FAILED", "DELETE_FAILED"}:
            raise StackFailedError(
                f"stack {stack.full_name} is in the state {state.status}",
                why=state.reason.rstrip(".") or "CloudFormation gives no reason",
                fix=f"Type: python build.py destroy {stack}; then type the same again.",
            )
        if state.status == "UPDATE_ROLLBACK_FAILED":
            note(
                f"{stack}: an update failed, and so did the way back ({state.status}): going on with the way back first"
            )
            self._go_back(stack, state)
            return self.service.state(stack.full_name), ended
        return state, ended

    def _attach(self, wish: DesiredStack, state: State) -> Ended:
        """Follows what an earlier run of the same command began."""
        operation = self.service.operation(state.id)
        if not operation or not operation[0].token.startswith(f"{OURS}deploy-{digest(wish)}-"):
            raise busy(state, operation)
        note(f"{wish.stack}: an earlier run of this command has begun with it: following that")
        ended = self.follower.follow(state.id, wish.stack.name, since=self.service.before(state.id, operation[0]))
        judge(wish.stack, ended)
        return ended

    def _delete(self, stack: Stack, state: State) -> None:
        latest = self.service.latest(state.id)

        def begin() -> None:
            with doing(f"deleting stack {stack.full_name}"):
                self.service.client.delete_stack(
                    StackName=state.id, ClientRequestToken=f"{OURS}destroy-{secrets.token_hex(4)}"
                )

        ended = self.follower.follow(state.id, stack.name, since=latest.id if latest else None, begin=begin)
        if ended.status != "DELETE_COMPLETE":
            raise not_deleted(stack, ended)

    def _go_back(self, stack: Stack, state: State) -> None:
        latest = self.service.latest(state.id)

        def begin() -> None:
            with doing(f"going on with the rollback of stack {stack.full_name}"):
                self.service.client.continue_update_rollback(
                    StackName=state.id, ClientRequestToken=f"{OURS}rollback-{secrets.token_hex(4)}"
                )

        ended = self.follower.follow(state.id, stack.name, since=latest.id if latest else None, begin=begin)
        if ended.status != "UPDATE_ROLLBACK_COMPLETE":
            stuck = " ".join(dict.fromkeys(event.logical_id for event in ended.failed if not event.of_stack))
            raise StackFailedError(
                f"stack {stack.full_name} cannot go back to what it was before its last update",
                why=ended.first_cause,
                fix="Mend that resource, and type the same again; or leave it as it is: "
                f"aws cloudformation continue-update-rollback --stack-name {stack.full_name} "
                f"--resources-to-skip {stuck or 'LOGICALID'}",
            )


def judge(stack: Stack, ended: Ended) -> None:
    """Says of a deployment that has ended badly what it failed for.

    Raises:
        StackFailedError: It ended badly.
    """
    if ended.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        return
    after = {
        "ROLLBACK_COMPLETE": "Correct it, and type the same again: what was made for it is gone again.",
        "UPDATE_ROLLBACK_COMPLETE": "Correct it, and type the same again: the stack is as it was before.",
        "UPDATE_ROLLBACK_FAILED": "Mend that, and type the same again: it goes on with the way back first.",
    }
    raise StackFailedError(
        f"stack {stack.full_name} was not deployed ({ended.status})",
        why=ended.first_cause,
        fix=after.get(ended.status, "Correct it, and type the same again."),
    )


def busy(state: State, operation: list[Event]) -> ToolchainError:
    """The error for a stack to which somebody else is doing something."""
    began = operation[0] if operation else None
    who = f", begun at {began.at:%Y-%m-%d %H:%M:%S %Z} as {began.token or 'a request without a token'}" if began else ""
    return TryAgainError(
        f"stack {state.name} is busy",
        why=f"somebody else is doing something to it ({state.status}{who})",
        fix=f"Type the same again, when it has ended: aws cloudformation describe-stack-events "
        f"--stack-name {state.name} shows it.",
    )


def not_deleted(stack: Stack, ended: Ended) -> StackFailedError:
    """The error for a stack that cannot be deleted: what cannot, and how to leave that behind."""
    stuck = dict.fromkeys(event.logical_id for event in ended.failed if not event.of_stack)
    retain = " ".join(f"--retain {name}" for name in stuck) or "--retain LOGICALID"
    return StackFailedError(
        f"stack {stack.full_name} cannot be deleted",
        why="; ".join(map(str, ended.failed)) or ended.first_cause,
        fix=f"Mend that, and type the same again; or leave it behind: python build.py destroy {stack} {retain}",
    )
