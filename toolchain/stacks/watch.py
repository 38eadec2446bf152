"""Follows what CloudFormation does to a stack, until it ends or cannot be followed any more.

CloudFormation needs nobody to look on: whatever ends the looking on, the work goes on. An operation counts as
ended when the stack's own event says so. Its status alone does not: for a moment after a change set was begun
with, it is still that of before.
"""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from toolchain.backoff import Backoff
from toolchain.errors import StoppedError, UnavailableError
from toolchain.stacks.progress import Lines, lines
from toolchain.stacks.service import CloudFormation, Event, short_name

_SOON = 0.1
_SLOWER = 1.4
# What merely follows from another resource's failure.
_CASCADE = re.compile(r"Resource (creation|update|deletion|import) cancell?ed|The following resource", re.IGNORECASE)
# No waiting helps against these, nor against a server of this machine that is gone.
_LASTING = re.compile(
    r"Token|Credential|AccessDenied|Unauthorized|Signature|no AWS credentials|UnrecognizedClient|//127\.0\.0\.1:"
)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How closely CloudFormation is looked at.

    Attributes:
        look: Seconds between two looks, when it takes long; the first ones come sooner.
        patience: How long it is waited, and how often, when it does not answer.
        sleep: Waits for so many seconds.
    """

    look: float = 3.0
    patience: Backoff = field(default_factory=lambda: Backoff(attempts=10, first=2.0, longest=60.0))
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an operation ended.

    Attributes:
        status: The stack's status.
        events: All that happened, the oldest first.
    """

    status: str
    events: tuple[Event, ...]

    @property
    def failed(self) -> tuple[Event, ...]:
        """The resources that failed by themselves, the first first; the stack's own word if there are none."""
        failed = [event for event in self.events if event.status.endswith("_FAILED")]
        causes = [event for event in failed if not event.of_stack and not _CASCADE.search(event.reason)]
        spoken = [event for event in self.events if event.of_stack and event.reason and _is_failure(event.status)]
        return tuple(causes or [event for event in failed if not event.of_stack] or spoken)

    @property
    def first_cause(self) -> str:
        """Why it failed, as far as CloudFormation says."""
        return str(self.failed[0]) if self.failed else "CloudFormation gives no reason"


def _is_failure(status: str) -> bool:
    return "ROLLBACK" in status or status.endswith("_FAILED")


@dataclass(frozen=True, kw_only=True)
class Follower:
    """Follows operations.

    Attributes:
        service: CloudFormation.
        pace: How closely.
        command: What the user typed, to be typed again.
        is_persistent: Whether CloudFormation is still there when this command has ended.
        show: Opens what shows the events, by the stack's short name.
    """

    service: CloudFormation
    pace: Pace
    command: str
    is_persistent: bool = True
    show: Callable[[str], AbstractContextManager[Lines]] = lines

    def follow(self, stack: str, short: str, *, since: str | None, begin: Callable[[], None] = lambda: None) -> Ended:
        """Begins an operation and follows it to its end, shown as it goes on.

        Args:
            stack: The stack's ARN.
            short: Its short name.
            since: The last event before the operation.
            begin: Begins it.

        Raises:
            StoppedError: Ctrl-C.
            UnavailableError: AWS does not answer any more, or not to these credentials.
        """
        try:
            begin()
            with self.show(short) as shown:
                return self._watch(stack, shown, since)
        except KeyboardInterrupt as error:
            raise StoppedError(
                f"no longer following stack {short_name(stack)}",
                why=f"Ctrl-C; {self._goes_on}",
                fix=self._how(stack),
            ) from error

    def _watch(self, stack: str, shown: Lines, since: str | None) -> Ended:
        seen: list[Event] = []
        seconds = min(_SOON, self.pace.look)
        while True:
            new = self._patiently(stack, shown, lambda: self._new_events(stack, since, seen))
            for event in new:
                seen.append(event)
                shown.show(event)
                if event.ends:
                    return Ended(status=event.status, events=tuple(seen))
            if not new and self._is_gone(stack):
                return Ended(status="DELETE_COMPLETE", events=tuple(seen))
            self.pace.sleep(seconds)
            seconds = min(seconds * _SLOWER, self.pace.look)

    def _is_gone(self, stack: str) -> bool:
        """Whether there is nothing left that anything could happen to: an empty stack goes without a word."""
        with suppress(UnavailableError):
            state = self.service.state(stack)
            return state is None or state.status == "DELETE_COMPLETE"
        return False

    def _new_events(self, stack: str, since: str | None, seen: Sequence[Event]) -> list[Event]:
        return self.service.events(stack, since=seen[-1].id if seen else since)

    def _patiently(self, stack: str, shown: Lines, look: Callable[[], list[Event]]) -> list[Event]:
        failed = 0
        while True:
            try:
                return look()
            except UnavailableError as error:
                failed += 1
                lasting = _LASTING.search(error.why) is not None
                if lasting or failed >= self.pace.patience.attempts:
                    raise UnavailableError(
                        f"stack {short_name(stack)} cannot be followed any more",
                        why=f"{error.why}; {self._goes_on}",
                        fix=f"{error.fix} {self._how(stack)}" if lasting else self._how(stack),
                    ) from error
                shown.say(f"{error.why}: looking again")
                self.pace.sleep(self.pace.patience.wait(failed))

    @property
    def _goes_on(self) -> str:
        if self.is_persistent:
            return "CloudFormation goes on with what it was told"
        return "the embedded AWS ends with this command, and its stacks with it"

    def _how(self, stack: str) -> str:
        if not self.is_persistent:
            return f"To begin again type: {self.command}"
        return (
            f"To follow it again type: {self.command}; or: "
            f"aws cloudformation describe-stack-events --stack-name {short_name(stack)}"
        )
