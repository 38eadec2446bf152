"""JSONata as Step Functions has it, and the arguments and answers of service integrations."""

import datetime as dt
import io
from typing import Any

import pytest
from botocore.response import StreamingBody

from toolchain.localaws.stepfunctions.arguments import BadArgumentError, from_service, operation, to_service
from toolchain.localaws.stepfunctions.expressions import QueryError, evaluate

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$x.a & '!'", 'q"\\\n\u00e9!'),
        ("$x", {"a": 'q"\\\n\u00e9', "n": None, "l": [1, 2]}),
        ("$x.n", None),
        ("$nothing", None),
        ("{'n': $nothing, 'x': $x.n}", {"n": None, "x": None}),
        ("4 / 2", 2),
        ("$x.l[$ > 1]", 2),
        ("$x.l[0]", 1),
        ("[$x.l[0]]", [1]),
        ("$map($x.l, function($v) { $v * 2 })", [2, 4]),
        ("$parse('{\"a\": [1, null]}')", {"a": [1, None]}),
        ("$partition([1..5], 2)", [[1, 2], [3, 4], [5]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$hash('x', 'SHA-256')", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("$length($uuid())", 36),
        ("$random(7) = $random(7)", True),
        ("$toMillis('2026-01-02T03:04:05Z')", 1767323045000),
        ("$moment", "2026-01-02T03:04:05.000Z"),
        ("/* a comment */ 1", 1),
    ],
)
def test_an_expression_gives_its_value(expression: str, value: Any) -> None:
    bindings = {"x": {"a": 'q"\\\n\u00e9', "n": None, "l": [1, 2]}, "nothing": None, "moment": MOMENT}
    assert evaluate(expression, bindings) == value


def test_a_result_shares_nothing_with_what_was_bound() -> None:
    bound = {"l": [1]}
    evaluate("$x", {"x": bound})["l"].append(2)
    assert bound == {"l": [1]}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("$x.zz", r"returned nothing \(undefined\)"),
        ("$x + 'a'", "threw an error"),
        ("((", "threw an error"),
        ("$unknown()", "threw an error"),
        ("$eval('1')", "not supported"),
        ("$hash('x', 'CRC')", "no CRC"),
        ("$parse('{')", "threw an error"),
        ("function($v) { $v }", "unsupported result type"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_says_why(expression: str, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        evaluate(expression, {"x": {}})


@pytest.mark.parametrize(
    ("service", "action", "arguments", "sent"),
    [
        (
            "batch",
            "submitJob",
            {
                "JobName": "job",
                "ContainerOverrides": {"Environment": [{"Name": "A", "Value": "1"}], "Command": ["sh"]},
                "Parameters": {"Sample": "S1"},
                "Timeout": {"AttemptDurationSeconds": 60},
                "PropagateTags": True,
            },
            {
                "jobName": "job",
                "containerOverrides": {"environment": [{"name": "A", "value": "1"}], "command": ["sh"]},
                "parameters": {"Sample": "S1"},
                "timeout": {"attemptDurationSeconds": 60},
                "propagateTags": True,
            },
        ),
        ("sns", "publish", {"Message": {"a": 1}}, {"Message": '{"a":1}'}),
        ("states", "startExecution", {"Input": {"a": 1}}, {"input": '{"a":1}'}),
        ("s3", "putObject", {"Body": {"a": 1}}, {"Body": b'{"a":1}'}),
        ("s3", "putObject", {"Body": "text"}, {"Body": b"text"}),
        ("fsx", "describeDataRepositoryTasks", {"TaskIds": ["t"]}, {"TaskIds": ["t"]}),
        ("sts", "getCallerIdentity", {}, {}),
    ],
)
def test_arguments_are_named_as_the_service_names_them(service: str, action: str, arguments: Any, sent: Any) -> None:
    model: Any = operation(service, action)
    assert to_service(arguments, model) == sent


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"Parameters": {"shards": 4}}, "field 'shards' must be a STRING"),
        ({"JobName": 1}, "field 'JobName' must be a STRING"),
        ({"Timeout": {"AttemptDurationSeconds": "60"}}, "must be a NUMBER"),
        ({"Timeout": {"AttemptDurationSeconds": True}}, "must be a NUMBER"),
        ({"DependsOn": {}}, "must be a LIST"),
        ({"Parameters": []}, "must be a OBJECT"),
        ({"PropagateTags": "yes"}, "must be a BOOLEAN"),
        ({"Jobname_": "x"}, "'Jobname_' is not supported"),
    ],
)
def test_a_wrong_type_is_refused_as_the_service_refuses_it(arguments: dict[str, Any], why: str) -> None:
    model: Any = operation("batch", "submitJob")
    with pytest.raises(BadArgumentError, match=why):
        to_service(arguments, model)


def test_a_service_or_an_operation_that_does_not_exist_has_no_model() -> None:
    assert (operation("nowhere", "go"), operation("s3", "go")) == (None, None)


@pytest.mark.parametrize(
    ("service", "action", "answer", "seen"),
    [
        (
            "s3",
            "listObjectsV2",
            {"Contents": [{"Key": "k", "ETag": "e", "LastModified": MOMENT}], "ResponseMetadata": {"x": 1}},
            {"Contents": [{"Key": "k", "ETag": "e", "LastModified": "2026-01-02T03:04:05.000Z"}]},
        ),
        (
            "batch",
            "describeJobs",
            {"jobs": [{"jobId": "1", "parameters": {"lower": "v"}, "container": {"exitCode": 3}}]},
            {"Jobs": [{"JobId": "1", "Parameters": {"lower": "v"}, "Container": {"ExitCode": 3}}]},
        ),
        ("s3", "getObject", {"Body": StreamingBody(io.BytesIO(b"text"), 4)}, {"Body": "text"}),
        ("kms", "encrypt", {"CiphertextBlob": b"x"}, {"CiphertextBlob": "x"}),
    ],
)
def test_an_answer_has_names_in_upper_camel_case_and_values_of_json(
    service: str, action: str, answer: Any, seen: Any
) -> None:
    model: Any = operation(service, action)
    assert from_service(answer, model.output_shape) == seen
