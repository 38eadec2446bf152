"""AWS::Batch: compute environments and job queues."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from toolchain.localaws.cloudformation.errors import ResourceFailedError
from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work, camel

_WAIT_SECONDS = 60
# Batch takes these words as CloudFormation has them, or as keys that are anybody's.
_AS_THEY_ARE = ("Tags",)


def _batch(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("batch")


def _spelled(properties: Mapping[str, Json]) -> dict[str, Json]:
    """Properties as the API spells them, whose tags are a mapping of anybody's keys."""
    result: dict[str, Json] = {}
    for name, value in properties.items():
        result[name[:1].lower() + name[1:]] = value if name in _AS_THEY_ARE else _part(value)
    return result


def _part(value: Json) -> Json:
    if isinstance(value, dict) and "Tags" in value:
        rest = {name: one for name, one in value.items() if name != "Tags"}
        return {**camel(rest), "tags": value["Tags"]}
    return camel(value)


def _valid(look: Callable[[], Mapping[str, Json] | None], what: str) -> None:
    """Waits until something is as it shall be: Batch answers before it is."""
    end = time.monotonic() + _WAIT_SECONDS
    while (found := look()) is not None and found["status"] != "VALID":
        if found["status"] == "INVALID" or time.monotonic() > end:
            raise ResourceFailedError(f"{what} is {found['status']}: {found.get('statusReason', '')}")
        time.sleep(0.05)


def _gone(look: Callable[[], Mapping[str, Json] | None], what: str) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while (found := look()) is not None and found["status"] != "DELETED":
        if found["status"] == "INVALID" or time.monotonic() > end:
            raise ResourceFailedError(f"{what} is {found['status']}: {found.get('statusReason', '')}")
        time.sleep(0.05)


class ComputeEnvironment(Kind):
    """Where jobs run."""

    type_name = "AWS::Batch::ComputeEnvironment"
    name_property = "ComputeEnvironmentName"
    # CloudFormation's own words, of which Batch knows nothing.
    _OURS = ("ReplaceComputeEnvironment", "UpdatePolicy")

    def create(self, work: Work) -> str:
        properties = {name: value for name, value in work.properties.items() if name not in self._OURS}
        properties.setdefault("ComputeEnvironmentName", work.unique())
        # An update's word; a new environment has the latest image anyway.
        resources = dict(properties.get("ComputeResources") or {})
        resources.pop("UpdateToLatestImageVersion", None)
        if resources:
            properties["ComputeResources"] = resources
        return str(_batch(work).create_compute_environment(**_spelled(properties))["computeEnvironmentArn"])

    def settle(self, work: Work, physical_id: str) -> None:
        _valid(lambda: self._found(work, physical_id), physical_id)

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"ComputeEnvironmentArn": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        resources = dict(work.get("ComputeResources") or {})
        if resources.get("Type") == (before.get("ComputeResources") or {}).get("Type"):
            resources.pop("Type", None)
        arguments = {**work.only("State", "ServiceRole", "UpdatePolicy"), "ComputeResources": resources}
        _batch(work).update_compute_environment(computeEnvironment=physical_id, **_spelled(arguments))
        _valid(lambda: self._found(work, physical_id), physical_id)

    def delete(self, work: Work, physical_id: str) -> None:
        _batch(work).update_compute_environment(computeEnvironment=physical_id, state="DISABLED")
        _valid(lambda: self._found(work, physical_id), physical_id)
        _batch(work).delete_compute_environment(computeEnvironment=physical_id)
        _gone(lambda: self._found(work, physical_id), physical_id)

    @staticmethod
    def _found(work: Work, arn: str) -> Mapping[str, Json] | None:
        found = _batch(work).describe_compute_environments(computeEnvironments=[arn])["computeEnvironments"]
        return dict(found[0]) if found else None


class JobQueue(Kind):
    """Where jobs wait."""

    type_name = "AWS::Batch::JobQueue"
    name_property = "JobQueueName"

    def create(self, work: Work) -> str:
        properties = dict(work.properties)
        properties.setdefault("JobQueueName", work.unique())
        properties.setdefault("State", "ENABLED")
        return str(_batch(work).create_job_queue(**_spelled(properties))["jobQueueArn"])

    def settle(self, work: Work, physical_id: str) -> None:
        _valid(lambda: self._found(work, physical_id), physical_id)

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"JobQueueArn": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        names = ("State", "Priority", "ComputeEnvironmentOrder", "JobStateTimeLimitActions", "SchedulingPolicyArn")
        _batch(work).update_job_queue(jobQueue=physical_id, **_spelled(work.only(*names)))
        _valid(lambda: self._found(work, physical_id), physical_id)

    def delete(self, work: Work, physical_id: str) -> None:
        _batch(work).update_job_queue(jobQueue=physical_id, state="DISABLED")
        _valid(lambda: self._found(work, physical_id), physical_id)
        _batch(work).delete_job_queue(jobQueue=physical_id)
        _gone(lambda: self._found(work, physical_id), physical_id)

    @staticmethod
    def _found(work: Work, arn: str) -> Mapping[str, Json] | None:
        found = _batch(work).describe_job_queues(jobQueues=[arn])["jobQueues"]
        return dict(found[0]) if found else None


KINDS = (ComputeEnvironment, JobQueue)
