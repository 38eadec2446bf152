"""State machines that run jobs on a real engine."""

import json
import subprocess
import time
from typing import Any

import pytest
from support.embedded_jobs import QUEUE, Cloud, submit_job, until

from toolchain.docker.engine import Engine
from toolchain.localaws.batch.host import ROOT_LABEL

pytestmark = pytest.mark.engine


def running(cloud: Cloud, engine: Engine) -> list[Any]:
    label = f"{ROOT_LABEL}={cloud.config.root.resolve()}"
    return list(engine.client.api.containers(filters={"label": label}))


def test_a_job_gets_all_that_its_state_says_and_its_detail_comes_back(cloud: Cloud, shell: str) -> None:
    overrides = {
        "Environment": [{"Name": "RUN", "Value": "{% $states.context.Execution.Name %}"}],
        "ResourceRequirements": [{"Type": "VCPU", "Value": "{% $string(2) %}"}],
        "Command": ["sh", "-c", "echo $RUN $STEP_VCPUS $MANAGED_BY_AWS; Ref::script"],
    }
    more = {"ContainerOverrides": overrides, "Tags": {"sample": "S1"}, "Timeout": {"AttemptDurationSeconds": 60}}
    container = "{% $states.result.Container %}"
    execution = cloud.execute(cloud.machine({"Job": submit_job(shell, "true", Arguments=more, Output=container)}))
    result = json.loads(execution["output"])
    assert result["ExitCode"] == 0
    lines = cloud.lines({"container": {"logStreamName": result["LogStreamName"]}})
    assert lines == [f"{execution['name']} 2 STARTED_BY_STEP_FUNCTIONS"]
    listed = cloud.batch.list_jobs(jobQueue=QUEUE, filters=[{"name": "JOB_NAME", "values": ["*"]}])["jobSummaryList"]
    job = cloud.job(max(listed, key=lambda job: job["createdAt"])["jobId"])
    assert (job["tags"], job["timeout"]) == ({"sample": "S1"}, {"attemptDurationSeconds": 60})
    assert cloud.events(execution["executionArn"]) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_a_failed_job_is_tried_again_and_its_cause_is_its_detail(cloud: Cloud, shell: str) -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    execution = cloud.execute(cloud.machine({"Job": submit_job(shell, "exit 65", Retry=retry)}))
    assert execution["error"] == "States.TaskFailed"
    cause = json.loads(execution["cause"])
    assert (cause["Status"], cause["StatusReason"]) == ("FAILED", "Essential container in task exited")
    assert cause["Container"]["ExitCode"] == 65
    assert cause["Attempts"][0]["Container"]["LogStreamName"] == cause["Container"]["LogStreamName"]
    assert cloud.events(execution["executionArn"]).count("TaskFailed") == 2


def test_a_retried_job_that_succeeds_lets_the_execution_go_on(cloud: Cloud, shell: str) -> None:
    arguments = {"Parameters": {"script": "{% $states.context.State.RetryCount = 0 ? 'exit 1' : 'exit 0' %}"}}
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 2}]
    assert cloud.output({"Job": submit_job(shell, "-", Arguments=arguments, Retry=retry, Output="done")}) == "done"


def test_an_array_job_is_waited_for_to_its_last_child(cloud: Cloud, shell: str) -> None:
    arguments = {"ArrayProperties": {"Size": 3}}
    output = "{% $states.result.ArrayProperties.StatusSummary.SUCCEEDED %}"
    assert cloud.output({"Job": submit_job(shell, "true", Arguments=arguments, Output=output)}) == 3


def test_a_refused_submission_has_the_name_of_batch_s_error(cloud: Cloud) -> None:
    execution = cloud.execute(cloud.machine({"Job": submit_job("no-such-definition", "true")}))
    assert execution["error"] == "Batch.ClientException"
    assert "does not exist" in execution["cause"]


@pytest.mark.parametrize("how", ["timeout", "stop", "branch", "item"])
def test_a_job_that_nobody_waits_for_any_more_is_ended(cloud: Cloud, shell: str, engine: Engine, how: str) -> None:
    sleeping, failing = submit_job(shell, "sleep 60"), submit_job(shell, "sleep 0.5; exit 1")
    states: dict[str, Any] = {"Job": sleeping}
    if how == "timeout":
        states = {"Job": {**sleeping, "TimeoutSeconds": 1}}
    if how == "branch":
        branches = [{"StartAt": "J", "States": {"J": job}} for job in (sleeping, failing)]
        states = {"Both": {"Type": "Parallel", "Branches": branches, "End": True}}
    if how == "item":
        script = {"Parameters": {"script": "{% $states.input %}"}}
        processor = {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "J",
            "States": {"J": submit_job(shell, "-", Arguments=script)},
        }
        items = ["sleep 60", "sleep 0.5; exit 1"]
        states = {"Map": {"Type": "Map", "Items": items, "ItemProcessor": processor, "End": True}}
    arn = cloud.states.start_execution(stateMachineArn=cloud.machine(states))["executionArn"]
    if how == "stop":
        until(lambda: running(cloud, engine))
        cloud.states.stop_execution(executionArn=arn)
    execution = cloud.finished(arn)
    expected = {"stop": None, "timeout": "States.Timeout", "item": "States.ExceedToleratedFailureThreshold"}
    assert execution.get("error") == expected.get(how, "States.TaskFailed")
    until(lambda: not running(cloud, engine), seconds=5)
    until(lambda: not cloud.batch.list_jobs(jobQueue=QUEUE)["jobSummaryList"], seconds=5)


def test_a_job_costs_little_more_than_its_container(cloud: Cloud, shell: str, image: str) -> None:
    """At most 0.3 s, and half of a plain `docker run` on a busy machine: the best of interleaved rounds."""
    machine = cloud.machine({"J": submit_job(shell, "true")})
    cloud.execute(machine)
    ours, docker_s = [], []
    for _ in range(3):
        began = time.monotonic()
        cloud.execute(machine)
        between = time.monotonic()
        subprocess.run(["docker", "run", "--rm", "--network", "none", "--init", image, "true"], check=True)
        ours.append(between - began)
        docker_s.append(time.monotonic() - between)
    assert min(ours) < 1.5 * min(docker_s) + 0.3
