"""The jobs that a run's input leads to: the state machine, walked as if every job succeeded."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonata import Jsonata
from jsonata.jexception import JException

Json = Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of a run.

    Attributes:
        sample: Whose job it is; None for a job of the whole run.
        step: Its name, such as `mem L001` or `call 3`.
        tool: Whose job definition it uses.
    """

    sample: str | None
    step: str
    tool: str


def jobs(state_machine: Json, run_input: Json) -> tuple[Job, ...]:
    """Every job of a run, in the order in which a sample meets them; none if the state machine refuses the input.

    Args:
        state_machine: The definition in stack/workflow.yaml.
        run_input: The input of the execution.
    """
    try:
        return tuple(_walk(state_machine, run_input, {}, {"Execution": {"Name": "", "Id": ""}}))
    except (JException, TypeError):
        return ()


def _walk(machine: Json, value: Json, variables: Mapping[str, Json], context: Json) -> Generator[Job, None, Json]:
    """Yields the jobs of a state machine, or of a map's or a branch's states, and returns its output."""
    name = machine["StartAt"]
    while True:
        state = machine["States"][name]
        scope = {**variables, "states": {"input": value, "context": context}}
        result: Json = value
        match state:
            case {"Type": "Choice"}:
                rules = (rule for rule in state["Choices"] if _evaluate(rule["Condition"], scope))
                state = next(rules, {"Next": state.get("Default")})
            case {"Type": "Parallel"}:
                result = []
                for branch in state["Branches"]:
                    result.append((yield from _walk(branch, value, variables, context)))
            case {"Type": "Map", "ItemProcessor": processor}:
                result = []
                # The executions of a distributed map know none of the variables.
                known = {} if processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED" else variables
                for item in _evaluate(state["Items"], scope):
                    here = {**context, "Map": {"Item": {"Value": item}}}
                    selector = state.get("ItemSelector", item)
                    selected = _evaluate(selector, {**variables, "states": {"input": value, "context": here}})
                    result.append((yield from _walk(processor, selected, known, here)))
            case {"Arguments": {"Input": {"sample": sample, "step": step, "tool": tool, **more}}}:
                sample = _evaluate(sample, scope)
                step, tool = _evaluate(step, scope), _evaluate(tool, scope)
                children = _evaluate(more.get("children", 1), scope)
                for name in [step] if children == 1 else [f"{step} {index}" for index in range(children)]:
                    yield Job(sample=None if sample == "-" else sample, step=name, tool=tool)
        scope["states"]["result"] = result
        variables = {**variables, **_evaluate(state.get("Assign", {}), scope)}
        value = _evaluate(state["Output"], scope) if "Output" in state else result
        if "Next" not in state:
            return value
        name = state["Next"]


def _evaluate(value: Json, variables: Mapping[str, Json]) -> Json:
    """A value of the definition, with what its `{% expressions %}` yield."""
    if isinstance(value, dict):
        return {key: _evaluate(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_evaluate(inner, variables) for inner in value]
    if not isinstance(value, str) or not value.startswith("{%"):
        return value
    expression = _compile(value.removeprefix("{%").removesuffix("%}"))
    frame = expression.create_frame()
    for name, variable in variables.items():
        frame.bind(name, variable)
    return expression.evaluate(None, frame)


@cache
def _compile(expression: str) -> Jsonata:
    return Jsonata(expression)
