"""Every template of stack/: cfn-lint, checkov, parliament, and rules of this repository."""

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
every_template = pytest.mark.parametrize("name", NAMES)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def policies(value: Any, path: str) -> Iterator[tuple[str, Document]]:  # noqa: ANN401  # whatever YAML holds
    """Every policy document in a part of a template, with its path."""
    if isinstance(value, dict) and "Statement" in value:
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from policies(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from policies(item, f"{path}.{index}")


POLICIES = [policy for name in NAMES for policy in policies(deployed(name).resources, name)]


def listed(value: Any) -> list[Any]:  # noqa: ANN401  # likewise
    return value if isinstance(value, list) else [value]


# ---- cfn-lint and checkov ----


def test_cfn_lint_has_nothing_to_say() -> None:
    result = run(PROGRAMS / "cfn-lint", *(FOLDER / f"{name}.yaml" for name in NAMES))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not there; `make check` installs it")
def test_checkov_has_nothing_to_say(tmp_path: Path) -> None:
    # It does not know Fn::ForEach, and would pass over what a loop makes.
    for name in NAMES:
        (tmp_path / f"{name}.json").write_text(json.dumps(expanded(name), indent=1))
    offline = ("--skip-download", "--framework", "cloudformation", "--output", "json")
    report = json.loads(run(CHECKOV, "--directory", tmp_path, *offline).stdout)
    assert report["summary"]["parsing_errors"] == 0
    failed = report["results"]["failed_checks"]
    assert [f"{check['check_id']} {check['resource']}: {check['check_name']}" for check in failed] == []
    assert {Path(check["file_path"]).stem for check in report["results"]["passed_checks"]} == set(NAMES)


@pytest.mark.parametrize(("linter", "files"), [("cfn-lint", ".cfnlintrc*"), ("checkov", ".checkov*")])
def test_no_rule_is_switched_off_for_a_whole_template(linter: str, files: str) -> None:
    assert list(HERE.root.glob(files)) + list(FOLDER.glob(files)) == []
    assert [name for name in NAMES if linter in template(name).body.get("Metadata", {})] == []


@every_template
def test_an_exception_has_its_reason_beside_it(name: str) -> None:
    lines = template(name).text.splitlines()
    exceptions = [number for number, line in enumerate(lines) if line.strip().startswith("cfn-lint:")]
    assert [number for number in exceptions if "#" not in lines[number - 1]] == []
    for resource in expanded(name)["Resources"].values():
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"])
            assert len(skip["comment"]) > 20


# ---- policies ----


def parliament(folder: Path, documents: list[tuple[str, Document]]) -> subprocess.CompletedProcess[str]:
    """Runs parliament, which wants a resource in a trust policy, where the role itself is it."""
    role = "arn:aws:iam::123456789012:role/this"
    for path, document in documents:
        statements = listed(document["Statement"])
        if path.endswith(".AssumeRolePolicyDocument"):
            statements = [{**statement, "Resource": role} for statement in statements]
        (folder / f"{path}.json").write_text(json.dumps({**document, "Statement": statements}))
    return run(PROGRAMS / "parliament", "--directory", folder)


def test_parliament_has_nothing_to_say(tmp_path: Path) -> None:
    known = (
        # It wants a resource of each type that an action can have; an execution is standard or express, never both.
        r".*'states:DescribeExecution', 'required_format': 'arn:\*:states:\*:\*:express:\*:\*:\*'}\] .*",
        # One statement is for the file system, by its tag, and another for the task, which has none yet.
        r".*'fsx:CreateDataRepositoryTask', 'required_format': .*compute\.ExportRole\..*",
        # It wants queue and definition in one statement; a condition on the one's tags is for a statement of its own.
        r"MEDIUM - No resources match for the given action .*'action': 'batch:SubmitJob'.*workflow\.JobPolicy\..*",
        # In a key's own policy any resource is the key.
        r"LOW - Unnecessary use of Resource \* .*\.KeyPolicy\.json'}",
    )
    lines = parliament(tmp_path, POLICIES).stdout.splitlines()
    assert [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in known)] == []
    assert len(list(tmp_path.iterdir())) == len(POLICIES) > 10


def test_parliament_sees_an_action_that_does_not_exist(tmp_path: Path) -> None:
    wrong = {"Effect": "Allow", "Action": "fsx:ExportEverything", "Resource": "*"}
    result = parliament(tmp_path, [("wrong", {"Version": "2012-10-17", "Statement": [wrong]})])
    assert result.returncode != 0
    assert "Unknown action fsx:ExportEverything" in result.stdout


@every_template
def test_a_policy_on_any_resource_is_written_in_one_way_with_the_reason_above_it(name: str) -> None:
    text = template(name).text
    assert re.findall(r"^ *Resource: *\*|^ *Resource: *\n *- [\"']?\*[\"']? *$", text, re.MULTILINE) == []
    lines = text.splitlines()
    anything = [number for number, line in enumerate(lines) if re.search(r"""\bResource: *\[? *["']\*["']""", line)]
    assert [number + 1 for number in anything if not lines[number - 1].strip().startswith("#")] == []


def test_only_endpoints_and_a_key_s_owner_are_allowed_all_actions() -> None:
    for path, document in POLICIES:
        for statement in listed(document["Statement"]):
            if statement["Effect"] == "Allow" and any(
                re.search("(^|:)[*]$", action) for action in listed(statement["Action"])
            ):
                assert path.startswith("network.Endpoint") or path.endswith(".KeyPolicy"), path


def references(value: Any) -> Iterator[str]:  # noqa: ANN401  # likewise
    """The logical ids and parameters that a part of a template refers to."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item[0]
            elif key == "Fn::Sub":
                text, names = (item, {}) if isinstance(item, str) else item
                yield from (name.partition(".")[0] for name in re.findall(r"\$\{([\w.]+)\}", text) if name not in names)
                yield from references(names)
            else:
                yield from references(item)


def waits_for(resources: Document, name: str) -> set[str]:
    """The resources that CloudFormation makes before this one."""
    found: set[str] = set()
    names = [name]
    while names:
        resource = resources[names.pop()]
        before = {*references(resource["Properties"]), *listed(resource.get("DependsOn", []))} & resources.keys()
        names += before - found
        found |= before
    return found


@every_template
def test_what_is_made_with_a_role_waits_for_every_policy_on_it(name: str) -> None:
    # Services look at a role when they are given it: CreateStateMachine asks whether it may write the log.
    resources = expanded(name)["Resources"]
    policies_of: dict[str, set[str]] = {}
    for policy, resource in resources.items():
        if resource["Type"] in {"AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy"}:
            properties = resource["Properties"]
            for role in references([properties.get("Roles"), properties.get("RoleName")]):
                policies_of.setdefault(role, set()).add(policy)
    references_only = {key: {**resource, "DependsOn": []} for key, resource in resources.items()}
    for user, resource in resources.items():
        if not resource["Type"].startswith("AWS::IAM::"):
            roles = waits_for(references_only, user) & policies_of.keys()
            needed = {policy for role in roles for policy in policies_of[role]}
            assert sorted(needed - waits_for(resources, user)) == [], user


def test_who_waits_for_whom_is_seen_through_references_of_each_form() -> None:
    resources = {
        "A": {"Properties": {"Role": {"Fn::GetAtt": ["B", "Arn"]}}, "DependsOn": "C"},
        "B": {"Properties": {"Text": {"Fn::Sub": ["${D}-${x}", {"x": {"Ref": "E"}}]}}},
        **{name: {"Properties": {}} for name in "CDEF"},
    }
    assert waits_for(resources, "A") == set("BCDE")


# ---- parameters, exports, outputs ----


@every_template
def test_a_template_has_its_place_in_the_order_a_description_and_the_project_s_name(name: str) -> None:
    assert name in ORDER
    assert template(name).body["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template(name).body["Description"].endswith(".")
    project = template(name).parameters["Project"]
    assert (project.pattern, project.highest) == ("[a-z0-9]+(-[a-z0-9]+)*", 20)


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, parameter) for name in NAMES for parameter in template(name).parameters]
)
def test_a_parameter_has_a_description_and_a_range_that_its_default_lies_in(name: str, parameter: str) -> None:
    declared = template(name).parameters[parameter]
    lowest, highest = declared.lowest, declared.highest
    assert declared.description.endswith(".")
    assert declared.allowed or (None not in (lowest, highest) if declared.kind == "Number" else declared.pattern)
    if declared.default is None:
        return
    assert not declared.allowed or declared.default in declared.allowed
    if declared.pattern:
        values = declared.default.split(",") if declared.kind == "CommaDelimitedList" else [declared.default]
        assert all(re.fullmatch(declared.pattern, value) for value in values)
    if declared.kind == "Number" and lowest is not None and highest is not None:
        assert lowest <= int(declared.default) <= highest


@every_template
def test_every_parameter_has_its_place_on_the_console_s_form(name: str) -> None:
    groups = template(name).body["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    on_form = [parameter for group in groups for parameter in group["Parameters"]]
    assert sorted(on_form) == sorted(template(name).parameters)


@every_template
def test_a_template_imports_what_earlier_ones_export_and_exports_its_outputs_by_name(name: str) -> None:
    exports = {export for other in NAMES[: NAMES.index(name)] for export in template(other).exports}
    assert sorted(template(name).imports - exports) == []
    # Nobody may depend on what comes and goes.
    outputs = set() if name == "storage" else set(template(name).body.get("Outputs", {}))
    assert template(name).exports == outputs


def test_no_two_templates_have_an_output_of_the_same_name() -> None:
    outputs = [output for name in NAMES for output in template(name).body.get("Outputs", {})]
    assert sorted(outputs) == sorted(set(outputs))


@every_template
def test_the_defaults_are_not_refused(name: str) -> None:
    assert deployed(name).refusals == []
    deployed(name).outputs  # noqa: B018  # nothing refers to what is not made
