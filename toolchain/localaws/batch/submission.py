"""What SubmitJob says, checked as the service checks it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from toolchain.docker.container import Container, Job, container_of
from toolchain.localaws.batch.placing import Need
from toolchain.localaws.batch.rules import BadStrategyError, Strategy

SHORTEST_TIMEOUT: Final = 60
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SMALLEST_ARRAY: Final = 2
_LEAST_MEMORY: Final = 4
_LARGEST_ARRAY: Final = 10_000


class RefusedError(Exception):
    """A submission that the service refuses; the text is why."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job as it was submitted, over the job definition that it names.

    Attributes:
        name: The job's name.
        definition: DescribeJobDefinitions' answer for its definition.
        parameters: Over the definition's.
        overrides: The API's own containerOverrides.
        strategy: How often it is tried.
        timeout: Seconds that an attempt may take; none for no limit.
        depends_on: The API's own dependsOn.
        array_size: How many children an array job has; none for another job.
        priority: Within a queue that has a scheduling policy; the highest goes first.
        tags: Its tags.
        request: All that was sent.
    """

    name: str
    definition: Mapping[str, Any]
    parameters: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    strategy: Strategy = field(default_factory=Strategy)
    timeout: int | None = None
    depends_on: tuple[Mapping[str, str], ...] = ()
    array_size: int | None = None
    priority: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, request: Mapping[str, Any], definition: Mapping[str, Any]) -> "Submission":
        """From SubmitJob's own body.

        Raises:
            RefusedError: The service refuses it.
        """
        name = str(request.get("jobName", ""))
        if not _NAME.fullmatch(name):
            raise RefusedError("Job name should match valid pattern")
        if "containerProperties" not in definition:
            raise RefusedError("only jobs with containerProperties run here")
        try:
            strategy = Strategy.parse(request.get("retryStrategy") or definition.get("retryStrategy"))
        except BadStrategyError as error:
            raise RefusedError(str(error)) from error
        timeout = (request.get("timeout") or definition.get("timeout") or {}).get("attemptDurationSeconds")
        if timeout is not None and timeout < SHORTEST_TIMEOUT:
            raise RefusedError(f"attemptDurationSeconds must be at least {SHORTEST_TIMEOUT}")
        size = (request.get("arrayProperties") or {}).get("size")
        if size is not None and not _SMALLEST_ARRAY <= size <= _LARGEST_ARRAY:
            raise RefusedError(f"array size must be between {_SMALLEST_ARRAY} and {_LARGEST_ARRAY}")
        submission = cls(
            name=name,
            definition=definition,
            parameters={**definition.get("parameters", {}), **(request.get("parameters") or {})},
            overrides=request.get("containerOverrides") or {},
            strategy=strategy,
            timeout=timeout,
            depends_on=tuple(request.get("dependsOn") or ()),
            array_size=size,
            priority=request.get("schedulingPriorityOverride") or 0,
            tags=request.get("tags") or {},
            request=request,
        )
        try:
            need = submission.need
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(f"the job cannot be run: {type(error).__name__}: {error}") from error
        # To Docker, no memory and less than none is all that there is.
        if need.vcpus < 1 or need.memory < _LEAST_MEMORY:
            raise RefusedError(f"a job needs a VCPU at least, and {_LEAST_MEMORY} MiB of MEMORY")
        return submission

    @property
    def properties(self) -> dict[str, Any]:
        """The definition's containerProperties, with its overrides, as DescribeJobs shows them."""
        properties = dict(self.definition["containerProperties"])
        overrides = dict(self.overrides)
        # `vcpus` and `memory` are the old words for two entries of resourceRequirements.
        resources = {
            kind: str(properties[word])
            for kind, word in (("VCPU", "vcpus"), ("MEMORY", "memory"))
            if properties.get(word)
        }
        for source in (properties, overrides):
            resources |= {entry["type"]: str(entry["value"]) for entry in source.get("resourceRequirements") or ()}
        variables = {
            entry["name"]: entry.get("value", "")
            for source in (properties, overrides)
            for entry in source.get("environment") or ()
        }
        return {
            **{name: value for name, value in properties.items() if name not in {"vcpus", "memory"}},
            "command": list(overrides.get("command") or properties.get("command") or ()),
            "environment": [{"name": name, "value": value} for name, value in variables.items()],
            "resourceRequirements": [{"type": kind, "value": value} for kind, value in resources.items()],
        }

    @property
    def need(self) -> Need:
        """What it asks a compute environment for."""
        container = self.container()
        return Need(vcpus=container.vcpus, memory=container.memory)

    def container(self, job: Job | None = None) -> Container:
        """What the engine is asked to run."""
        # A parameter that the definition does not declare is one all the same: SubmitJob takes any.
        definition = {
            "jobDefinitionName": self.definition["jobDefinitionName"],
            "parameters": self.parameters,
            "containerProperties": self.properties,
        }
        return container_of(definition, job=job)
