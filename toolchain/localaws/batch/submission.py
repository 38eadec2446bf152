"""A SubmitJob request, checked as Batch checks it and merged with its job definition."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.batch.exceptions import ClientException

from toolchain.docker.container import Container, Job, container_of

SHORTEST_TIMEOUT: Final = 60
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SHARE: Final = re.compile(r"[A-Za-z0-9]{1,255}\*?")
_ARRAY_SIZES: Final = range(2, 10_001)
_ATTEMPTS: Final = range(1, 11)
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
        share: Whose share of a queue with a scheduling policy it takes; empty without one.
        priority: Within that share; the highest goes first.
    """

    name: str
    definition: Mapping[str, Any]
    parameters: Mapping[str, str]
    properties: Mapping[str, Any]
    retry_strategy: Mapping[str, Any]
    timeout: int | None
    array_size: int | None
    share: str
    priority: int
    tags: Mapping[str, str]

    @classmethod
    def parse(cls, request: Mapping[str, Any], definition: Mapping[str, Any], *, is_shared: bool) -> "Submission":
        """Reads SubmitJob's body.

        Args:
            request: The body.
            definition: As DescribeJobDefinitions shows it.
            is_shared: Whether the queue has a scheduling policy.

        Raises:
            ClientException: Batch refuses it.
        """
        name, share = str(request.get("jobName", "")), str(request.get("shareIdentifier", ""))
        priority = request.get("schedulingPriorityOverride", definition.get("schedulingPriority"))
        timeout = (request.get("timeout") or definition.get("timeout") or {}).get("attemptDurationSeconds")
        size = (request.get("arrayProperties") or {}).get("size")
        strategy = request.get("retryStrategy") or definition.get("retryStrategy") or {}
        attempts, rules = strategy.get("attempts"), strategy.get("evaluateOnExit") or ()
        actions = {str(rule.get("action")).upper() for rule in rules}
        for is_refused, why in (
            (not _NAME.fullmatch(name), "Job name should match valid pattern"),
            (is_shared and not _SHARE.fullmatch(share), "shareIdentifier must be up to 255 letters and digits"),
            (share and not is_shared, "shareIdentifier is for job queues with a scheduling policy"),
            (
                is_shared and priority is None,
                "Either schedulingPriority in job definition or schedulingPriorityOverride should be specified.",
            ),
            (request.get("dependsOn"), "the embedded AWS has no dependsOn"),
            (timeout in range(SHORTEST_TIMEOUT), f"attemptDurationSeconds must be at least {SHORTEST_TIMEOUT}"),
            (size is not None and size not in _ARRAY_SIZES, "array size must be between 2 and 10000"),
            (rules and not attempts, "attempts must be specified with evaluateOnExit"),
            (attempts is not None and attempts not in _ATTEMPTS, "retry attempts must be between 1 and 10"),
            (len(rules) > _MAX_RULES, f"evaluateOnExit takes at most {_MAX_RULES} entries"),
            (not actions <= {"RETRY", "EXIT"}, "evaluateOnExit action must be RETRY or EXIT"),
        ):
            if is_refused:
                raise refusal(why)
        submission = cls(
            name=name,
            definition=definition,
            parameters={**definition.get("parameters", {}), **(request.get("parameters") or {})},
            properties=_merged(definition.get("containerProperties") or {}, request.get("containerOverrides") or {}),
            retry_strategy=strategy,
            timeout=timeout,
            array_size=size,
            share=share,
            priority=priority or 0,
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
