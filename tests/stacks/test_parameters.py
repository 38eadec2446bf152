"""genomics.toml's [stack.…]: held against the templates before AWS is asked for anything."""

import pytest
from support.scripted_project import NAME, SETTINGS, TEMPLATES, Project, name_of

from toolchain.errors import SeveralFailedError


def faults(project: Project, text: str, *names: str) -> list[str]:
    """The errors in a genomics.toml; AWS is asked nothing."""
    project.settings(text)
    with pytest.raises(SeveralFailedError) as caught:
        project.deploy(*names)
    assert project.aws.calls == []
    assert caught.value.exit_code == 78
    return [error.why for error in caught.value.errors]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SETTINGS + "Capacity = 1000\n", "'stack.storage.Capacity' is 1000; allowed are 1200, 2400"),
        ('[stack.storage]\nPath = "reads"\n', "'stack.storage.Path' is \"reads\"; allowed is what matches s3://.+"),
        ("", "'stack.storage.Path' is missing: Where reads lie in S3"),
        (SETTINGS + "[stack.disk]\n", "unknown key 'stack.disk'; stacks are registry, network, workflow, storage"),
        (SETTINGS + "Size = 1\n", "unknown key 'stack.storage.Size'; known are Capacity, Path"),
        (SETTINGS + 'Project = "x"\n', "'stack.storage.Project' cannot be given, for it is computed"),
        (
            SETTINGS + '[stack.workflow]\nJobDefinitions = "x"\n',
            "'stack.workflow.JobDefinitions' cannot be given, for it is computed",
        ),
    ],
)
def test_a_fault_is_named_with_what_is_allowed(project: Project, text: str, why: str) -> None:
    assert faults(project, text) == [why]


def test_all_faults_are_named_at_once_those_of_other_stacks_too(project: Project) -> None:
    assert len(faults(project, '[stack.storage]\nCapacity = 1\nPath = "x"\n[stack.no]\n')) == 3
    [why] = faults(project, SETTINGS + "Capacity = true\n", "network")
    assert why.startswith("'stack.storage.Capacity' is true; allowed are")


def test_a_value_that_another_stack_lacks_does_not_matter(project: Project) -> None:
    project.settings("")
    assert project.deploy("network") == ["network created"]


def test_a_project_that_is_too_long_is_named(project: Project) -> None:
    project.checkout.settings.write_text(f'project = "{"a" * 21}"\nworkflow = "w"\n{SETTINGS}', encoding="ascii")
    with pytest.raises(SeveralFailedError, match=r"it makes the parameter Project of stack registry .* to 20"):
        project.deploy("network")


@pytest.mark.parametrize(
    ("definition", "value", "why"),
    [
        ("Type: Number, MinValue: 1, MaxValue: 9", "10", "10; allowed are numbers from 1 to 9"),
        ("Type: Number, MinValue: 1", "0.5", "0.5; allowed are numbers from 1"),
        ("Type: Number, MaxValue: 9", "9.5", "9.5; allowed are numbers to 9"),
        ("Type: Number", '"many"', '"many"; allowed are numbers'),
        ("Type: Number", "true", "true; allowed are numbers"),
        ("Type: String, MinLength: 2, MaxLength: 3", '"a"', '"a"; allowed are lengths from 2 to 3'),
        ("Type: String", '["a"]', "a; allowed is one value, not a list"),
        ('Type: CommaDelimitedList, AllowedPattern: "[a-z]+"', '["a", "B"]', "a,B; allowed is what matches [a-z]+"),
        ('Type: CommaDelimitedList, AllowedValues: ["", a]', '["b"]', "b; allowed are the empty text, a"),
        ("Type: List<Number>, MaxValue: 5", '["1", "6"]', "1,6; allowed are numbers to 5"),
    ],
)
def test_each_rule_of_a_template_is_kept(project: Project, definition: str, value: str, why: str) -> None:
    project.write_template("storage", TEMPLATES["storage"].replace("  Path:", f"  Other: {{{definition}}}\n  Path:"))
    assert faults(project, f"{SETTINGS}Other = {value}\n") == [f"'stack.storage.Other' is {why}"]


@pytest.mark.parametrize(
    ("definition", "value", "sent"),
    [
        ("Type: String, AllowedValues: ['true', 'false']", "true", "true"),
        ("Type: CommaDelimitedList", '["a", "b"]', "a,b"),
        ("Type: Number, MinValue: 1, MaxValue: 1", "1", "1"),
        ("Type: Number", "-1.5", "-1.5"),
        ("Type: List<AWS::EC2::Subnet::Id>", '["subnet-1"]', "subnet-1"),
        ('Type: "AWS::SSM::Parameter::Value<String>", AllowedPattern: "[0-9]"', '"/name/of/it"', "/name/of/it"),
        ("Type: String, Default: it", None, "it"),
        ("Type: Number, Default: 5", None, "5"),
    ],
)
def test_a_valid_value_is_sent_as_a_string_and_so_is_every_default(
    project: Project, definition: str, value: str | None, sent: str
) -> None:
    project.write_template("storage", TEMPLATES["storage"].replace("  Path:", f"  Other: {{{definition}}}\n  Path:"))
    project.settings(SETTINGS + (f"Other = {value}\n" if value else ""))
    project.deploy("registry", "network", "storage")
    request = project.aws.requests("CreateChangeSet")[-1]
    assert request["StackName"] == name_of("storage")
    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in request["Parameters"]}
    assert parameters == {"Project": NAME, "Capacity": "1200", "Path": "s3://reads", "Other": sent}
