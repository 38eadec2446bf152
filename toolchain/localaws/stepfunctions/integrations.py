"""Service integrations: tasks that call AWS, wait for a job or an execution, and end it when the state ends first."""

import functools
import threading
import time
from http import HTTPStatus
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from moto.batch.models import batch_backends
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_batch,
    state_task_service_sfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from toolchain.localaws.access import Access
from toolchain.localaws.moto_patch import replace
from toolchain.localaws.stepfunctions.arguments import SERVICES, from_service, operation, to_service
from toolchain.localaws.stepfunctions.backend import LocalStepFunctionsBackend
from toolchain.localaws.stepfunctions.states import StateEndedError

_POLL_SECONDS: Final = 0.02
_REASON: Final = "the Step Functions task that waited for this was stopped or timed out"
_client_lock = threading.Lock()
_Sdk: Final = state_task_service_aws_sdk.StateTaskServiceAwsSdk
_Batch: Final = state_task_service_batch.StateTaskServiceBatch
_StepFunctions: Final = state_task_service_sfn.StateTaskServiceSfn


# ---- calls ----------------------------------------------------------------------------------------------------------


def client(region: str, service: str, state_credentials: Any = None) -> Any:  # noqa: ARG001  # moto's own signature
    """A client of this embedded AWS."""
    with _client_lock:
        return _client(LocalStepFunctionsBackend.access, region, service)


@functools.cache
def _client(access: Access, region: str, service: str) -> Any:
    config = {"parameter_validation": False, "max_pool_connections": 50, "read_timeout": 3600}
    return access.client(service, region, retries={"total_max_attempts": 1}, **config)


for module in (state_task_service_aws_sdk, state_task_service_batch, state_task_service_sfn):
    replace(module, "boto_client_for", client)


def _to_service(
    self: Any,
    parameters: dict[str, Any],
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    """Names and checks a task's arguments in place, as its service's model has them."""
    model = operation(boto_service_name or self.resource.api_name, service_action_name or self.resource.api_action)
    if model is not None:
        arguments = to_service(parameters, model)
        parameters.clear()
        parameters.update(arguments)


def _from_service(
    self: Any, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    """Names a response's fields in place as states see them."""
    model = operation(boto_service_name or self.resource.api_name, service_action_name or self.resource.api_action)
    if model is not None and model.output_shape is not None:
        from_service(response, model.output_shape)


StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES.update(SERVICES)
# moto drops what it does not list. AWS takes these two: https://github.com/ASFHyP3/hyp3/pull/790
state_task_service_batch._SUPPORTED_API_PARAM_BINDINGS["submitjob"] |= {"ShareIdentifier", "SchedulingPriorityOverride"}
# As in Ssm.ParameterNotFoundException; moto knows the errors of a few services.
state_task_service_aws_sdk._SERVICE_ERROR_NAMES["ssm"] = "Ssm"  # and there is no other way to it
replace(StateTaskService, "_normalise_parameters", _to_service)
replace(StateTaskService, "_normalise_response", _from_service)


# ---- waiting --------------------------------------------------------------------------------------------------------


def _wait(self: Any, *, env: Any, resource_runtime_part: Any, **context: Any) -> None:
    """Waits for a job or an execution and ends it with the state; moto polls twice a second and leaves it running."""
    resolver = self._build_sync2_resolver if self.resource.condition == "sync:2" else self._build_sync_resolver
    started, region = env.stack[-1], resource_runtime_part.region
    resolve = resolver(env=env, resource_runtime_part=resource_runtime_part, **context)
    account = env.aws_execution_details.account
    if isinstance(self, _Batch):
        batch: Any = batch_backends[account][region]
        waited_for = batch.job(started["JobId"])
    else:
        waited_for = stepfunctions_parser_backends[account][region].describe_execution(started["ExecutionArn"])
    while env.is_running():
        if waited_for.status in {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}:
            env.stack.append(resolve())
            return
        time.sleep(_POLL_SECONDS)
    if isinstance(self, _Batch):
        client(region, "batch").terminate_job(jobId=started["JobId"], reason=_REASON)
    else:
        client(region, "stepfunctions").stop_execution(executionArn=started["ExecutionArn"], cause=_REASON)
    raise StateEndedError


def _wait_or_token(self: Any, **context: Any) -> None:
    if self.resource.condition == ResourceCondition.WaitForTaskToken:
        _stock_pattern(self, **context)
    else:
        _wait(self, **context)


replace(_Batch, "_eval_integration_pattern", _wait)
_stock_pattern = replace(_StepFunctions, "_eval_integration_pattern", _wait_or_token)


# ---- errors ---------------------------------------------------------------------------------------------------------


def _batch_error(self: Any, env: Any, ex: Exception) -> Any:
    """Batch names two errors; Step Functions calls all others Batch.AWSBatchException."""
    error, _ = _response_of(ex)
    if error and error["Code"] not in {"ClientException", "ServerException"}:
        error["Code"] = "AWSBatchException"
    return _stock_batch_error(self, env, ex)


def _execution_error(self: Any, env: Any, ex: Exception) -> Any:
    """Errors that the operation's model does not name, such as throttling, share one name; moto adds its ending."""
    error, _ = _response_of(ex)
    model = operation("stepfunctions", self.resource.api_action)
    if error and model is not None:
        is_named = error["Code"] in {shape.name for shape in model.error_shapes}
        error["Code"] = error["Code"].removesuffix("Exception") if is_named else "AWSStepFunctions"
    return _stock_execution_error(self, env, ex)


def _sdk_error(self: Any, env: Any, ex: Exception) -> Any:
    _, metadata = _response_of(ex)
    if self.resource.api_action == "headObject" and metadata.get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
        # A response to HEAD has no body that could name the error: Step Functions' SDK goes by its status.
        return self._get_task_failure_event(
            env=env, error="S3.NoSuchKeyException", cause="Not Found (Service: S3, Status Code: 404)"
        )
    if isinstance(ex, BotoCoreError):
        service = self._normalise_service_error_name(self.resource.api_name)
        return self._get_task_failure_event(env=env, error=f"{service}.SdkClientException", cause=str(ex))
    return _stock_sdk_error(self, env, ex)


def _response_of(error: Exception) -> tuple[dict[str, Any], dict[str, Any]]:
    """The error and the metadata of a response that is one; moto takes for granted that it has a request's id."""
    response: dict[str, Any] = getattr(error, "response", {})
    metadata = response.get("ResponseMetadata", {})
    metadata.setdefault("RequestId", "")
    return response.get("Error", {}), metadata


_stock_batch_error = replace(_Batch, "_from_error", _batch_error)
_stock_execution_error = replace(_StepFunctions, "_from_error", _execution_error)
_stock_sdk_error = replace(_Sdk, "_from_error", _sdk_error)
state_task_service_aws_sdk._SERVICE_ERROR_NAMES.update(
    batch="Batch", cloudwatchlogs="CloudWatchLogs", ecr="Ecr", fsx="FSx", s3="S3", sns="Sns"
)
