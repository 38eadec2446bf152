"""JSONata in state machines: moto has the grammar around it, and no evaluator.

Values are bound to an expression as they are. moto writes them into its text instead, unescaped.
"""

import hashlib
import json
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from toolchain.localaws.stepfunctions.failures import failure

_HASHES: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


class QueryError(Exception):
    """An expression that cannot be evaluated, or yields nothing that a state can hold; the text is why."""


def evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    """Evaluates an expression.

    Args:
        expression: What stands between `{%` and `%}`.
        bindings: Variables, by their names without the dollar sign.

    Raises:
        QueryError: It fails, or it yields nothing.
    """
    result = _evaluate(expression, bindings)
    # null and nothing are one to the evaluator's caller, and two to Step Functions.
    if result is None and not _evaluate(f"$exists({expression}\n)", bindings):
        raise QueryError("returned nothing (undefined).")
    return _plain(result)


def _evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    from jsonata import Jsonata
    from jsonata.jexception import JException
    from jsonata.utils import Utils

    try:
        compiled = Jsonata(expression)
        for name, function in _FUNCTIONS.items():
            compiled.register_lambda(name, function)
        for name, value in bindings.items():
            compiled.assign(name, Utils.NULL_VALUE if value is None else value)
        return compiled.evaluate(None)
    except (JException, RecursionError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        code = getattr(error, "error", None)
        said = f"{code}: {error}" if code and str(code) not in str(error) else str(error)
        raise QueryError(f"threw an error during evaluation. {said}") from error


def _plain(value: Any) -> Any:
    """The same value, of the types that the json module makes, and sharing nothing with what was bound."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(one) for one in value]
    raise QueryError("returned an unsupported result type.")


def _parse(text: str) -> Any:
    return json.loads(text)


def _uuid() -> str:
    return str(uuid.uuid4())


def _partition(items: list[Any], size: int) -> list[list[Any]]:
    return [list(items[start : start + int(size)]) for start in range(0, len(items), int(size))]


def _range(first: int, last: int, step: int) -> list[int]:
    first, last, step = int(first), int(last), int(step)
    return list(range(first, last + (1 if step > 0 else -1), step))


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


def install() -> None:
    """Gives moto's states this evaluator."""
    from moto.stepfunctions.parser.asl.component.common.string import string_expression as strings
    from moto.stepfunctions.parser.asl.jsonata import jsonata

    # What moto still composes as text, such as variables in JSONPath states.
    jsonata._eval_jsonata = lambda text: evaluate(text, {})
    strings.StringJSONata._eval_body = _eval_body  # type: ignore[method-assign]
    strings.StringVariableSample._eval_body = _eval_body  # type: ignore[method-assign]


def _eval_body(self: Any, env: Any) -> None:
    store = env.variable_store
    variables = {**store._outer_scope, **store._inner_scope}
    try:
        result = evaluate(self.expression, {**variables, "states": env.states._states_data})
    except QueryError as error:
        cause = f"The JSONata expression '{self.expression}' {_where(env)}{error}"
        failed = failure(env, name="States.QueryEvaluationError", kind="EvaluationFailed", cause=cause)
        env.event_manager.add_event(
            context=env.event_history_context,
            event_type=failed.failure_event.event_type,
            event_details={"evaluationFailedEventDetails": failed.get_evaluation_failed_event_details()},
        )
        raise failed from error
    env.stack.append(result)


def _where(env: Any) -> str:
    field = env.next_field_name
    # Where moto knows no field, it gives the name of a class of its own.
    return "" if not field or field.startswith(("JSONata", "String")) else f"specified for the field '{field}' "
