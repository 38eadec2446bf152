"""Executions without jobs: states, maps, histories, and the calls about them."""

import json
import time
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from support.moto_cloud import ROLE, Cloud, until

from toolchain.localaws.stepfunctions.announcements import shaped

FINE = {"Type": "Succeed"}


def passing(output: Any, **state: Any) -> dict[str, Any]:
    made = {"Type": "Pass", "Output": output, **state}
    return made if "Next" in made else {**made, "End": True}


def distributed(**state: Any) -> dict[str, Any]:
    """Fails where an item is odd, doubles it where it is even."""
    choose = {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.v % 2 = 1 %}", "Next": "Odd"}]}
    states = {
        "Choose": {**choose, "Default": "Even"},
        "Odd": {"Type": "Fail", "Error": "Odd", "Cause": "{% 'item ' & $states.input.v & $states.input.text %}"},
        "Even": passing("{% $states.input.v * 2 %}"),
    }
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Choose"}
    return {
        "Type": "Map",
        "Label": "Samples",
        "Items": "{% $states.input.items %}",
        "ItemSelector": {"v": "{% $states.context.Map.Item.Value %}", "text": "{% $states.input.text %}"},
        "ItemProcessor": {**processor, "States": states},
        "End": True,
        **state,
    }


ITEMS = {"items": [2, 4, 1, 6], "text": ' "quoted"\\'}


def task(resource: str, **state: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "End": True, **state}


def test_assigned_variables_and_outputs_keep_any_text(cloud: Cloud) -> None:
    text = 'a "b" \\ \n {% $x %} \u00e9'
    states = {
        "First": passing("{% $states.input %}", Assign={"kept": "{% $states.input.text %}"}, Next="Second"),
        "Second": passing({"kept": "{% $kept %}", "name": "{% $states.context.State.Name %}"}),
    }
    assert cloud.output(states, {"text": text}) == {"kept": text, "name": "Second"}


def test_choices_and_fail_are_evaluated(cloud: Cloud) -> None:
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.n > 1 %}", "Next": "Bad"}],
            "Default": "Fine",
        },
        "Bad": {
            "Type": "Fail",
            "Error": "{% 'E' & $states.input.n %}",
            "Cause": "{% 'because of ' & $states.input.n %}",
        },
        "Fine": FINE,
    }
    machine = cloud.machine(states)
    assert cloud.execute(machine, {"n": 1})["status"] == "SUCCEEDED"
    failed = cloud.execute(machine, {"n": 2})
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "E2", "because of 2")
    assert failed["stopDate"] >= failed["startDate"]


def test_an_expression_that_yields_nothing_fails_and_can_be_caught(cloud: Cloud) -> None:
    failed = cloud.execute(cloud.machine({"Undefined": passing("{% $states.input.no %}")}))
    assert failed["error"] == "States.QueryEvaluationError"
    assert "'$states.input.no' returned nothing (undefined)" in failed["cause"]
    states = {
        "Task": task(
            "aws-sdk:s3:listBuckets",
            Arguments={"Prefix": "{% $states.input.no %}"},
            Catch=[{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught", "Output": "caught"}],
        ),
        "Caught": FINE,
    }
    assert cloud.output(states) == "caught"


def test_an_inline_map_keeps_the_order_and_a_parallel_its_branches(cloud: Cloud) -> None:
    processor = {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "P",
        "States": {"P": passing("{% $states.input + 1 %}")},
    }
    mapped = {"Type": "Map", "Items": "{% [1..30] %}", "MaxConcurrency": 4, "ItemProcessor": processor, "End": True}
    assert cloud.output({"Map": mapped}) == list(range(2, 32))
    branches = [{"StartAt": "P", "States": {"P": passing({"n": n, "in": "{% $states.input.x %}"})}} for n in (1, 2)]
    parallel = {"Type": "Parallel", "Branches": branches, "Arguments": {"x": "{% $states.input.y %}"}, "End": True}
    assert cloud.output({"Both": parallel}, {"y": 7}) == [{"n": 1, "in": 7}, {"n": 2, "in": 7}]


def test_a_map_takes_more_items_one_after_another_than_python_nests_calls(cloud: Cloud) -> None:
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "P", "States": {"P": passing(0)}}
    mapped = {"Type": "Map", "Items": "{% [1..400] %}", "MaxConcurrency": 1, "ItemProcessor": processor, "End": True}
    assert len(cloud.output({"Map": mapped})) == 400


def test_a_reserved_error_goes_through_a_parallel_and_is_caught_by_its_name(cloud: Cloud) -> None:
    undefined = {"StartAt": "P", "States": {"P": passing("{% $states.input.no %}")}}
    states = {
        "Both": {
            "Type": "Parallel",
            "Branches": [undefined],
            "Catch": [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Fine"}],
            "End": True,
        },
        "Fine": FINE,
    }
    assert cloud.output(states)["Error"] == "States.QueryEvaluationError"


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
    execution = cloud.execute(cloud.machine({"Map": distributed(**tolerated)}), ITEMS)
    assert execution["status"] == status
    if status == "FAILED":
        assert execution["error"] == "States.ExceedToleratedFailureThreshold"
    else:
        assert json.loads(execution["output"]) == [4, 8, 12]


def test_each_item_of_a_distributed_map_is_an_execution_that_can_be_looked_into(cloud: Cloud) -> None:
    arn = cloud.execute(cloud.machine({"Map": distributed(ToleratedFailureCount=1)}), ITEMS)["executionArn"]
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
    assert child["mapRunArn"] == run["mapRunArn"]
    assert "/Samples:" in child["executionArn"]
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
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    inner = {"Type": "Map", "Label": "Lanes", "Items": [1], "End": True}
    inner["ItemProcessor"] = {**config, "StartAt": "P", "States": {"P": passing("{% $states.input %}")}}
    outer = {"Type": "Map", "Label": "Samples", "Items": [1, 2], "End": True}
    outer["ItemProcessor"] = {**config, "StartAt": "Inner", "States": {"Inner": inner}}
    execution = cloud.execute(cloud.machine({"Outer": outer}))
    assert json.loads(execution["output"]) == [[1], [1]]
    (run,) = cloud.states.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    for child in cloud.states.list_executions(mapRunArn=run["mapRunArn"])["executions"]:
        (nested,) = cloud.states.list_map_runs(executionArn=child["executionArn"])["mapRuns"]
        assert "/Samples/Lanes:" in nested["mapRunArn"]
        (one,) = cloud.states.list_executions(mapRunArn=nested["mapRunArn"])["executions"]
        assert one["status"] == "SUCCEEDED"


def test_stopping_an_execution_ends_what_waits_in_it_and_keeps_error_and_cause(cloud: Cloud) -> None:
    waiting = {"Type": "Wait", "Seconds": 60, "End": True}
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "W"}
    mapped = {
        "Type": "Map",
        "MaxConcurrency": 1,
        "Items": "{% [1..3] %}",
        "ItemProcessor": {**processor, "States": {"W": waiting}},
        "End": True,
    }
    for states in ({"W": waiting}, {"M": mapped}):
        arn = cloud.states.start_execution(stateMachineArn=cloud.machine(states))["executionArn"]
        until(lambda arn=arn: len(cloud.events(arn)) > 1)  # type: ignore[misc]
        stopped = cloud.states.stop_execution(executionArn=arn, error="Enough", cause="no longer needed")
        execution = cloud.states.describe_execution(executionArn=arn)
        assert (execution["status"], execution["error"], execution["cause"]) == (
            "ABORTED",
            "Enough",
            "no longer needed",
        )
        assert execution["stopDate"] >= stopped["stopDate"]
        until(lambda arn=arn: "ExecutionAborted" in cloud.events(arn))  # type: ignore[misc]
    (run,) = cloud.states.list_map_runs(executionArn=arn)["mapRuns"]
    until(lambda: cloud.states.list_executions(mapRunArn=run["mapRunArn"], statusFilter="ABORTED")["executions"])


def test_an_execution_ends_at_its_own_timeout(cloud: Cloud) -> None:
    execution = cloud.execute(cloud.machine({"W": {"Type": "Wait", "Seconds": 60, "End": True}}, TimeoutSeconds=1))
    assert execution["status"] == "TIMED_OUT"
    assert "stopDate" in execution


def test_an_execution_that_waits_for_its_next_try_is_stopped_at_once(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "MaxAttempts": 3}]
    failing = task("aws-sdk:s3:getObject", Arguments={"Bucket": "none", "Key": "none"}, Retry=retry)
    arn = cloud.states.start_execution(stateMachineArn=cloud.machine({"T": failing}))["executionArn"]
    until(lambda: "TaskFailed" in cloud.events(arn))
    cloud.states.stop_execution(executionArn=arn)
    until(lambda: "ExecutionAborted" in cloud.events(arn), seconds=5)


def test_a_retry_waits_longer_each_time_up_to_its_limit(cloud: Cloud) -> None:
    retry = [
        {
            "ErrorEquals": ["S3.NoSuchBucketException", "S3.NoSuchBucket"],
            "IntervalSeconds": 1,
            "BackoffRate": 10,
            "MaxDelaySeconds": 1,
            "MaxAttempts": 2,
            "JitterStrategy": "FULL",
        }
    ]
    began = time.monotonic()
    failing = task("aws-sdk:s3:getObject", Arguments={"Bucket": "none", "Key": "none"}, Retry=retry)
    execution = cloud.execute(cloud.machine({"T": failing}))
    assert execution["error"] == "S3.NoSuchBucketException"
    assert cloud.events(execution["executionArn"]).count("TaskFailed") == 3
    assert time.monotonic() - began < 5


def test_services_are_called_through_the_sdk_with_names_in_upper_camel_case(cloud: Cloud) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="reads")
    s3.put_object(Bucket="reads", Key="sample/a.txt", Body=b"text")
    listing = {"Arguments": {"Bucket": "reads", "Prefix": "sample/"}, "Output": "{% $states.result.Contents[0].Key %}"}
    assert cloud.output({"List": task("aws-sdk:s3:listObjectsV2", **listing)}) == "sample/a.txt"
    reading = {"Arguments": {"Bucket": "reads", "Key": "sample/a.txt"}, "Output": "{% $states.result.Body %}"}
    assert cloud.output({"Get": task("aws-sdk:s3:getObject", **reading)}) == "text"
    cloud.logs.create_log_stream(logGroupName="/genomics/jobs", logStreamName="stream")
    now = int(time.time() * 1000)
    cloud.logs.put_log_events(
        logGroupName="/genomics/jobs", logStreamName="stream", logEvents=[{"timestamp": now, "message": "line"}]
    )
    logs = {
        "Arguments": {"LogGroupName": "/genomics/jobs", "LogStreamName": "stream", "Limit": 20},
        "Output": "{% $states.result.Events.Message %}",
    }
    assert cloud.output({"Logs": task("aws-sdk:cloudwatchlogs:getLogEvents", **logs)}) == "line"


def test_a_wrong_type_ends_the_execution_and_nothing_catches_it(cloud: Cloud) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Fine"}]
    states = {"T": task("aws-sdk:s3:listObjectsV2", Arguments={"Bucket": 5}, Catch=catch), "Fine": FINE}
    execution = cloud.execute(cloud.machine(states))
    assert execution["error"] == "States.Runtime"
    assert "The value for the field 'Bucket' must be a STRING" in execution["cause"]


def test_an_execution_that_another_starts_is_waited_for_and_stopped_with_it(cloud: Cloud) -> None:
    inner = cloud.machine({"P": passing({"n": "{% $states.input.n + 1 %}"})})
    call = {"Arguments": {"StateMachineArn": inner, "Input": {"n": 1}}}
    assert cloud.output({"Call": task("states:startExecution.sync:2", **call)})["Output"] == {"n": 2}
    failing = cloud.machine({"F": {"Type": "Fail", "Error": "E", "Cause": "c"}})
    failed = cloud.execute(
        cloud.machine({"Call": task("states:startExecution.sync:2", Arguments={"StateMachineArn": failing})})
    )
    assert (failed["error"], json.loads(failed["cause"])["Cause"]) == ("States.TaskFailed", "c")
    waiting = cloud.machine({"W": {"Type": "Wait", "Seconds": 60, "End": True}})
    outer = cloud.machine(
        {"Call": task("states:startExecution.sync:2", Arguments={"StateMachineArn": waiting}, TimeoutSeconds=1)}
    )
    assert cloud.execute(outer)["error"] == "States.Timeout"
    until(lambda: cloud.states.list_executions(stateMachineArn=waiting, statusFilter="ABORTED")["executions"])


def test_a_jsonpath_with_an_index_gives_the_value(cloud: Cloud) -> None:
    state = {
        "Type": "Pass",
        "QueryLanguage": "JSONPath",
        "Parameters": {"first.$": "$.xs[0].a", "all.$": "$.xs[*].a"},
        "End": True,
    }
    assert cloud.output({"P": state}, {"xs": [{"a": 1}]}, QueryLanguage="JSONPath") == {"first": 1, "all": [1]}


def test_a_history_comes_in_pages_and_in_reverse(cloud: Cloud) -> None:
    arn = cloud.execute(cloud.machine({"A": passing(1, Next="B"), "B": passing(2)}))["executionArn"]
    whole = cloud.events(arn)
    pages = cloud.states.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=2)
    assert [event["type"] for page in pages for event in page["events"]] == whole
    backwards = cloud.states.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=1)["events"]
    assert [event["type"] for event in backwards] == ["ExecutionSucceeded"]


def test_a_name_starts_one_execution(cloud: Cloud) -> None:
    machine = cloud.machine({"W": {"Type": "Wait", "Seconds": 60, "End": True}})

    def start(given: str) -> str:
        return str(cloud.states.start_execution(stateMachineArn=machine, name="run", input=given)["executionArn"])

    assert start('{"a":1}') == start('{"a":1}')
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start('{"a":2}')
    cloud.states.stop_execution(executionArn=start('{"a":1}'))
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start('{"a":1}')
    with pytest.raises(ClientError, match="InvalidName"):
        cloud.states.start_execution(stateMachineArn=machine, name="no blanks")


def test_executions_are_listed_the_newest_first_a_page_at_a_time(cloud: Cloud) -> None:
    machine = cloud.machine({"P": passing("{% $states.context.Execution.Name %}")})
    arns = [cloud.execute(machine)["executionArn"] for _ in range(3)]
    pages = cloud.states.get_paginator("list_executions").paginate(stateMachineArn=machine, maxResults=2)
    assert [one["executionArn"] for page in pages for one in page["executions"]] == arns[::-1]


def _client(name: str) -> Any:
    clients: Any = boto3.client  # of a service that nothing else here uses, and whose types are not installed
    return clients(name)


TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": "deployed",
                "RoleArn": ROLE,
                "Definition": {"QueryLanguage": "JSONata", "StartAt": "P", "States": {"P": passing("${Said}")}},
                "DefinitionSubstitutions": {"Said": 'v "1"'},
            },
        }
    },
    "Outputs": {
        "Arn": {"Value": {"Fn::GetAtt": ["Machine", "Arn"]}},
        "Name": {"Value": {"Fn::GetAtt": ["Machine", "Name"]}},
        "Ref": {"Value": {"Ref": "Machine"}},
    },
}


def test_cloudformation_deploys_a_state_machine_that_runs_and_updates_it_in_place(cloud: Cloud) -> None:
    stacks = boto3.client("cloudformation")
    stacks.create_stack(StackName="workflow", TemplateBody=json.dumps(TEMPLATE))
    stacks.get_waiter("stack_create_complete").wait(StackName="workflow", WaiterConfig={"Delay": 1})
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stacks.describe_stacks()["Stacks"][0]["Outputs"]}
    assert outputs["Arn"] == outputs["Ref"]
    assert outputs["Name"] == "deployed"
    assert json.loads(cloud.execute(outputs["Arn"])["output"]) == 'v "1"'
    changed = json.loads(json.dumps(TEMPLATE))
    changed["Resources"]["Machine"]["Properties"]["DefinitionSubstitutions"]["Said"] = 'v "2"'
    stacks.update_stack(StackName="workflow", TemplateBody=json.dumps(changed))
    stacks.get_waiter("stack_update_complete").wait(StackName="workflow", WaiterConfig={"Delay": 1})
    assert json.loads(cloud.execute(outputs["Arn"])["output"]) == 'v "2"'
    assert "${" not in cloud.states.describe_state_machine(stateMachineArn=outputs["Arn"])["definition"]
    stacks.delete_stack(StackName="workflow")
    stacks.get_waiter("stack_delete_complete").wait(StackName="workflow", WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        cloud.states.describe_state_machine(stateMachineArn=outputs["Arn"])


def test_a_topic_hears_of_an_execution_that_failed(cloud: Cloud) -> None:
    sns, sqs, events = boto3.client("sns"), _client("sqs"), boto3.client("events")
    topic = sns.create_topic(Name="runs")["TopicArn"]
    queue = sqs.create_queue(QueueName="mail")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    machine = cloud.machine({"F": {"Type": "Fail", "Error": "E", "Cause": "c"}})
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED"], "stateMachineArn": [machine]},
    }
    events.put_rule(Name="failed", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="failed", Targets=[{"Id": "topic", "Arn": topic}])
    arn = cloud.execute(machine)["executionArn"]
    (message,) = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    event = json.loads(json.loads(message["Body"])["Message"])
    assert (event["detail"]["executionArn"], event["detail"]["status"], event["detail"]["cause"]) == (
        arn,
        "FAILED",
        "c",
    )
    again = sqs.receive_message(QueueUrl=queue).get("Messages")
    assert again is None, (again, event)


EVENT = {"detail": {"name": "run", "cause": 'said "no"', "n": 1}, "time": 0, "ingestion-time": 0}
PATHS = {"name": "$.detail.name", "cause": "$.detail.cause", "n": "$.detail.n"}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, '{"detail": {"name": "run", "cause": "said \\"no\\"", "n": 1}, "time": "1970-01-01T00:00:00Z"}'),
        ({"Input": "text"}, "text"),
        ({"InputPath": "$.detail.n"}, "1"),
        ({"InputTransformer": {"InputPathsMap": PATHS, "InputTemplate": '"<name> <n>: <cause>"'}}, 'run 1: said "no"'),
        ({"InputTransformer": {"InputPathsMap": PATHS, "InputTemplate": '{"c": <cause>}'}}, '{"c": "said \\"no\\""}'),
        ({"InputTransformer": {"InputPathsMap": PATHS, "InputTemplate": '{"c": "<cause>"}'}}, '{"c": "said \\"no\\""}'),
    ],
)
def test_a_target_shapes_what_it_is_sent(target: dict[str, Any], message: str) -> None:
    assert shaped(target, EVENT) == message


def test_a_definition_that_is_wrong_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="InvalidDefinition"):
        cloud.states.create_state_machine(name="wrong", roleArn=ROLE, definition='{"StartAt": "A"}')
