"""Job definitions: what the templates make, and what is refused before the service is asked."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from toolchain.errors import ConfigurationError
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import Definition, ImageReference, Rendering, Scratch
from toolchain.paths import HERE
from toolchain.settings import Settings, load

TOOLS = jobdefs.names(HERE.jobdefs)
DIGEST = "sha256:" + "0123456789abcdef" * 4
SETTINGS = Settings(project="genomics", workflow="germline", jobs={}, tags={"project": "genomics"})


def images(prefix: str = "registry.example/genomics/") -> dict[str, ImageReference]:
    """A reference for every tool; the engine's own ids without a prefix."""
    return {
        name: ImageReference(name=name, tag=f"1.0-{name}", reference=f"{prefix}{name}@{DIGEST}" if prefix else DIGEST)
        for name in TOOLS
    }


def cloud(*, settings: Settings = SETTINGS, outputs: Mapping[str, str] | None = None) -> dict[str, Definition]:
    return jobdefs.render(HERE.jobdefs, Rendering(images=images(), settings=settings, outputs=outputs or {}))


def local(path: str = "/home/me/scratch") -> dict[str, Definition]:
    rendering = Rendering(images=images(""), settings=SETTINGS, scratch=Scratch(mode="local", path=path))
    return jobdefs.render(HERE.jobdefs, rendering)


@pytest.fixture(scope="module")
def rendered() -> dict[str, Definition]:
    """Every definition, for the cloud."""
    return cloud()


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # JSON
    """Every value of a JSON tree, with its path."""
    if isinstance(tree, dict | list):
        if not tree:
            yield path, tree
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, f"{path}/{key}")
    else:
        yield path, tree


def resources(definition: Definition) -> dict[str, str]:
    return {entry["type"]: entry["value"] for entry in definition["containerProperties"]["resourceRequirements"]}


def test_a_template_is_a_tool_and_one_with_an_underscore_is_none(tmp_path: Path) -> None:
    for name in ("_base.json.j2", "b.json.j2", "a.json.j2", "a.json", "notes.md"):
        (tmp_path / name).touch()
    assert jobdefs.names(tmp_path) == ("a", "b")


def test_every_template_makes_a_valid_definition(rendered: dict[str, Definition]) -> None:
    assert tuple(rendered) == TOOLS
    assert TOOLS


def test_the_same_input_makes_the_same_bytes_in_whatever_order_it_is_given() -> None:
    tags = {"a": "1", "b": "2", "c": "3"}
    turned = dict(reversed(tags.items()))
    texts = [
        [jobdefs.dump(one) for one in cloud(settings=Settings(project="p", workflow="w", jobs={}, tags=given)).values()]
        for given in (tags, tags, turned)
    ]
    assert texts[0] == texts[1] == texts[2]


def test_a_dump_is_json_that_reads_back_as_it_was_and_ends_with_a_line(rendered: dict[str, Definition]) -> None:
    for definition in rendered.values():
        text = jobdefs.dump(definition)
        assert json.loads(text) == definition
        assert text.endswith("}\n")


def test_a_dump_is_the_same_bytes_in_whatever_order_its_keys_came() -> None:
    assert jobdefs.dump({"b": 1, "a": {"d": 1, "c": 2}}) == jobdefs.dump({"a": {"c": 2, "d": 1}, "b": 1})


@pytest.mark.parametrize("tool", TOOLS)
def test_cloud_and_local_differ_in_the_image_the_host_s_paths_and_the_marker_and_in_nothing_else(
    tool: str, rendered: dict[str, Definition]
) -> None:
    in_cloud, on_machine = dict(leaves(rendered[tool])), dict(leaves(local()[tool]))
    assert in_cloud.keys() == on_machine.keys()
    environment = rendered[tool]["containerProperties"]["environment"]
    marker = next(number for number, entry in enumerate(environment) if entry["name"] == "SCRATCH")
    volumes = range(len(rendered[tool]["containerProperties"]["volumes"]))
    assert {path for path in in_cloud if in_cloud[path] != on_machine[path]} == {
        "/containerProperties/image",
        f"/containerProperties/environment/{marker}/value",
        *(f"/containerProperties/volumes/{number}/host/sourcePath" for number in volumes),
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_a_host_keeps_scratch_where_it_is_mounted_in_the_cloud_and_where_it_is_told_on_one_machine(
    tool: str, rendered: dict[str, Definition]
) -> None:
    def paths(definition: Definition) -> dict[str, str]:
        volumes = definition["containerProperties"]["volumes"]
        return {volume["name"]: volume["host"]["sourcePath"] for volume in volumes}

    names = ("reference", "data", "working")
    assert paths(rendered[tool]) == {name: f"/scratch/{name}" for name in names}
    assert paths(local("/mnt/x")[tool]) == {name: f"/mnt/x/{name}" for name in names}


@pytest.mark.parametrize("tool", TOOLS)
def test_reference_and_data_are_read_only_and_working_is_not(tool: str, rendered: dict[str, Definition]) -> None:
    mounts = {
        mount["containerPath"]: (mount["sourceVolume"], mount["readOnly"])
        for mount in rendered[tool]["containerProperties"]["mountPoints"]
    }
    assert mounts == {
        "/scratch/reference": ("reference", True),
        "/scratch/data": ("data", True),
        "/scratch/working": ("working", False),
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_runs_as_root_or_with_more_rights(tool: str, rendered: dict[str, Definition]) -> None:
    properties = rendered[tool]["containerProperties"]
    assert properties["user"] == "1000:1000"
    assert properties["readonlyRootFilesystem"] is True
    assert properties["privileged"] is False


@pytest.mark.parametrize("tool", TOOLS)
def test_a_job_runs_step_with_a_command_and_a_reference_first(tool: str, rendered: dict[str, Definition]) -> None:
    command = rendered[tool]["containerProperties"]["command"]
    assert command[:4] == ["step", "Ref::command", "Ref::reference", "Ref::sample"]


def test_the_templates_own_figures_are_taken_where_genomics_toml_says_nothing(rendered: dict[str, Definition]) -> None:
    assert resources(rendered["bwa"]) == {"VCPU": "8", "MEMORY": "28000"}
    assert rendered["bwa"]["timeout"] == {"attemptDurationSeconds": 86400}
    assert rendered["bwa"]["retryStrategy"]["attempts"] == 3


def test_genomics_toml_overrides_the_figures_of_one_tool_and_of_no_other(
    tmp_path: Path, rendered: dict[str, Definition]
) -> None:
    file = tmp_path / "genomics.toml"
    file.write_text(
        """
        project = "lab"
        workflow = "exome"
        [tags]
        cost = "42"
        [jobs.bwa]
        vcpus = 16
        memory = 60000
        timeout = 120
        attempts = 5
        """,
        encoding="utf-8",
    )
    changed = cloud(settings=load(file))
    assert resources(changed["bwa"]) == {"VCPU": "16", "MEMORY": "60000"}
    assert changed["bwa"]["timeout"] == {"attemptDurationSeconds": 120}
    assert changed["bwa"]["retryStrategy"]["attempts"] == 5
    assert resources(changed["samtools"]) == resources(rendered["samtools"])
    assert changed["bwa"]["jobDefinitionName"] == "lab-bwa"
    assert changed["bwa"]["tags"] == {"cost": "42", "image": "bwa", "image-tag": "1.0-bwa"}
    assert {"name": "WORKFLOW_NAME", "value": "exome"} in changed["bwa"]["containerProperties"]["environment"]


@pytest.mark.parametrize("key", ["vcpus", "memory", "timeout", "attempts"])
def test_one_figure_alone_can_be_overridden(key: str, rendered: dict[str, Definition]) -> None:
    jobs = {"bwa": {key: 7 if key == "attempts" else 77}}
    settings = Settings.model_validate({"project": "genomics", "workflow": "germline", "jobs": jobs})
    before, after = dict(leaves(rendered["bwa"])), dict(leaves(cloud(settings=settings)["bwa"]))
    before.pop("/tags/project")
    assert len([path for path in before if before[path] != after[path]]) == 1


ROLES = {name: f"arn:aws:iam::123456789012:role/{name}" for name in ("JobRoleArn", "ExportRoleArn")}


def roles(**outputs: str) -> dict[str, str | None]:
    return {name: one["containerProperties"].get("jobRoleArn") for name, one in cloud(outputs=outputs).items()}


def test_the_export_has_its_own_role_and_every_other_tool_the_one_without_permissions() -> None:
    expected = {name: ROLES["ExportRoleArn" if name == "fsx-export" else "JobRoleArn"] for name in TOOLS}
    assert roles(**ROLES) == expected
    assert "fsx-export" in TOOLS


def test_no_job_gets_another_s_role_where_its_own_is_not_deployed() -> None:
    assert {name for name, role in roles(ExportRoleArn="x").items() if role} == {"fsx-export"}
    assert {name for name, role in roles(JobRoleArn="x").items() if role} == set(TOOLS) - {"fsx-export"}
    assert set(roles().values()) == {None}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ['"', '", "privileged": true, "x": "', "\\", "\\u0022", "{{ 7 * 7 }}", "{% raw %}", "</script>", "\n", "\x00", "'"]
)
# What AWS takes in a tag; anything else is refused before it is sent.
TAG = st.text("aZ9é ._:/=+-@", min_size=1, max_size=40)


@hypothesis_settings(deadline=None, max_examples=25)
@given(tags=st.dictionaries(TAG, TAG, max_size=3), workflow=TEXT, path=TEXT, tag=TAG)
def test_no_value_leaves_its_string(tags: dict[str, str], workflow: str, path: str, tag: str) -> None:
    tools = {name: ImageReference(name=name, tag=tag, reference=one.reference) for name, one in images().items()}
    made = jobdefs.render(
        HERE.jobdefs,
        Rendering(
            images=tools,
            settings=Settings.model_construct(project="p", workflow=workflow, tags=tags),
            scratch=Scratch(mode="local", path=path),
        ),
    )
    for name, definition in made.items():
        assert definition["tags"] == {**tags, "image": name, "image-tag": tag}
        properties = definition["containerProperties"]
        assert properties["environment"] == [
            {"name": "SCRATCH", "value": "local"},
            {"name": "WORKFLOW_NAME", "value": workflow},
        ]
        assert [volume["host"]["sourcePath"] for volume in properties["volumes"]] == [
            f"{path}/reference",
            f"{path}/data",
            f"{path}/working",
        ]
        assert properties["privileged"] is False


def test_a_template_without_an_image_is_an_error() -> None:
    fewer = {name: one for name, one in images().items() if name != "bwa"}
    with pytest.raises(ConfigurationError) as caught:
        jobdefs.render(HERE.jobdefs, Rendering(images=fewer, settings=SETTINGS))
    assert caught.value.what == "jobdefs/bwa.json.j2 has no image"
    assert caught.value.why == "there is no images/bwa"


def test_an_image_without_a_template_is_none(tmp_path: Path) -> None:
    shutil.copyfile(HERE.jobdefs / "_base.json.j2", tmp_path / "_base.json.j2")
    assert jobdefs.render(tmp_path, Rendering(images=images(), settings=SETTINGS)) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ no_such_name }}", "the template fails: 'no_such_name' is undefined"),
        ("{% block", "the template fails: "),
        ('{% extends "none.json.j2" %}', "the template fails: 'none.json.j2' not found"),
        ('{% extends "_base.json.j2" %}', "the template fails: Required block"),
        ('{"a": }', "it does not make JSON: "),
        ("", "it does not make JSON: "),
        ("[]", "Invalid type"),
        ("{}", 'Missing required parameter in input: "jobDefinitionName"'),
    ],
)
def test_a_template_that_fails_is_an_error_that_names_it(tmp_path: Path, text: str, why: str) -> None:
    shutil.copyfile(HERE.jobdefs / "_base.json.j2", tmp_path / "_base.json.j2")
    (tmp_path / "bwa.json.j2").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        jobdefs.render(tmp_path, Rendering(images=images(), settings=SETTINGS))
    assert caught.value.what == "job definition 'bwa' is wrong"
    assert why in caught.value.why
    assert caught.value.fix == "Correct jobdefs/bwa.json.j2 or genomics.toml."


Change = Callable[[Definition], object]


def properties(**changes: Any) -> Change:  # noqa: ANN401
    return lambda definition: definition["containerProperties"].update(changes)


def top(**changes: Any) -> Change:  # noqa: ANN401
    return lambda definition: definition.update(changes)


def rules(*given_rules: dict[str, str]) -> Change:
    return top(retryStrategy={"attempts": 2, "evaluateOnExit": list(given_rules)})


LAST = {"onReason": "*", "action": "EXIT"}
NO_LAST = "evaluateOnExit's last rule must end what no other matches: Batch would try it again"
NO_WILDCARD = "has a '*' before its end, where it is no wildcard"
NO_NAME = "must be at most 128 letters, digits, '-' and '_', the first a letter or digit"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            properties(command=["step", "Ref::command", "Ref::sample", "x/Ref::lane"]),
            "Ref::lane is not declared in parameters, and would reach the step as it is",
        ),
        (
            properties(command=["step", "Ref::command"]),
            "parameter 'sample' is declared but not used in the command",
        ),
        (
            properties(image="registry.example/bwa:1.0"),
            "the image 'registry.example/bwa:1.0' is not named by its digest",
        ),
        (properties(image=f"bwa@{DIGEST[:-1]}"), f"the image 'bwa@{DIGEST[:-1]}' is not named by its digest"),
        (properties(image=f"{'x' * 184}@{DIGEST}"), "the image's name has 256 characters, and Batch takes 255"),
        (properties(image=""), "the image '' is not named by its digest"),
        (
            properties(environment=[{"name": "X", "value": "x" * 24 * 1024}]),
            "bytes, and Batch takes 24576",
        ),
        (
            properties(environment=[{"name": "AWS_BATCH_JOB_ID", "value": "1"}]),
            "the environment's 'AWS_BATCH_JOB_ID' takes a name that Batch keeps for itself",
        ),
        (properties(vcpus=2), "'vcpus' is deprecated and ignored in overrides: use resourceRequirements"),
        (properties(memory=2), "'memory' is deprecated and ignored in overrides: use resourceRequirements"),
        (properties(resourceRequirements=[]), "resourceRequirements must give VCPU as a whole number"),
        (
            properties(resourceRequirements=[{"type": "VCPU", "value": "0.5"}, {"type": "MEMORY", "value": "4"}]),
            "resourceRequirements must give VCPU as a whole number",
        ),
        (
            properties(resourceRequirements=[{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "0"}]),
            "resourceRequirements must give MEMORY as a whole number",
        ),
        (properties(privileged=True), "privileged must be false"),
        (
            properties(mountPoints=[{"sourceVolume": "nowhere", "containerPath": "/x"}]),
            "mount point /x names no volume",
        ),
        (top(timeout={"attemptDurationSeconds": 59}), "timeout.attemptDurationSeconds must be at least 60"),
        (top(retryStrategy={"attempts": 11}), "retryStrategy.attempts must be from 1 to 10"),
        (top(retryStrategy={"attempts": 0}), "retryStrategy.attempts must be from 1 to 10"),
        (
            rules(*[{"onExitCode": "75", "action": "RETRY"}] * 5, LAST),
            "retryStrategy.evaluateOnExit has 6 rules, and Batch takes 5",
        ),
        (
            rules({"onStatusReason": "Host*EC2*", "action": "RETRY"}, LAST),
            f"evaluateOnExit's onStatusReason 'Host*EC2*' {NO_WILDCARD}",
        ),
        (rules({"onReason": "*Error", "action": "RETRY"}, LAST), f"evaluateOnExit's onReason '*Error' {NO_WILDCARD}"),
        (
            rules({"onExitCode": "7*5", "action": "RETRY"}, LAST),
            f"evaluateOnExit's onExitCode '7*5' {NO_WILDCARD}",
        ),
        (rules({"onExitCode": "75", "action": "RETRY"}), NO_LAST),
        (rules(LAST, {"onExitCode": "75", "action": "RETRY"}), NO_LAST),
        (rules({"onReason": "*", "action": "RETRY"}), NO_LAST),
        (rules({"onReason": "*", "onExitCode": "65", "action": "EXIT"}), NO_LAST),
        (top(jobDefinitionName="genomics.bwa"), f"the name 'genomics.bwa' {NO_NAME}"),
        (top(jobDefinitionName="-bwa"), f"the name '-bwa' {NO_NAME}"),
        (top(jobDefinitionName="x" * 129), NO_NAME),
        (lambda one: one.pop("containerProperties"), "containerProperties is missing"),
        (lambda one: one.pop("type"), 'Missing required parameter in input: "type"'),
        (properties(privileged="yes"), "Invalid type for parameter containerProperties.privileged"),
        (properties(command=["step", 1]), "Invalid type for parameter containerProperties.command[1], value: 1"),
        (top(parameters={"sample": 1}), "Invalid type for parameter parameters.sample, value: 1"),
        (top(retries=3), 'Unknown parameter in input: "retries"'),
    ],
)
def test_what_batch_refuses_or_does_in_silence_is_said_before(change: Change, why: str) -> None:
    definition = valid()
    change(definition)
    with pytest.raises(ConfigurationError) as caught:
        jobdefs.validate("bwa", definition)
    assert why in caught.value.why
    assert caught.value.exit_code == 78


def valid() -> Definition:
    """A definition that has everything that a rule is about."""
    return {
        "jobDefinitionName": "genomics-bwa",
        "type": "container",
        "parameters": {"command": "mem", "sample": "-"},
        "containerProperties": {
            "image": f"registry.example/bwa@{DIGEST}",
            "command": ["step", "Ref::command", "Ref::sample"],
            "resourceRequirements": [{"type": "VCPU", "value": "8"}, {"type": "MEMORY", "value": "28000"}],
            "environment": [{"name": "SCRATCH", "value": "lustre"}],
            "volumes": [{"name": "data", "host": {"sourcePath": "/scratch/data"}}],
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/scratch/data"}],
        },
        "retryStrategy": {"attempts": 10, "evaluateOnExit": [{"onExitCode": "7*", "action": "RETRY"}, LAST]},
        "timeout": {"attemptDurationSeconds": 60},
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        properties(image=DIGEST),
        properties(image=f"{'x' * 183}@{DIGEST}"),
        top(jobDefinitionName="x" * 128),
        top(retryStrategy={}),
        lambda one: (one.pop("retryStrategy"), one.pop("timeout")),
    ],
    ids=["everything", "an id", "a name just short enough", "128 characters", "no rules", "no bounds"],
)
def test_what_batch_takes_is_taken(change: Change) -> None:
    definition = valid()
    change(definition)
    before = copy.deepcopy(definition)
    jobdefs.validate("bwa", definition)
    assert definition == before


def test_all_faults_are_said_at_once() -> None:
    definition = valid()
    properties(privileged=True, image="bwa:latest")(definition)
    with pytest.raises(ConfigurationError, match=r"not named by its digest; .*privileged must be false"):
        jobdefs.validate("bwa", definition)


def test_figures_for_a_tool_that_is_not_there_are_refused() -> None:
    misspelt = Settings(project="p", workflow="w", jobs={"bwaa": {"vcpus": 4}}, tags={})
    with pytest.raises(ConfigurationError, match=r"no job definition 'bwaa'"):
        cloud(settings=misspelt)
