"""Jobs as DescribeJobs and ListJobs show them."""

from collections.abc import Mapping
from typing import Any

from toolchain.docker.container import substituted
from toolchain.localaws.batch.array import ArrayJob
from toolchain.localaws.batch.attempt import Attempt
from toolchain.localaws.batch.job import Job


def job_summary(job: Job | ArrayJob) -> dict[str, Any]:
    """An entry of ListJobs."""
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
            "container": _outcome(job.attempts[-1]) if job.attempts else None,
            "arrayProperties": job.array_properties,
        }
    )


def job_detail(job: Job | ArrayJob, tags: Mapping[str, str]) -> dict[str, Any]:
    """An entry of DescribeJobs. moto 5.2.5: each look at a job adds to its environment."""
    submission = job.submission
    container = {
        "volumes": [],
        "mountPoints": [],
        "ulimits": [],
        **submission.properties,
        "command": list(substituted(submission.properties["command"], submission.parameters)),
    }
    if job.attempts:
        container |= _attempt_container(job.attempts[-1])
    attempts = [
        _without_none(
            {
                "container": _attempt_container(attempt),
                "startedAt": attempt.started,
                "stoppedAt": attempt.stopped,
                "statusReason": attempt.outcome.status_reason,
            }
        )
        for attempt in job.attempts
        if attempt.stopped is not None
    ]
    shared = (
        {"shareIdentifier": submission.share, "schedulingPriority": submission.priority} if submission.share else {}
    )
    return {
        **job_summary(job),
        **shared,
        "jobQueue": job.queue.arn,
        "attempts": attempts,
        "parameters": dict(submission.parameters),
        "container": container,
        "timeout": {"attemptDurationSeconds": submission.timeout} if submission.timeout else {},
        "retryStrategy": dict(submission.retry_strategy),
        "tags": dict(tags),
        "isCancelled": job.is_cancelled,
        "isTerminated": job.is_terminated,
    }


def _attempt_container(attempt: Attempt) -> dict[str, Any]:
    return {**_outcome(attempt), "logStreamName": attempt.log.name}


def _outcome(attempt: Attempt) -> dict[str, Any]:
    if attempt.stopped is None:
        return {}
    return _without_none({"exitCode": attempt.outcome.exit_code, "reason": attempt.outcome.reason})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
