"""Batch's API, where moto's answers are not the service's."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import moto.batch.urls
from moto.batch.exceptions import ClientException
from moto.batch.responses import BatchResponse

from toolchain.localaws.batch.array import ArrayJob
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.description import summary
from toolchain.localaws.batch.job import STATUSES, Job

MOST_LISTED = 100
_OTHER_PROPERTIES = ("ecsProperties", "eksProperties", "nodeProperties")


class LocalBatchResponse(BatchResponse):
    """SubmitJob with all that it takes, and ListJobs as the service lists."""

    @property
    def batch_backend(self) -> LocalBatchBackend:
        """The backend of the caller's account and region."""
        from moto.batch.models import batch_backends

        backend = batch_backends[self.current_account][self.region]
        if not isinstance(backend, LocalBatchBackend):
            raise TypeError(type(backend))
        return backend

    def registerjobdefinition(self) -> str:
        """Registers a definition of a container: what pods, tasks and nodes may ask for is looked at by nothing."""
        body = json.loads(self.body)
        if others := sorted(name for name in _OTHER_PROPERTIES if body.get(name)):
            raise ClientException(f"Error executing request, Exception : the embedded AWS has no {', '.join(others)}")
        return super().registerjobdefinition()

    def submitjob(self) -> str:
        """Submits a job."""
        job = self.batch_backend.submit(json.loads(self.body))
        return json.dumps({"jobId": job.job_id, "jobName": job.submission.name, "jobArn": job.arn})

    def createjobqueue(self) -> str:
        """Makes a queue, with its time limits."""
        made = super().createjobqueue()
        self._limit(json.loads(made)["jobQueueArn"])
        return made

    def updatejobqueue(self) -> str:
        """Changes a queue, with its time limits."""
        changed = super().updatejobqueue()
        self._limit(json.loads(changed)["jobQueueArn"])
        return changed

    def _limit(self, queue: str) -> None:
        actions = json.loads(self.body).get("jobStateTimeLimitActions")
        if actions is not None:
            self.batch_backend.time_limits[queue] = actions

    def listjobs(self) -> str:
        """Lists jobs of a queue or of an array job: those that run, unless something else is asked for."""
        body = json.loads(self.body)
        jobs: Iterable[Job | ArrayJob] = self._listed(body)
        status, filters = body.get("jobStatus"), body.get("filters") or ()
        if status and status not in STATUSES:
            raise ClientException(f"Job status is not one of {' | '.join(STATUSES)}")
        if filters:  # the newest first, whatever their status
            jobs = sorted((job for job in jobs if all(_fits(job, one) for one in filters)), key=_age)
        else:
            jobs = [job for job in jobs if job.status == (status or "RUNNING")]
        start = int(body.get("nextToken") or 0)
        page = list(jobs)[start : start + min(body.get("maxResults") or MOST_LISTED, MOST_LISTED)]
        answer: dict[str, Any] = {"jobSummaryList": [summary(job) for job in page]}
        if start + len(page) < len(list(jobs)):
            answer["nextToken"] = str(start + len(page))
        return json.dumps(answer)

    def _listed(self, body: Mapping[str, Any]) -> list[Job | ArrayJob]:
        backend = self.batch_backend
        if array_id := body.get("arrayJobId"):
            parent = backend.job(array_id)
            return list(parent.children) if isinstance(parent, ArrayJob) else []
        queue = backend.get_job_queue(body.get("jobQueue") or "")
        if queue is None:
            raise ClientException(f"Job queue {body.get('jobQueue')} does not exist")
        jobs = list(backend.jobs.values())
        # Children are listed with their parent, and not beside it.
        return [
            job for job in jobs if job.setting.queue.arn == queue.arn and not (isinstance(job, Job) and _is_child(job))
        ]


def _is_child(job: Job) -> bool:
    return job.index is not None


def _age(job: Job | ArrayJob) -> int:
    return -job.created


def _fits(job: Job | ArrayJob, condition: Mapping[str, Any]) -> bool:
    values = [str(value) for value in condition.get("values", ())]
    match condition.get("name"):
        case "JOB_NAME":
            return any(_like(job.submission.name, value) for value in values)
        case "JOB_DEFINITION":
            definition = job.submission.definition
            return any(
                value == definition["jobDefinitionArn"] or _like(definition["jobDefinitionName"], value)
                for value in values
            )
        case "BEFORE_CREATED_AT":
            return all(job.created < int(value) for value in values)
        case "AFTER_CREATED_AT":
            return all(job.created > int(value) for value in values)
        case other:
            raise ClientException(f"filter {other} is not one of JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, ...")


def _like(text: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return text.lower().startswith(pattern[:-1].lower())
    return text.lower() == pattern.lower()


def install() -> None:
    """Puts this in the place of moto's own."""
    for path in moto.batch.urls.url_paths:
        moto.batch.urls.url_paths[path] = LocalBatchResponse.dispatch
