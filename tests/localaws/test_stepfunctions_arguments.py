"""Arguments of service integrations, and answers."""

import datetime as dt
import io
from typing import Any

import pytest
from botocore.response import StreamingBody

from toolchain.localaws.stepfunctions.arguments import BadArgumentError, from_service, operation, to_service


def model(service: str, action: str) -> Any:
    return operation(service, action)


def test_every_field_of_a_job_is_named_as_batch_names_it() -> None:
    arguments = {
        "JobName": "job",
        "ContainerOverrides": {"Environment": [{"Name": "A", "Value": "1"}], "Command": ["sh"]},
        "Parameters": {"Sample": "S1"},
        "Timeout": {"AttemptDurationSeconds": 60},
        "RetryStrategy": {"Attempts": 1, "EvaluateOnExit": [{"OnExitCode": "1", "Action": "EXIT"}]},
        "Tags": {"Key": "v"},
    }
    assert to_service(arguments, model("batch", "submitJob")) == {
        "jobName": "job",
        "containerOverrides": {"environment": [{"name": "A", "value": "1"}], "command": ["sh"]},
        "parameters": {"Sample": "S1"},
        "timeout": {"attemptDurationSeconds": 60},
        "retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]},
        "tags": {"Key": "v"},
    }


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"Parameters": {"shards": 4}}, "field 'shards' must be a STRING"),
        ({"JobName": 1}, "field 'JobName' must be a STRING"),
        ({"Timeout": {"AttemptDurationSeconds": "60"}}, "must be a NUMBER"),
        ({"DependsOn": {}}, "must be a LIST"),
        ({"Parameters": []}, "must be a OBJECT"),
        ({"PropagateTags": "yes"}, "must be a BOOLEAN"),
        ({"Jobname_": "x"}, "'Jobname_' is not supported"),
    ],
)
def test_a_wrong_type_is_refused_as_the_service_refuses_it(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(BadArgumentError, match=why):
        to_service(arguments, model("batch", "submitJob"))


def test_a_message_that_is_no_text_is_written_as_json() -> None:
    arguments = {"TopicArn": "arn", "Message": {"a": 1}}
    assert to_service(arguments, model("sns", "publish"))["Message"] == '{"a":1}'


@pytest.mark.parametrize(
    ("service", "action", "name"),
    [
        ("s3", "listObjectsV2", "ListObjectsV2"),
        ("cloudwatchlogs", "getLogEvents", "GetLogEvents"),
        ("fsx", "describeDataRepositoryTasks", "DescribeDataRepositoryTasks"),
        ("sfn", "startExecution", "StartExecution"),
        ("states", "startExecution", "StartExecution"),
    ],
)
def test_operations_are_found_by_the_names_that_states_call_them(service: str, action: str, name: str) -> None:
    assert model(service, action).name == name


def test_an_answer_has_names_in_upper_camel_case_and_times_as_text() -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    answer = {"Contents": [{"Key": "k", "ETag": "e", "LastModified": moment}], "ResponseMetadata": {"x": 1}}
    assert from_service(answer, model("s3", "listObjectsV2")) == {
        "Contents": [{"Key": "k", "ETag": "e", "LastModified": "2026-01-02T03:04:05.000Z"}]
    }
    jobs = {"jobs": [{"jobId": "1", "parameters": {"lower": "v"}, "container": {"exitCode": 3}}]}
    assert from_service(jobs, model("batch", "describeJobs")) == {
        "Jobs": [{"JobId": "1", "Parameters": {"lower": "v"}, "Container": {"ExitCode": 3}}]
    }
    body = {"Body": StreamingBody(io.BytesIO(b"text"), 4)}
    assert from_service(body, model("s3", "getObject")) == {"Body": "text"}
