"""Job definitions are compared as Batch understands them."""

import copy
from typing import Any

import pytest
from support.push_env import Project

from toolchain.aws import Account
from toolchain.jobdefs import register as registration
from toolchain.jobdefs.revisions import Revision, difference, matching, normalised


@pytest.fixture
def definition(project: Project) -> dict[str, Any]:
    """A definition as this repository renders it."""
    return registration.rendered(project.target, Account(), ("alpha",))["alpha"]


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


def test_a_described_definition_equals_the_registered_one(definition: dict[str, Any]) -> None:
    described = as_described(definition)
    before = copy.deepcopy((definition, described))
    assert normalised(described) == normalised(definition)
    assert (definition, described) == before


_LEFT_OUT: Any = object()


def changed(definition: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A definition with another value at a path, or without it."""
    definition = copy.deepcopy(definition)
    *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
    place: Any = definition
    for parent in parents:
        place = place[parent]
    if value is _LEFT_OUT:
        place.pop(last, None)
    else:
        place[last] = value
    return definition


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
def test_a_change_of_meaning_is_a_difference(definition: dict[str, Any], path: str, value: object) -> None:
    assert normalised(changed(definition, path, value)) != normalised(as_described(definition))


def test_the_order_of_a_command_and_of_retry_rules_has_a_meaning(definition: dict[str, Any]) -> None:
    for part, key in (("containerProperties", "command"), ("retryStrategy", "evaluateOnExit")):
        reversed_list = changed(definition, f"{part}.{key}", definition[part][key][::-1])
        assert normalised(reversed_list) != normalised(definition)


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
def test_a_default_may_be_given_or_left_out(definition: dict[str, Any], path: str, value: object) -> None:
    assert normalised(changed(definition, path, value)) == normalised(changed(definition, path, _LEFT_OUT))


def revision(number: int, content: dict[str, Any]) -> Revision:
    return Revision(arn=f"arn:x:{number}", name="x", number=number, content=normalised(content))


def test_of_several_equal_revisions_at_the_top_the_oldest_matches() -> None:
    a, b = {"tags": {"is": "a"}}, {"tags": {"is": "b"}}
    revisions = [revision(5, a), revision(4, a), revision(3, b), revision(2, a)]
    assert matching(revisions, a) == revisions[1]
    assert matching(revisions, b) is None
    assert matching([], a) is None


def test_a_difference_is_a_diff_with_both_names() -> None:
    lines = difference({"a": "1"}, {"a": "2"}, names=("bwa:3", "bwa in this checkout"))
    diff = '--- bwa:3|+++ bwa in this checkout|@@ -1,3 +1,3 @@| {|-  "a": "1"|+  "a": "2"| }'
    assert lines == diff.split("|")
