"""Job definitions: what the templates make, and what is refused before Batch is asked."""

import copy
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
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
ROLES = {name: f"arn:aws:iam::123456789012:role/{name}" for name in ("JobRoleArn", "ExportRoleArn")}


def images(prefix: str = "registry.example/genomics/") -> dict[str, ImageReference]:
    """A reference for every tool; the engine's own ids without a prefix."""
    return {
        name: ImageReference(name=name, tag=f"1.0-{name}", reference=f"{prefix}{name}@{DIGEST}" if prefix else DIGEST)
        for name in TOOLS
    }


def render(*, settings: Settings = SETTINGS, outputs: Mapping[str, str] = ROLES) -> dict[str, Definition]:
    """Every definition, for AWS."""
    return jobdefs.render(HERE.jobdefs, Rendering(images=images(), settings=settings, outputs=outputs))


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # JSON
    """Every value of a JSON tree, with its path."""
    if isinstance(tree, dict | list) and tree:
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


def test_a_dump_is_sorted_json_and_ends_with_a_newline() -> None:
    assert jobdefs.dump({"b": 1, "a": ["ü"]}) == '{\n  "a": [\n    "ü"\n  ],\n  "b": 1\n}\n'


@pytest.mark.parametrize("tool", TOOLS)
def test_a_job_runs_one_step_without_rights_and_can_write_to_working_only(tool: str) -> None:
    properties = render()[tool]["containerProperties"]
    assert properties["command"][:4] == ["step", "Ref::command", "Ref::reference", "Ref::sample"]
    assert properties["user"] == "1000:1000"
    assert (properties["readonlyRootFilesystem"], properties["privileged"]) == (True, False)
    hosts = {volume["name"]: volume["host"]["sourcePath"] for volume in properties["volumes"]}
    mounts = [(hosts[mount["sourceVolume"]], mount["containerPath"]) for mount in properties["mountPoints"]]
    assert mounts == [(f"/scratch/{name}", f"/scratch/{name}") for name in ("reference", "data", "working")]
    assert [mount["readOnly"] for mount in properties["mountPoints"]] == [True, True, False]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_options_of_a_tmpfs_are_words_that_batch_lists(tool: str) -> None:
    model = Loader().load_service_model("batch", "service-2")["shapes"]["Tmpfs"]["members"]["mountOptions"]
    words = set(re.findall(r"\w+", re.sub("<[^>]*>", "", model["documentation"])))
    for entry in render()[tool]["containerProperties"]["linuxParameters"]["tmpfs"]:
        assert sorted(set(entry["mountOptions"]) - words) == []


@pytest.mark.parametrize("tool", TOOLS)
def test_on_one_machine_only_the_image_the_paths_of_the_host_and_the_marker_differ(tool: str) -> None:
    scratch = Scratch(mode="local", path="/mnt/x")
    rendering = Rendering(images=images(""), settings=SETTINGS, scratch=scratch, outputs=ROLES)
    in_aws, local = (dict(leaves(made[tool])) for made in (render(), jobdefs.render(HERE.jobdefs, rendering)))
    assert in_aws.keys() == local.keys()
    (marker,) = (path for path, value in in_aws.items() if value == "lustre")
    volumes = {
        f"/containerProperties/volumes/{number}/host/sourcePath": f"/mnt/x/{name}"
        for number, name in enumerate(("reference", "data", "working"))
    }
    differing = {path: value for path, value in local.items() if value != in_aws[path]}
    assert differing == {"/containerProperties/image": DIGEST, marker: "local", **volumes}


def test_genomics_toml_overrides_the_figures_of_one_tool(tmp_path: Path) -> None:
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
    before, after = render(), render(settings=load(file))
    bwa = after["bwa"]
    assert resources(before["bwa"]) == {"VCPU": "8", "MEMORY": "28000"}
    assert resources(bwa) == {"VCPU": "16", "MEMORY": "60000"}
    timeouts = [made["bwa"]["timeout"]["attemptDurationSeconds"] for made in (before, after)]
    assert timeouts == [86400, 120]
    assert (before["bwa"]["retryStrategy"]["attempts"], bwa["retryStrategy"]["attempts"]) == (3, 5)
    assert resources(after["samtools"]) == resources(before["samtools"])
    assert bwa["jobDefinitionName"] == "lab-bwa"
    assert bwa["tags"] == {"cost": "42", "image": "bwa", "image-tag": "1.0-bwa", "project": "lab"}
    assert {"name": "WORKFLOW_NAME", "value": "exome"} in bwa["containerProperties"]["environment"]


@pytest.mark.parametrize("key", ["vcpus", "memory", "timeout", "attempts"])
def test_a_single_figure_can_be_overridden(key: str) -> None:
    jobs = {"bwa": {key: 7}} if key == "attempts" else {"bwa": {key: 77}}
    settings = Settings.model_validate(SETTINGS.model_dump(by_alias=True) | {"jobs": jobs})
    before, after = dict(leaves(render()["bwa"])), dict(leaves(render(settings=settings)["bwa"]))
    assert len([path for path in before if before[path] != after[path]]) == 1


def test_the_export_has_its_own_role_and_every_other_tool_the_one_without_permissions() -> None:
    roles = {name: definition["containerProperties"]["jobRoleArn"] for name, definition in render().items()}
    assert roles == {tool: ROLES["ExportRoleArn" if tool == "fsx-export" else "JobRoleArn"] for tool in TOOLS}
    assert "fsx-export" in TOOLS


@pytest.mark.parametrize("role", ROLES)
def test_without_its_role_no_definition_is_made(role: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'dict object' has no attribute '{role}'"):
        render(outputs={name: ROLES[name] for name in ROLES if name != role})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ['"', '", "privileged": true, "x": "', "\\", "\\u0022", "{{ 7 * 7 }}", "{% raw %}", "</script>", "\n", "\x00", "'"]
)
# What AWS takes in a tag; anything else is refused before it is sent.
TAG = st.text("aZ9é ._:/=+-@", min_size=1, max_size=40)


@hypothesis_settings(max_examples=15)
@given(tags=st.dictionaries(TAG, TAG, max_size=3), workflow=TEXT, path=TEXT, role=TEXT, tag=TAG)
def test_no_value_leaves_its_string(tags: dict[str, str], workflow: str, path: str, role: str, tag: str) -> None:
    tools = {name: ImageReference(name=name, tag=tag, reference=one.reference) for name, one in images().items()}
    rendering = Rendering(
        images=tools,
        settings=Settings.model_construct(project="p", workflow=workflow, tags=tags),
        scratch=Scratch(mode="local", path=path),
        outputs=dict.fromkeys(ROLES, role),
    )
    plain = replace(
        rendering, settings=SETTINGS, scratch=Scratch(mode="local", path=""), outputs=dict.fromkeys(ROLES, "")
    )
    expected = jobdefs.render(HERE.jobdefs, plain)
    for name, definition in expected.items():
        definition["jobDefinitionName"] = f"p-{name}"
        definition["tags"] = {**tags, "image": name, "image-tag": tag, "project": "p"}
        properties = definition["containerProperties"]
        properties["jobRoleArn"] = role
        properties["environment"][1]["value"] = workflow
        properties["logConfiguration"]["options"]["awslogs-group"] = "/p/jobs"
        for volume in properties["volumes"]:
            volume["host"]["sourcePath"] = f"{path}/{volume['name']}"
    assert jobdefs.render(HERE.jobdefs, rendering) == expected


BWA = render()["bwa"]
ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@hypothesis_settings(max_examples=60)
@given(
    extra=ANY_JSON,
    key=st.sampled_from(["tags", "parameters", "timeout", "retryStrategy", "containerProperties", "unknown"]),
)
def test_a_definition_of_any_shape_is_refused_and_never_crashes(extra: object, key: str) -> None:
    try:
        jobdefs.validate("bwa", {**BWA, key: extra})
    except ConfigurationError as error:
        assert error.why  # noqa: PT017  # it may be right


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"aws:x": "y"}, "takes a name that AWS keeps for itself"),
        ({"": "y"}, "Invalid length for parameter tags"),
        ({"x" * 129: "y"}, "may have 128 characters"),
        ({"x": "y" * 257}, "and its value 256"),
        ({"x": "a\nb"}, "may hold letters, digits, spaces"),
        ({f"x{number}": "y" for number in range(51)}, "tags, and Batch takes 50"),
    ],
)
def test_tags_that_the_service_refuses_are_refused_here(tags: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        render(settings=Settings(project="genomics", workflow="germline", tags=tags))


def test_a_template_without_an_image_is_an_error() -> None:
    tools = {name: image for name, image in images().items() if name != "bwa"}
    with pytest.raises(ConfigurationError, match=r"jobdefs/bwa.json.j2 has no image: there is no images/bwa\."):
        jobdefs.render(HERE.jobdefs, Rendering(images=tools, settings=SETTINGS, outputs=ROLES))


def test_figures_for_an_unknown_tool_are_refused() -> None:
    misspelt = Settings(project="p", workflow="w", jobs={"bwaa": {"vcpus": 4}}, tags={})
    with pytest.raises(ConfigurationError, match=r"no job definition 'bwaa'"):
        render(settings=misspelt)


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


def rules(*evaluate_on_exit: dict[str, str]) -> Change:
    return top(retryStrategy={"attempts": 2, "evaluateOnExit": list(evaluate_on_exit)})


def figures(vcpus: str, memory: str) -> Change:
    return properties(resourceRequirements=[{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}])


def retry(**conditions: str) -> dict[str, str]:
    return {**conditions, "action": "RETRY"}


LAST = {"onReason": "*", "action": "EXIT"}
NO_LAST = "evaluateOnExit's last rule must end what no other matches: Batch would try it again"
NO_WILDCARD = "has a '*' before its end, where it is no wildcard"
NO_NAME = "must be at most 128 letters, digits, '-' and '_', the first a letter or digit"
NO_DIGEST = "is not named by its digest"
ATTEMPTS = "retryStrategy.attempts must be from 1 to 10"
OVERRIDES = "is deprecated and ignored in overrides: use resourceRequirements"
UNDECLARED = "Ref::lane is not declared in parameters, and would reach the step as it is"


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
    ("change", "why"),
    [
        (properties(command=["step", "Ref::command", "Ref::sample", "x/Ref::lane"]), UNDECLARED),
        (properties(command=["step", "Ref::command"]), "parameter 'sample' is declared but not used in the command"),
        (properties(image="registry.example/bwa:1.0"), f"the image 'registry.example/bwa:1.0' {NO_DIGEST}"),
        (properties(image=f"bwa@{DIGEST[:-1]}"), f"the image 'bwa@{DIGEST[:-1]}' {NO_DIGEST}"),
        (properties(image=f"{'x' * 184}@{DIGEST}"), "the image's name has 256 characters, and Batch takes 255"),
        (properties(image=""), f"the image '' {NO_DIGEST}"),
        (properties(environment=[{"name": "X", "value": "x" * 24 * 1024}]), "bytes, and Batch takes 24576"),
        (
            properties(environment=[{"name": "AWS_BATCH_JOB_ID", "value": "1"}]),
            "the environment's 'AWS_BATCH_JOB_ID' takes a name that Batch keeps for itself",
        ),
        (properties(vcpus=2), f"'vcpus' {OVERRIDES}"),
        (properties(memory=2), f"'memory' {OVERRIDES}"),
        (properties(resourceRequirements=[]), "resourceRequirements must give VCPU as a whole number"),
        (figures("0.5", "4"), "resourceRequirements must give VCPU as a whole number"),
        (figures("1", "0"), "resourceRequirements must give MEMORY as a whole number"),
        (properties(privileged=True), "privileged must be false"),
        (properties(privileged=True, image="bwa:1"), f"the image 'bwa:1' {NO_DIGEST}; privileged must be false"),
        (properties(mountPoints=[{"sourceVolume": "none", "containerPath": "/x"}]), "mount point /x names no volume"),
        (top(timeout={"attemptDurationSeconds": 59}), "timeout.attemptDurationSeconds must be at least 60"),
        (top(retryStrategy={"attempts": 11}), ATTEMPTS),
        (top(retryStrategy={"attempts": 0}), ATTEMPTS),
        (rules(*[retry(onExitCode="75")] * 5, LAST), "retryStrategy.evaluateOnExit has 6 rules, and Batch takes 5"),
        (rules(retry(onStatusReason="Host*EC2*"), LAST), f"evaluateOnExit's onStatusReason 'Host*EC2*' {NO_WILDCARD}"),
        (rules(retry(onReason="*Error"), LAST), f"evaluateOnExit's onReason '*Error' {NO_WILDCARD}"),
        (rules(retry(onExitCode="7*5"), LAST), f"evaluateOnExit's onExitCode '7*5' {NO_WILDCARD}"),
        (rules(retry(onExitCode="75")), NO_LAST),
        (rules(LAST, retry(onExitCode="75")), NO_LAST),
        (rules(retry(onReason="*")), NO_LAST),
        (rules({"onReason": "*", "onExitCode": "65", "action": "EXIT"}), NO_LAST),
        (top(jobDefinitionName="genomics.bwa"), f"the name 'genomics.bwa' {NO_NAME}"),
        (top(jobDefinitionName="-bwa"), f"the name '-bwa' {NO_NAME}"),
        (top(jobDefinitionName="x" * 129), NO_NAME),
        (lambda definition: definition.pop("containerProperties"), "containerProperties is missing"),
        (lambda definition: definition.pop("type"), 'Missing required parameter in input: "type"'),
        (properties(privileged="yes"), "Invalid type for parameter containerProperties.privileged"),
        (properties(command=["step", 1]), "Invalid type for parameter containerProperties.command[1], value: 1"),
        (top(parameters={"sample": 1}), "Invalid type for parameter parameters.sample, value: 1"),
        (top(retries=3), 'Unknown parameter in input: "retries"'),
    ],
)
def test_what_batch_refuses_or_ignores_is_an_error_here(change: Change, why: str) -> None:
    definition = valid()
    change(definition)
    with pytest.raises(ConfigurationError) as caught:
        jobdefs.validate("bwa", definition)
    assert why in caught.value.why


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        properties(image=DIGEST),
        properties(image=f"{'x' * 183}@{DIGEST}"),
        top(jobDefinitionName="x" * 128),
        top(retryStrategy={}),
        lambda definition: (definition.pop("retryStrategy"), definition.pop("timeout")),
    ],
    ids=["everything", "an id", "a name just short enough", "128 characters", "no rules", "no bounds"],
)
def test_what_batch_accepts_is_accepted_and_left_as_it_is(change: Change) -> None:
    definition = valid()
    change(definition)
    before = copy.deepcopy(definition)
    jobdefs.validate("bwa", definition)
    assert definition == before
