"""A SubmitJob request, checked as Batch checks it and merged with its job definition."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.batch.exceptions import ClientException

from toolchain.docker.container import Container, Job, container_of

SHORTEST_TIMEOUT: Final = 60
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_ARRAY_SIZES: Final = range(2, 10_001)
_MAX_ATTEMPTS: Final = 10
_MAX_RULES: Final = 5
_MIN_MEMORY: Final = 4


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a job is to run.

    Attributes:
        definition: As DescribeJobDefinitions shows it.
        properties: The definition's containerProperties with the request's containerOverrides.
        timeout: Seconds that an attempt may take.
        array_size: None for a single job.
        priority: In a queue with a scheduling policy; the highest goes first.
    """

    name: str
    definition: Mapping[str, Any]
    parameters: Mapping[str, str]
    properties: Mapping[str, Any]
    retry_strategy: Mapping[str, Any]
    timeout: int | None
    array_size: int | None
    priority: int
    tags: Mapping[str, str]

    @classmethod
    def parse(cls, request: Mapping[str, Any], definition: Mapping[str, Any]) -> "Submission":
        """Reads SubmitJob's body.

        Raises:
            ClientException: Batch refuses it.
        """
        timeout = (request.get("timeout") or definition.get("timeout") or {}).get("attemptDurationSeconds")
        size = (request.get("arrayProperties") or {}).get("size")
        strategy = request.get("retryStrategy") or definition.get("retryStrategy") or {}
        name = str(request.get("jobName", ""))
        if not _NAME.fullmatch(name):
            raise refusal("Job name should match valid pattern")
        if "containerProperties" not in definition:
            raise refusal("only jobs with containerProperties run here")
        if request.get("dependsOn"):
            raise refusal("the embedded AWS has no dependsOn")
        if timeout is not None and timeout < SHORTEST_TIMEOUT:
            raise refusal(f"attemptDurationSeconds must be at least {SHORTEST_TIMEOUT}")
        if size is not None and size not in _ARRAY_SIZES:
            raise refusal(f"array size must be between {_ARRAY_SIZES.start} and {_ARRAY_SIZES.stop - 1}")
        _check_strategy(strategy)
        submission = cls(
            name=name,
            definition=definition,
            parameters={**definition.get("parameters", {}), **(request.get("parameters") or {})},
            properties=_merged(definition["containerProperties"], request.get("containerOverrides") or {}),
            retry_strategy=strategy,
            timeout=timeout,
            array_size=size,
            priority=request.get("schedulingPriorityOverride") or 0,
            tags=request.get("tags") or {},
        )
        try:
            container = submission.container()
        except (KeyError, TypeError, ValueError) as error:
            raise refusal(f"the job cannot be run: {type(error).__name__}: {error}") from error
        # Docker takes 0 and less as no limit.
        if container.vcpus < 1 or container.memory < _MIN_MEMORY:
            raise refusal(f"a job needs a VCPU at least, and {_MIN_MEMORY} MiB of MEMORY")
        return submission

    def container(self, job: Job | None = None) -> Container:
        """What the engine is asked to run."""
        # SubmitJob takes parameters that the definition does not declare.
        definition = {
            "jobDefinitionName": self.definition["jobDefinitionName"],
            "parameters": self.parameters,
            "containerProperties": self.properties,
        }
        return container_of(definition, job=job)


def refusal(why: str) -> ClientException:
    """The error of a request that Batch refuses."""
    return ClientException(f"Error executing request, Exception : {why}")


def _check_strategy(strategy: Mapping[str, Any]) -> None:
    rules = strategy.get("evaluateOnExit") or ()
    attempts = strategy.get("attempts")
    if rules and not attempts:
        raise refusal("attempts must be specified with evaluateOnExit")
    if attempts is not None and not 1 <= int(attempts) <= _MAX_ATTEMPTS:
        raise refusal(f"retry attempts must be between 1 and {_MAX_ATTEMPTS}")
    if len(rules) > _MAX_RULES:
        raise refusal(f"evaluateOnExit takes at most {_MAX_RULES} entries")
    if any(str(rule.get("action")).upper() not in {"RETRY", "EXIT"} for rule in rules):
        raise refusal("evaluateOnExit action must be RETRY or EXIT")


def _merged(properties: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The containerProperties of a job, as DescribeJobs shows them."""
    resources: dict[str, str] = {}
    variables: dict[str, str] = {}
    for source in (properties, overrides):
        resources |= {entry["type"]: str(entry["value"]) for entry in source.get("resourceRequirements") or ()}
        variables |= {entry["name"]: entry.get("value", "") for entry in source.get("environment") or ()}
    return {
        **properties,
        "command": list(overrides.get("command") or properties.get("command") or ()),
        "environment": [{"name": name, "value": value} for name, value in variables.items()],
        "resourceRequirements": [{"type": kind, "value": value} for kind, value in resources.items()],
    }
