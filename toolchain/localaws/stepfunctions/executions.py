"""Executions: those of a distributed map, how all are stopped, and the events that EventBridge gets of them."""

import contextlib
import copy
import datetime as dt
import json
import time
import uuid
from types import SimpleNamespace
from typing import Any, Final

from moto.events.models import Rule, events_backends
from moto.events.utils import EventTemplateParser
from moto.sns.models import sns_backends
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.utilities.arns import parse_arn

from toolchain.localaws.moto_patch import replace

_START_SECONDS: Final = 10


class ChildExecution(Execution):
    """An execution that a distributed map started for one item.

    Args:
        env: The map's environment.
        map_run: moto's record of the map run.
        program: The item processor.
        item_input: What its first state gets.
    """

    def __init__(self, env: Any, map_run: Any, program: Any, item_input: Any) -> None:
        machine_arn, name = map_run.map_state_machine_arn, str(uuid.uuid4())
        machine: Any = SimpleNamespace(
            arn=machine_arn,
            name=machine_arn.partition(":stateMachine:")[2],
            sm_type=env.execution_type,
            definition="",
        )
        super().__init__(
            name=name,
            sm_type=env.execution_type,
            role_arn=env.aws_execution_details.role_arn,
            exec_arn=f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}",
            account_id=env.aws_execution_details.account,
            region_name=env.aws_execution_details.region,
            state_machine=machine,
            start_date=dt.datetime.now(tz=dt.UTC),
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=to_json_str(item_input, separators=(",", ":")),
        )
        self.map_run_arn = map_run.map_run_arn
        self._program = program

    def _get_start_execution_worker(self) -> Any:
        worker: Any = super()._get_start_execution_worker()
        worker._get_evaluation_entrypoint = lambda: self._program
        return worker


def stop(execution: Any, error: str | None, cause: str | None) -> None:
    """Stops an execution, and with it what it started; does nothing if it has ended."""
    if execution.status != "RUNNING":
        return
    execution.exec_status = ExecutionStatus.ABORTED
    execution.stop_date, execution.error, execution.cause = dt.datetime.now(tz=dt.UTC), error, cause
    execution.stop(stop_date=execution.stop_date, error=error, cause=cause)


def _start(self: Any) -> None:
    """Starts an execution, and returns when it can be stopped."""
    self.exec_status = ExecutionStatus.RUNNING
    # Before it starts, as it may end at once.
    _announce(self, "RUNNING")
    _stock_start(self)
    deadline = time.monotonic() + _START_SECONDS
    while not _has_begun(self) and time.monotonic() < deadline:
        time.sleep(0.001)


def _has_begun(execution: Any) -> bool:
    env = execution.exec_worker.env
    return env is not None and env.program_state() is not None


def _terminated(self: Any) -> None:
    _stock_terminated(self)
    _announce(self.execution, self.execution.status)


_stock_start = replace(Execution, "start", _start)
_stock_terminated = replace(BaseExecutionWorkerCommunication, "terminated", _terminated)


def _announce(execution: Any, status: str) -> None:
    """Puts a "Step Functions Execution Status Change" on the default event bus."""
    detail = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": status,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "input": execution.execution_input,
        "output": json.dumps(execution.output) if status == "SUCCEEDED" else None,
        "error": execution.error,
        "cause": execution.cause,
    }
    event = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Resources": [execution.execution_arn],
        "Detail": json.dumps(detail),
    }
    # A rule with a target that moto does not know must not end the execution's thread.
    with contextlib.suppress(NotImplementedError):
        events_backends[execution.account_id][execution.region_name].put_events([event])


def _milliseconds(moment: dt.datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _send_to_targets(self: Any, event: Any, *transform: Any) -> None:
    """As moto's, and to SNS topics too."""
    topics = [target for target in self.targets if ":sns:" in target["Arn"]]
    if topics and self.event_pattern.matches_event(event):
        for topic in topics:
            shape = topic.get("InputTransformer", {})
            message: Any = EventTemplateParser.parse(shape.get("InputTemplate"), shape.get("InputPathsMap", {}), event)
            arn = parse_arn(topic["Arn"])
            text = message if isinstance(message, str) else json.dumps(message)
            sns_backends[arn.account][arn.region].publish(message=text, arn=topic["Arn"])
    others = copy.copy(self)
    others.targets = [target for target in self.targets if target not in topics]
    _stock_send(others, event, *transform)


_stock_send = replace(Rule, "send_to_targets", _send_to_targets)
