"""toolchain/stacks/template.py: YAML as CloudFormation reads it."""

from pathlib import Path
from typing import Any

import pytest

from toolchain.errors import ConfigurationError
from toolchain.stacks import template as templates


def read(tmp_path: Path, text: str) -> templates.Template:
    file = tmp_path / "network.yaml"
    file.write_text(text)
    return templates.read(file)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("!Ref A", {"Ref": "A"}),
        ("!Condition A", {"Condition": "A"}),
        ("!GetAtt A.Outputs.B", {"Fn::GetAtt": ["A", "Outputs.B"]}),
        ("!GetAtt [A, B]", {"Fn::GetAtt": ["A", "B"]}),
        ('!Sub "${A}-x"', {"Fn::Sub": "${A}-x"}),
        ("!If [A, !Ref B, [!Ref C]]", {"Fn::If": ["A", {"Ref": "B"}, [{"Ref": "C"}]]}),
        ('!ImportValue {"Fn::Sub": "${Project}-X"}', {"Fn::ImportValue": {"Fn::Sub": "${Project}-X"}}),
        ("2012-10-17", "2012-10-17"),
        ("true", True),
        ("12", 12),
    ],
)
def test_a_tag_is_read_in_its_long_form(tmp_path: Path, written: str, means: object) -> None:
    template = read(tmp_path, f"Resources:\n  R: {written}\n")
    assert template.resources == {"R": means}


def test_a_parameter_is_read_with_its_range(tmp_path: Path) -> None:
    text = """
        Parameters:
          Days: {Type: Number, Default: 7, MinValue: 1, MaxValue: 30, Description: "How\n            long."}
          Kind: {Type: String, AllowedValues: [a, b]}
        Resources: {}
    """
    days, kind = read(tmp_path, text).parameters.values()
    assert (days.name, days.kind, days.default, days.lowest, days.highest) == ("Days", "Number", "7", 1, 30)
    assert days.description == "How long."
    assert (kind.default, kind.allowed, kind.pattern) == (None, ("a", "b"), None)


def test_exports_and_imports_are_named_without_the_project(tmp_path: Path) -> None:
    text = """
        Resources:
          R: [!ImportValue {"Fn::Sub": "${Project}-VpcId"}, !ImportValue {"Fn::Sub": "${Project}-SubnetId"}]
        Outputs:
          A: {Value: 1, Export: {Name: !Sub "${Project}-A"}}
          B: {Value: 2}
    """
    template = read(tmp_path, text)
    assert template.imports == {"VpcId", "SubnetId"}
    assert template.exports == {"A"}


def test_a_loop_is_expanded_as_the_transform_does(tmp_path: Path) -> None:
    text = """
        Resources:
          Fn::ForEach::All:
            - Image
            - !Ref Images
            - "Of&{Image}": {Name: !Sub "${Project}/${Image}", Again: !Ref Image, Other: !Ref Project}
          Fn::ForEach::Some:
            - Word
            - [a, b]
            - "With${Word}": "${Word}"
    """
    body: dict[str, Any] = templates.expanded(read(tmp_path, text).body, {"Images": ["bwa", "fsx-export"]})
    assert body["Resources"] == {
        "Ofbwa": {"Name": {"Fn::Sub": "${Project}/bwa"}, "Again": "bwa", "Other": {"Ref": "Project"}},
        "Offsxexport": {
            "Name": {"Fn::Sub": "${Project}/fsx-export"},
            "Again": "fsx-export",
            "Other": {"Ref": "Project"},
        },
        "Witha": "a",
        "Withb": "b",
    }


@pytest.mark.parametrize(
    ("text", "why"), [("a: [", "not YAML"), ("- a", "no Resources"), ("a: b", "no Resources"), ("", "no Resources")]
)
def test_a_file_that_is_no_template_is_an_error_that_names_it(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"network\.yaml is wrong.*{why}"):
        read(tmp_path, text)


def test_a_template_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.yaml is wrong: it cannot be read"):
        templates.read(tmp_path / "storage.yaml")
