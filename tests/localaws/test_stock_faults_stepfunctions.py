"""What stock moto's Step Functions does not do as the service: when one of these fails, its stand-in can go."""

from typing import Any

import pytest
from support.stock import answers

QUESTIONS = """
import time
from botocore.exceptions import ClientError
from moto.events.models import Rule
from moto.stepfunctions.responses import StepFunctionResponse
from moto.stepfunctions.parser import models as interpreter
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_batch as batch
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback as tokens
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk as sdk
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sfn as nested
from moto.stepfunctions.parser.asl.component.state.fail.state_fail import StateFail
from moto.stepfunctions.parser.asl.jsonata import jsonata
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.asl.utils.json_path import extract_json


def fails(do):
    try:
        do()
    except Exception as error:
        return type(error).__name__
    return None


parameters = {"JobName": "job"}
batch.StateTaskServiceBatch()._normalise_parameters(parameters)
answers["parameters"] = parameters
answers["jsonata"] = fails(lambda: jsonata.eval_jsonata_expression("1"))
answers["escaped"] = jsonata.encode_jsonata_variable_declarations({"$a": '"'})
answers["index"] = extract_json("$.xs[0].a", {"xs": [{"a": 1}]})
answers["reserved"] = fails(lambda: CustomErrorName("States.TaskFailed"))
failing = inspect.getsource(inspect.getmodule(StateFail))
answers["fails"] = "CustomErrorName(error_value)" in failing
missing = ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject")
answers["missing"] = sdk.StateTaskServiceAwsSdk._normalise_exception_name("S3", missing)
answers["throttled"] = 'StepFunctions.{error_code}Exception' in inspect.getsource(nested)
answers["refused"] = 'Batch.{error_code}' in inspect.getsource(batch)
answers["runtime"] = "States.Runtime" in inspect.getsource(ErrorEqualsDecl)
answers["history"] = "reverseOrder" in inspect.getsource(StepFunctionResponse.get_execution_history)
answers["map_run"] = "mapRunArn" in inspect.getsource(StepFunctionResponse.list_executions)
answers["cause"] = "cause" in inspect.getsource(StepFunctionResponse.stop_execution)
answers["topic"] = "sns" in inspect.getsource(Rule.send_to_targets)
answers["announced"] = "put_events" in inspect.getsource(inspect.getmodule(Execution))
answers["token"] = "update_task_token" in inspect.getsource(tokens.StateTaskServiceCallback._eval_integration_pattern)
answers["terminates"] = "terminate_job" in inspect.getsource(batch)
answers["sleeps"] = "time.sleep(interval_seconds)" in inspect.getsource(RetrierDecl)
answers["nests"] = "self._eval_pool(job=next_job" in inspect.getsource(IterationWorker._eval_pool)
answers["cached"] = hasattr(boto_client_for, "cache_info")

role = "arn:aws:iam::123456789012:role/r"
backend = interpreter.StepFunctionsParserBackend("us-east-1", "123456789012")
config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
item = {"StartAt": "F", "States": {"F": {"Type": "Fail"}}, "ProcessorConfig": config}
state = {"Type": "Map", "ItemsPath": "$.xs", "ItemProcessor": item, "End": True}
definition = {"StartAt": "M", "States": {"M": state}}
machine = backend.create_state_machine("m", json.dumps(definition), role)
execution = backend.start_execution(machine.arn, "e", json.dumps({"xs": [1, 2]}))
answers["start"] = type(execution.get_start_execution_details().start_time).__name__
while execution.status == "RUNNING":
    time.sleep(0.01)
answers["failures"] = [execution.status, execution.output]
state["ToleratedFailurePercentage"] = 5
answers["percentage"] = fails(lambda: backend.create_state_machine("n", json.dumps(definition), role))
"""


@pytest.fixture(scope="module")
def stock() -> dict[str, Any]:
    return answers(QUESTIONS)


def test_arguments_are_sent_in_the_names_of_states(stock: dict[str, Any]) -> None:
    assert stock["parameters"] == {"JobName": "job"}


def test_jsonata_has_no_evaluator_and_texts_are_not_escaped(stock: dict[str, Any]) -> None:
    assert stock["jsonata"] == "TypeError"
    assert stock["escaped"] == '$a:=""";'


def test_a_jsonpath_with_an_index_gives_a_list(stock: dict[str, Any]) -> None:
    assert stock["index"] == [1]


def test_a_reserved_error_cannot_leave_a_branch(stock: dict[str, Any]) -> None:
    assert stock["reserved"] == "ValueError"


def test_a_fail_state_cannot_hand_on_a_reserved_error(stock: dict[str, Any]) -> None:
    assert stock["fails"]


def test_an_object_that_is_missing_has_the_name_of_all_errors_of_s3(stock: dict[str, Any]) -> None:
    assert stock["missing"] == "S3.S3Exception"


def test_throttled_calls_have_names_that_the_service_does_not_give(stock: dict[str, Any]) -> None:
    assert stock["throttled"]
    assert stock["refused"]


def test_states_all_catches_what_always_ends_an_execution(stock: dict[str, Any]) -> None:
    assert not stock["runtime"]


def test_histories_have_no_reverse_maps_no_executions_and_stops_no_cause(stock: dict[str, Any]) -> None:
    assert not stock["history"]
    assert not stock["map_run"]
    assert not stock["cause"]


def test_the_end_of_an_execution_is_not_announced_and_no_rule_reaches_a_topic(stock: dict[str, Any]) -> None:
    assert not stock["announced"]
    assert not stock["topic"]


def test_a_retried_task_keeps_its_dead_token_and_a_stopped_one_its_job(stock: dict[str, Any]) -> None:
    assert not stock["token"]
    assert not stock["terminates"]


def test_a_retry_is_slept_through_and_items_nest_calls(stock: dict[str, Any]) -> None:
    assert stock["sleeps"]
    assert stock["nests"]


def test_each_call_makes_a_client(stock: dict[str, Any]) -> None:
    assert not stock["cached"]


def test_failed_items_of_a_distributed_map_are_empty_results(stock: dict[str, Any]) -> None:
    assert stock["failures"] == ["SUCCEEDED", [None, None]]


def test_the_start_of_an_execution_is_no_text(stock: dict[str, Any]) -> None:
    assert stock["start"] == "datetime"


def test_a_whole_number_of_percent_cannot_be_read(stock: dict[str, Any]) -> None:
    assert stock["percentage"] is not None
