"""State machine definitions, as moto parses them: once each, and with every number that the service takes."""

import functools
import json
from typing import Any


@functools.cache  # what wraps moto's own must not wrap itself
def install() -> None:
    """Gives moto's parser these."""
    from moto.stepfunctions.parser.asl.parse import preprocessor
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    stock = AmazonStateLanguageParser.parse
    # A program keeps nothing of a run: moto itself runs one for many items. Reading one takes a second.
    cached = functools.lru_cache(maxsize=32)(lambda definition: stock(_numbers(definition)))
    parser: Any = AmazonStateLanguageParser
    parser.parse = staticmethod(cached)
    visitor: Any = preprocessor.Preprocessor
    visitor.visitTolerated_failure_count_string_jsonata = _tolerated_count


def _numbers(definition: str) -> str:
    """A definition whose ToleratedFailurePercentage has a point, which is the only number that moto's grammar takes."""
    try:
        content = json.loads(definition)
    except ValueError:
        return definition
    return json.dumps(_with_points(content)) if "ToleratedFailurePercentage" in definition else definition


def _with_points(content: Any) -> Any:
    if isinstance(content, list):
        return [_with_points(one) for one in content]
    if isinstance(content, dict):
        return {
            name: float(one) if name == "ToleratedFailurePercentage" and isinstance(one, int) else _with_points(one)
            for name, one in content.items()
        }
    return content


def _tolerated_count(self: Any, ctx: Any) -> Any:
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.tolerated_failure import (
        ToleratedFailureCountStringJSONata,
    )

    return ToleratedFailureCountStringJSONata(string_jsonata=self.visitString_jsonata(ctx=ctx.string_jsonata()))
