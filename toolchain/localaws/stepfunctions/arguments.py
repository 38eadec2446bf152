"""Arguments of service integrations: named as states name them, typed as the service's own model says.

Step Functions names every field in UpperCamelCase, in what it sends and in what it gets back, and it checks types: a
number where a service takes text ends the execution.
"""

import datetime as dt
import json
from functools import cache
from typing import Any, Final

from botocore.exceptions import UnknownServiceError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.response import StreamingBody
from botocore.session import get_session

# What Step Functions calls services by, where botocore calls them otherwise.
SERVICES: Final = {
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sfn": "stepfunctions",
    "states": "stepfunctions",
}
# Text that may be given as JSON.
_JSON_TEXT: Final = {("sns", "message"), ("stepfunctions", "input"), ("sqs", "messagebody"), ("events", "detail")}
_NUMBERS: Final = frozenset({"integer", "long", "float", "double"})


class BadArgumentError(Exception):
    """An argument that Step Functions refuses."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The Arguments could not be used to start the Task: [{why}]")


@cache
def operation(service: str, action: str) -> OperationModel | None:
    """The model of an operation, by its name in a state machine, such as `listObjectsV2`."""
    try:
        model = get_session().get_service_model(SERVICES.get(service, service))
    except UnknownServiceError:
        return None
    lowered = action.replace("_", "").lower()
    name = next((name for name in model.operation_names if name.lower() == lowered), None)
    return model.operation_model(name) if name else None


def to_service(arguments: Any, model: OperationModel) -> Any:
    """Arguments as botocore takes them.

    Raises:
        BadArgumentError: One is unknown, or of the wrong type.
    """
    if model.input_shape is None:
        return arguments
    return _to_shape(arguments, model.input_shape, model.service_model.service_name, "")


def _to_shape(value: Any, shape: Shape, service: str, field: str) -> Any:
    if isinstance(shape, StructureShape):
        _check(value, dict, field, "OBJECT")
        names = {name.lower(): name for name in shape.members}
        if unknown := [name for name in value if name.lower() not in names]:
            raise BadArgumentError(f"The field '{unknown[0]}' is not supported by Step Functions")
        return {
            names[name.lower()]: _to_shape(member, shape.members[names[name.lower()]], service, name)
            for name, member in value.items()
        }
    if isinstance(shape, ListShape):
        _check(value, list, field, "LIST")
        return [_to_shape(item, shape.member, service, field) for item in value]
    if isinstance(shape, MapShape):
        _check(value, dict, field, "OBJECT")
        return {name: _to_shape(item, shape.value, service, name) for name, item in value.items()}
    return _to_scalar(value, shape.type_name, service, field)


def _to_scalar(value: Any, type_name: str, service: str, field: str) -> Any:
    if type_name == "blob":
        return (value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))).encode()
    if type_name == "string":
        if (service, field.lower()) in _JSON_TEXT and not isinstance(value, str):
            return json.dumps(value, separators=(",", ":"))
        _check(value, str, field, "STRING")
    elif type_name in _NUMBERS:
        _check(None if isinstance(value, bool) else value, (int, float), field, "NUMBER")
    elif type_name == "boolean":
        _check(value, bool, field, "BOOLEAN")
    return value


def _check(value: Any, expected: type | tuple[type, ...], field: str, name: str) -> None:
    if not isinstance(value, expected):
        raise BadArgumentError(f"The value for the field '{field}' must be a {name}")


def from_service(value: Any, shape: Shape | None) -> Any:
    """Names the fields of a response as states see them; objects are changed in place, as moto keeps hold of them."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name in list(value):
            member = value.pop(name)
            if name in shape.members:
                value[name[:1].upper() + name[1:]] = from_service(member, shape.members[name])
    elif isinstance(shape, ListShape) and isinstance(value, list):
        value[:] = [from_service(item, shape.member) for item in value]
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        value.update({name: from_service(item, shape.value) for name, item in value.items()})
    elif isinstance(value, StreamingBody):
        return value.read().decode()
    elif isinstance(value, bytes):
        return value.decode()
    elif isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
