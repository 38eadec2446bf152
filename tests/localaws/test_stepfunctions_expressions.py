"""JSONata as Step Functions has it."""

from typing import Any

import pytest

from toolchain.localaws.stepfunctions.expressions import QueryError, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$x.a & '!'", 'q"\\\n\u00e9!'),
        ("$x", {"a": 'q"\\\n\u00e9', "n": None, "l": [1, 2]}),
        ("$x.n", None),
        ("$nothing", None),
        ("{'n': $nothing, 'x': $x.n}", {"n": None, "x": None}),
        ("4 / 2", 2),
        ("$x.l[$ > 1]", 2),
        ("$x.l[0]", 1),
        ("[$x.l[0]]", [1]),
        ("$map($x.l, function($v) { $v * 2 })", [2, 4]),
        ("$parse('{\"a\": [1, null]}')", {"a": [1, None]}),
        ("$partition([1..5], 2)", [[1, 2], [3, 4], [5]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$hash('x', 'SHA-256')", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("$length($uuid())", 36),
        ("$random(7) = $random(7)", True),
        ("$toMillis('2026-01-02T03:04:05Z')", 1767323045000),
        ("/* said */ 1", 1),
    ],
)
def test_what_an_expression_gives(expression: str, value: Any) -> None:
    bindings = {"x": {"a": 'q"\\\n\u00e9', "n": None, "l": [1, 2]}, "nothing": None}
    assert evaluate(expression, bindings) == value


def test_a_result_shares_nothing_with_what_was_bound() -> None:
    bound = {"l": [1]}
    evaluate("$x", {"x": bound})["l"].append(2)
    assert bound == {"l": [1]}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("$x.zz", r"returned nothing \(undefined\)"),
        ("$x + 'a'", "threw an error"),
        ("((", "threw an error"),
        ("$unknown()", "threw an error"),
        ("$eval('1')", "not supported"),
        ("$hash('x', 'CRC')", "no CRC"),
        ("$parse('{')", "threw an error"),
    ],
)
def test_what_cannot_be_evaluated_says_why(expression: str, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        evaluate(expression, {"x": {}})
