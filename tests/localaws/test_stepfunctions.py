"""Executions without jobs: states, maps, histories, and the calls about them."""

import json
import time
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from support.embedded_jobs import ROLE, Cloud, until

FINE = {"Type": "Succeed"}
WAITING = {"Type": "Wait", "Seconds": 60, "End": True}
GET = {"Arguments": {"Bucket": "none", "Key": "none"}}
ITEMS = {"items": [2, 4, 1, 6], "text": ' "quoted"\\'}


def passing(output: Any, **state: Any) -> dict[str, Any]:
    return {"Type": "Pass", "Output": output, **({} if "Next" in state else {"End": True}), **state}


def task(resource: str, **state: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "End": True, **state}


def mapped(mode: str, items: Any, states: dict[str, Any], **state: Any) -> dict[str, Any]:
    config = {"Mode": mode} | ({"ExecutionType": "STANDARD"} if mode == "DISTRIBUTED" else {})
    processor = {"ProcessorConfig": config, "StartAt": next(iter(states)), "States": states}
    return {"Type": "Map", "Items": items, "ItemProcessor": processor, "End": True, **state}


def odd_fails(**state: Any) -> dict[str, Any]:
    """A distributed map that fails where an item is odd, and doubles it where it is even."""
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.v % 2 = 1 %}", "Next": "Odd"}],
            "Default": "Even",
        },
        "Odd": {"Type": "Fail", "Error": "Odd", "Cause": "{% 'item ' & $states.input.v & $states.input.text %}"},
        "Even": passing("{% $states.input.v * 2 %}"),
    }
    selector = {"v": "{% $states.context.Map.Item.Value %}", "text": "{% $states.input.text %}"}
    return mapped("DISTRIBUTED", "{% $states.input.items %}", states, Label="Samples", ItemSelector=selector, **state)


def begun(cloud: Cloud, states: dict[str, Any]) -> str:
    """Starts an execution and returns its ARN once it has entered a state."""
    arn = str(cloud.states.start_execution(stateMachineArn=cloud.machine(states))["executionArn"])
    until(lambda: len(cloud.events(arn)) > 1)
    return arn


# ---- states ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "given", "output"),
    [
        (
            {
                "First": passing("{% $states.input %}", Assign={"kept": "{% $states.input.text %}"}, Next="Second"),
                "Second": passing({"kept": "{% $kept %}", "name": "{% $states.context.State.Name %}"}),
            },
            {"text": 'a "b" \\ \n {% $x %} \u00e9'},
            {"kept": 'a "b" \\ \n {% $x %} \u00e9', "name": "Second"},
        ),
        (
            {"Map": mapped("INLINE", "{% [1..30] %}", {"P": passing("{% $states.input + 1 %}")}, MaxConcurrency=4)},
            {},
            list(range(2, 32)),
        ),
        # More than Python nests calls.
        ({"Map": mapped("INLINE", "{% [1..400] %}", {"P": passing(0)}, MaxConcurrency=1)}, {}, [0] * 400),
        (
            {
                "Both": {
                    "Type": "Parallel",
                    "Branches": [
                        {"StartAt": "P", "States": {"P": passing({"n": n, "in": "{% $states.input.x %}"})}}
                        for n in (1, 2)
                    ],
                    "Arguments": {"x": "{% $states.input.y %}"},
                    "End": True,
                }
            },
            {"y": 7},
            [{"n": 1, "in": 7}, {"n": 2, "in": 7}],
        ),
    ],
    ids=["variables keep any text", "an inline map keeps the order", "400 items in a row", "parallel branches"],
)
def test_an_execution_gives_its_output(cloud: Cloud, states: dict[str, Any], given: Any, output: Any) -> None:
    assert cloud.output(states, given) == output


def test_choices_and_fail_are_evaluated(cloud: Cloud) -> None:
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.n > 1 %}", "Next": "Bad"}],
            "Default": "Fine",
        },
        "Bad": {"Type": "Fail", "Error": "{% 'E' & $states.input.n %}", "Cause": "{% 'as of ' & $states.input.n %}"},
        "Fine": FINE,
    }
    machine = cloud.machine(states)
    assert cloud.execute(machine, {"n": 1})["status"] == "SUCCEEDED"
    failed = cloud.execute(machine, {"n": 2})
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "E2", "as of 2")
    assert failed["stopDate"] >= failed["startDate"]


def test_an_expression_that_yields_nothing_fails_the_state_with_its_text(cloud: Cloud) -> None:
    failed = cloud.execute(cloud.machine({"Undefined": passing("{% $states.input.no %}")}))
    assert failed["error"] == "States.QueryEvaluationError"
    assert "'$states.input.no' returned nothing (undefined)" in failed["cause"]


NOTHING = passing("{% $states.input.no %}")


@pytest.mark.parametrize(
    ("state", "caught", "status"),
    [
        (task("aws-sdk:s3:listBuckets", Arguments={"Prefix": "{% $x %}"}), "States.QueryEvaluationError", "SUCCEEDED"),
        ({"Type": "Parallel", "Branches": [{"StartAt": "P", "States": {"P": NOTHING}}]}, "States.ALL", "SUCCEEDED"),
        (mapped("INLINE", [1], {"P": NOTHING}), "States.QueryEvaluationError", "SUCCEEDED"),
        (mapped("DISTRIBUTED", [1], {"P": NOTHING}), "States.ExceedToleratedFailureThreshold", "SUCCEEDED"),
        (
            mapped("DISTRIBUTED", [1], {"P": FINE}, ItemSelector={"x": "{% $x %}"}),
            "States.QueryEvaluationError",
            "SUCCEEDED",
        ),
        (task("aws-sdk:s3:getObject", **GET), "States.TaskFailed", "SUCCEEDED"),
        (task("aws-sdk:s3:getObject", **GET), "S3.NoSuchBucketException", "SUCCEEDED"),
        (task("aws-sdk:s3:headObject", **GET), "S3.NoSuchKeyException", "SUCCEEDED"),
        (task("aws-sdk:s3:getObject", **GET), "States.Timeout", "FAILED"),
        # A number where the service takes text.
        (task("aws-sdk:s3:listObjectsV2", Arguments={"Bucket": 5}), "States.ALL", "FAILED"),
    ],
)
def test_an_error_is_caught_by_its_name_and_what_always_ends_an_execution_by_nothing(
    cloud: Cloud, state: dict[str, Any], caught: str, status: str
) -> None:
    catch = [{"ErrorEquals": [caught], "Next": "Caught", "Output": "caught"}]
    execution = cloud.execute(cloud.machine({"S": {**state, "Catch": catch}, "Caught": FINE}))
    assert execution["status"] == status, execution
    if (caught, status) == ("States.ALL", "FAILED"):
        assert execution["error"] == "States.Runtime"
        assert "The value for the field 'Bucket' must be a STRING" in execution["cause"]


def test_a_fail_state_hands_on_an_error_of_step_functions_own(cloud: Cloud) -> None:
    failed = cloud.execute(cloud.machine({"F": {"Type": "Fail", "Error": "States.TaskFailed", "Cause": "c"}}))
    assert (failed["error"], failed["cause"]) == ("States.TaskFailed", "c")


def test_a_retry_waits_no_longer_than_its_limit(cloud: Cloud) -> None:
    retry = {"ErrorEquals": ["S3.NoSuchBucketException"], "IntervalSeconds": 1, "BackoffRate": 10, "MaxAttempts": 2}
    failing = task("aws-sdk:s3:getObject", **GET, Retry=[{**retry, "MaxDelaySeconds": 1, "JitterStrategy": "FULL"}])
    began = time.monotonic()
    execution = cloud.execute(cloud.machine({"T": failing}))
    assert execution["error"] == "S3.NoSuchBucketException"
    assert cloud.events(execution["executionArn"]).count("TaskFailed") == 3
    assert time.monotonic() - began < 5


def test_services_are_called_through_the_sdk(cloud: Cloud) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="reads")
    s3.put_object(Bucket="reads", Key="sample/a.txt", Body=b"text")
    cloud.logs.create_log_stream(logGroupName="/genomics/jobs", logStreamName="stream")
    event = {"timestamp": int(time.time() * 1000), "message": "line"}
    cloud.logs.put_log_events(logGroupName="/genomics/jobs", logStreamName="stream", logEvents=[event])
    stream = {"LogGroupName": "/genomics/jobs", "LogStreamName": "stream", "Limit": 20}
    states = {
        "List": task("aws-sdk:s3:listObjectsV2", Arguments={"Bucket": "reads", "Prefix": "sample/"}),
        "Get": task("aws-sdk:s3:getObject", Arguments={"Bucket": "reads", "Key": "{% $key %}"}),
        "Logs": task("aws-sdk:cloudwatchlogs:getLogEvents", Arguments=stream),
    }
    states["List"] |= {"Assign": {"key": "{% $states.result.Contents[0].Key %}"}, "Next": "Get"}
    states["Get"] |= {"Assign": {"body": "{% $states.result.Body %}"}, "Next": "Logs"}
    states["Logs"] |= {"Output": ["{% $key %}", "{% $body %}", "{% $states.result.Events.Message %}"]}
    del states["List"]["End"], states["Get"]["End"]
    assert cloud.output(states) == ["sample/a.txt", "text", "line"]


# ---- distributed maps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tolerated", "status"),
    [
        ({}, "FAILED"),
        ({"ToleratedFailureCount": 1}, "SUCCEEDED"),
        ({"ToleratedFailureCount": "{% 1 %}"}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 25}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 24.5}, "FAILED"),
        ({"ToleratedFailurePercentage": "{% 30 %}"}, "SUCCEEDED"),
    ],
)
def test_a_distributed_map_fails_with_more_failures_than_it_tolerates(
    cloud: Cloud, tolerated: dict[str, Any], status: str
) -> None:
    execution = cloud.execute(cloud.machine({"Map": odd_fails(**tolerated)}), ITEMS)
    assert execution["status"] == status
    if status == "FAILED":
        assert execution["error"] == "States.ExceedToleratedFailureThreshold"
    else:
        *doubled, lost, last = json.loads(execution["output"])
        assert (doubled, last) == ([4, 8], 12)
        assert {name: lost[name] for name in ("Status", "Error")} == {"Status": "FAILED", "Error": "Odd"}
        assert json.loads(lost["Input"])["v"] == 1


def test_each_item_of_a_distributed_map_is_an_execution_that_can_be_looked_into(cloud: Cloud) -> None:
    arn = cloud.execute(cloud.machine({"Map": odd_fails(ToleratedFailureCount=1)}), ITEMS)["executionArn"]
    (run,) = cloud.states.list_map_runs(executionArn=arn)["mapRuns"]
    described = cloud.states.describe_map_run(mapRunArn=run["mapRunArn"])
    counts = {name: described["executionCounts"][name] for name in ("total", "succeeded", "failed", "running")}
    assert (described["status"], counts) == ("SUCCEEDED", {"total": 4, "succeeded": 3, "failed": 1, "running": 0})
    children = cloud.states.list_executions(mapRunArn=run["mapRunArn"])["executions"]
    assert sorted(child["status"] for child in children) == ["FAILED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    (failed,) = cloud.states.list_executions(mapRunArn=run["mapRunArn"], statusFilter="FAILED")["executions"]
    child = cloud.states.describe_execution(executionArn=failed["executionArn"])
    assert (child["error"], child["cause"]) == ("Odd", 'item 1 "quoted"\\')
    assert json.loads(child["input"]) == {"v": 1, "text": ' "quoted"\\'}
    assert (child["mapRunArn"], "/Samples:" in child["executionArn"]) == (run["mapRunArn"], True)
    assert cloud.events(child["executionArn"]) == [
        "ExecutionStarted",
        "ChoiceStateEntered",
        "ChoiceStateExited",
        "FailStateEntered",
        "ExecutionFailed",
    ]
    assert "MapRunStarted" in cloud.events(arn)
    assert "ChoiceStateEntered" not in cloud.events(arn)


def test_map_runs_are_those_of_an_execution_itself(cloud: Cloud) -> None:
    inner = mapped("DISTRIBUTED", [1], {"P": passing("{% $states.input %}")}, Label="Lanes")
    outer = mapped("DISTRIBUTED", [1, 2], {"Inner": inner}, Label="Samples")
    execution = cloud.execute(cloud.machine({"Outer": outer}))
    assert json.loads(execution["output"]) == [[1], [1]]
    (run,) = cloud.states.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    for child in cloud.states.list_executions(mapRunArn=run["mapRunArn"])["executions"]:
        (nested,) = cloud.states.list_map_runs(executionArn=child["executionArn"])["mapRuns"]
        assert "/Samples/Lanes:" in nested["mapRunArn"]
        assert cloud.states.describe_map_run(mapRunArn=nested["mapRunArn"])["status"] == "SUCCEEDED"
        (item,) = cloud.states.list_executions(mapRunArn=nested["mapRunArn"])["executions"]
        assert item["status"] == "SUCCEEDED"


# ---- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        WAITING,
        mapped("DISTRIBUTED", "{% [1..3] %}", {"W": WAITING}, MaxConcurrency=1),
        {"Type": "Parallel", "Branches": [{"StartAt": "W", "States": {"W": WAITING}}], "End": True},
    ],
    ids=["wait", "distributed map", "parallel"],
)
def test_stopping_an_execution_ends_what_waits_in_it_and_keeps_error_and_cause(cloud: Cloud, state: Any) -> None:
    arn = begun(cloud, {"S": state})
    stopped = cloud.states.stop_execution(executionArn=arn, error="Enough", cause="no longer needed")
    execution = cloud.states.describe_execution(executionArn=arn)
    assert (execution["status"], execution["error"]) == ("ABORTED", "Enough")
    assert (execution["cause"], execution["stopDate"] >= stopped["stopDate"]) == ("no longer needed", True)
    until(lambda: "ExecutionAborted" in cloud.events(arn))
    for run in cloud.states.list_map_runs(executionArn=arn)["mapRuns"]:
        until(lambda: cloud.states.list_executions(mapRunArn=run["mapRunArn"], statusFilter="ABORTED")["executions"])  # noqa: B023  # called at once
    again = cloud.states.stop_execution(executionArn=arn, error="Late")
    assert again["stopDate"] >= stopped["stopDate"]
    assert cloud.states.describe_execution(executionArn=arn)["error"] == "Enough"


def test_an_execution_ends_at_its_own_timeout(cloud: Cloud) -> None:
    execution = cloud.execute(cloud.machine({"W": WAITING}, TimeoutSeconds=1))
    assert (execution["status"], "stopDate" in execution) == ("TIMED_OUT", True)


def test_an_execution_that_another_starts_is_waited_for_and_stopped_with_it(cloud: Cloud) -> None:
    sync = "states:startExecution.sync:2"
    inner = cloud.machine({"P": passing({"n": "{% $states.input.n + 1 %}"})})
    output = cloud.output({"Call": task(sync, Arguments={"StateMachineArn": inner, "Input": {"n": 1}})})
    assert output["Output"] == {"n": 2}
    failing = cloud.machine({"F": {"Type": "Fail", "Error": "E", "Cause": "c"}})
    failed = cloud.execute(cloud.machine({"Call": task(sync, Arguments={"StateMachineArn": failing})}))
    assert (failed["error"], json.loads(failed["cause"])["Cause"]) == ("States.TaskFailed", "c")
    waiting = cloud.machine({"W": WAITING})
    call = task(sync, Arguments={"StateMachineArn": waiting}, TimeoutSeconds=1)
    assert cloud.execute(cloud.machine({"Call": call}))["error"] == "States.Timeout"
    until(lambda: cloud.states.list_executions(stateMachineArn=waiting, statusFilter="ABORTED")["executions"])
    absent = cloud.execute(cloud.machine({"Call": task(sync, Arguments={"StateMachineArn": f"{inner}x"})}))
    assert absent["error"] == "StepFunctions.StateMachineDoesNotExistException"


# ---- the API --------------------------------------------------------------------------------------------------------


def test_a_history_comes_in_pages_and_in_reverse(cloud: Cloud) -> None:
    arn = cloud.execute(cloud.machine({"A": passing(1, Next="B"), "B": passing(2)}))["executionArn"]
    pages = cloud.states.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=2)
    assert [event["type"] for page in pages for event in page["events"]] == cloud.events(arn)
    backwards = cloud.states.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=1)["events"]
    assert [event["type"] for event in backwards] == ["ExecutionSucceeded"]


def test_a_name_starts_one_execution(cloud: Cloud) -> None:
    machine = cloud.machine({"W": WAITING})

    def start(given: str, name: str = "run") -> str:
        return str(cloud.states.start_execution(stateMachineArn=machine, name=name, input=given)["executionArn"])

    assert start('{"a":1}') == start('{"a":1}')
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start('{"a":2}')
    cloud.states.stop_execution(executionArn=start('{"a":1}'))
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start('{"a":1}')
    with pytest.raises(ClientError, match="InvalidName"):
        start("{}", name="no blanks")


def test_executions_are_listed_the_newest_first_a_page_at_a_time(cloud: Cloud) -> None:
    machine = cloud.machine({"P": passing("{% $states.context.Execution.StartTime %}")})
    arns = [cloud.execute(machine)["executionArn"] for _ in range(3)]
    pages = cloud.states.get_paginator("list_executions").paginate(stateMachineArn=machine, maxResults=2)
    assert [item["executionArn"] for page in pages for item in page["executions"]] == arns[::-1]


def test_a_definition_that_is_wrong_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="InvalidDefinition"):
        cloud.states.create_state_machine(name="wrong", roleArn=ROLE, definition='{"StartAt": "A"}')
    machine = cloud.machine({"P": FINE})
    with pytest.raises(ClientError, match="InvalidDefinition"):
        cloud.states.update_state_machine(stateMachineArn=machine, definition='{"StartAt": "A"}')


# ---- events ---------------------------------------------------------------------------------------------------------

TEMPLATE = {"InputPathsMap": {"run": "$.detail.name", "at": "$.region"}, "InputTemplate": '"Run <run> in <at>"'}


@pytest.mark.parametrize("shape", [{}, {"InputTransformer": TEMPLATE}], ids=["the event", "a template"])
def test_a_topic_hears_of_an_execution_that_failed(cloud: Cloud, shape: dict[str, Any]) -> None:
    clients: Any = boto3.client
    sns, sqs, events = clients("sns"), clients("sqs"), clients("events")
    topic = sns.create_topic(Name=f"runs-{len(shape)}")["TopicArn"]
    queue = sqs.create_queue(QueueName=f"mail-{len(shape)}")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    machine = cloud.machine({"F": {"Type": "Fail", "Error": "E", "Cause": "c"}})
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED"], "stateMachineArn": [machine]},
    }
    events.put_rule(Name="failed", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="failed", Targets=[{"Id": "topic", "Arn": topic, **shape}])
    execution = cloud.execute(machine)
    (message,) = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    text = json.loads(message["Body"])["Message"]
    if shape:
        assert text == f"Run {execution['name']} in us-east-1"
    else:
        detail = json.loads(text)["detail"]
        assert (detail["executionArn"], detail["status"], detail["cause"]) == (execution["executionArn"], "FAILED", "c")
    assert sqs.receive_message(QueueUrl=queue).get("Messages") is None
