"""Names of errors that come out of a branch, an item or a Fail state: moto takes each for a name of the user's own.

So a failed job within a Parallel or a Map ends the execution with a complaint about the name, and so does a Fail
state that hands on what was caught.
"""

import importlib
from typing import Any


def install() -> None:
    """Gives moto's Parallel, Map and Fail the right kind of name."""
    states = "moto.stepfunctions.parser.asl.component.state"
    for module in (
        "exec.state_parallel.branches_decl",
        "exec.state_map.iteration.iteration_worker",
        "fail.state_fail",
    ):
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
