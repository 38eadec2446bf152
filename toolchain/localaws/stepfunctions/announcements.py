"""EventBridge hears of every execution that starts or ends, and its rules reach SNS."""

import copy
import datetime as dt
import json
from typing import Any

_installed = False


def install() -> None:
    """Tells moto's EventBridge, and gives its rules a target that moto does not know."""
    global _installed  # noqa: PLW0603  # what wraps moto's own must not wrap itself
    if _installed:
        return
    _installed = True
    from moto.events.models import Rule
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

    execution: Any = Execution
    ending: Any = BaseExecutionWorkerCommunication
    rule: Any = Rule
    started, ended, send = execution.start, ending.terminated, rule.send_to_targets

    def start(self: Any) -> None:
        started(self)
        announce(self)

    def terminated(self: Any) -> None:
        ended(self)
        announce(self.execution)

    def send_to_targets(self: Any, original_event: Any, *shaped: Any) -> None:
        topics = [target for target in self.targets if ":sns:" in target["Arn"]]
        others = copy.copy(self)
        others.targets = [target for target in self.targets if target not in topics]
        send(others, original_event, *shaped)
        if topics and self.event_pattern.matches_event(original_event):
            for topic in topics:
                publish(topic, original_event)

    execution.start, ending.terminated, rule.send_to_targets = start, terminated, send_to_targets


def announce(execution: Any) -> None:
    """Puts a Step Functions Execution Status Change onto the default bus."""
    from moto.events.models import events_backends

    detail = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "input": execution.execution_input,
        "output": json.dumps(execution.output) if execution.status == "SUCCEEDED" else None,
        "error": execution.error,
        "cause": execution.cause,
    }
    event = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Resources": [execution.execution_arn],
        "Detail": json.dumps(detail),
    }
    events_backends[execution.account_id][execution.region_name].put_events([event])


def publish(target: dict[str, Any], event: dict[str, Any]) -> None:
    """Publishes an event to a topic, as its target shapes it."""
    from moto.events import utils
    from moto.sns.models import sns_backends
    from moto.utilities.arns import parse_arn

    transformer = target.get("InputTransformer") or {}
    written = dict(event)
    if isinstance(written.get("time"), int | float):
        moment = dt.datetime.fromtimestamp(written["time"], tz=dt.UTC)
        written["time"] = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    parser: Any = utils.EventTemplateParser
    shaped = parser.parse(
        input_template=transformer.get("InputTemplate"),
        input_paths_map=transformer.get("InputPathsMap", {}),
        event=written,
    )
    message = target.get("Input") or (shaped if isinstance(shaped, str) else json.dumps(shaped))
    arn = parse_arn(target["Arn"])
    sns_backends[arn.account][arn.region].publish(message=message, arn=target["Arn"])


def _milliseconds(moment: dt.datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
