"""stack/workflow.yaml: what the state machines say, held against what they must."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolchain.images import catalog
from toolchain.jobdefs import failures
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.stepfunctions.expressions import QueryError, evaluate
from toolchain.paths import HERE
from toolchain.stacks import template as templates
from toolchain.workflow.aligners import ALIGNERS
from toolchain.workflow.run_input import LARGEST_INPUT
from toolchain.workflow.samples import SKIPS, Skip, skipping

States = dict[str, Any]
FILE = HERE.root / "stack" / "workflow.yaml"
TEMPLATE = templates.read(FILE)
GERMLINE = TEMPLATE.resources["Germline"]["Properties"]["Definition"]
JOB = TEMPLATE.resources["Job"]["Properties"]["Definition"]


def states(definition: States) -> Iterator[tuple[str, States]]:
    """Every state of a definition, those of maps and branches included."""
    for name, state in definition["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])):
            yield from states(inner)


ALL = dict((*states(GERMLINE), *states(JOB)))


def test_cfn_lint_finds_nothing_in_the_definitions_once_what_it_does_not_know_is_put_in(tmp_path: Path) -> None:
    text = (FILE).read_text(encoding="utf-8")
    text = text.replace("${Partition}", "aws").replace("ignore_checks: [E3601]", "ignore_checks: []")
    file = tmp_path / "workflow.yaml"
    file.write_text(re.sub(r'"{% \${\w+} %}"', "50", text), encoding="utf-8")
    done = subprocess.run([Path(sys.executable).parent / "cfn-lint", file], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_classes_of_failures_are_those_of_the_toolchain() -> None:
    assert ALL["Read order"]["Assign"]["classes"] == [one.as_state() for one in failures.CLASSES], (
        "stack/workflow.yaml, state 'Read order': copy what toolchain/jobdefs/failures.py says"
    )


@pytest.mark.parametrize("name", [name for name, state in ALL.items() if state["Type"] == "Task"])
def test_every_call_is_tried_again_when_it_is_throttled(name: str) -> None:
    state = ALL[name]
    service = re.fullmatch(r"arn:\${Partition}:states:::([\w-]+):.*", state["Resource"])
    assert service
    if name == "Read log":
        # What happened is known by then: a log that cannot be read must not hide it.
        assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "No log"}]
    else:
        assert state["Retry"] == [failures.RETRIES[service[1]]]


def test_every_tool_that_the_workflow_names_has_an_image_and_a_job_definition() -> None:
    tools = {state["Arguments"]["Input"]["tool"] for state in ALL.values() if "Input" in state.get("Arguments", {})}
    named = {tool for tool in tools if not tool.startswith("{%")}
    assert named < set(catalog.load(HERE.images).tools)
    assert named < set(jobdefs.names(HERE.jobdefs))


def test_a_job_uses_the_exact_revision_of_its_tool_s_job_definition() -> None:
    arns = [f"arn:aws:batch:eu-west-1:123456789012:job-definition/genomics-{tool}:7" for tool in ("bwa-mem3", "bwa")]
    parameter = TEMPLATE.parameters["JobDefinitions"]
    assert all(re.fullmatch(str(parameter.pattern), arn) for arn in arns)
    assert not re.fullmatch(str(parameter.pattern), arns[0].removesuffix(":7"))
    text = ALL["Read order"]["Assign"]["definition"].removeprefix("{%").removesuffix("%}")
    text = text.replace("${Project}", "genomics").replace("${JobDefinitions}", ",".join(arns))
    assert [evaluate(text, {"states": {"input": {"tool": tool}}}) for tool in ("bwa", "bwa-mem3")] == [arns[1], arns[0]]
    with pytest.raises(QueryError):
        evaluate(text, {"states": {"input": {"tool": "mem3"}}})


def test_every_substitution_is_given_and_used() -> None:
    for name, definition in (("Germline", GERMLINE), ("Job", JOB)):
        given = set(TEMPLATE.resources[name]["Properties"]["DefinitionSubstitutions"])
        assert given == set(re.findall(r"\${(\w+)}", str(definition)))


def test_a_state_machine_waits_for_its_role_s_permissions() -> None:
    assert TEMPLATE.resources["Germline"]["DependsOn"] == "GermlinePolicy"
    assert TEMPLATE.resources["Job"]["DependsOn"] == "JobPolicy"


def test_nothing_in_the_definitions_is_the_result_of_an_intrinsic_function() -> None:
    """CloudFormation hands the definition on as it stands, and its intrinsic functions make texts of numbers."""
    assert not re.search(r"'(Ref|Fn::\w+)':", str(GERMLINE) + str(JOB))


def test_the_topic_hears_of_runs_and_not_of_their_samples_or_jobs() -> None:
    pattern = TEMPLATE.resources["RunEnded"]["Properties"]["EventPattern"]["detail"]
    assert pattern["stateMachineArn"] == [{"Ref": "Germline"}]
    assert set(pattern["status"]) == {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


LANE = {"name": "L001", "r1": "1.fq", "r2": "2.fq"}
INPUT = {"reference": "hg38.fa", "shards": 24, "ploidy": 2, "samples": [{"name": "NA1", "lanes": [LANE]}]}


def is_order(given: States) -> bool:
    condition = ALL["Read input"]["Choices"][0]["Condition"]
    return bool(evaluate(condition.removeprefix("{%").removesuffix("%}"), {"states": {"input": given}}))


@pytest.mark.parametrize(
    "given",
    [
        INPUT,
        {**INPUT, "ploidy": 1, "shards": 9999, "aligner": "bwa", "resources": {}},
        {**INPUT, "samples": [{"name": name, "lanes": [LANE, {**LANE, "name": "L002"}]} for name in ("NA1", "NA2")]},
        {**INPUT, "skip": []},
        {**INPUT, "skip": ["qc"]},
        {**INPUT, "skip": ["qc", "duplicates", "qc"]},
    ],
)
def test_an_order_is_taken(given: States) -> None:
    assert is_order(given)


@pytest.mark.parametrize(
    "change",
    [
        {"reference": 38},
        {"shards": 0},
        {"shards": 1.5},
        {"shards": "24"},
        {"shards": 10_000},
        {"ploidy": 3},
        {"ploidy": "2"},
        {"samples": []},
        {"samples": {}},
        {"samples": "NA1"},
        {"samples": [{"name": 1, "lanes": [LANE]}]},
        {"samples": [{"lanes": [LANE]}]},
        {"samples": [{"name": "NA1"}]},
        {"samples": [{"name": "NA1", "lanes": []}]},
        {"samples": [{"name": "NA1", "lanes": LANE}]},
        {"samples": [{"name": "NA1", "lanes": [{**LANE, "name": 1}]}]},
        {"samples": [{"name": "NA1", "lanes": [LANE, {"name": "L002", "r1": "1.fq"}]}]},
        {"samples": [{"name": "NA1", "lanes": [LANE]}, {"name": "NA1", "lanes": [LANE]}]},
    ],
)
def test_what_is_no_order_is_refused_before_any_job(change: States) -> None:
    assert not is_order(INPUT | change)
    assert not is_order({name: value for name, value in INPUT.items() if name not in change})


@pytest.mark.parametrize(
    "skip", ["qc", "-", None, {}, [1], [None], ["qc", "mem"], ["Duplicates"], [["qc"]], [["qc", "qc"]]]
)
def test_what_cannot_be_skipped_is_refused_before_any_job_and_the_cause_says_what_can(skip: object) -> None:
    assert not is_order(INPUT | {"skip": skip})
    assert all(f'"{word}"' in ALL["Wrong input"]["Cause"] for word in SKIPS)


@pytest.mark.parametrize("skip", [[], ["qc"], ["duplicates"], ["qc", "duplicates"], ["duplicates", "qc", "duplicates"]])
def test_what_is_skipped_is_told_to_steps_as_the_toolchain_tells_it(skip: list[Skip]) -> None:
    expression = ALL["Read input"]["Choices"][0]["Assign"]["skip"].removeprefix("{%").removesuffix("%}")
    assert evaluate(expression, {"states": {"input": {**INPUT, "skip": skip}}}) == skipping(skip)
    assert evaluate(expression, {"states": {"input": INPUT}}) == "-"


def parameters(command: str) -> States:
    """What the workflow tells a step."""
    inputs = (state["Arguments"]["Input"] for state in ALL.values() if "Input" in state.get("Arguments", {}))
    (found,) = (one["parameters"] for one in inputs if one["parameters"]["command"] == command)
    return dict(found)


@pytest.mark.parametrize("command", ["mem", "finish", "check"])
def test_the_steps_that_differ_by_lanes_and_by_what_is_skipped_are_told_both(command: str) -> None:
    assert {"lanes": "{% $lanes %}", "skip": "{% $order.skip %}"}.items() <= parameters(command).items()


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        *((command, aligner) for command in ("index", "mem") for aligner in ALIGNERS),
        *((command, "samtools") for command in ("finish", "qc", "check")),
        *((command, "bcftools") for command in ("call", "gather")),
        ("export", "fsx-export"),
    ],
)
def test_every_parameter_that_a_step_is_told_stands_in_its_job_definition_s_command(command: str, tool: str) -> None:
    template = (HERE.jobdefs / f"{tool}.json.j2").read_text(encoding="utf-8")
    assert parameters(command).keys() <= set(re.findall(r'"Ref::(\w+)"', template))


def test_calling_is_submitted_before_qc_and_gathering_waits_for_it_alone() -> None:
    calling, judging = ALL["Call and judge"]["Branches"]
    assert (calling["StartAt"], calling["States"]["Call shards"]["Next"]) == ("Call shards", "Gather")
    assert calling["States"]["Gather"]["End"]
    assert "Judge" in judging["States"]
    assert ALL["Call and judge"]["Next"] == "Check outputs"


@pytest.mark.parametrize("length", [8, 64])
def test_the_causes_of_all_samples_that_an_input_can_name_fit_into_what_a_state_may_hold(length: int) -> None:
    def size(value: object) -> int:
        return len(json.dumps(value, separators=(",", ":")))

    name = "N" * length
    count = LARGEST_INPUT // (size({"name": name, "lanes": [{**LANE, "r1": name, "r2": name}]}) + 1)
    room = ALL["Samples"]["ItemSelector"]["room"].removeprefix("{%").removesuffix("%}")
    cause = "c" * evaluate(room, {"order": {"samples": [{}] * count}})
    assert len(cause) > 15
    assert size([{"sample": name, "error": "ScratchFailed", "cause": cause}] * count) < LARGEST_INPUT


def test_a_template_is_small_enough_to_be_sent_as_it_is() -> None:
    assert len((FILE).read_bytes()) < 51_200
