"""genomics.toml: what differs between labs."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toolchain.aligners import WANTED, Wanted
from toolchain.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What genomics.toml says.

    Attributes:
        project: The prefix of repositories, job definitions and log groups.
        workflow: WORKFLOW_NAME, the first directory below /scratch/working.
        aligner: Which one runs use, unless they say otherwise.
        jobs: Tool to what differs from its template's defaults: `vcpus`, `memory` (MiB), `timeout` (seconds),
            `attempts`.
        tags: AWS tags of what is registered.
    """

    project: str
    workflow: str
    aligner: Wanted = "auto"
    jobs: Mapping[str, Mapping[str, int]]
    tags: Mapping[str, str]


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
    if unknown := sorted(set(data) - {"project", "workflow", "aligner", "jobs", "tags"}):
        raise wrong(f"unknown key '{unknown[0]}'")
    for key in ("project", "workflow"):
        if not isinstance(data.get(key), str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", data[key]):
            raise wrong(f"'{key}' must be a name of lower-case letters, digits and single hyphens")
    aligner = data.get("aligner", "auto")
    if aligner not in WANTED:
        raise wrong(f"'aligner' must be one of {', '.join(WANTED)}")
    tags = data.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise wrong("'tags' must be a table of texts")
    jobs = data.get("jobs", {})
    if not isinstance(jobs, dict):
        raise wrong("'jobs' must be a table")
    return Settings(
        project=data["project"],
        workflow=data["workflow"],
        aligner=aligner,
        jobs=MappingProxyType({tool: _job(tool, job, wrong) for tool, job in jobs.items()}),
        tags=MappingProxyType(tags),
    )


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
