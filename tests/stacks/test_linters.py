"""Every template of stack/, read by the linters of the trade, and by what they do not look at."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.resolved_stacks import FOLDER, NAMES, deployed, expanded, template

from toolchain.paths import HERE
from toolchain.stacks.template import ORDER

PROGRAMS = Path(sys.executable).parent
CHECKOV = HERE.root / ".venv-checkov" / "bin" / "checkov"

Document = dict[str, Any]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A linter's run, whatever it ends with."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def policies(name: str) -> Iterator[tuple[str, Document]]:
    """Every policy document of a template, resolved, with where it stands."""

    def found(value: Any, where: str) -> Iterator[tuple[str, Document]]:  # noqa: ANN401  # whatever YAML holds
        if isinstance(value, dict) and "Statement" in value:
            yield where, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from found(item, f"{where}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from found(item, f"{where}.{index}")

    yield from found(deployed(name).resources, name)


def statements(document: Document) -> list[Document]:
    """A policy's statements; one alone need not stand in a list."""
    listed = document["Statement"]
    return listed if isinstance(listed, list) else [listed]


# ---- cfn-lint -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_cfn_lint_has_nothing_to_say(name: str) -> None:
    result = run(PROGRAMS / "cfn-lint", FOLDER / f"{name}.yaml")
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_no_rule_of_cfn_lint_is_switched_off_for_a_whole_template() -> None:
    assert list(HERE.root.glob(".cfnlintrc*")) + list(FOLDER.glob(".cfnlintrc*")) == []
    assert [name for name in NAMES if "cfn-lint" in template(name).body.get("Metadata", {})] == []


def test_no_check_of_checkov_is_switched_off_for_a_whole_template() -> None:
    assert list(HERE.root.glob(".checkov*")) + list(FOLDER.glob(".checkov*")) == []
    assert [name for name in NAMES if "checkov" in template(name).body.get("Metadata", {})] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_from_cfn_lint_has_its_reason_above_it(name: str) -> None:
    lines = template(name).text.splitlines()
    bare = [
        number
        for number, line in enumerate(lines)
        if line.strip().startswith("cfn-lint:") and "#" not in lines[number - 1]
    ]
    assert bare == []


# ---- checkov --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not there; `make check` installs it")
def test_checkov_has_nothing_to_say(tmp_path: Path) -> None:
    # It does not know Fn::ForEach, and would pass over what a loop makes.
    for name in NAMES:
        (tmp_path / f"{name}.json").write_text(json.dumps(expanded(name), indent=1))
    offline = ("--skip-download", "--framework", "cloudformation", "--output", "json")
    report = json.loads(run(CHECKOV, "--directory", tmp_path, *offline).stdout)
    assert report["summary"]["parsing_errors"] == 0
    failed = [
        f"{check['check_id']} {check['resource']}: {check['check_name']}"
        for check in report["results"]["failed_checks"]
    ]
    assert failed == []
    seen = {Path(check["file_path"]).stem for check in report["results"]["passed_checks"]}
    assert seen == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_skip_of_checkov_s_has_a_reason(name: str) -> None:
    for resource in expanded(name)["Resources"].values():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"])
            assert len(skip["comment"]) > 20


# ---- policies -------------------------------------------------------------------------------------------------


def parliament(folder: Path, documents: list[tuple[str, Document]]) -> subprocess.CompletedProcess[str]:
    """What parliament says of these policies.

    A role's trust policy names no resource, since the role itself is it; parliament wants one.
    """
    role = "arn:aws:iam::123456789012:role/this"
    for where, document in documents:
        listed = statements(document)
        if where.endswith(".AssumeRolePolicyDocument"):
            listed = [{**statement, "Resource": role} for statement in listed]
        (folder / f"{where}.json").write_text(json.dumps({**document, "Statement": listed}))
    return run(PROGRAMS / "parliament", "--directory", folder)


def test_parliament_has_nothing_to_say(tmp_path: Path) -> None:
    result = parliament(tmp_path, [found for name in NAMES for found in policies(name)])
    known = (
        # It wants a resource of each type that an action can have; an execution is standard or express, never both.
        r".*'states:DescribeExecution', 'required_format': 'arn:\*:states:\*:\*:express:\*:\*:\*'}\] .*",
        # In a key's own policy any resource is the key.
        r"LOW - Unnecessary use of Resource \* .*\.KeyPolicy\.json'}",
    )
    said = [line for line in result.stdout.splitlines() if not any(re.fullmatch(one, line) for one in known)]
    assert said == []
    assert list(tmp_path.iterdir()) != []


def test_parliament_sees_an_action_that_does_not_exist(tmp_path: Path) -> None:
    wrong = {"Effect": "Allow", "Action": "fsx:ExportEverything", "Resource": "*"}
    result = parliament(tmp_path, [("wrong", {"Version": "2012-10-17", "Statement": [wrong]})])
    assert result.returncode != 0
    assert "Unknown action fsx:ExportEverything" in result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_that_names_any_resource_has_the_reason_beside_it(name: str) -> None:
    lines = template(name).text.splitlines()
    anything = [number for number, line in enumerate(lines) if re.search(r"""\bResource: *\[? *["']\*["']""", line)]
    assert [number + 1 for number in anything if not lines[number - 1].strip().startswith("#")] == []


@pytest.mark.parametrize("name", NAMES)
def test_any_resource_is_written_so_that_its_reason_can_be_looked_for(name: str) -> None:
    # Not as a list below `Resource:`, nor as a bare star.
    assert (
        re.findall(r"^ *Resource: *\*|^ *Resource: *\n *- [\"']?\*[\"']? *$", template(name).text, re.MULTILINE) == []
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_policy_allows_all_actions_but_at_an_endpoint_and_a_key_s_owner(name: str) -> None:
    for where, document in policies(name):
        for statement in statements(document):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if statement["Effect"] == "Allow" and any(action == "*" or action.endswith(":*") for action in actions):
                assert where.startswith("network.Endpoint") or where.endswith(".KeyPolicy"), where


# ---- parameters, exports, outputs -----------------------------------------------------------------------------


def test_a_template_has_its_place_in_the_order() -> None:
    assert set(NAMES) <= set(ORDER)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_says_what_it_is_and_has_the_project_s_name(name: str) -> None:
    assert template(name).body["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template(name).body["Description"].endswith(".")
    project = template(name).parameters["Project"]
    assert (project.pattern, project.highest) == ("[a-z0-9]+(-[a-z0-9]+)*", 20)


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, parameter) for name in NAMES for parameter in template(name).parameters]
)
def test_a_parameter_has_a_description_and_a_range_that_its_default_lies_in(name: str, parameter: str) -> None:
    declared = template(name).parameters[parameter]
    assert declared.description.endswith(".")
    if declared.kind == "Number":
        assert declared.allowed or None not in (declared.lowest, declared.highest)
    else:
        assert declared.allowed or declared.pattern
    if declared.default is None:
        return
    if declared.allowed:
        assert declared.default in declared.allowed
    if declared.pattern:
        for value in declared.default.split(",") if declared.kind == "CommaDelimitedList" else [declared.default]:
            assert re.fullmatch(declared.pattern, value)
    if declared.kind == "Number" and declared.lowest is not None and declared.highest is not None:
        assert declared.lowest <= int(declared.default) <= declared.highest


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_its_place_on_the_console_s_form(name: str) -> None:
    groups = template(name).body["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    listed = [parameter for group in groups for parameter in group["Parameters"]]
    assert sorted(listed) == sorted(template(name).parameters)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_template_imports_an_earlier_one_exports(name: str) -> None:
    earlier = NAMES[: NAMES.index(name)]
    exported = {export for other in earlier for export in template(other).exports}
    assert sorted(template(name).imports - exported) == []


def test_no_two_templates_have_an_output_of_the_same_name() -> None:
    outputs = [output for name in NAMES for output in template(name).body["Outputs"]]
    assert sorted(outputs) == sorted(set(outputs))


@pytest.mark.parametrize("name", NAMES)
def test_an_output_is_exported_under_its_own_name(name: str) -> None:
    assert template(name).exports == set(template(name).body["Outputs"])


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_not_refused(name: str) -> None:
    assert deployed(name).refusals == []
    deployed(name).outputs  # noqa: B018  # nothing refers to what is not made
