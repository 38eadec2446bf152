"""Which failed attempts are retried, by evaluateOnExit."""

import pytest

from toolchain.localaws.batch.retry import Outcome, should_retry

LOST = Outcome(status_reason="Host EC2 (instance i-0123) terminated.")
BAD_DATA = Outcome(exit_code=65, status_reason="Essential container in task exited")
NO_IMAGE = Outcome(reason="CannotPullContainerError: no such image", status_reason="Task failed to start")
REST = {"action": "EXIT", "onReason": "*"}


def rule(action: str, **conditions: str) -> dict[str, str]:
    return {"action": action, **conditions}


@pytest.mark.parametrize(
    ("rules", "outcome", "retried"),
    [
        ((), BAD_DATA, True),
        ((rule("EXIT", onExitCode="65"),), BAD_DATA, False),
        ((rule("EXIT", onExitCode="66"),), BAD_DATA, True),
        ((rule("EXIT", onExitCode="6*"),), BAD_DATA, False),
        ((rule("EXIT", onExitCode="*5"),), BAD_DATA, True),
        ((rule("EXIT", onExitCode="6?"),), BAD_DATA, True),
        ((rule("exit", onReason="*"),), BAD_DATA, False),
        ((rule("Retry", onStatusReason="Host EC2*"), REST), LOST, True),
        ((rule("RETRY", onStatusReason="host ec2*"), REST), LOST, False),
        ((rule("RETRY", onStatusReason="Host EC2*"), REST), BAD_DATA, False),
        ((rule("RETRY", onReason="CannotPullContainerError:*"), REST), NO_IMAGE, True),
        ((REST, rule("RETRY", onExitCode="65")), BAD_DATA, False),
        ((rule("EXIT", onExitCode="65", onStatusReason="Host EC2*"),), BAD_DATA, True),
        ((rule("EXIT", onExitCode="65", onStatusReason="Essential*"),), BAD_DATA, False),
        ((rule("EXIT", onStatusReason="Essential container"),), BAD_DATA, True),
    ],
)
def test_the_first_matching_rule_decides_and_what_none_matches_is_retried(
    rules: tuple[dict[str, str], ...],
    outcome: Outcome,
    retried: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    assert should_retry({"attempts": 3, "evaluateOnExit": list(rules)}, outcome, attempt=1) is retried


def test_the_last_attempt_is_not_retried() -> None:
    assert [should_retry({"attempts": 2}, BAD_DATA, attempt=attempt) for attempt in (1, 2)] == [True, False]
    assert not should_retry({}, LOST, attempt=1)
