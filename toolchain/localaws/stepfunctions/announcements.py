"""EventBridge hears of every execution that starts or ends, and its rules reach SNS."""

import contextlib
import copy
import datetime as dt
import functools
import json
import re
from typing import Any


@functools.cache  # what wraps moto's own must not wrap itself
def install() -> None:
    """Tells moto's EventBridge, and gives its rules a target that moto does not know."""
    from moto.events.models import Rule
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

    execution: Any = Execution
    ending: Any = BaseExecutionWorkerCommunication
    rule: Any = Rule
    started, ended, send = execution.start, ending.terminated, rule.send_to_targets

    def start(self: Any) -> None:
        # Before it starts: by the time that this came back it could have ended, which is told by itself.
        announce(self, "RUNNING")
        started(self)

    def terminated(self: Any) -> None:
        ended(self)
        announce(self.execution, self.execution.status)

    def send_to_targets(self: Any, original_event: Any, *shaped: Any) -> None:
        topics = [target for target in self.targets if ":sns:" in target["Arn"]]
        others = copy.copy(self)
        others.targets = [target for target in self.targets if target not in topics]
        send(others, original_event, *shaped)
        if topics and self.event_pattern.matches_event(original_event):
            for topic in topics:
                publish(topic, original_event)

    execution.start, ending.terminated, rule.send_to_targets = start, terminated, send_to_targets


def announce(execution: Any, status: str) -> None:
    """Puts a Step Functions Execution Status Change onto the default bus."""
    from moto.events.models import events_backends

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
    # A rule whose target moto knows nothing of must not end the execution's thread.
    with contextlib.suppress(NotImplementedError):
        events_backends[execution.account_id][execution.region_name].put_events([event])


def publish(target: dict[str, Any], event: dict[str, Any]) -> None:
    """Publishes an event to a topic, as its target shapes it."""
    from moto.sns.models import sns_backends
    from moto.utilities.arns import parse_arn

    arn = parse_arn(target["Arn"])
    sns_backends[arn.account][arn.region].publish(message=shaped(target, event), arn=target["Arn"])


def shaped(target: dict[str, Any], event: dict[str, Any]) -> str:
    """What a target is sent: a text of its own, a part of the event, a template filled in, or the event."""
    seen = {name: value for name, value in event.items() if name != "ingestion-time"}
    if isinstance(seen.get("time"), int | float):
        moment = dt.datetime.fromtimestamp(seen["time"], tz=dt.UTC)
        seen["time"] = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(_found(target["InputPath"], seen))
    if transformer := target.get("InputTransformer"):
        return _filled(transformer["InputTemplate"], transformer.get("InputPathsMap", {}), seen)
    return json.dumps(seen)


def _filled(template: str, paths: dict[str, str], event: dict[str, Any]) -> str:
    values = {name: _found(path, event) for name, path in paths.items()} | {"aws.events.event.json": event}

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        written = json.dumps(values[match[1]])
        # Within quotes a text goes on as text; anywhere else it is a value of its own.
        within = len(re.findall(r'(?<!\\)"', template[: match.start()])) % 2 == 1
        return (
            json.dumps(written if not isinstance(values[match[1]], str) else values[match[1]])[1:-1]
            if within
            else written
        )

    filled = re.sub(r"<([\w.-]+)>", value, template)
    try:
        content = json.loads(filled)
    except ValueError:
        return filled
    return content if isinstance(content, str) else filled


def _found(path: str, event: dict[str, Any]) -> Any:
    import jsonpath_ng.ext.parser as jsonpath

    found = jsonpath.parse(path).find(event)
    return found[0].value if found else None


def _milliseconds(moment: dt.datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
