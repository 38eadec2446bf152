"""genomics.toml: what differs between labs."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toolchain.errors import ConfigurationError
from toolchain.workflow.aligners import WANTED, Wanted

# What a stack's parameter may be given as: one value, or a list of texts.
Value = str | int | float | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What genomics.toml says.

    Attributes:
        project: The prefix of repositories, job definitions and log groups.
        workflow: WORKFLOW_NAME, the first directory below /scratch/working.
        aligner: Which one runs use, unless they say otherwise.
        jobs: Tool to what differs from its template's defaults: `vcpus`, `memory` (MiB), `timeout` (seconds),
            `attempts`.
        tags: AWS tags of what is registered and deployed.
        stacks: Stack to the parameters of its template that differ from the template's defaults. What they may be
            is for the template to say.
    """

    project: str
    workflow: str
    aligner: Wanted = "auto"
    jobs: Mapping[str, Mapping[str, int]]
    tags: Mapping[str, str]
    stacks: Mapping[str, Mapping[str, Value]] = field(default_factory=lambda: MappingProxyType({}))


_JOB_KEYS = {"vcpus": (1, 192), "memory": (4, 1_572_864), "timeout": (60, 604_800), "attempts": (1, 10)}


def load(file: Path) -> Settings:
    """Reads genomics.toml.

    Raises:
        ConfigurationError: It is not there, or a key in it is wrong; the message names the key.
    """

    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{file} is wrong", why=why, fix="Correct it; the comments in it say what each key means."
        )

    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise wrong(f"it cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise wrong(f"it is not TOML: {error}") from error
    if unknown := sorted(set(data) - {"project", "workflow", "aligner", "jobs", "tags", "stack"}):
        raise wrong(f"unknown key '{unknown[0]}'")
    for key in ("project", "workflow"):
        if not isinstance(data.get(key), str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", data[key]):
            raise wrong(f"'{key}' must be a name of lower-case letters, digits and single hyphens")
    tags = data.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise wrong("'tags' must be a table of texts")
    jobs = data.get("jobs", {})
    if not isinstance(jobs, dict):
        raise wrong("'jobs' must be a table")
    stacks = data.get("stack", {})
    if not isinstance(stacks, dict):
        raise wrong("'stack' must be a table")
    return Settings(
        project=data["project"],
        workflow=data["workflow"],
        aligner=_aligner(data.get("aligner", "auto"), wrong),
        jobs=MappingProxyType({tool: _job(tool, job, wrong) for tool, job in jobs.items()}),
        tags=MappingProxyType(tags),
        stacks=MappingProxyType({name: _stack(name, stack, wrong) for name, stack in stacks.items()}),
    )


def _aligner(name: Any, wrong: Any) -> Wanted:  # noqa: ANN401  # parsed TOML, and a local function
    for known in WANTED:
        if name == known:
            return known
    raise wrong(f"'aligner' must be one of {', '.join(WANTED)}")


def _job(tool: str, job: Any, wrong: Any) -> Mapping[str, int]:  # noqa: ANN401  # parsed TOML, and a local function
    if not isinstance(job, dict):
        raise wrong(f"'jobs.{tool}' must be a table")
    for key, value in job.items():
        if key not in _JOB_KEYS:
            raise wrong(f"unknown key 'jobs.{tool}.{key}'; known are {', '.join(_JOB_KEYS)}")
        lowest, highest = _JOB_KEYS[key]
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise wrong(f"'jobs.{tool}.{key}' must be a whole number from {lowest} to {highest}")
    return MappingProxyType(job)


def _stack(name: str, stack: Any, wrong: Any) -> Mapping[str, Value]:  # noqa: ANN401  # likewise
    if not isinstance(stack, dict):
        raise wrong(f"'stack.{name}' must be a table")
    values: dict[str, Value] = {}
    for key, value in stack.items():
        if isinstance(value, list) and all(isinstance(one, str) and "," not in one for one in value):
            values[key] = tuple(value)
        elif isinstance(value, str | int | float):
            values[key] = value
        else:
            raise wrong(
                f"'stack.{name}.{key}' must be a text, a number, true, false, or a list of texts without commas"
            )
    return MappingProxyType(values)
