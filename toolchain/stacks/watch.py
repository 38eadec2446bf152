"""Watches an operation on a stack until it ends. The operation goes on in CloudFormation whoever stops watching.

An operation has ended when the stack's own event says so; the stack's status may for a moment be that of before.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from toolchain.backoff import Backoff
from toolchain.errors import StoppedError, UnavailableError
from toolchain.stacks.progress import Show, show_lines
from toolchain.stacks.service import CloudFormation, StackEvent, short_name

_FIRST_INTERVAL = 0.1
_INTERVAL_FACTOR = 1.4
# The reasons of events that only follow from another resource's failure.
_CASCADE = re.compile(r"Resource (creation|update|deletion|import) cancell?ed|The following resource", re.IGNORECASE)
# Errors that trying again does not help against, and those of a server of this machine that is gone.
_PERMANENT = re.compile(
    r"Token|Credential|AccessDenied|Unauthorized|Signature|no AWS credentials|UnrecognizedClient|//127\.0\.0\.1:"
)


@dataclass(frozen=True, kw_only=True)
class Polling:
    """How often CloudFormation is polled; `interval`, in seconds, is that of a long operation."""

    interval: float = 3.0
    backoff: Backoff = field(default_factory=lambda: Backoff(attempts=10, first=2.0, longest=60.0))
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The stack's status when an operation ended, and all events of the operation, the oldest first."""

    status: str
    events: tuple[StackEvent, ...]

    @property
    def failures(self) -> list[StackEvent]:
        """The events of the resources that failed by themselves; the stack's own if there are none."""
        failed = [event for event in self.events if event.status.endswith("_FAILED") and not event.of_stack]
        causes = [event for event in failed if not _CASCADE.search(event.reason)]
        of_stack = [
            event
            for event in self.events
            if event.of_stack and event.reason and ("ROLLBACK" in event.status or event.status.endswith("_FAILED"))
        ]
        return causes or failed or of_stack

    @property
    def failed_resources(self) -> list[str]:
        """The logical ids of the resources that failed by themselves."""
        return list(dict.fromkeys(event.logical_id for event in self.failures if not event.of_stack))

    @property
    def first_cause(self) -> str:
        """Why it failed, as far as CloudFormation says."""
        return str(self.failures[0]) if self.failures else "CloudFormation gives no reason"


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Watches operations; `is_persistent` says whether CloudFormation outlives this command."""

    service: CloudFormation
    command: str
    polling: Polling = field(default_factory=Polling)
    is_persistent: bool = True
    show: Show = show_lines

    def run(self, stack: str, name: str, begin: Callable[[], None]) -> Outcome:
        """Begins an operation and watches it; for the rest see `watch`."""
        last = self.service.last_event(stack)
        return self.watch(stack, name, since=last.id if last else None, begin=begin)

    def watch(self, stack: str, name: str, *, since: str | None, begin: Callable[[], None] = lambda: None) -> Outcome:
        """Watches an operation on a stack (its ARN and its short name) from the event after `since` until it ends.

        Raises:
            StoppedError: Ctrl-C.
            UnavailableError: AWS does not answer any more, or not to these credentials.
        """
        try:
            begin()
            with self.show(name) as show:
                return self._watch(stack, show, since)
        except KeyboardInterrupt as error:
            raise StoppedError(
                f"no longer following stack {short_name(stack)}",
                why=f"Ctrl-C; {self._what_goes_on}",
                fix=self._how_to_watch(stack),
            ) from error

    def _watch(self, stack: str, show: Callable[[StackEvent | str], None], since: str | None) -> Outcome:
        events: list[StackEvent] = []
        seconds = min(_FIRST_INTERVAL, self.polling.interval)
        while True:
            new_events = self._poll(stack, show, events[-1].id if events else since)
            for event in new_events:
                events.append(event)
                show(event)
                if event.ends_operation:
                    return Outcome(status=event.status, events=tuple(events))
            if not new_events and self._is_gone(stack):
                return Outcome(status="DELETE_COMPLETE", events=tuple(events))
            self.polling.sleep(seconds)
            seconds = min(seconds * _INTERVAL_FACTOR, self.polling.interval)

    def _is_gone(self, stack: str) -> bool:
        """Whether the stack is deleted: one without resources has no event of its deletion."""
        with suppress(UnavailableError):
            state = self.service.state(stack)
            return state is None or state.status == "DELETE_COMPLETE"
        return False

    def _poll(self, stack: str, show: Callable[[StackEvent | str], None], since: str | None) -> list[StackEvent]:
        failures = 0
        while True:
            try:
                return self.service.events(stack, since=since)
            except UnavailableError as error:
                failures += 1
                is_permanent = _PERMANENT.search(error.why) is not None
                if is_permanent or failures >= self.polling.backoff.attempts:
                    raise UnavailableError(
                        f"stack {short_name(stack)} cannot be followed any more",
                        why=f"{error.why}; {self._what_goes_on}",
                        fix=f"{error.fix} {self._how_to_watch(stack)}" if is_permanent else self._how_to_watch(stack),
                    ) from error
                show(f"{error.why}: looking again")
                self.polling.sleep(self.polling.backoff.wait(failures))

    @property
    def _what_goes_on(self) -> str:
        if self.is_persistent:
            return "CloudFormation goes on with what it was told"
        return "the embedded AWS ends with this command, and its stacks with it"

    def _how_to_watch(self, stack: str) -> str:
        if not self.is_persistent:
            return f"To begin again type: {self.command}"
        return (
            f"To follow it again type: {self.command}; or: "
            f"aws cloudformation describe-stack-events --stack-name {short_name(stack)}"
        )
