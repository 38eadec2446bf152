"""Two texts of one job definition are compared as the service understands them."""

import copy
from typing import Any

import pytest
from support.push_env import Desk

from toolchain.jobdefs import register as registration
from toolchain.jobdefs.revisions import Revision, difference, matching, normalised
from toolchain.runs.target import AwsTarget


@pytest.fixture
def definition(plain: Desk) -> dict[str, Any]:
    """A definition as this repository renders it."""
    return registration.rendered(AwsTarget(checkout=plain.checkout), ("alpha",))["alpha"]


def as_described(definition: dict[str, Any]) -> dict[str, Any]:
    """As DescribeJobDefinitions gives it back: with what the service adds, by its documentation and by experience."""
    described = copy.deepcopy(definition)
    described |= {
        "jobDefinitionArn": "arn:aws:batch:eu-central-1:1:job-definition/x:7",
        "revision": 7,
        "status": "ACTIVE",
        "containerOrchestrationType": "ECS",
    }
    described["tags"]["aws:cloudformation:stack-name"] = "x"
    properties = described["containerProperties"]
    for empty in ("secrets", "devices"):
        properties[empty] = []
    properties["linuxParameters"]["devices"] = []
    properties["logConfiguration"]["secretOptions"] = []
    for ordered in ("environment", "resourceRequirements", "volumes", "mountPoints"):
        properties[ordered].reverse()
    del properties["privileged"]  # false, as if left out
    for rule in described["retryStrategy"]["evaluateOnExit"]:
        rule["action"] = rule["action"].lower()
    return described


def test_what_the_service_gives_back_is_what_it_was_given(definition: dict[str, Any]) -> None:
    assert normalised(as_described(definition)) == normalised(definition)


def test_comparing_changes_neither_text(definition: dict[str, Any]) -> None:
    described = as_described(definition)
    before = copy.deepcopy((definition, described))
    normalised(definition)
    normalised(described)
    assert (definition, described) == before


def change(definition: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(definition)
    *above, last = path.split(".")
    place: Any = changed
    for part in above:
        place = place[int(part) if part.isdecimal() else part]
    place[int(last) if last.isdecimal() else last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("containerProperties.image", "x@sha256:" + "0" * 64),
        ("containerProperties.user", "0:0"),
        ("containerProperties.command.0", "sh"),
        ("containerProperties.readonlyRootFilesystem", False),
        ("containerProperties.privileged", True),
        ("containerProperties.resourceRequirements.0.value", "3"),
        ("containerProperties.volumes.0.host.sourcePath", "/elsewhere"),
        ("containerProperties.mountPoints.0.readOnly", False),
        ("containerProperties.environment.0.value", "other"),
        ("containerProperties.linuxParameters.tmpfs.0.mountOptions.0", "ro"),
        ("containerProperties.logConfiguration.options.awslogs-group", "/other"),
        ("containerProperties.jobRoleArn", "arn:aws:iam::1:role/x"),
        ("parameters.sample", ""),
        ("retryStrategy.attempts", 2),
        ("retryStrategy.evaluateOnExit.0.action", "EXIT"),
        ("timeout.attemptDurationSeconds", 61),
        ("tags.image", "other"),
        ("tags", {}),
        ("propagateTags", False),
        ("platformCapabilities", ["FARGATE"]),
        ("schedulingPriority", 1),
    ],
)
def test_every_change_that_means_something_is_seen(definition: dict[str, Any], path: str, value: object) -> None:
    assert normalised(change(definition, path, value)) != normalised(as_described(definition))


def test_the_order_of_a_command_and_of_retry_rules_means_something(definition: dict[str, Any]) -> None:
    for path in (("containerProperties", "command"), ("retryStrategy", "evaluateOnExit")):
        changed = copy.deepcopy(definition)
        changed[path[0]][path[1]].reverse()
        assert normalised(changed) != normalised(definition)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("containerProperties.secrets", []),
        ("containerProperties.ulimits", []),
        ("retryStrategy", {"attempts": 1}),
        ("retryStrategy", {"attempts": 1, "evaluateOnExit": []}),
        ("propagateTags", False),
        ("parameters", {}),
        ("tags", {"aws:x": "y"}),
        ("containerProperties.environment", [{"name": "EMPTY", "value": ""}]),
    ],
)
def test_what_is_taken_for_granted_may_be_said_or_left_out(
    definition: dict[str, Any], path: str, value: object
) -> None:
    said = change(definition, path, value)
    left_out = copy.deepcopy(definition)
    *above, last = path.split(".")
    place: Any = left_out
    for part in above:
        place = place[part]
    place.pop(last, None)
    assert normalised(said) == normalised(left_out)


def revision(number: int, content: dict[str, Any]) -> Revision:
    return Revision(arn=f"arn:x:{number}", name="x", number=number, content=normalised(content))


def test_of_several_that_say_the_same_at_the_top_the_oldest_is_taken() -> None:
    a, b = {"tags": {"is": "a"}}, {"tags": {"is": "b"}}
    found = [revision(5, a), revision(4, a), revision(3, b), revision(2, a)]
    same = matching(found, a)
    assert same is not None
    assert same.number == 4
    assert matching(found, b) is None
    assert matching([], a) is None


def test_a_difference_names_both_sides_and_shows_what_changes() -> None:
    lines = difference({"a": "1"}, {"a": "2"}, names=("bwa:3", "bwa in this checkout"))
    assert lines == [
        "--- bwa:3",
        "+++ bwa in this checkout",
        "@@ -1,3 +1,3 @@",
        " {",
        '-  "a": "1"',
        '+  "a": "2"',
        " }",
    ]
