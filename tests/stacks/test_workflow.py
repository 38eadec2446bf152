"""stack/workflow.yaml: the definitions of the state machines, and what they share with the toolchain."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.resolved_stacks import deployed

from toolchain.images import catalog
from toolchain.jobdefs import failures
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.stepfunctions.expressions import QueryError, evaluate
from toolchain.paths import HERE
from toolchain.stacks import template as templates
from toolchain.stacks.changes import LARGEST_BODY, template_body
from toolchain.workflow.aligners import ALIGNERS
from toolchain.workflow.run_input import LARGEST_INPUT
from toolchain.workflow.samples import SKIPS, Skip, in_order

States = dict[str, Any]
FILE = HERE.stacks / "workflow.yaml"
TEMPLATE = templates.read(FILE)
DEFINITIONS = {name: TEMPLATE.resources[name]["Properties"]["Definition"] for name in ("Germline", "Job")}


def states(definition: States) -> Iterator[tuple[str, States]]:
    """Every state of a definition, those of maps and branches included."""
    for name, state in definition["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])):
            yield from states(inner)


STATES = {name: state for definition in DEFINITIONS.values() for name, state in states(definition)}
JOB_INPUTS = [state["Arguments"]["Input"] for state in STATES.values() if "Input" in state.get("Arguments", {})]


def query(expression: str, **names: object) -> Any:  # noqa: ANN401  # whatever JSONata makes
    return evaluate(expression.removeprefix("{%").removesuffix("%}"), names)


def test_cfn_lint_finds_nothing_in_the_definitions_once_substitutions_that_it_does_not_know_are_made(
    tmp_path: Path,
) -> None:
    text = TEMPLATE.text.replace("${Partition}", "aws").replace("ignore_checks: [E3601]", "ignore_checks: []")
    file = tmp_path / "workflow.yaml"
    file.write_text(re.sub(r'"{% \${\w+} %}"', "50", text), encoding="utf-8")
    cfn_lint = Path(sys.executable).parent / "cfn-lint"
    result = subprocess.run([cfn_lint, file], capture_output=True, text=True, check=False)
    assert result.stdout == ""


def test_the_classes_of_failures_are_those_of_the_toolchain() -> None:
    assert STATES["Read order"]["Assign"]["classes"] == [failure.as_state() for failure in failures.CLASSES], (
        "stack/workflow.yaml, state 'Read order': copy what toolchain/jobdefs/failures.py says"
    )


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ({"Reason": "CannotPullContainerError: manifest unknown"}, "ImagePull"),
        ({"Reason": "CannotPullECRContainerError: AccessDeniedException: not authorized"}, "ImagePull"),
        ({"Reason": "CannotStartContainerError: no such log group"}, "NotStarted"),
        ({}, "NotStarted"),
    ],
)
def test_an_image_that_cannot_be_pulled_for_whatever_reason_is_told_from_a_job_that_cannot_start(
    container: States, name: str
) -> None:
    assert ended({"StatusReason": "Task failed to start", "Container": container})["class"]["name"] == name


def ended(*failures: States, tried: int = 0, lost: int = 0) -> Any:  # noqa: ANN401  # whatever JSONata makes
    """What the state machine makes of a job that failed, or of an array job's children."""
    resources = [{"Type": "MEMORY", "Value": "512"}]
    jobs = [{**job, "Container": {**job["Container"], "ResourceRequirements": resources}} for job in failures]
    expression = STATES["Classify"]["Assign"]["ended"].replace("${MaxJobMemory}", "1024")
    classes = STATES["Read order"]["Assign"]["classes"]
    return query(expression, failures=jobs, classes=classes, tried=tried, lost=lost)


LOST: States = {"JobId": "lost", "StatusReason": "Host EC2 (instance i-1) terminated.", "Container": {}}
BUSY: States = {"JobId": "busy", "Container": {"ExitCode": 75}}
NO_MEMORY: States = {"JobId": "memory", "Container": {"ExitCode": 137, "Reason": "OutOfMemoryError: killed"}}
BROKEN: States = {"JobId": "broken", "Container": {"ExitCode": 70}}


@pytest.mark.parametrize(
    ("failures", "first"),
    [
        ([LOST], "lost"),
        ([LOST, BUSY], "busy"),
        ([LOST, BUSY, NO_MEMORY], "memory"),
        ([NO_MEMORY, BROKEN, LOST], "broken"),
    ],
)
def test_of_an_array_s_children_the_one_counts_that_the_fewest_may_try_again(
    failures: list[States], first: str
) -> None:
    assert ended(*failures)["job"]["JobId"] == first


def test_attempts_are_counted_over_all_submissions_and_lost_hosts_apart() -> None:
    attempts = [{"StatusReason": LOST["StatusReason"]}, {"Container": {"ExitCode": 75}}, {"StatusReason": "Essential"}]
    counted = ended({**BUSY, "Attempts": attempts}, tried=3, lost=2)
    assert (counted["tried"], counted["lost"], counted["memory"]) == (6, 3, 512)


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["Type"] == "Task"])
def test_every_call_is_tried_again_when_it_is_throttled(name: str) -> None:
    state = STATES[name]
    service = re.fullmatch(r"arn:\${Partition}:states:::(aws-sdk:\w+|\w+):.*", state["Resource"])
    assert service
    if name == "Read log":
        # A log that cannot be read must not hide the failure that was found.
        assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "No log"}]
    else:
        assert state["Retry"] == [failures.RETRIES[service[1]]]


def test_every_tool_that_the_workflow_names_has_an_image_and_a_job_definition() -> None:
    tools = {job_input["tool"] for job_input in JOB_INPUTS if not job_input["tool"].startswith("{%")}
    assert tools < set(catalog.load(HERE.images).tools)
    assert tools < set(jobdefs.names(HERE.jobdefs))


def test_a_job_uses_the_exact_revision_of_its_tool_s_job_definition() -> None:
    arns = [f"arn:aws:batch:eu-west-1:123456789012:job-definition/genomics-{tool}:7" for tool in ("bwa-mem3", "bwa")]
    pattern = str(TEMPLATE.parameters["JobDefinitions"].pattern)
    assert all(re.fullmatch(pattern, arn) for arn in arns)
    assert not re.fullmatch(pattern, arns[0].removesuffix(":7"))
    expression = STATES["Read order"]["Assign"]["definition"]
    expression = expression.replace("${Project}", "genomics").replace("${JobDefinitions}", ",".join(arns))
    assert [query(expression, states={"input": {"tool": tool}}) for tool in ("bwa", "bwa-mem3")] == arns[::-1]
    with pytest.raises(QueryError):
        query(expression, states={"input": {"tool": "mem3"}})


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_state_machine_has_its_substitutions(name: str) -> None:
    text = str(DEFINITIONS[name])
    resource = TEMPLATE.resources[name]
    assert set(resource["Properties"]["DefinitionSubstitutions"]) == set(re.findall(r"\${(\w+)}", text))
    # CloudFormation does not resolve intrinsic functions in a definition to numbers.
    assert not re.search(r"'(Ref|Fn::\w+)':", text)


@pytest.mark.parametrize(
    ("again", "tried", "lost", "attempts", "is_submitted"),
    [
        ("hosts", 3, 3, 3, True),
        ("hosts", 12, 8, 3, True),
        ("hosts", 9, 9, 3, False),
        # Two attempts of three were a lost host's.
        ("batch", 3, 2, 3, True),
        ("batch", 4, 1, 3, False),
        ("batch", 3, 0, 3, False),
        ("batch", 1, 0, 1, False),
        ("nobody", 1, 0, 3, False),
    ],
)
def test_lost_hosts_count_for_themselves(
    *, again: str, tried: int, lost: int, attempts: int, is_submitted: bool
) -> None:
    [choice] = STATES["Once more"]["Choices"]
    job = {"RetryStrategy": {"Attempts": attempts}}
    names = {"ended": {"class": {"again": again}, "tried": tried, "lost": lost, "job": job}, "grown": False}
    assert query(choice["Condition"], **names) == is_submitted


@pytest.mark.parametrize("run", ["run1", "2026-11-25-night_1.b", "-_-", "x" * 80])
def test_each_run_has_a_share_of_the_queue_by_an_identifier_that_batch_takes(run: str) -> None:
    share = query(STATES["Read order"]["Assign"]["share"], states={"input": {"run": run}})
    assert re.fullmatch("[A-Za-z0-9]{1,255}", share)
    assert set(run) & set("rn12026") <= set(share)
    arguments = submitted({"run": run, "sample": "-", "parameters": {}}, share=share)
    assert (arguments["ShareIdentifier"], arguments["SchedulingPriorityOverride"]) == (share, 1)


def submitted(order: States, *, share: str = "run1") -> Any:  # noqa: ANN401  # whatever JSONata makes
    """What SubmitJob gets."""
    expression = STATES["Submit"]["Arguments"].replace("${Project}", "genomics")
    names = {name: name for name in ("name", "queue", "definition")}
    return query(expression, **names, share=share, environment=[], resources=[], order=order)


def test_a_job_is_tagged_with_what_its_costs_are_to_be_told_by() -> None:
    order = {"run": "night-1", "sample": "NA1", "parameters": {"command": "qc"}}
    assert submitted(order)["Tags"] == {"project": "genomics", "run": "night-1", "sample": "NA1"}
    tag = TEMPLATE.resources["JobPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert "batch:TagResource" in [statement["Action"] for statement in tag]
    # To the ECS task, and from there to its share of the host.
    assert '"propagateTags": true' in (HERE.jobdefs / "_base.json.j2").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("shards", "step", "shard", "array"),
    [(1, "call 0", "0", None), (2, "call", "-", {"Size": 2}), (9999, "call", "-", {"Size": 9999})],
)
def test_the_shards_of_a_sample_are_one_array_job(shards: int, step: str, shard: str, array: States | None) -> None:
    given = STATES["Call shards"]["Arguments"]["Input"]
    order = {"shards": shards}
    assert query(given["step"], order=order) == step
    assert query(given["parameters"]["shard"], order=order) == shard
    job = {"run": "run1", "sample": "NA1", "parameters": {}, "children": query(given["children"], order=order)}
    assert submitted(job).get("ArrayProperties") == array


# ---- a run's input ----

LANE = {"name": "L001", "r1": "1.fq", "r2": "2.fq"}
SAMPLE = {"name": "NA1", "lanes": [LANE]}
INPUT = {"reference": "hg38.fa", "shards": 24, "ploidy": 2, "samples": [SAMPLE]}


def is_taken(run_input: States) -> bool:
    return bool(query(STATES["Read input"]["Choices"][0]["Condition"], states={"input": run_input}))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ploidy": 1, "shards": 9999, "aligner": "bwa", "resources": {}},
        {"samples": [{"name": name, "lanes": [LANE, {**LANE, "name": "L002"}]} for name in ("NA1", "NA2")]},
        *({"skip": skip} for skip in ([], ["qc"], ["qc", "duplicates", "qc"])),
    ],
)
def test_an_input_is_taken(change: States) -> None:
    assert is_taken(INPUT | change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reference", 38),
        *(("shards", value) for value in (0, 1.5, "24", 10_000)),
        *(("ploidy", value) for value in (3, "2")),
        *(("samples", value) for value in ([], "NA1", [{**SAMPLE, "name": 1}], [{"lanes": [LANE]}], [SAMPLE, SAMPLE])),
        *(("samples", value) for value in (dict[str, str](), [{"name": "NA1"}])),
        *(("samples", [{**SAMPLE, "lanes": lanes}]) for lanes in ([], LANE, [{**LANE, "name": 1}])),
        ("samples", [{**SAMPLE, "lanes": [LANE, {"name": "L002", "r1": "1.fq"}]}]),
    ],
)
def test_a_wrong_or_incomplete_input_is_refused_before_any_job(name: str, value: object) -> None:
    assert not is_taken(INPUT | {name: value})
    assert not is_taken({key: value for key, value in INPUT.items() if key != name})


@pytest.mark.parametrize(
    "skip", ["qc", "-", None, {}, [1], [None], ["qc", "mem"], ["Duplicates"], [["qc"]], [["qc", "qc"]]]
)
def test_what_cannot_be_skipped_is_refused_before_any_job_and_the_cause_says_what_can(skip: object) -> None:
    assert not is_taken(INPUT | {"skip": skip})
    assert all(f'"{word}"' in STATES["Wrong input"]["Cause"] for word in SKIPS)


@pytest.mark.parametrize("skip", [[], ["qc"], ["duplicates"], ["qc", "duplicates"], ["duplicates", "qc", "duplicates"]])
def test_steps_are_told_what_is_skipped_as_the_toolchain_tells_them(skip: list[Skip]) -> None:
    expression = STATES["Read input"]["Choices"][0]["Assign"]["skip"]
    assert query(expression, states={"input": {**INPUT, "skip": skip}}) == (",".join(in_order(skip)) or "-")
    assert query(expression, states={"input": INPUT}) == "-"


@pytest.mark.parametrize("length", [8, 64])
def test_the_causes_of_all_samples_of_the_largest_input_fit_into_a_state(length: int) -> None:
    def size(value: object) -> int:
        return len(json.dumps(value, separators=(",", ":")))

    name = "N" * length
    count = LARGEST_INPUT // (size({"name": name, "lanes": [{**LANE, "r1": name, "r2": name}]}) + 1)
    assigned = STATES["Read input"]["Choices"][0]["Assign"]
    room = query(assigned["room"], states={"input": {"samples": [{}] * count}})
    assert room > 15
    cause = {"sample": name, "error": "ScratchFailed", "cause": "c" * room}
    assert size([cause] * count) < LARGEST_INPUT


@pytest.mark.parametrize("described", [[], [{"ExecutionArn": "arn", "Input": json.dumps({"sample": {"name": "NA2"}})}]])
def test_a_sample_whose_execution_ended_without_a_word_is_counted_and_named(described: list[States]) -> None:
    result = [{"sample": "NA1"}, *described, {"sample": "NA3", "error": "BadData", "cause": "bad"}]
    names = {"states": {"result": result}, "order": {"samples": [{"name": f"NA{n}"} for n in (1, 2, 3)]}, "room": 99}
    done, lost = (query(STATES["Samples"]["Assign"][name], **names) for name in ("done", "failed"))
    cause = "sample NA2 ended outside its steps: SampleLost. Run it again: what is done is kept."
    assert (done, lost) == (["NA1"], [result[-1], {"sample": "NA2", "error": "SampleLost", "cause": cause}])


# ---- steps ----


def parameters(command: str) -> States:
    """The parameters that the workflow gives to a step."""
    [found] = [inputs["parameters"] for inputs in JOB_INPUTS if inputs["parameters"]["command"] == command]
    return dict(found)


@pytest.mark.parametrize("command", ["mem", "finish", "check"])
def test_steps_that_depend_on_lanes_and_on_what_is_skipped_are_told_both(command: str) -> None:
    assert {"lanes": "{% $lanes %}", "skip": "{% $order.skip %}"}.items() <= parameters(command).items()


@pytest.mark.parametrize("job_input", JOB_INPUTS, ids=lambda job_input: job_input["parameters"]["command"])
def test_every_parameter_of_a_step_is_in_its_job_definition_s_command(job_input: States) -> None:
    for tool in ALIGNERS if job_input["tool"].startswith("{%") else (job_input["tool"],):
        template = (HERE.jobdefs / f"{tool}.json.j2").read_text(encoding="utf-8")
        assert job_input["parameters"].keys() <= set(re.findall(r'"Ref::(\w+)"', template))


def test_calling_is_submitted_before_qc_and_gathering_waits_for_it_alone() -> None:
    calling, judging, *_ = STATES["Call and judge"]["Branches"]
    assert (calling["StartAt"], calling["States"]["Call shards"]["Next"]) == ("Call shards", "Gather")
    assert calling["States"]["Gather"]["End"]
    assert "Judge" in judging["States"]
    assert STATES["Call and judge"]["Next"] == "Check outputs"


def test_the_template_leaves_room_for_a_step_of_a_lab_s_own() -> None:
    assert len(template_body(TEMPLATE).encode()) < LARGEST_BODY - 2000


def test_the_workflow_submits_and_ends_its_own_project_s_jobs_and_no_others() -> None:
    [document] = [
        policy["PolicyDocument"]
        for policy in deployed("workflow").of("AWS::IAM::RolePolicy").values()
        if policy["PolicyName"] == "job"
    ]
    own = {"StringEquals": {"aws:ResourceTag/project": "genomics"}}
    found = {statement["Sid"]: statement for statement in document["Statement"]}
    # The name of another project may begin alike: genomics-b's definitions match genomics-*.
    assert found["OfThisProject"]["Resource"].endswith(":job-definition/genomics-*:*")
    assert found["OfThisProject"]["Condition"] == found["EndJobs"]["Condition"] == own
    assert "job-definition" not in str(found["SubmitJobs"]["Resource"])
    assert "'Tags': {'project': '${Project}', " in STATES["Submit"]["Arguments"]
