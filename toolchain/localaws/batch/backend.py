"""moto's Batch backend, whose jobs run on the Docker engine of this machine."""

import uuid
from collections.abc import Mapping
from itertools import count
from types import ModuleType
from typing import Any, ClassVar

import moto.batch.urls
from moto.batch.exceptions import ClientException
from moto.batch.models import BatchBackend, JobDefinition

from toolchain.localaws.batch import guard
from toolchain.localaws.batch.array import ArrayJob
from toolchain.localaws.batch.descriptions import job_detail
from toolchain.localaws.batch.guard import ForbiddenError
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.job import Job
from toolchain.localaws.batch.scheduler import Queue
from toolchain.localaws.batch.submission import Submission, refusal

_RESET_SECONDS = 5


class LocalBatchBackend(BatchBackend):
    """Queues, compute environments and job definitions are moto's; jobs are not.

    moto 5.2.5: compute environments have no limit of vCPUs, and each job polls the engine and other jobs.
    """

    host: ClassVar[Host]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.jobs: dict[str, Job | ArrayJob] = {}
        self._numbers = count()

    @property
    def _url_module(self) -> ModuleType:
        # moto looks for it beside the backend's own class.
        return moto.batch.urls

    def reset(self) -> None:
        """Forgets everything, and kills what runs."""
        running = [job for job in self.jobs.values() if isinstance(job, Job) and not job.has_ended]
        for job in running:
            job.terminate("the embedded AWS ended")
        if running:
            # A stop would wait for programs that take their time.
            self.host.sweep()
            for job in running:
                job.wait(_RESET_SECONDS)
        self.host.close()
        super().reset()

    def register_job_definition(self, *args: Any, **kwargs: Any) -> JobDefinition:  # noqa: ANN401  # moto's own
        """Registers a definition, unless its jobs would have more than they may."""
        try:
            guard.check(kwargs.get("container_properties") or {}, self.host.config)
        except (ForbiddenError, AttributeError, TypeError) as error:  # what is no object has no parts
            raise refusal(str(error)) from error
        return super().register_job_definition(*args, **kwargs)

    def submit(self, request: Mapping[str, Any]) -> Job | ArrayJob:
        """Takes the body of SubmitJob."""
        queue = self.queue(str(request.get("jobQueue", "")))
        if queue.state == "DISABLED":
            raise ClientException(f"Cannot submit job to DISABLED job queue {queue.arn}")
        definition = self._definition(str(request.get("jobDefinition", "")))
        submission = Submission.parse(request, definition, is_shared=bool(queue.schedule_policy))
        job_id = str(uuid.uuid4())
        size = submission.array_size
        children = [
            Job(
                host=self.host,
                backend=self,
                queue=queue,
                submission=submission,
                job_id=job_id if index is None else f"{job_id}:{index}",
                number=next(self._numbers),
                index=index,
            )
            for index in ([None] if size is None else range(size))
        ]
        job = ArrayJob(job_id, children) if size else children[0]
        self.tag_resource(job.arn, dict(submission.tags))
        self.jobs |= {job.job_id: job for job in (job, *children)}
        for child in children:
            child.enqueue()
        return job

    def job(self, job_id: str) -> Job | ArrayJob | None:
        """A job by its id or its ARN."""
        return self.jobs.get(job_id.rpartition("/")[2])

    def queue(self, identifier: str) -> Queue:
        """A queue by its name or its ARN."""
        queue = self.get_job_queue(identifier)
        if not isinstance(queue, Queue):
            raise ClientException(f"Job queue {identifier} does not exist")
        return queue

    def describe_jobs(self, jobs: list[str] | None) -> list[dict[str, Any]]:
        """These jobs, without those that do not exist."""
        found = map(self.job, jobs or ())
        return [job_detail(job, self.list_tags_for_resource(job.arn)) for job in found if job]

    def cancel_job(self, job_id: str, reason: str) -> None:
        """Ends a job that has not started."""
        self._job_to_end(job_id, reason).cancel(reason)

    def terminate_job(self, job_id: str, reason: str) -> None:
        """Ends a job."""
        self._job_to_end(job_id, reason).terminate(reason)

    def _job_to_end(self, job_id: str, reason: str) -> Job | ArrayJob:
        if not reason:
            raise ClientException("'reason' is a required field (cannot be an empty string)")
        job = self.job(job_id)
        if job is None:
            raise ClientException(f"Job {job_id} does not exist")
        return job

    def _definition(self, identifier: str) -> dict[str, Any]:
        """An active definition by its ARN, with or without a revision, `name:revision` or name."""
        name, _, revision = identifier.rpartition("/")[2].partition(":")
        active = [
            definition
            for definition in self.get_job_definitions(name)
            if definition.status == "ACTIVE" and revision in {"", str(definition.revision)}
        ]
        if not active:
            raise ClientException(f"JobDefinition {identifier} does not exist or is not active")
        description: dict[str, Any] = max(active, key=lambda definition: int(definition.revision)).describe()
        return description
