"""Jobs as DescribeJobs and ListJobs show them."""

from collections.abc import Mapping
from typing import Any

from toolchain.docker.container import substituted
from toolchain.localaws.batch.array import ArrayJob
from toolchain.localaws.batch.job import Job, Record


def summary(job: Job | ArrayJob) -> dict[str, Any]:
    """A JobSummary."""
    container = {}
    if isinstance(job, Job) and job.records:
        container = _ending(job.records[-1])
    array: dict[str, Any] = {}
    if isinstance(job, ArrayJob):
        array = {"size": len(job.children)}
    elif job.index is not None:
        array = {"index": job.index}
    return _without_none(
        {
            "jobArn": job.arn,
            "jobId": job.job_id,
            "jobName": job.submission.name,
            "jobDefinition": job.submission.definition["jobDefinitionArn"],
            "createdAt": job.created,
            "status": job.status,
            "statusReason": job.status_reason,
            "startedAt": job.started,
            "stoppedAt": job.stopped,
            "container": container or None,
            "arrayProperties": array or None,
        }
    )


def detail(job: Job | ArrayJob, tags: Mapping[str, str]) -> dict[str, Any]:
    """A JobDetail."""
    submission = job.submission
    strategy = submission.request.get("retryStrategy") or submission.definition.get("retryStrategy")
    array: dict[str, Any] = {}
    if isinstance(job, ArrayJob):
        array = {"size": len(job.children), "statusSummary": job.summary}
    elif job.index is not None:
        array = {"index": job.index, "statusSummary": {}}
    records = job.records if isinstance(job, Job) else []
    described = {
        **{name: value for name, value in summary(job).items() if name not in {"container", "arrayProperties"}},
        "jobQueue": job.setting.queue.arn,
        "attempts": [_attempt(record) for record in records if record.stopped is not None],
        "dependsOn": [dict(one) for one in submission.depends_on],
        "parameters": dict(submission.parameters),
        "container": _container(job, records[-1] if records else None),
        "timeout": {"attemptDurationSeconds": submission.timeout} if submission.timeout else None,
        "retryStrategy": strategy or None,
        "arrayProperties": array or None,
        "tags": dict(tags),
        "platformCapabilities": submission.definition.get("platformCapabilities") or [],
        "propagateTags": bool(submission.definition.get("propagateTags")),
        "isCancelled": isinstance(job, Job) and job.cancelled,
        "isTerminated": isinstance(job, Job) and job.terminated,
        "eksAttempts": [],
    }
    return _without_none(described)


def _container(job: Job | ArrayJob, record: Record | None) -> dict[str, Any]:
    properties = job.submission.properties
    shown = {
        "volumes": [],
        "mountPoints": [],
        "ulimits": [],
        "secrets": [],
        "networkInterfaces": [],
        **properties,
        "command": list(substituted(properties["command"], job.submission.parameters)),
    }
    if record is None:
        return shown
    return {
        **shown,
        **_ending(record),
        "logStreamName": record.log_stream,
        "taskArn": record.task,
        "containerInstanceArn": record.instance,
    }


def _attempt(record: Record) -> dict[str, Any]:
    return _without_none(
        {
            "container": {
                **_ending(record),
                "logStreamName": record.log_stream,
                "taskArn": record.task,
                "containerInstanceArn": record.instance,
                "networkInterfaces": [],
            },
            "startedAt": record.started,
            "stoppedAt": record.stopped,
            "statusReason": record.ending.status_reason,
        }
    )


def _ending(record: Record) -> dict[str, Any]:
    return _without_none({"exitCode": record.ending.exit_code, "reason": record.ending.reason})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
