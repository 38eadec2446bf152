"""Brings a stack from whatever state it was left in to one from which it can be deployed, or says why it cannot."""

import hashlib
import json

from toolchain.console import note
from toolchain.errors import StackFailedError, TryAgainError
from toolchain.stacks.changes import DesiredStack, template_body
from toolchain.stacks.layout import Stack
from toolchain.stacks.service import TOKEN_PREFIX, CloudFormation, StackState
from toolchain.stacks.watch import Outcome, Watcher


def token_purpose(desired: DesiredStack) -> str:
    """The purpose in the token of a deployment: equal for equal parameters, templates and tags."""
    text = json.dumps(
        [template_body(desired.stack.template), dict(desired.parameters), dict(desired.tags)], sort_keys=True
    )
    return f"deploy-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def recover(
    desired: DesiredStack, state: StackState | None, service: CloudFormation, watcher: Watcher
) -> tuple[StackState | None, Outcome | None]:
    """Makes a stack ready for a change set.

    Returns:
        The state then, and the outcome of an operation that an earlier run of the same command had begun.

    Raises:
        TryAgainError: Somebody else is changing the stack.
        StackFailedError: It cannot be recovered from here.
    """
    stack = desired.stack
    outcome = None
    if state is not None and state.is_busy:
        outcome = _attach(desired, state, service, watcher)
        state = service.state(stack.full_name)
    if state is None:
        return None, outcome
    if state.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}:
        note(f"{stack}: its creation failed ({state.status}): what is left of it is deleted first")
        arn = state.id
        deletion = watcher.run(arn, stack.name, lambda: service.delete(arn))
        if deletion.status != "DELETE_COMPLETE":
            raise not_deleted(stack, deletion)
        return None, None
    if state.status in {"CREATE_FAILED", "DELETE_FAILED"}:
        raise StackFailedError(
            f"stack {stack.full_name} is in the state {state.status}",
            why=state.reason.rstrip(".") or "CloudFormation gives no reason",
            fix=f"Type: python build.py destroy {stack}; then type the same again.",
        )
    if state.status == "UPDATE_ROLLBACK_FAILED":
        note(f"{stack}: an update failed, and so did the way back ({state.status}): going on with the way back first")
        _continue_rollback(stack, state.id, service, watcher)
        state = service.state(stack.full_name)
    return state, outcome


def _attach(desired: DesiredStack, state: StackState, service: CloudFormation, watcher: Watcher) -> Outcome:
    """Watches what an earlier run of the same command began."""
    operation = service.operation(state.id)
    if operation is None or not operation.token.startswith(f"{TOKEN_PREFIX}{token_purpose(desired)}-"):
        raise busy(state, service)
    note(f"{desired.stack}: an earlier run of this command has begun with it: following that")
    outcome = watcher.watch(state.id, desired.stack.name, since=operation.previous_event)
    require_success(desired.stack, outcome)
    return outcome


def _continue_rollback(stack: Stack, arn: str, service: CloudFormation, watcher: Watcher) -> None:
    outcome = watcher.run(arn, stack.name, lambda: service.continue_rollback(arn))
    if outcome.status != "UPDATE_ROLLBACK_COMPLETE":
        raise StackFailedError(
            f"stack {stack.full_name} cannot go back to what it was before its last update",
            why=outcome.first_cause,
            fix="Mend that resource, and type the same again; or leave it as it is: "
            f"aws cloudformation continue-update-rollback --stack-name {stack.full_name} "
            f"--resources-to-skip {' '.join(outcome.failed_resources) or 'LOGICALID'}",
        )


def require_success(stack: Stack, outcome: Outcome) -> None:
    """Raises a StackFailedError if a deployment has not ended well."""
    if outcome.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        return
    fixes = {
        "ROLLBACK_COMPLETE": "Correct it, and type the same again: what was made for it is gone again.",
        "UPDATE_ROLLBACK_COMPLETE": "Correct it, and type the same again: the stack is as it was before.",
        "UPDATE_ROLLBACK_FAILED": "Mend that, and type the same again: it goes on with the way back first.",
    }
    raise StackFailedError(
        f"stack {stack.full_name} was not deployed ({outcome.status})",
        why=outcome.first_cause,
        fix=fixes.get(outcome.status, "Correct it, and type the same again."),
    )


def busy(state: StackState, service: CloudFormation) -> TryAgainError:
    """The error for a stack that somebody else is changing."""
    begun = ""
    if operation := service.operation(state.id):
        who = operation.token or "a request without a token"
        begun = f", begun at {operation.start:%Y-%m-%d %H:%M:%S %Z} as {who}"
    return TryAgainError(
        f"stack {state.name} is busy",
        why=f"somebody else is doing something to it ({state.status}{begun})",
        fix=f"Type the same again, when it has ended: aws cloudformation describe-stack-events "
        f"--stack-name {state.name} shows it.",
    )


def not_deleted(stack: Stack, outcome: Outcome) -> StackFailedError:
    """The error for a stack that cannot be deleted, with the way to leave behind what cannot."""
    retain = " ".join(f"--retain {name}" for name in outcome.failed_resources) or "--retain LOGICALID"
    return StackFailedError(
        f"stack {stack.full_name} cannot be deleted",
        why="; ".join(map(str, outcome.failures)) or outcome.first_cause,
        fix=f"Mend that, and type the same again; or leave it behind: python build.py destroy {stack} {retain}",
    )
