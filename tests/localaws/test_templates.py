"""The functions and sections of templates, each on its own."""

from collections.abc import Mapping
from typing import Any

import pytest

from toolchain.localaws.cloudformation import parameters
from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.intrinsics import UNKNOWN, Scope, UnknownYetError
from toolchain.localaws.cloudformation.parameters import Given
from toolchain.localaws.cloudformation.schemas import schema_of
from toolchain.localaws.cloudformation.template import read


class Made:
    """A stack in which `Here` is made, and nothing else."""

    def ref(self, name: str) -> str:
        if name != "Here":
            raise UnknownYetError(name)
        return "here-id"

    def attribute(self, name: str, attribute: str) -> str:
        return f"{self.ref(name)}.{attribute}"


def scope(body: Mapping[str, Any] | None = None, **values: Any) -> Scope:
    return Scope(
        template={"Resources": {"Here": {}, "There": {}}, **(body or {})},
        parameters={"Name": "x", "Names": ["a", "b"], "AWS::Region": "eu-west-1", **values},
        resources=Made(),
        imported=lambda name: f"<{name}>",
        zones=("eu-west-1a", "eu-west-1b"),
    )


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("!Ref Name", "x"),
        ("!Ref Here", "here-id"),
        ("!GetAtt Here.A.B", "here-id.A.B"),
        ('!Sub "${Name}-${AWS::Region}-${Here.Arn}-${!Literal}"', "x-eu-west-1-here-id.Arn-${Literal}"),
        ('!Sub ["${Own}/${Name}", {Own: !Ref Here}]', "here-id/x"),
        ('!Join ["-", [a, !Ref Name]]', "a-x"),
        ('!Select [1, !Split ["/", "a/b"]]', "b"),
        ('!Select [0, !GetAZs ""]', "eu-west-1a"),
        ('!ImportValue {"Fn::Sub": "${Name}-Vpc"}', "<x-Vpc>"),
        ("Fn::Base64: !Ref Name", "eA=="),
        ("!If [IsX, !Ref Name, !Ref There]", "x"),
        ("!If [IsY, !Ref There, [1, !Ref AWS::NoValue, 2]]", [1, 2]),
        ("{a: !Ref AWS::NoValue, b: 1}", {"b": 1}),
        ("!FindInMap [M, !Ref Name, k]", "v"),
        ("Fn::ToJsonString: {a: !Ref Name}", '{"a":"x"}'),
        ("!Cidr [10.0.0.0/16, 2, 8]", ["10.0.0.0/24", "10.0.1.0/24"]),
        ("Fn::Length: !Ref Names", 2),
        ("2012-10-17", "2012-10-17"),
    ],
)
def test_a_function_comes_to_its_value(function: str, value: Any) -> None:
    found = read(
        f"""
Resources: {{A: {{Type: x}}}}
Mappings: {{M: {{x: {{k: v}}}}}}
Conditions:
  IsX: !Equals [!Ref Name, x]
  IsY: !Not [!And [!Condition IsX, !Or [!Equals [1, 2], !Equals ["2", 2]]]]
Metadata:
  {function if function.startswith("Fn::") else "A: " + function}
"""
    )
    metadata = found.body["Metadata"]
    part = metadata if set(metadata) != {"A"} else metadata["A"]
    assert scope({"Conditions": found.body["Conditions"], "Mappings": found.body["Mappings"]}).resolved(part) == value


def test_what_is_not_made_yet_is_unknown_where_it_is_used() -> None:
    part = {"a": {"Ref": "Name"}, "b": [{"Fn::Join": ["-", ["x", {"Ref": "There"}]]}]}
    assert scope().foreseen(part) == {"a": "x", "b": [UNKNOWN]}
    with pytest.raises(UnknownYetError):
        scope().resolved(part)


@pytest.mark.parametrize("name", ["Nowhere", "AWS::Nothing"])
def test_a_name_that_nothing_has_is_refused(name: str) -> None:
    with pytest.raises(RefusalError, match=name):
        scope().resolved({"Ref": name})


LOOP = """
Transform: AWS::LanguageExtensions
Parameters: {Names: {Type: CommaDelimitedList}}
Resources:
  Fn::ForEach::Topics:
    - Name
    - !Ref Names
    - "Topic&{Name}":
        Type: AWS::SNS::Topic
        Properties: {DisplayName: !Ref Name, TopicName: !Sub "p-${Name}-${AWS::Region}"}
"""


def test_a_loop_makes_a_resource_of_each_item_with_a_logical_id_of_letters() -> None:
    body = read(LOOP).expanded({"Names": ["fsx-export", "bwa"]}).body
    assert body["Resources"] == {
        "Topicfsxexport": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"DisplayName": "fsx-export", "TopicName": {"Fn::Sub": "p-fsx-export-${AWS::Region}"}},
        },
        "Topicbwa": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"DisplayName": "bwa", "TopicName": {"Fn::Sub": "p-bwa-${AWS::Region}"}},
        },
    }


def test_a_loop_that_makes_a_key_twice_is_refused() -> None:
    with pytest.raises(RefusalError, match="Topicab is made twice"):
        read(LOOP).expanded({"Names": ["a-b", "ab"]})


@pytest.mark.parametrize(
    ("declaration", "value", "why"),
    [
        ({"AllowedValues": [1, 2]}, "3", r"Parameter 'P' must be one of AllowedValues: \[1, 2\]"),
        ({"AllowedPattern": "[a-z]+"}, "A", "must match pattern"),
        ({"AllowedPattern": "[a-z]+", "ConstraintDescription": "letters"}, "A", "satisfy constraint: letters"),
        ({"MaxLength": 1}, "ab", "at most 1 characters"),
        ({"MinLength": "1"}, "", "at least 1 characters"),
        ({"Type": "Number", "MinValue": 2}, "1", "not less than 2"),
        ({"Type": "Number", "MaxValue": 2}, "3", "not greater than 2"),
        ({"Type": "Number"}, "x", "must be a number"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]+"}, "a,B", "must match pattern"),
    ],
)
def test_a_parameter_is_held_against_its_declaration(declaration: dict[str, Any], value: str, why: str) -> None:
    body = {"Parameters": {"P": {"Type": "String", **declaration}}, "Resources": {"A": {"Type": "x"}}}
    with pytest.raises(RefusalError, match=why):
        parameters.texts(_template(body), {"P": Given(value=value)}, {})


def test_a_parameter_is_missing_unknown_left_as_it_was_or_its_default() -> None:
    body = {"Parameters": {"P": {"Type": "String"}, "D": {"Type": "String", "Default": True}}, "Resources": {"A": 1}}
    found = _template(body)
    with pytest.raises(RefusalError, match=r"Parameters: \[P\] must have values"):
        parameters.texts(found, {}, {})
    with pytest.raises(RefusalError, match=r"Parameters: \[Q\] do not exist in the template"):
        parameters.texts(found, {"P": Given(value="x"), "Q": Given(value="x")}, {})
    assert parameters.texts(found, {"P": Given(value=None)}, {"P": "before"}) == {"P": "before", "D": "true"}


def test_a_rule_speaks_when_its_condition_holds_and_its_assertion_does_not() -> None:
    rule = {
        "RuleCondition": {"Fn::Equals": [{"Ref": "Name"}, "x"]},
        "Assertions": [
            {"Assert": {"Fn::Contains": [["a"], {"Ref": "Name"}]}, "AssertDescription": "Name is a."},
        ],
    }
    found = _template({"Rules": {"R": rule}, "Resources": {"A": 1}})
    with pytest.raises(RefusalError, match=r"R: Name is a\."):
        parameters.check_rules(found, scope().true)
    parameters.check_rules(found, scope(Name="y").true)


def test_properties_are_made_what_their_schema_wants() -> None:
    schema = schema_of("AWS::Logs::LogGroup")
    assert schema is not None
    assert schema.coerce({"RetentionInDays": "30", "LogGroupName": 5}) == {"RetentionInDays": 30, "LogGroupName": "5"}


def _template(body: Mapping[str, Any]) -> Any:
    import json

    return read(json.dumps(body))
