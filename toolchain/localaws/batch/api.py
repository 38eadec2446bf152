"""Batch's operations that moto answers otherwise than the service."""

import json
from collections.abc import Iterable
from typing import Any, cast

from moto.batch.exceptions import ClientException
from moto.batch.responses import BatchResponse

from toolchain.localaws.batch.array import ArrayJob
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.descriptions import job_summary
from toolchain.localaws.batch.job import STATUSES, Job
from toolchain.localaws.batch.submission import refusal

_MAX_PAGE = 100
_NOT_CONTAINERS = ("ecsProperties", "eksProperties", "nodeProperties")


class LocalBatchResponse(BatchResponse):
    """Reads and answers requests.

    moto 5.2.5: SubmitJob drops retryStrategy and schedulingPriorityOverride, and takes no name of one letter;
    ListJobs gives jobs of every status in one page.
    """

    @property
    def batch_backend(self) -> LocalBatchBackend:
        return cast("LocalBatchBackend", super().batch_backend)

    def registerjobdefinition(self) -> str:
        # `guard` looks at containerProperties alone.
        body = json.loads(self.body)
        if names := [name for name in _NOT_CONTAINERS if body.get(name)]:
            raise refusal(f"the embedded AWS has no {', '.join(names)}")
        return super().registerjobdefinition()

    def submitjob(self) -> str:
        job = self.batch_backend.submit(json.loads(self.body))
        return json.dumps({"jobId": job.job_id, "jobName": job.submission.name, "jobArn": job.arn})

    def createjobqueue(self) -> str:
        return self._with_time_limits(super().createjobqueue())

    def updatejobqueue(self) -> str:
        return self._scheduled(self._with_time_limits(super().updatejobqueue()))

    def updatecomputeenvironment(self) -> str:
        return self._scheduled(super().updatecomputeenvironment())

    def _with_time_limits(self, response: str) -> str:
        actions = json.loads(self.body).get("jobStateTimeLimitActions")
        if actions is not None:
            self.batch_backend.queue(json.loads(response)["jobQueueArn"]).time_limits = actions
        return response

    def _scheduled(self, response: str) -> str:
        """Places the jobs that fit after a change."""
        self.batch_backend.host.scheduler.schedule()
        return response

    def listjobs(self) -> str:
        """Jobs of a status, RUNNING by default; with filters those of any status, the newest first."""
        body = json.loads(self.body)
        status, filters = body.get("jobStatus") or "RUNNING", body.get("filters") or ()
        if status not in STATUSES:
            raise ClientException(f"Job status is not one of {' | '.join(STATUSES)}")
        if any(condition.get("name") != "JOB_NAME" for condition in filters):
            raise ClientException("the embedded AWS filters jobs by JOB_NAME alone")
        patterns = [pattern for condition in filters for pattern in condition["values"]]
        jobs = [
            job
            for job in self._jobs_of(body)
            if (any(_has_name(job, pattern) for pattern in patterns) if filters else job.status == status)
        ]
        if filters:
            jobs.sort(key=lambda job: -job.created)
        start = int(body.get("nextToken") or 0)
        end = start + min(body.get("maxResults") or _MAX_PAGE, _MAX_PAGE)
        answer: dict[str, Any] = {"jobSummaryList": [job_summary(job) for job in jobs[start:end]]}
        if end < len(jobs):
            answer["nextToken"] = str(end)
        return json.dumps(answer)

    def _jobs_of(self, body: dict[str, Any]) -> Iterable[Job | ArrayJob]:
        """The jobs of an array or of a queue, which has no children."""
        if array_id := body.get("arrayJobId"):
            parent = self.batch_backend.job(array_id)
            return parent.children if isinstance(parent, ArrayJob) else ()
        queue = self.batch_backend.queue(str(body.get("jobQueue", "")))
        return [job for job in tuple(self.batch_backend.jobs.values()) if job.queue is queue and job.index is None]


def _has_name(job: Job | ArrayJob, pattern: str) -> bool:
    """Whether a job has a name, in any case; the pattern may end in `*`."""
    name, pattern = job.submission.name.lower(), pattern.lower()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
