"""Whether a failed attempt is tried again: retryStrategy with evaluateOnExit.

https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_ATTEMPTS = 10
MOST_RULES = 5


class BadStrategyError(Exception):
    """A retryStrategy that the service refuses; the text is why."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What rules look at.

    Attributes:
        exit_code: The container's; none if it never ran or its host is gone.
        reason: What is said of the container.
        status_reason: What is said of the job.
    """

    exit_code: int | None = None
    reason: str | None = None
    status_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One entry of evaluateOnExit: its conditions hold together, and a missing one always holds."""

    retries: bool
    on_exit_code: str | None = None
    on_reason: str | None = None
    on_status_reason: str | None = None

    def fits(self, ending: Ending) -> bool:
        """Whether this rule is about such an ending."""
        exit_code = "" if ending.exit_code is None else str(ending.exit_code)
        return (
            _matches(self.on_exit_code, exit_code)
            and _matches(self.on_reason, ending.reason or "")
            and _matches(self.on_status_reason, ending.status_reason or "")
        )


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How often a job is tried, and after what."""

    attempts: int = 1
    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, strategy: Mapping[str, Any] | None) -> "Strategy":
        """From the API's own retryStrategy.

        Raises:
            BadStrategyError: The service refuses it.
        """
        strategy = strategy or {}
        rules = strategy.get("evaluateOnExit") or ()
        attempts = strategy.get("attempts")
        if rules and not attempts:
            raise BadStrategyError("attempts must be specified with evaluateOnExit")
        if attempts is not None and not 1 <= int(attempts) <= MOST_ATTEMPTS:
            raise BadStrategyError(f"retry attempts must be between 1 and {MOST_ATTEMPTS}")
        if len(rules) > MOST_RULES:
            raise BadStrategyError(f"evaluateOnExit takes at most {MOST_RULES} entries")
        return cls(attempts=int(attempts or 1), rules=_rules(rules))

    def tries_again(self, ending: Ending, *, attempt: int) -> bool:
        """Whether a job is tried again after its attempt of this number, from 1, ended so."""
        if attempt >= self.attempts:
            return False
        # The first rule that fits decides, and an ending that none is about is tried again.
        return next((rule.retries for rule in self.rules if rule.fits(ending)), True)


def _rules(entries: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    rules = []
    for entry in entries:
        action = str(entry.get("action", "")).upper()
        if action not in {"RETRY", "EXIT"}:
            raise BadStrategyError("evaluateOnExit action must be RETRY or EXIT")
        rules.append(
            Rule(
                retries=action == "RETRY",
                on_exit_code=entry.get("onExitCode"),
                on_reason=entry.get("onReason"),
                on_status_reason=entry.get("onStatusReason"),
            )
        )
    return tuple(rules)


def _matches(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return True
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern
