"""Which states, transitions and retries of state machines have been executed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

States = dict[str, Any]
_FAILED = ("TaskFailed", "TaskSubmitFailed", "TaskStartFailed", "TaskTimedOut")


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Parts of state machines: states, transitions between two of them, and states that are retried."""

    states: frozenset[str] = frozenset()
    transitions: frozenset[tuple[str, str]] = frozenset()
    retried: frozenset[str] = frozenset()

    def __or__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            states=self.states | other.states,
            transitions=self.transitions | other.transitions,
            retried=self.retried | other.retried,
        )


def all_states(definition: States) -> Iterator[tuple[str, States]]:
    """Every state of a definition, those of maps and branches included."""
    for name, state in definition["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])):
            yield from all_states(inner)


def possible(definition: States) -> Coverage:
    """Everything that a definition has: transitions by Next, by a choice, by its default, or by a Catch."""
    transitions = set()
    retried = set()
    for name, state in all_states(definition):
        entries = (*state.get("Choices", ()), *state.get("Catch", ()))
        targets = [state.get("Next"), state.get("Default"), *(entry["Next"] for entry in entries)]
        targets = [target for target in targets if target]
        # A history does not tell a Catch from a Next to the same state, nor which entry of a Retry was used.
        assert len(set(targets)) == len(targets), name
        assert len(state.get("Retry", ())) <= 1, name
        transitions |= {(name, target) for target in targets}
        if "Retry" in state:
            retried.add(name)
    states = frozenset(name for name, _ in all_states(definition))
    return Coverage(states=states, transitions=frozenset(transitions), retried=frozenset(retried))


def executed(client: "SFNClient", machine: str) -> Coverage:
    """What all executions of a state machine went through, those of its distributed maps included."""
    coverage = Coverage()
    for execution in _executions(client, stateMachineArn=machine):
        coverage |= _history(client, execution)
        pages = client.get_paginator("list_map_runs").paginate(executionArn=execution)
        for map_run in (map_run for page in pages for map_run in page["mapRuns"]):
            for child in _executions(client, mapRunArn=map_run["mapRunArn"]):
                coverage |= _history(client, child)
    return coverage


def _executions(client: "SFNClient", **of: str) -> list[str]:
    pages = client.get_paginator("list_executions").paginate(**of)  # type: ignore[arg-type]  # one of two names
    return [execution["executionArn"] for page in pages for execution in page["executions"]]


def _history(client: "SFNClient", execution: str) -> Coverage:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    events: dict[int, Mapping[str, Any]] = {event["id"]: event for page in pages for event in page["events"]}
    states, transitions, retried = set(), set(), set()
    for event in events.values():
        previous = events.get(event.get("previousEventId", 0))
        if event["type"].endswith("StateEntered"):
            states.add(_name(event))
            if previous and previous["type"].endswith("StateExited"):
                transitions.add((_name(previous), _name(event)))
        elif event["type"] == "TaskScheduled":
            failed = False
            while previous and not previous["type"].endswith("StateEntered"):
                failed |= previous["type"] in _FAILED
                previous = events.get(previous["previousEventId"])
            if previous and failed:
                retried.add(_name(previous))
    return Coverage(states=frozenset(states), transitions=frozenset(transitions), retried=frozenset(retried))


def _name(event: Mapping[str, Any]) -> str:
    details = event.get("stateEnteredEventDetails") or event["stateExitedEventDetails"]
    return str(details["name"])
