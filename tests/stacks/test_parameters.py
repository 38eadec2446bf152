"""genomics.toml's [stack.…]: held against the templates before AWS is asked for anything."""

import pytest
from stacks.conftest import GIVEN, STORAGE, Site

from toolchain.errors import SeveralFailedError


def faults(site: Site, text: str, *names: str) -> list[str]:
    """What is said of a genomics.toml; AWS is asked nothing."""
    site.desk.settings(text)
    with pytest.raises(SeveralFailedError) as caught:
        site.deploy(*names)
    assert site.cloud.calls == []
    assert caught.value.exit_code == 78
    return [one.why for one in caught.value.errors]


def test_a_value_that_is_not_allowed_is_named_with_what_is(site: Site) -> None:
    assert faults(site, GIVEN + "Capacity = 1000\n") == ["'stack.storage.Capacity' is 1000; allowed are 1200, 2400"]


def test_a_value_that_does_not_match_is_named_with_the_pattern(site: Site) -> None:
    assert faults(site, '[stack.storage]\nPath = "reads"\n') == [
        "'stack.storage.Path' is \"reads\"; allowed is what matches s3://.+"
    ]


def test_a_parameter_that_is_missing_is_named_with_what_it_means(site: Site) -> None:
    assert faults(site, "") == ["'stack.storage.Path' is missing: Where reads lie in S3"]


def test_what_another_stack_lacks_does_not_matter(site: Site) -> None:
    site.desk.settings("")
    assert site.deploy("network") == ["network created"]


def test_what_is_wrong_with_another_stack_matters(site: Site) -> None:
    [why] = faults(site, GIVEN + "Capacity = true\n", "network")
    assert why.startswith("'stack.storage.Capacity' is true; allowed are")


def test_an_unknown_stack_is_named_with_those_that_there_are(site: Site) -> None:
    assert faults(site, GIVEN + "[stack.disk]\n") == [
        "unknown key 'stack.disk'; stacks are registry, network, storage, workflow"
    ]


def test_an_unknown_parameter_is_named_with_those_that_there_are(site: Site) -> None:
    assert faults(site, GIVEN + "Size = 1\n") == ["unknown key 'stack.storage.Size'; known are Capacity, Path"]


@pytest.mark.parametrize(("stack", "name"), [("storage", "Project"), ("workflow", "JobDefinitions")])
def test_what_is_computed_cannot_be_given(site: Site, stack: str, name: str) -> None:
    table = f'{name} = "x"\n' if stack == "storage" else f'[stack.{stack}]\n{name} = "x"\n'
    assert faults(site, GIVEN + table) == [f"'stack.{stack}.{name}' cannot be given, for it is computed"]


def test_everything_that_is_wrong_is_said_at_once(site: Site) -> None:
    assert len(faults(site, '[stack.storage]\nCapacity = 1\nPath = "x"\n[stack.no]\n')) == 3


def test_a_project_that_is_too_long_is_named(site: Site) -> None:
    site.checkout.settings.write_text(f'project = "{"a" * 21}"\nworkflow = "w"\n{GIVEN}', encoding="ascii")
    with pytest.raises(SeveralFailedError, match=r"it makes the parameter Project of stack registry .* to 20"):
        site.deploy("network")


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
def test_each_rule_of_a_template_is_kept(site: Site, definition: str, value: str, why: str) -> None:
    site.template("storage", STORAGE.replace("  Path:", f"  Other: {{{definition}}}\n  Path:"))
    assert faults(site, f"{GIVEN}Other = {value}\n") == [f"'stack.storage.Other' is {why}"]


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
def test_what_is_right_is_sent_as_text_and_so_is_every_default(
    site: Site, definition: str, value: str | None, sent: str
) -> None:
    site.template("storage", STORAGE.replace("  Path:", f"  Other: {{{definition}}}\n  Path:"))
    site.desk.settings(GIVEN + (f"Other = {value}\n" if value else ""))
    site.deploy()
    [asked] = [one for one in site.cloud.said("CreateChangeSet") if one["StackName"] == site.name("storage")]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in asked["Parameters"]}
    assert given == {"Project": site.desk.project, "Capacity": "1200", "Path": "s3://reads", "Other": sent}
