"""Arguments of service integrations: named as states name them, typed as the service's own model says.

Step Functions names every field in UpperCamelCase, in what it sends and in what it gives back, and it checks
types: a number where a service takes text ends the execution.
"""

import datetime as dt
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

# What Step Functions calls services by, where botocore calls them otherwise.
SERVICES: Final = {
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sfn": "stepfunctions",
    "states": "stepfunctions",
}
# Text that may be given as JSON, and is written as text then.
_WRITTEN_AS_TEXT: Final = {("sns", "Message"), ("stepfunctions", "input"), ("sqs", "MessageBody"), ("events", "Detail")}


class BadArgumentError(Exception):
    """An argument that Step Functions refuses; the text is why."""


@cache
def operation(service: str, action: str) -> "OperationModel | None":
    """What botocore knows of an operation, by the name it has in a state machine: `listObjectsV2`."""
    from botocore.exceptions import UnknownServiceError
    from botocore.session import get_session

    try:
        model = get_session().get_service_model(SERVICES.get(service, service))
    except UnknownServiceError:
        return None
    wanted = action.replace("_", "").lower()
    name = next((name for name in model.operation_names if name.lower() == wanted), None)
    return model.operation_model(name) if name else None


def to_service(arguments: Any, model: "OperationModel") -> Any:
    """Arguments as botocore takes them.

    Raises:
        BadArgumentError: One is of a wrong type, or unknown.
    """
    if model.input_shape is None:
        return arguments
    return _to_shape(arguments, model.input_shape, model.service_model.service_name, "")


def from_service(answer: Any, model: "OperationModel") -> Any:
    """An answer as states see it."""
    if model.output_shape is None or not isinstance(answer, Mapping):
        return answer
    return _from_shape(answer, model.output_shape)


def _to_shape(value: Any, shape: "Shape", service: str, field: str) -> Any:
    from botocore.model import ListShape, MapShape, StructureShape

    if isinstance(shape, StructureShape):
        _expect(value, dict, field, "OBJECT")
        members = {name.lower(): name for name in shape.members}
        if unknown := [name for name in value if name.lower() not in members]:
            raise BadArgumentError(f"The field '{unknown[0]}' is not supported by Step Functions")
        names = {name: members[name.lower()] for name in value}
        return {names[name]: _to_shape(one, shape.members[names[name]], service, name) for name, one in value.items()}
    if isinstance(shape, ListShape):
        _expect(value, list, field, "LIST")
        return [_to_shape(one, shape.member, service, field) for one in value]
    if isinstance(shape, MapShape):
        _expect(value, dict, field, "OBJECT")
        return {name: _to_shape(one, shape.value, service, name) for name, one in value.items()}
    return _to_scalar(value, shape.type_name, service, field)


def _to_scalar(value: Any, kind: str, service: str, field: str) -> Any:
    if kind == "blob":
        return value.encode() if isinstance(value, str) else json.dumps(value, separators=(",", ":")).encode()
    if kind == "string":
        if (service, field[:1].upper() + field[1:]) in _TEXTS and not isinstance(value, str):
            return json.dumps(value, separators=(",", ":"))
        _expect(value, str, field, "STRING")
    elif kind in {"integer", "long", "float", "double"}:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadArgumentError(f"The value for the field '{field}' must be a NUMBER")
    elif kind == "boolean":
        _expect(value, bool, field, "BOOLEAN")
    return value


_TEXTS: Final = {(service, field[:1].upper() + field[1:]) for service, field in _WRITTEN_AS_TEXT}


def _expect(value: Any, kind: type, field: str, name: str) -> None:
    if not isinstance(value, kind):
        raise BadArgumentError(f"The value for the field '{field}' must be a {name}")


def _from_shape(value: Any, shape: "Shape") -> Any:
    from botocore.model import ListShape, MapShape, StructureShape

    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return {
            name[:1].upper() + name[1:]: _from_shape(one, shape.members[name])
            for name, one in value.items()
            if name in shape.members
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_shape(one, shape.member) for one in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {name: _from_shape(one, shape.value) for name, one in value.items()}
    return _from_scalar(value)


def _from_scalar(value: Any) -> Any:
    from botocore.response import StreamingBody

    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def install() -> None:
    """Gives moto's integrations these."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service as tasks

    service = tasks.StateTaskService
    service._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES.update(SERVICES)
    service._normalise_parameters = _normalise_parameters  # type: ignore[method-assign]
    service._normalise_response = _normalise_response  # type: ignore[method-assign]


def _model(self: Any, service: str | None, action: str | None) -> "OperationModel | None":
    return operation(service or self.resource.api_name, action or self.resource.api_action)


def _normalise_parameters(
    self: Any,
    parameters: dict[str, Any],
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    if model := _model(self, boto_service_name, service_action_name):
        _replace(parameters, to_service(parameters, model))


def _normalise_response(
    self: Any,
    response: Any,
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    model = _model(self, boto_service_name, service_action_name)
    if model is not None and isinstance(response, dict):
        _replace(response, from_service(response, model))


def _replace(old: dict[str, Any], new: Mapping[str, Any]) -> None:
    old.clear()
    old.update(new)
