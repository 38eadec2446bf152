"""Renders the templates of jobdefs/, and validates what they make."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jinja2

from toolchain.errors import ConfigurationError
from toolchain.jobdefs import failures
from toolchain.settings import Settings

if TYPE_CHECKING:
    from botocore.model import Shape

# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
LARGEST_DEFINITION = 24 * 1024
LONGEST_IMAGE = 255
# https://docs.aws.amazon.com/batch/latest/userguide/using-tags.html
MOST_TAGS = 50
LONGEST_TAG_KEY = 128
LONGEST_TAG_VALUE = 256
_TAG = re.compile(r"[\w .:/=+\-@]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_REFERENCE = re.compile(r"Ref::([A-Za-z0-9_-]+)")
_BY_DIGEST = re.compile(r"(.+@)?sha256:[0-9a-f]{64}")

Definition = dict[str, Any]  # RegisterJobDefinition's own shape: botocore's model is its type


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """An image as a job definition names it: by `repository@sha256:…`, or by the engine's id `sha256:…`."""

    name: str
    tag: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """The host's directory with `reference`, `data` and `working`: mounts of Lustre, or plain directories."""

    mode: Literal["lustre", "local"] = "lustre"
    path: str = "/scratch"


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The variables of the templates; `outputs` are those of the deployed stacks, none where there are no stacks."""

    images: Mapping[str, ImageReference]
    settings: Settings
    scratch: Scratch = field(default_factory=Scratch)
    outputs: Mapping[str, str] | None = None


def names(templates: Path) -> tuple[str, ...]:
    """The tools that have a job definition; a template has the name of its image."""
    return tuple(sorted(file.name.removesuffix(".json.j2") for file in templates.glob("[!_]*.json.j2")))


def render(templates: Path, rendering: Rendering) -> dict[str, Definition]:
    """Renders and validates every template.

    Returns:
        Tool to the arguments of RegisterJobDefinition.

    Raises:
        ConfigurationError: A template, or what it makes, is wrong.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # JSON, not HTML: every value goes through tojson
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["combine"] = lambda first, second: {**first, **second}
    environment.filters["tojson"] = _to_json
    if unknown := sorted(set(rendering.settings.jobs) - set(names(templates))):
        raise ConfigurationError(
            f"no job definition '{unknown[0]}'",
            why=f"genomics.toml has 'jobs.{unknown[0]}', and {templates} holds {', '.join(names(templates))}",
            fix="Correct the name in genomics.toml.",
        )
    definitions = {}
    for name in names(templates):
        if name not in rendering.images:
            raise ConfigurationError(
                f"jobdefs/{name}.json.j2 has no image",
                why=f"there is no images/{name}",
                fix="Name the template as the image that it runs.",
            )
        try:
            text = environment.get_template(f"{name}.json.j2").render(
                image=rendering.images[name],
                settings=rendering.settings,
                scratch=rendering.scratch,
                outputs=rendering.outputs,
                evaluate_on_exit=failures.evaluate_on_exit(),
            )
            definition = json.loads(text)
        except jinja2.TemplateError as error:
            raise _wrong(name, f"the template fails: {error}") from error
        except json.JSONDecodeError as error:
            raise _wrong(name, f"it does not make JSON: {error}") from error
        validate(name, definition)
        definitions[name] = definition
    return definitions


def figures(templates: Path, settings: Settings) -> dict[str, tuple[int, int]]:
    """Tool to the vCPUs and the memory, in MiB, of its job definition."""
    images = {name: ImageReference(name=name, tag="none", reference=f"sha256:{'0' * 64}") for name in names(templates)}
    # As for one machine: definitions for AWS name roles, which may not be deployed.
    rendering = Rendering(images=images, settings=settings, scratch=Scratch(mode="local"))
    return {tool: vcpus_and_memory(definition) for tool, definition in render(templates, rendering).items()}


def vcpus_and_memory(definition: Definition) -> tuple[int, int]:
    """What a job definition asks for; memory in MiB."""
    requirements = definition["containerProperties"]["resourceRequirements"]
    values = {requirement["type"]: requirement["value"] for requirement in requirements}
    return int(float(values["VCPU"])), int(values["MEMORY"])


def _to_json(value: object) -> str:
    """Jinja's `tojson` without escapes for HTML; an undefined variable raises an error with its name."""
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises UndefinedError
    return json.dumps(value)


def dump(definition: Definition) -> str:
    """A definition as JSON; the same bytes for the same content."""
    return json.dumps(definition, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def validate(name: str, definition: Definition) -> None:
    """Checks a definition against botocore's model of RegisterJobDefinition, and then against Batch's own rules.

    Raises:
        ConfigurationError: Names all faults at once.
    """
    faults = [*_model_faults(definition)] or [*_rule_faults(definition)]
    if faults:
        raise _wrong(name, "; ".join(faults))


def _wrong(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"job definition '{name}' is wrong", why=why, fix=f"Correct jobdefs/{name}.json.j2 or genomics.toml."
    )


def _model_faults(definition: Definition) -> Iterable[str]:
    # Imported here: it would be a quarter of the time that `--help` takes.
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(definition, _request_shape())
    if report.has_errors():
        yield report.generate_report().replace("\n", "; ")


@cache
def _request_shape() -> "Shape":
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("batch", "service-2"), "batch").shape_for(
        "RegisterJobDefinitionRequest"
    )


def _rule_faults(definition: Definition) -> Iterable[str]:
    """What Batch refuses, or does in silence, beyond the types of the model."""
    name = definition["jobDefinitionName"]
    if not _NAME.fullmatch(name):
        yield f"the name '{name}' must be at most 128 letters, digits, '-' and '_', the first a letter or digit"
    if (size := len(json.dumps(definition).encode())) > LARGEST_DEFINITION:
        yield f"it has {size} bytes, and Batch takes {LARGEST_DEFINITION}"
    properties = definition.get("containerProperties")
    if properties is None:
        yield "containerProperties is missing: submitJob.sync works with nothing else"
        return
    yield from _image_faults(properties.get("image", ""))
    yield from _parameter_faults(definition.get("parameters", {}), properties.get("command", []))
    yield from _resource_faults(properties)
    yield from _retry_faults(definition.get("retryStrategy", {}))
    yield from _tag_faults(definition.get("tags", {}))
    lowest_timeout = 60
    if definition.get("timeout", {}).get("attemptDurationSeconds", lowest_timeout) < lowest_timeout:
        yield f"timeout.attemptDurationSeconds must be at least {lowest_timeout}"
    for entry in properties.get("environment", []):
        if entry["name"].startswith("AWS_BATCH"):
            yield f"the environment's '{entry['name']}' takes a name that Batch keeps for itself"
    volumes = {volume["name"] for volume in properties.get("volumes", [])}
    for mount in properties.get("mountPoints", []):
        if mount["sourceVolume"] not in volumes:
            yield f"mount point {mount['containerPath']} names no volume"
    if properties.get("privileged"):
        yield "privileged must be false"


def _image_faults(image: str) -> Iterable[str]:
    if len(image) > LONGEST_IMAGE:
        yield f"the image's name has {len(image)} characters, and Batch takes {LONGEST_IMAGE}"
    if not _BY_DIGEST.fullmatch(image):
        yield f"the image '{image}' is not named by its digest"


def _parameter_faults(parameters: Mapping[str, str], command: list[str]) -> Iterable[str]:
    used = {name for word in command for name in _REFERENCE.findall(word)}
    for name in sorted(used - set(parameters)):
        yield f"Ref::{name} is not declared in parameters, and would reach the step as it is"
    for name in sorted(set(parameters) - used):
        yield f"parameter '{name}' is declared but not used in the command"


def _tag_faults(tags: Mapping[str, str]) -> Iterable[str]:
    if len(tags) > MOST_TAGS:
        yield f"it has {len(tags)} tags, and Batch takes {MOST_TAGS}"
    for key, value in tags.items():
        if len(key) > LONGEST_TAG_KEY or len(value) > LONGEST_TAG_VALUE:
            yield f"the tag '{key}' may have {LONGEST_TAG_KEY} characters, and its value {LONGEST_TAG_VALUE}"
        if key.lower().startswith("aws:"):
            yield f"the tag '{key}' takes a name that AWS keeps for itself"
        if not _TAG.fullmatch(key) or not _TAG.fullmatch(value):
            yield f"the tag '{key}' may hold letters, digits, spaces and _ . : / = + - @, and so may its value"


def _resource_faults(properties: Mapping[str, Any]) -> Iterable[str]:
    for deprecated in ("vcpus", "memory"):
        if deprecated in properties:
            yield f"'{deprecated}' is deprecated and ignored in overrides: use resourceRequirements"
    given = {entry["type"]: entry["value"] for entry in properties.get("resourceRequirements", [])}
    for kind in ("VCPU", "MEMORY"):
        if not given.get(kind, "").isdecimal() or int(given[kind]) < 1:
            yield f"resourceRequirements must give {kind} as a whole number"


def _retry_faults(strategy: Mapping[str, Any]) -> Iterable[str]:
    most_attempts, most_rules = 10, 5
    if not 1 <= strategy.get("attempts", 1) <= most_attempts:
        yield f"retryStrategy.attempts must be from 1 to {most_attempts}"
    rules = strategy.get("evaluateOnExit", [])
    if len(rules) > most_rules:
        yield f"retryStrategy.evaluateOnExit has {len(rules)} rules, and Batch takes {most_rules}"
    for rule in rules:
        for key in ("onExitCode", "onReason", "onStatusReason"):
            if "*" in rule.get(key, "")[:-1]:
                yield f"evaluateOnExit's {key} '{rule[key]}' has a '*' before its end, where it is no wildcard"
    if rules and not _ends_everything(rules[-1]):
        yield "evaluateOnExit's last rule must end what no other matches: Batch would try it again"


def _ends_everything(rule: Mapping[str, str]) -> bool:
    """Whether a rule of evaluateOnExit matches every end: conditions are ANDed, so each must be `*`."""
    conditions = [value for key, value in rule.items() if key != "action"]
    return rule["action"].upper() == "EXIT" and bool(conditions) and set(conditions) == {"*"}
