"""States and definitions: how errors are matched, timeouts end a state, and numbers are read."""

import functools
import json
from typing import Any, Final

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.tolerated_failure import (
    ToleratedFailureCountStringJSONata,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.fail import state_fail
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from toolchain.localaws.moto_patch import replace

_FATAL: Final = frozenset({"States.Runtime", "States.DataLimitExceeded"})


class StateEndedError(Exception):
    """The state timed out, or its execution ended, before what it waits for did."""


def failure(env: Any, *, error: str, cause: str, event: str) -> FailureEventException:
    """An exception that fails the state being evaluated.

    Args:
        env: moto's environment.
        error: One of Step Functions' own names, such as States.TaskFailed.
        cause: What a person reads.
        event: The type of the history's event.
    """
    details: Any = {f"{event[0].lower()}{event[1:]}EventDetails": {"error": error, "cause": cause}}
    return FailureEventException(FailureEvent(env, ErrorName(error), HistoryEventType(event), details))


def any_error_name(error_name: str | None) -> ErrorName:
    """An error's name where it leaves a branch, an item or a Fail state, and may begin with `States.`."""
    return ErrorName(error_name)


for module in (branches_decl, iteration_worker, state_fail):
    replace(module, "CustomErrorName", any_error_name)


def _matches_error(self: Any, env: Any) -> None:
    """Matches errors by their names alone; only its own name catches what always ends an execution."""
    name = env.stack.pop().error_name or ""
    names = {error.error_name for error in self.error_names}
    is_any = "States.ALL" in names or ("States.TaskFailed" in names and not name.startswith("States."))
    env.stack.append(name in names or (is_any and name not in _FATAL))


replace(ErrorEqualsDecl, "_eval_body", _matches_error)


def _evaluate_with_timeout(self: Any, env: Any) -> None:
    """As moto's, but a task that waits is told from one that failed, and nothing catches the end of the execution."""
    try:
        _stock_evaluate(self, env)
    except Exception as error:
        if not env.is_running():
            return
        if isinstance(error, StateEndedError):
            raise EvalTimeoutError from error
        raise


_stock_evaluate = replace(ExecutionState, "_evaluate_with_timeout", _evaluate_with_timeout)


@functools.lru_cache(maxsize=32)
def _parse(definition: str) -> Any:
    """Parses a definition, which takes a second; programs keep nothing of a run and can be shared."""
    # moto's grammar takes percentages with a decimal point only.
    return _stock_parse(json.dumps(json.loads(definition, object_hook=_float_percentage)))


def _float_percentage(state: dict[str, Any]) -> dict[str, Any]:
    percentage = state.get("ToleratedFailurePercentage")
    return {**state, "ToleratedFailurePercentage": float(percentage)} if isinstance(percentage, int) else state


_stock_parse = replace(AmazonStateLanguageParser, "parse", staticmethod(_parse))


def _tolerated_count(self: Any, ctx: Any) -> ToleratedFailureCountStringJSONata:
    return ToleratedFailureCountStringJSONata(string_jsonata=self.visitString_jsonata(ctx=ctx.string_jsonata()))


replace(Preprocessor, "visitTolerated_failure_count_string_jsonata", _tolerated_count)
