"""JSONata in state machines: moto has the grammar around it, and no evaluator.

Values are bound to an expression as they are. moto writes them into its text instead, unescaped.
"""

import datetime as dt
import hashlib
import json
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from jsonata import Jsonata
from jsonata.jexception import JException
from jsonata.utils import Utils
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata, StringVariableSample

from toolchain.localaws.moto_patch import replace
from toolchain.localaws.stepfunctions.states import failure

_HASHES: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


class QueryError(Exception):
    """An expression that cannot be evaluated, or yields nothing that a state can hold; the text is why."""


def evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    """Evaluates an expression.

    Args:
        expression: What is between `{%` and `%}`.
        bindings: Variables, by their names without the dollar sign.

    Raises:
        QueryError: It fails, or it yields nothing.
    """
    result = _evaluate(expression, bindings)
    # The evaluator returns None for null and for nothing; to Step Functions, nothing is an error.
    if result is None and not _evaluate(f"$exists({expression}\n)", bindings):
        raise QueryError("returned nothing (undefined).")
    return _plain(result)


def _evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    try:
        compiled = Jsonata(expression)
        for name, function in _FUNCTIONS.items():
            compiled.register_lambda(name, function)
        for name, value in bindings.items():
            compiled.assign(name, Utils.NULL_VALUE if value is None else value)
        return compiled.evaluate(None)
    except (JException, RecursionError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        code = getattr(error, "error", None)
        text = f"{code}: {error}" if code and str(code) not in str(error) else str(error)
        raise QueryError(f"threw an error during evaluation. {text}") from error


def _plain(value: Any) -> Any:
    """The same value, of the types of the json module, and sharing nothing with what was bound."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):  # when the execution or a state started
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise QueryError("returned an unsupported result type.")


def _parse(text: str) -> Any:
    return json.loads(text)


def _uuid() -> str:
    return str(uuid.uuid4())


def _partition(items: list[Any], size: int) -> list[list[Any]]:
    return [list(items[start : start + int(size)]) for start in range(0, len(items), int(size))]


def _range(first: int, last: int, step: int) -> list[int]:
    return list(range(int(first), int(last) + (1 if step > 0 else -1), int(step)))


def _hash(data: Any, algorithm: str) -> str:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    if algorithm not in _HASHES:
        raise ValueError(f"$hash knows {', '.join(_HASHES)}, and no {algorithm}")
    return hashlib.new(_HASHES[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _random(seed: int | None = None) -> float:
    return random.Random(seed).random()  # noqa: S311  # no secret


def _eval(*_: Any) -> Any:
    raise ValueError("$eval is not supported by Step Functions")


# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html#jsonata-functions-provided-by-step-functions
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "parse": _parse,
    "uuid": _uuid,
    "partition": _partition,
    "range": _range,
    "hash": _hash,
    "random": _random,
    "eval": _eval,
}


def _evaluate_in_state(self: Any, env: Any) -> None:
    store = env.variable_store
    bindings = {**store._outer_scope, **store._inner_scope, "states": env.states._states_data}
    try:
        result = evaluate(self.expression, bindings)
    except QueryError as error:
        field = env.next_field_name
        # Where moto knows no field, it gives the name of one of its classes.
        is_field = field and not field.startswith(("JSONata", "String"))
        where = f"specified for the field '{field}' " if is_field else ""
        cause = f"The JSONata expression '{self.expression}' {where}{error}"
        failed = failure(env, error="States.QueryEvaluationError", cause=cause, event="EvaluationFailed")
        details: Any = {"evaluationFailedEventDetails": failed.get_evaluation_failed_event_details()}
        env.event_manager.add_event(env.event_history_context, failed.failure_event.event_type, details)
        raise failed from error
    env.stack.append(result)


replace(StringJSONata, "_eval_body", _evaluate_in_state)
replace(StringVariableSample, "_eval_body", _evaluate_in_state)
