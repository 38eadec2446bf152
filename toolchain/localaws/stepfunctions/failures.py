"""Failures as moto's interpreter carries them: an error's name, and the event that tells of it."""

from typing import Any


def failure(env: Any, *, name: str, kind: str, **details: Any) -> Any:
    """An exception that fails the state which is evaluated.

    Args:
        env: moto's environment.
        name: The error's name, one of those that begin with `States.`.
        kind: The type of the history's event.
        **details: The event's details.
    """
    import importlib

    errors = "moto.stepfunctions.parser.asl.component.common.error_name"
    events: Any = importlib.import_module(f"{errors}.failure_event")
    names: Any = importlib.import_module(f"{errors}.states_error_name")
    types: Any = importlib.import_module(f"{errors}.states_error_name_type")
    api: Any = importlib.import_module("moto.stepfunctions.parser.api")
    return events.FailureEventException(
        events.FailureEvent(
            env=env,
            error_name=names.StatesErrorName(typ=types.StatesErrorNameType.from_name(name)),
            event_type=api.HistoryEventType(kind),
            event_details={f"{kind[0].lower()}{kind[1:]}EventDetails": {"error": name, **details}},
        )
    )
