"""moto's Batch backend, with jobs that are run as Batch runs them."""

import uuid
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, ClassVar

import moto.batch.urls
from moto.batch.exceptions import ClientException
from moto.batch.models import BatchBackend, JobDefinition, JobQueue
from moto.batch.utils import make_arn_for_job

from toolchain.localaws.batch import guard
from toolchain.localaws.batch.array import ArrayJob
from toolchain.localaws.batch.description import detail
from toolchain.localaws.batch.guard import ForbiddenError, may_export
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.job import Job, NamedQueue, Setting, TimeLimit
from toolchain.localaws.batch.placing import Environment
from toolchain.localaws.batch.submission import RefusedError, Submission

MOST_DEPENDENCIES = 20
_RESET_SECONDS = 5
_NUMBERS = count()


TimeLimits = Sequence[Mapping[str, Any]]


class LiveQueue(NamedQueue):
    """moto's job queue, asked whenever something is placed: it and its environments may change."""

    def __init__(self, queue: JobQueue, time_limits: Mapping[str, TimeLimits]) -> None:
        self._queue = queue
        self._time_limits = time_limits
        self.name = queue.name
        self.arn = queue.arn

    @property
    def by_priority(self) -> bool:
        """Whether its jobs go by their priorities; by default they go in the order they came in."""
        return bool(self._queue.schedule_policy)

    @property
    def priority(self) -> int:
        """Before which other queues it goes."""
        return int(self._queue.priority)

    @property
    def environments(self) -> Sequence[Environment]:
        """The enabled compute environments."""
        return [
            Environment(name=one.name, arn=one.arn, vcpus=int((one.compute_resources or {}).get("maxvCpus", 0)))
            for one in self._queue.environments
            if one.state != "DISABLED"
        ]

    def time_limit(self, reason: str) -> TimeLimit | None:
        """How long a job may be RUNNABLE for a reason; none if for ever."""
        for action in self._time_limits.get(self.arn, ()):
            if action["state"] == "RUNNABLE" and reason.startswith(action["reason"]):
                return TimeLimit(seconds=action["maxTimeSeconds"], reason=action["reason"])
        return None


class LocalBatchBackend(BatchBackend):
    """Queues, environments and definitions are moto's; jobs are not."""

    host: ClassVar[Host]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.jobs: dict[str, Job | ArrayJob] = {}
        # By the queue's ARN, its jobStateTimeLimitActions, of which moto knows nothing.
        self.time_limits: dict[str, TimeLimits] = {}
        self._live: dict[str, LiveQueue] = {}

    @property
    def _url_module(self) -> Any:  # noqa: ANN401  # where moto finds a backend's addresses: beside its own class
        return moto.batch.urls

    def reset(self) -> None:
        """Forgets everything, and ends what runs."""
        running = [job for job in self.jobs.values() if isinstance(job, Job) and not job.ended]
        for job in running:
            job.terminate("the embedded AWS ended")
        if running:
            # Nobody waits here for programs that take their time to stop.
            self.host.sweep()
            for job in running:
                job.wait(_RESET_SECONDS)
        self.host.close()
        super().reset()

    def register_job_definition(self, *args: Any, **kwargs: Any) -> JobDefinition:  # noqa: ANN401  # moto's own
        """Registers a definition whose jobs may have what it asks for."""
        try:
            guard.check(kwargs.get("container_properties") or {}, self.host.world)
        except (ForbiddenError, AttributeError, TypeError) as error:  # what is no object has no parts
            raise ClientException(f"Error executing request, Exception : {error}") from error
        return super().register_job_definition(*args, **kwargs)

    def submit(self, request: Mapping[str, Any]) -> Job | ArrayJob:
        """Takes a job as SubmitJob sends it."""
        queue = self.get_job_queue(str(request.get("jobQueue", "")))
        if queue is None:
            raise ClientException(f"Job queue {request.get('jobQueue')} does not exist")
        if queue.state == "DISABLED":
            raise ClientException(f"Cannot submit job to DISABLED job queue {queue.arn}")
        try:
            submission = Submission.parse(request, self._definition(str(request.get("jobDefinition", ""))))
            job = self._made(submission, self._queue(queue))
        except RefusedError as error:
            raise ClientException(f"Error executing request, Exception : {error}") from error
        children = job.children if isinstance(job, ArrayJob) else (job,)
        awaited = [self._awaited(submission, children, child) for child in children]
        tags = self.tagger.convert_dict_to_tags_input(dict(submission.tags))
        self.tagger.tag_resource(job.arn, tags)
        self.jobs.update({one.job_id: one for one in (job, *children)})
        for child, others in zip(children, awaited, strict=True):
            child.begin(others)
        return job

    def job(self, job_id: str) -> Job | ArrayJob | None:
        """A job by its id or its ARN."""
        return self.jobs.get(job_id.rpartition("/")[2])

    def describe_job_queues(self, job_queues: list[str] | None = None) -> list[dict[str, Any]]:
        """These queues, or all."""
        found = super().describe_job_queues(job_queues)
        for queue in found:
            queue["jobStateTimeLimitActions"] = self.time_limits.get(queue["jobQueueArn"], [])
        return found

    def describe_jobs(self, jobs: list[str] | None) -> list[dict[str, Any]]:
        """These jobs, in this order; those that are not there are left out."""
        found = (self.job(job_id) for job_id in jobs or ())
        return [detail(job, self.list_tags_for_resource(job.arn)) for job in found if job]

    def cancel_job(self, job_id: str, reason: str) -> None:
        """Ends a job that does not start or run yet."""
        self._ending(job_id, reason).cancel(reason)

    def terminate_job(self, job_id: str, reason: str) -> None:
        """Ends a job."""
        self._ending(job_id, reason).terminate(reason)

    def update_job_queue(self, *args: Any, **kwargs: Any) -> tuple[str, str]:  # noqa: ANN401  # moto's own
        """Changes a queue, and places what it lets pass now."""
        changed = super().update_job_queue(*args, **kwargs)
        self.host.placing.look()
        return changed

    def update_compute_environment(self, *args: Any, **kwargs: Any) -> tuple[str, str]:  # noqa: ANN401  # moto's own
        """Changes an environment, and places what it has room for now."""
        changed = super().update_compute_environment(*args, **kwargs)
        self.host.placing.look()
        return changed

    def _ending(self, job_id: str, reason: str) -> Job | ArrayJob:
        if not reason:
            raise ClientException("'reason' is a required field (cannot be an empty string)")
        job = self.job(job_id)
        if job is None:
            raise ClientException(f"Job {job_id} does not exist")
        return job

    def _role(self, arn: str | None) -> Any:  # noqa: ANN401  # moto's role, or none
        return next((role for role in self.iam_backend.roles.values() if role.arn == arn), None)

    def _queue(self, queue: JobQueue) -> LiveQueue:
        # One object for each queue: tickets of one queue wait in one line.
        live = self._live.get(queue.arn)
        if live is None or live._queue is not queue:  # noqa: SLF001  # this module's own
            live = self._live[queue.arn] = LiveQueue(queue, self.time_limits)
        return live

    def _definition(self, name: str) -> dict[str, Any]:
        """What a submission names: an ARN, `name:revision`, or a name for its latest active revision."""
        # A short ARN, without a revision, is a name too.
        short = name.rpartition("/")[2]
        found: JobDefinition | None
        if ":" in short:
            base, _, revision = short.rpartition(":")
            found = self.get_job_definition_by_name_revision(base, revision) if revision.isdigit() else None
        else:
            active = [one for one in self.get_job_definitions(short) if one.status == "ACTIVE"]
            found = max(active, key=lambda one: int(one.revision), default=None)
        if found is None or found.status != "ACTIVE":
            raise ClientException(f"JobDefinition {name} does not exist or is not active")
        described: dict[str, Any] = found.describe()
        return described

    def _made(self, submission: Submission, queue: LiveQueue) -> Job | ArrayJob:
        job_id = str(uuid.uuid4())

        def made(job_id: str, index: int | None) -> Job:
            setting = Setting(
                host=self.host,
                queue=queue,
                logs=self.logs_backend,
                arn_prefix=f"arn:{self.partition}:ecs:{self.region_name}:{self.account_id}",
                number=next(_NUMBERS),
                exports=may_export(self._role(submission.properties.get("jobRoleArn"))),
            )
            arn = make_arn_for_job(self.account_id, job_id, self.region_name)
            return Job(job_id=job_id, arn=arn, submission=submission, setting=setting, index=index)

        if submission.array_size is None:
            return made(job_id, None)
        children = [made(f"{job_id}:{index}", index) for index in range(submission.array_size)]
        arn = make_arn_for_job(self.account_id, job_id, self.region_name)
        return ArrayJob(submission=submission, children=children, job_id=job_id, arn=arn)

    def _awaited(self, submission: Submission, children: Sequence[Job], child: Job) -> list[Job]:
        """The jobs that a job, or a child of an array job, waits for."""
        if len(submission.depends_on) > MOST_DEPENDENCIES:
            raise ClientException(f"a job depends on at most {MOST_DEPENDENCIES} others")
        awaited: list[Job] = []
        for dependency in submission.depends_on:
            if dependency.get("type") == "SEQUENTIAL" and "jobId" not in dependency:
                awaited += [children[child.index - 1]] if child.index else []
                continue
            other = self.job(str(dependency.get("jobId", "")))
            if other is None:
                raise ClientException(f"Job {dependency.get('jobId')} that is depended on does not exist")
            if dependency.get("type") == "N_TO_N":
                if not isinstance(other, ArrayJob) or len(other.children) != len(children) or child.index is None:
                    raise ClientException("an N_TO_N dependency takes two array jobs of one size")
                awaited.append(other.children[child.index])
            else:
                awaited += other.children if isinstance(other, ArrayJob) else [other]
        return awaited
