"""Names of errors that come out of a branch or an item: moto takes every one for a name of the user's own.

So a failed job within a Parallel or a Map ends the execution with a complaint about the name.
"""

import importlib
from typing import Any


def install() -> None:
    """Gives moto's Parallel and Map the right kind of name."""
    states = "moto.stepfunctions.parser.asl.component.state.exec"
    for module in ("state_parallel.branches_decl", "state_map.iteration.iteration_worker"):
        place: Any = importlib.import_module(f"{states}.{module}")
        place.CustomErrorName = named


def named(error_name: str | None) -> Any:
    """An error's name, reserved or not."""
    from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType

    if error_name is not None and error_name.startswith("States."):
        return StatesErrorName(typ=StatesErrorNameType.from_name(error_name))
    return CustomErrorName(error_name=error_name)
