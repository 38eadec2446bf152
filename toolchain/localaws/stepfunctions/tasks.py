"""Tasks that wait for what they started, and end it when nobody waits for it any more."""

import copy
import functools
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from toolchain.localaws.access import Access
from toolchain.localaws.stepfunctions.arguments import BadArgumentError, from_service, operation
from toolchain.localaws.stepfunctions.failures import failure

_LOOK_SECONDS: Final = 0.05
_ENDED: Final = "the Step Functions task that waited for this was stopped or timed out"
_clients_guard = threading.Lock()
# moto's tasks are made by moto, and none of them can be handed this.
_used: list[Access] = []


def use(access: Access) -> None:
    """Says which AWS tasks call from now on."""
    _used[:] = [access]


def client(region: str, service: str, state_credentials: Any = None) -> Any:  # noqa: ARG001  # moto's own signature
    """A client of this very AWS; one for each service, since making one takes time and no two threads at once."""
    with _clients_guard:
        return _client(region, service, _used[0])


@functools.cache
def _client(region: str, service: str, access: Access) -> Any:
    return access.client(
        service,
        region,
        parameter_validation=False,
        retries={"total_max_attempts": 1},
        max_pool_connections=50,
        read_timeout=3600,
    )


def _sync_batch(self: Any, env: Any, region: str, started: dict[str, Any]) -> "Waiting":  # noqa: ARG001  # moto's task and environment
    from moto.batch.models import batch_backends

    job_id = started["JobId"]
    ended = threading.Event()
    batch: Any = batch_backends[env.aws_execution_details.account][region]
    batch.job(job_id).when_ended(lambda _: ended.set())
    return Waiting(
        ended=ended.wait,
        end=lambda: client(region, "batch").terminate_job(jobId=job_id, reason=_ENDED),
    )


def _job_resolver(self: Any, env: Any, resource_runtime_part: Any, **_: Any) -> Any:
    job_id = env.stack.pop()["JobId"]

    def resolve() -> Any:
        described = client(resource_runtime_part.region, "batch").describe_jobs(jobs=[job_id])
        model: Any = operation("batch", "describeJobs")
        job = from_service(described, model)["Jobs"][0]
        if job["Status"] == "SUCCEEDED":
            return job
        raise failure(
            env,
            name="States.TaskFailed",
            kind="TaskFailed",
            cause=json.dumps(job, separators=(",", ":")),
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
        )

    return resolve


def _sync_execution(self: Any, env: Any, region: str, started: dict[str, Any]) -> "Waiting":  # noqa: ARG001  # moto's task and environment
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    arn = started["ExecutionArn"]
    backend: Any = stepfunctions_parser_backends[env.aws_execution_details.account][region]
    execution = backend.describe_execution(arn)

    def ended(seconds: float) -> bool:
        if execution.status == "RUNNING":
            # One that is stopped says so by its status at once, and by the event when its thread comes to its end.
            _over(execution).wait(seconds)
        return bool(execution.status != "RUNNING")

    return Waiting(
        ended=ended, end=lambda: client(region, "stepfunctions").stop_execution(executionArn=arn, cause=_ENDED)
    )


def _over(execution: Any) -> threading.Event:
    """What is set when an execution has ended, whoever asks for it first."""
    event: threading.Event = vars(execution).setdefault("local_over", threading.Event())
    return event


def _terminated(stock: Any) -> Any:
    """Tells those who wait for an execution."""

    def terminated(self: Any) -> None:
        stock(self)
        _over(self.execution).set()

    return terminated


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something that was started: how to wait for it, and how to end it.

    Attributes:
        ended: Waits for so many seconds at most, and says whether it has ended.
        end: Ends it.
    """

    ended: Callable[[float], bool]
    end: Callable[[], object]


def _eval_integration_pattern(
    self: Any,
    *,
    env: Any,
    resource_runtime_part: Any,
    normalised_parameters: dict[str, Any],
    state_credentials: Any,
) -> None:
    """Waits for a job or an execution; moto's own way holds on to a token that a retry finds dead."""
    resolver = self._build_sync2_resolver if self.resource.condition == "sync:2" else self._build_sync_resolver
    started = env.stack[-1]
    resolve = resolver(
        env=env,
        resource_runtime_part=resource_runtime_part,
        normalised_parameters=normalised_parameters,
        state_credentials=state_credentials,
    )
    waiting = self._local_waiting(env, resource_runtime_part.region, started)
    while env.is_running():
        if waiting.ended(_LOOK_SECONDS):
            env.stack.append(resolve())
            return
    waiting.end()
    raise NobodyWaitsError


class NobodyWaitsError(Exception):
    """The state that waited for a task was ended; nobody sees this."""


def _evaluate_with_timeout(self: Any, env: Any) -> None:
    """As moto's, but that what ends a state is told apart: its own error, its timeout, the end of the whole."""
    from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError

    self.timeout.eval(env=env)
    seconds = env.stack.pop()
    frame = env.open_frame()
    frame.states.reset(input_value=env.states.get_input())
    frame.stack = copy.deepcopy(env.stack)
    failed: list[Exception] = []
    over = threading.Event()

    def run() -> None:
        try:
            self._eval_execution(frame)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the state's failure
            failed.append(error)
        over.set()

    threading.Thread(target=run, daemon=True).start()
    in_time = over.wait(seconds)
    running = env.is_running()
    frame.set_ended()
    env.close_frame(frame)
    if not running:  # what goes on now is the end of all, which nothing may catch
        return
    if not in_time:
        raise EvalTimeoutError
    if failed:
        raise failed[0]
    output = frame.stack.pop()
    env.stack.append(output)
    if not self._is_language_query_jsonpath():
        env.states.set_result(output)
    if self.assign_decl:
        self.assign_decl.eval(env=env)
    if self.result_selector:
        self.result_selector.eval(env=env)
    if self.result_path:
        self.result_path.eval(env)
    else:
        env.states.reset(input_value=env.stack.pop())


def _wait(env: Any, seconds: float) -> None:
    """Waits, unless the execution ends."""
    until = time.monotonic() + seconds
    while env.is_running() and (left := until - time.monotonic()) > 0:
        env.program_state_event.wait(min(left, _LOOK_SECONDS * 10))


def _retry(self: Any, env: Any) -> None:
    """As moto's, but that a stopped execution does not wait for its next try."""
    from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsOutcome
    from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome

    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop() == MaxAttemptsOutcome.EXHAUSTED:
        env.stack.append(RetrierOutcome.Failed)
        return
    for part in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        part.eval(env=env)
    _wait(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


def _error_equals(stock: Any) -> Any:
    """States.ALL does not catch what always ends an execution."""

    def _eval_body(self: Any, env: Any) -> None:
        name = env.stack[-1].error_name if env.stack[-1] else None
        if name in {"States.Runtime", "States.DataLimitExceeded"}:
            env.stack.pop()
            env.stack.append(any(one.error_name == name for one in self.error_names))
            return
        stock(self, env)

    return _eval_body


def _batch_error(stock: Any) -> Any:
    def _from_error(self: Any, env: Any, ex: Exception) -> Any:
        _with_request_id(ex)
        error = getattr(ex, "response", {}).get("Error", {})
        if error and error.get("Code", "") not in {"ClientException", "ServerException"}:
            error["Code"] = "AWSBatchException"
        return stock(self, env, ex)

    return _from_error


def _execution_error(stock: Any) -> Any:
    """Errors that the operation's model does not name, such as throttling, have one name; all end in Exception."""

    def _from_error(self: Any, env: Any, ex: Exception) -> Any:
        _with_request_id(ex)
        error = getattr(ex, "response", {}).get("Error", {})
        model = operation("stepfunctions", self.resource.api_action)
        if error and model is not None:
            known = {shape.name for shape in model.error_shapes}
            code = str(error.get("Code"))
            # moto adds the ending.
            error["Code"] = code.removesuffix("Exception") if code in known else "AWSStepFunctions"
        return stock(self, env, ex)

    return _from_error


def _sdk_error(stock: Any) -> Any:
    def _from_error(self: Any, env: Any, ex: Exception) -> Any:
        from botocore.exceptions import BotoCoreError

        _with_request_id(ex)
        if self.resource.api_action == "headObject" and _status(ex) == HTTPStatus.NOT_FOUND:
            # An answer to HEAD has no body that could name the error: Step Functions' SDK goes by its status.
            return self._get_task_failure_event(
                env=env, error="S3.NoSuchKeyException", cause="Not Found (Service: S3, Status Code: 404)"
            )
        if isinstance(ex, BotoCoreError):
            service = self._normalise_service_error_name(self.resource.api_name)
            return self._get_task_failure_event(env=env, error=f"{service}.SdkClientException", cause=str(ex))
        return stock(self, env, ex)

    return _from_error


def _status(error: Exception) -> int:
    return int(getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _with_request_id(error: Exception) -> None:
    metadata = getattr(error, "response", {}).get("ResponseMetadata")
    if metadata is not None:
        metadata.setdefault("RequestId", str(uuid.uuid4()))


def _runtime_error(stock: Any) -> Any:
    """Arguments that Step Functions refuses, in its words."""

    def _from_error(self: Any, env: Any, ex: Exception) -> Any:
        if isinstance(ex, BadArgumentError):
            ex = ValueError(f"The Arguments could not be used to start the Task: [{ex}]")
        return stock(self, env, ex)

    return _from_error


def _start_details(stock: Any) -> Any:
    """When an execution started, as text, which is all that JSON has for it."""

    def get_start_execution_details(self: Any) -> Any:
        details = stock(self)
        details.start_time = details.start_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return details

    return get_start_execution_details


@functools.cache  # what wraps moto's own must not wrap itself
def install() -> None:
    """Gives moto's states these."""
    import importlib
    import sys

    from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
    from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
    from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
    from moto.stepfunctions.parser.asl.utils import boto_client
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

    services = "moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service"
    batch: Any = importlib.import_module(f"{services}_batch").StateTaskServiceBatch
    nested: Any = importlib.import_module(f"{services}_sfn").StateTaskServiceSfn
    sdk: Any = importlib.import_module(f"{services}_aws_sdk")
    importlib.import_module(f"{services}_sns")
    batch._local_waiting, nested._local_waiting = _sync_batch, _sync_execution
    for task in (batch, nested):
        stock = task._eval_integration_pattern
        task._eval_integration_pattern = _synchronous(stock)
    batch._build_sync_resolver = _job_resolver
    batch._from_error = _batch_error(batch._from_error)
    nested._from_error = _execution_error(nested._from_error)
    sdk.StateTaskServiceAwsSdk._from_error = _sdk_error(sdk.StateTaskServiceAwsSdk._from_error)
    sdk._SERVICE_ERROR_NAMES.update(
        batch="Batch", cloudwatchlogs="CloudWatchLogs", ecr="Ecr", fsx="FSx", s3="S3", sns="Sns"
    )
    state: Any = ExecutionState
    state._from_error = _runtime_error(state._from_error)
    state._evaluate_with_timeout = _evaluate_with_timeout
    retrier: Any = RetrierDecl
    retrier._eval_body = _retry
    equals: Any = ErrorEqualsDecl
    equals._eval_body = _error_equals(equals._eval_body)
    ending: Any = BaseExecutionWorkerCommunication
    ending.terminated = _terminated(ending.terminated)
    execution: Any = Execution
    execution.get_start_execution_details = _start_details(execution.get_start_execution_details)
    stock_client = boto_client.boto_client_for
    for module in list(sys.modules.values()):
        if getattr(module, "boto_client_for", None) is stock_client:
            module.boto_client_for = client  # type: ignore[attr-defined]  # it has it: it was just found there


def _synchronous(stock: Any) -> Any:
    def evaluate(self: Any, **given: Any) -> None:
        from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition

        if self.resource.condition == ResourceCondition.WaitForTaskToken:
            stock(self, **given)
        else:
            _eval_integration_pattern(self, **given)

    return evaluate
