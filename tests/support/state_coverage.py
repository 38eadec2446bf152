"""Which states, transitions and retries of the workflow's definitions executions went through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

States = dict[str, Any]
_FAILED = ("TaskFailed", "TaskSubmitFailed", "TaskStartFailed", "TaskTimedOut")


@dataclass(frozen=True, kw_only=True)
class Ways:
    """What there is to go through in state machines.

    Attributes:
        states: The names of states.
        steps: From a state to the next one: by Next, by a choice, by its default, or by a Catch.
        retried: The states that are tried again; one for each entry of a Retry.
    """

    states: frozenset[str]
    steps: frozenset[tuple[str, str]]
    retried: frozenset[str]

    def __or__(self, other: "Ways") -> "Ways":
        return Ways(
            states=self.states | other.states, steps=self.steps | other.steps, retried=self.retried | other.retried
        )


NONE = Ways(states=frozenset(), steps=frozenset(), retried=frozenset())


def inner(definition: States) -> Iterator[tuple[str, States]]:
    """Every state of a definition, those of maps and branches included."""
    for name, state in definition["States"].items():
        yield name, state
        for one in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])):
            yield from inner(one)


def ways(definition: States) -> Ways:
    """All that a definition says."""
    steps = set()
    for name, state in inner(definition):
        followed = [state.get("Next"), state.get("Default")]
        followed += [one["Next"] for one in (*state.get("Choices", ()), *state.get("Catch", ()))]
        # A Catch that leads where Next leads too could not be told from it.
        assert len(set(followed) - {None}) == len([one for one in followed if one]), name
        steps |= {(name, following) for following in followed if following}
    several = [name for name, state in inner(definition) if len(state.get("Retry", ())) > 1]
    assert not several, f"{several}: which entry of a Retry was used, a history does not say"
    return Ways(
        states=frozenset(name for name, _ in inner(definition)),
        steps=frozenset(steps),
        retried=frozenset(name for name, state in inner(definition) if "Retry" in state),
    )


def walked(client: "SFNClient", machine: str) -> Ways:
    """What all executions of a state machine went through, those of its distributed maps included."""
    found = NONE
    for execution in _executions(client, stateMachineArn=machine):
        found |= history(client, execution)
        pages = client.get_paginator("list_map_runs").paginate(executionArn=execution)
        for run in (run for page in pages for run in page["mapRuns"]):
            for child in _executions(client, mapRunArn=run["mapRunArn"]):
                found |= history(client, child)
    return found


def _executions(client: "SFNClient", **of: str) -> list[str]:
    pages = client.get_paginator("list_executions").paginate(**of)  # type: ignore[arg-type]  # one of two names
    return [one["executionArn"] for page in pages for one in page["executions"]]


def history(client: "SFNClient", execution: str) -> Ways:
    """What one execution went through."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    events: dict[int, Mapping[str, Any]] = {one["id"]: one for page in pages for one in page["events"]}
    states, steps, retried = set(), set(), set()
    for event in events.values():
        before = events.get(event.get("previousEventId", 0))
        if event["type"].endswith("StateEntered"):
            states.add(_name(event))
            if before and before["type"].endswith("StateExited"):
                steps.add((_name(before), _name(event)))
        elif event["type"] == "TaskScheduled":
            failed = False
            while before and not before["type"].endswith("StateEntered"):
                failed |= before["type"] in _FAILED
                before = events.get(before["previousEventId"])
            if before and failed:
                retried.add(_name(before))
    return Ways(states=frozenset(states), steps=frozenset(steps), retried=frozenset(retried))


def _name(event: Mapping[str, Any]) -> str:
    details = event.get("stateEnteredEventDetails") or event["stateExitedEventDetails"]
    return str(details["name"])
