"""Whatever comes in from genomics.toml, a registry or a stack: it stays in its string, or is refused."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolchain.docker.container import container_of
from toolchain.errors import ConfigurationError
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import ImageReference, Rendering, Scratch
from toolchain.paths import HERE
from toolchain.settings import Settings

Result = TypeVar("Result")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What could end a JSON string, a template's expression or a shell's word, among everything else.
HOSTILE = st.sampled_from(
    (
        '"',
        "\\",
        '", "privileged": true, "x": "',
        "{{ 7 * 7 }}",
        "{% raw %}",
        "</script>",
        "'",
        "\n",
        "\u2028",
        "Ref::r1",
    )
)
SHORT = st.text(max_size=9)
TEXTS = st.one_of(HOSTILE, st.text(max_size=40), st.tuples(SHORT, HOSTILE, SHORT).map("".join))
ADDRESSES = TEXTS.filter(lambda text: "\n" not in text).map("r".__add__)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "vcpus": st.integers(1, 192),
        "memory": st.integers(4, 1_572_864),
        "timeout": st.integers(60, 604_800),
        "attempts": st.integers(1, 10),
    },
)
WRONG_JOBS = st.dictionaries(
    st.sampled_from(["vcpus", "memory", "timeout", "attempts"]), st.integers(-5, 2_000_000), max_size=4
)
TAG = st.text("abcXYZ019 ._:/=+-@äé", max_size=40)
TAGS = st.dictionaries(TAG.filter(lambda key: bool(key) and not key.lower().startswith("aws:")), TAG, max_size=6)
WRONG_TAGS = st.dictionaries(TEXTS, TEXTS, max_size=4)
TOOLS = jobdefs.names(HERE.jobdefs)
PLAIN = Rendering(
    images={name: ImageReference(name=name, tag="tag", reference="x@sha256:" + "0" * 64) for name in TOOLS},
    settings=Settings(project="genomics", workflow="workflow", jobs={}, tags={}),
)


def renderings(
    *,
    project: st.SearchStrategy[str],
    tag: st.SearchStrategy[str],
    address: st.SearchStrategy[str],
    jobs: st.SearchStrategy[dict[str, int]],
    tags: st.SearchStrategy[dict[str, str]],
) -> st.SearchStrategy[Rendering]:
    """Texts of any kind wherever a text may be of any kind; the rest as given."""
    image = st.fixed_dictionaries(
        {
            name: st.builds(
                ImageReference,
                name=st.just(name),
                tag=tag,
                reference=st.tuples(address, st.just("@sha256:"), DIGESTS).map("".join),
            )
            for name in TOOLS
        }
    )
    own = st.builds(
        Settings.model_construct,
        project=project,
        workflow=TEXTS,
        jobs=st.fixed_dictionaries(dict.fromkeys(TOOLS, jobs)),
        tags=tags,
    )
    return st.builds(
        Rendering,
        images=image,
        settings=own,
        scratch=st.builds(Scratch, path=TEXTS),
        outputs=st.dictionaries(st.sampled_from(["ExportRoleArn", "JobRoleArn", "Other"]), TEXTS),
    )


ALLOWED = renderings(project=st.just("genomics"), tag=st.just("1.0-abc"), address=ADDRESSES, jobs=JOBS, tags=TAGS)
ANYTHING = renderings(
    project=st.one_of(st.just("genomics"), TEXTS), tag=TEXTS, address=TEXTS, jobs=WRONG_JOBS, tags=WRONG_TAGS
)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every text, number and truth value of JSON, with its path."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from leaves(one, f"{path}/{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, f"{path}/{number}")
    else:
        yield path, value


def expected(name: str, request: Rendering) -> dict[str, object]:
    """What a plain rendering says, with each input put where it belongs."""
    outputs = dict.fromkeys(request.outputs, "role")
    plain = Rendering(images=PLAIN.images, settings=PLAIN.settings, outputs=outputs)
    definition = jobdefs.render(HERE.jobdefs, plain)[name]
    own = request.settings.jobs[name]
    project, path = request.settings.project, request.scratch.path
    properties = definition["containerProperties"]
    definition["jobDefinitionName"] = f"{project}-{name}"
    properties["image"] = request.images[name].reference
    for entry in properties["environment"]:
        if entry["name"] == "WORKFLOW_NAME":
            entry["value"] = request.settings.workflow
    for volume in properties["volumes"]:
        volume["host"]["sourcePath"] = f"{path}/{volume['name']}"
    for entry in properties["resourceRequirements"]:
        entry["value"] = str(dict(own).get({"VCPU": "vcpus", "MEMORY": "memory"}[entry["type"]], entry["value"]))
    properties["logConfiguration"]["options"]["awslogs-group"] = f"/{project}/jobs"
    if properties.get("jobRoleArn") == "role":
        properties["jobRoleArn"] = request.outputs["ExportRoleArn" if name == "fsx-export" else "JobRoleArn"]
    strategy, timeout = definition["retryStrategy"], definition["timeout"]
    strategy["attempts"] = own.get("attempts", strategy["attempts"])
    timeout["attemptDurationSeconds"] = own.get("timeout", timeout["attemptDurationSeconds"])
    definition["tags"] = {**request.settings.tags, "image": name, "image-tag": request.images[name].tag}
    return definition


def attempt(work: Callable[[], Result]) -> tuple[Result | None, ConfigurationError | None]:
    """What it returns, or how it refuses; anything else that it raises is a fault."""
    try:
        return work(), None
    except ConfigurationError as error:
        return None, error


@QUICK
@given(request=ALLOWED)
def test_every_input_stays_in_its_own_string(request: Rendering) -> None:
    for name, definition in jobdefs.render(HERE.jobdefs, request).items():
        assert dict(leaves(definition)) == dict(leaves(expected(name, request)))
        assert json.loads(jobdefs.dump(definition)) == definition


@QUICK
@given(request=ANYTHING)
def test_what_breaks_a_rule_is_refused_with_the_reason_and_nothing_leaves_its_string(request: Rendering) -> None:
    definitions, refused = attempt(lambda: jobdefs.render(HERE.jobdefs, request))
    if refused is not None:
        assert refused.what.startswith("job definition '")
        assert refused.why
    for name, definition in (definitions or {}).items():
        assert dict(leaves(definition)) == dict(leaves(expected(name, request)))


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
    own = Settings(project="genomics", workflow="germline", jobs={}, tags=tags)
    with pytest.raises(ConfigurationError, match=reason):
        jobdefs.render(HERE.jobdefs, Rendering(images=PLAIN.images, settings=own))


@QUICK
@given(data=st.data())
def test_a_parameter_is_one_word_of_the_command_whatever_it_holds(data: st.DataObject) -> None:
    for name, definition in jobdefs.render(HERE.jobdefs, PLAIN).items():
        parameters = data.draw(st.fixed_dictionaries(dict.fromkeys(definition["parameters"], TEXTS)), label=name)
        command = definition["containerProperties"]["command"]
        container = container_of(definition, parameters=parameters)
        assert len(container.command) == len(command)
        for word, given_word in zip(command, container.command, strict=True):
            assert given_word == (parameters[word.removeprefix("Ref::")] if word.startswith("Ref::") else word)


def test_a_template_that_asks_for_what_is_not_there_says_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.json.j2").write_text("{{ settings.nothing | tojson }}", encoding="ascii")
    image = ImageReference(name="x", tag="t", reference="r")
    with pytest.raises(ConfigurationError, match="nothing"):
        jobdefs.render(tmp_path, Rendering(images={"x": image}, settings=PLAIN.settings))


def any_json() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=8,
    )


@QUICK
@given(
    extra=any_json(),
    key=st.sampled_from(["tags", "parameters", "timeout", "retryStrategy", "containerProperties", "unknown"]),
)
def test_a_definition_of_any_shape_is_refused_and_never_crashes(extra: object, key: str) -> None:
    definition = jobdefs.render(HERE.jobdefs, PLAIN)[TOOLS[0]]
    _, refused = attempt(lambda: jobdefs.validate(TOOLS[0], {**definition, key: extra}))
    assert refused is None or refused.why
