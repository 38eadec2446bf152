"""evaluateOnExit: what is tried again."""

from typing import Any

import pytest

from toolchain.localaws.batch.rules import BadStrategyError, Ending, Strategy

LOST = Ending(status_reason="Host EC2 (instance i-0123) terminated.")
BAD_DATA = Ending(exit_code=65, status_reason="Essential container in task exited")
NO_IMAGE = Ending(reason="CannotPullContainerError: no such image", status_reason="Task failed to start")


def strategy(*rules: dict[str, str], attempts: int = 3) -> Strategy:
    return Strategy.parse({"attempts": attempts, "evaluateOnExit": list(rules)})


def rule(action: str, **conditions: str) -> dict[str, str]:
    return {"action": action, **conditions}


@pytest.mark.parametrize(
    ("rules", "ending", "again"),
    [
        ((), BAD_DATA, True),
        ((rule("EXIT", onExitCode="65"),), BAD_DATA, False),
        ((rule("EXIT", onExitCode="66"),), BAD_DATA, True),
        ((rule("EXIT", onExitCode="6*"),), BAD_DATA, False),
        ((rule("EXIT", onExitCode="*5"),), BAD_DATA, True),
        ((rule("EXIT", onExitCode="6?"),), BAD_DATA, True),
        ((rule("exit", onReason="*"),), BAD_DATA, False),
        ((rule("Retry", onStatusReason="Host EC2*"), rule("EXIT", onReason="*")), LOST, True),
        ((rule("RETRY", onStatusReason="host ec2*"), rule("EXIT", onReason="*")), LOST, False),
        ((rule("RETRY", onStatusReason="Host EC2*"), rule("EXIT", onReason="*")), BAD_DATA, False),
        ((rule("RETRY", onReason="CannotPullContainerError:*"), rule("EXIT", onReason="*")), NO_IMAGE, True),
        ((rule("EXIT", onReason="*"), rule("RETRY", onExitCode="65")), BAD_DATA, False),
        ((rule("EXIT", onExitCode="65", onStatusReason="Host EC2*"),), BAD_DATA, True),
        ((rule("EXIT", onExitCode="65", onStatusReason="Essential*"),), BAD_DATA, False),
        ((rule("EXIT", onStatusReason="Essential container"),), BAD_DATA, True),
    ],
)
def test_the_first_rule_whose_conditions_all_hold_decides_and_without_one_it_is_tried_again(
    rules: tuple[dict[str, str], ...],
    ending: Ending,
    again: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    assert strategy(*rules).tries_again(ending, attempt=1) is again


def test_the_last_attempt_is_the_last() -> None:
    assert strategy(attempts=2).tries_again(BAD_DATA, attempt=1)
    assert not strategy(attempts=2).tries_again(BAD_DATA, attempt=2)


def test_without_a_strategy_there_is_one_attempt() -> None:
    assert not Strategy.parse(None).tries_again(LOST, attempt=1)


@pytest.mark.parametrize(
    "given",
    [
        {"attempts": 11},
        {"attempts": 0},
        {"evaluateOnExit": [rule("EXIT")]},
        {"attempts": 1, "evaluateOnExit": [rule("EXIT")] * 6},
        {"attempts": 1, "evaluateOnExit": [rule("STOP")]},
    ],
)
def test_what_the_service_refuses_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadStrategyError):
        Strategy.parse(given)
