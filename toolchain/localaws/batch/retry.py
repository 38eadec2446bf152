"""Whether Batch retries a failed attempt, by the job's retryStrategy.

https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended, in Batch's words.

    Attributes:
        exit_code: The container's; none if it never ran or its host was lost.
        reason: The container's reason.
        status_reason: The attempt's status reason.
    """

    exit_code: int | None = None
    reason: str | None = None
    status_reason: str | None = None


def should_retry(strategy: Mapping[str, Any], outcome: Outcome, *, attempt: int) -> bool:
    """Whether the job is tried again after its attempt of this number, from 1, ended this way."""
    if attempt >= int(strategy.get("attempts") or 1):
        return False
    values = {
        "onExitCode": "" if outcome.exit_code is None else str(outcome.exit_code),
        "onReason": outcome.reason or "",
        "onStatusReason": outcome.status_reason or "",
    }
    for rule in strategy.get("evaluateOnExit") or ():
        if all(_matches(rule[name], value) for name, value in values.items() if name in rule):
            return str(rule["action"]).upper() == "RETRY"
    # As in Batch: what no rule matches is retried.
    return True


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
