"""Runs: executions of the state machine, and the Batch jobs that they submit."""

import json
import re
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from toolchain.aws import Account, doing
from toolchain.errors import MissingInputError, WrongUsageError
from toolchain.jobdefs import failures
from toolchain.paths import typed
from toolchain.stacks.service import CloudFormation
from toolchain.stacks.template import Json
from toolchain.workflow import plan
from toolchain.workflow.plan import Job
from toolchain.workflow.run_input import RunInput

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import JobDetailTypeDef, JobSummaryTypeDef, KeyValuesPairTypeDef
    from types_boto3_stepfunctions import SFNClient
    from types_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef, ExecutionListItemTypeDef

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]
JobStatus = Literal["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]
ENDED = ("SUCCEEDED", "FAILED")
# What DescribeJobs takes in one call.
MOST_JOBS = 100
_NOT_IN_JOB_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The outputs of the deployed stacks that runs need: ARNs, and the name of the jobs' log group."""

    state_machine: str
    queues: tuple[str, ...]
    log_group: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run.

    Attributes:
        name: The execution's name, and the directory of its results.
        arn: The execution's ARN.
        status: The execution's status.
        start: When it was started.
        stop: When it ended; none while it runs.
        planned: Every job of the run; none in lists, and where somebody started it with an input that the workflow
            refuses.
        error: The class of the failure; empty if there is none.
        cause: What happened, and what to do.
        vcfs: Sample to its VCF in the bucket, once the run is done.
    """

    name: str
    arn: str
    status: Status
    start: datetime
    stop: datetime | None = None
    planned: tuple[Job, ...] = ()
    error: str = ""
    cause: str = ""
    vcfs: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Its duration until its end, or until now."""
        return ((self.stop or datetime.now(UTC)) - self.start).total_seconds()

    @property
    def exit_code(self) -> int:
        """The exit code of the command that followed it."""
        if self.status == "SUCCEEDED":
            return 0
        exit_codes = {failure.name: failure.exit_code for failure in failures.CLASSES}
        return exit_codes.get(self.error, 75 if self.status in ("TIMED_OUT", "ABORTED") else 70)


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """A Batch job of a run. Times are in seconds since 1970.

    Attributes:
        job_id: Its id.
        sample: None for a job of the whole run.
        step: The step's name, such as `mem L001` or `call 3`.
        status: As Batch says.
        reason: Why it has this status, if Batch says so.
        created: When it was submitted.
        start: When its last attempt started; none before.
        stop: When it ended; none before.
        exit_code: Of its container.
        submission: How often the state machine had submitted this step's job, this time included.
    """

    job_id: str
    sample: str | None
    step: str
    status: JobStatus
    reason: str
    created: float
    start: float | None
    stop: float | None
    exit_code: int | None
    submission: int = 1

    @property
    def waits_for(self) -> str:
        """Why Batch cannot start it; empty if it only waits for its turn."""
        return self.reason if self.status == "RUNNABLE" else ""


class Runs:
    """The runs of a project (of genomics.toml) in an account and region.

    Args:
        account: Where they are.
        project: Whose.
        state_machine: The definition in stack/workflow.yaml, which makes the jobs of a run.
    """

    def __init__(self, account: Account, project: str, state_machine: Json) -> None:
        self.account = account
        self._project = project
        self._state_machine = state_machine
        self._step_functions: SFNClient = account.step_functions()
        self._batch: BatchClient = account.batch()
        # Job id to execution, sample and step: they do not change, and are asked for once.
        self._described: dict[str, tuple[str, str | None, str]] = {}
        self._planned: dict[str, tuple[Job, ...]] = {}
        self._ended: dict[str, BatchJob] = {}

    @cached_property
    def deployment(self) -> Deployment:
        """The deployed stacks' outputs.

        Raises:
            MissingInputError: The results, compute or workflow stack is not deployed.
        """
        service = CloudFormation(self.account)
        states = [service.state(f"{self._project}-{stack}") for stack in ("results", "compute", "workflow")]
        outputs = ChainMap(*(dict(state.outputs) for state in states if state))
        try:
            return Deployment(
                state_machine=outputs["StateMachineArn"],
                queues=(outputs["JobQueueArn"], outputs["OnDemandJobQueueArn"]),
                log_group=outputs["JobLogGroup"],
            )
        except KeyError as error:
            raise MissingInputError(
                "the workflow is not deployed",
                why=f"no stack of '{self._project}' has an output {error}",
                fix=f"Type: {typed('deploy')}",
            ) from error

    def start(self, name: str, run_input: RunInput) -> Run:
        """Starts a run.

        Raises:
            WrongUsageError: Another run has this name.
        """
        text = run_input.dump()
        with doing(f"starting run '{name}'"):
            try:
                response = self._step_functions.start_execution(
                    stateMachineArn=self.deployment.state_machine, name=name, input=text
                )
            except self._step_functions.exceptions.ExecutionAlreadyExists as error:
                raise WrongUsageError(
                    f"a run '{name}' exists already",
                    why="its name is the directory of its results",
                    fix=f"Choose another name, or see it: {typed('status', name)}",
                ) from error
        return Run(
            name=name,
            arn=response["executionArn"],
            status="RUNNING",
            start=response["startDate"],
            planned=self._plan(text),
        )

    def latest(self, *, most: int) -> Iterator[Run]:
        """The latest runs, the newest first."""
        with doing("listing runs"):
            pages = self._step_functions.get_paginator("list_executions").paginate(
                stateMachineArn=self.deployment.state_machine, PaginationConfig={"MaxItems": most}
            )
            for page in pages:
                yield from map(_run, page["executions"])

    def find(self, name: str) -> Run:
        """A run by its name, with its jobs and its outcome.

        Raises:
            MissingInputError: There is none.
        """
        arn = f"{self.deployment.state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        with doing(f"looking for run '{name}'"):
            try:
                execution = self._step_functions.describe_execution(executionArn=arn)
            except (
                self._step_functions.exceptions.ExecutionDoesNotExist,
                self._step_functions.exceptions.InvalidArn,
            ) as error:
                raise MissingInputError(
                    f"no run '{name}'",
                    why="the state machine has no execution of that name",
                    fix=f"Type: {typed('status')}",
                ) from error
        output = json.loads(execution.get("output") or "{}")
        return replace(
            _run(execution),
            planned=self._plan(execution["input"]),
            error=execution.get("error", ""),
            cause=execution.get("cause", ""),
            vcfs={receipt["sample"]: receipt["vcf"] for receipt in output.get("samples", [])},
        )

    def _plan(self, text: str) -> tuple[Job, ...]:
        """The jobs that an input leads to; kept, since a run that is followed is looked at many times."""
        if text not in self._planned:
            self._planned[text] = plan.jobs(self._state_machine, json.loads(text))
        return self._planned[text]

    def notes(self, run: Run) -> Iterator[str]:
        """The notes for the user in the exported records of each sample's `check`."""
        s3 = self.account.s3()
        for vcf in run.vcfs.values():
            bucket, _, key = vcf.removeprefix("s3://").partition("/")
            with doing(f"reading the figures of {vcf}"):
                response = s3.get_object(Bucket=bucket, Key=f"{key.rpartition('/')[0]}/steps/check.json")
                yield from json.loads(response["Body"].read()).get("notes", [])

    def stop(self, run: Run, cause: str) -> None:
        """Stops a run, and with it the jobs that it waits for."""
        with doing(f"stopping run '{run.name}'"):
            self._step_functions.stop_execution(executionArn=run.arn, cause=cause)

    def end(self, job_id: str, reason: str) -> None:
        """Terminates a job, or an array job with its children."""
        with doing(f"ending job {job_id}"):
            self._batch.terminate_job(jobId=job_id, reason=reason)

    def jobs(self, run: Run) -> tuple[BatchJob, ...]:
        """A run's jobs in the order of their submission. Batch forgets them seven days after their end."""
        prefix = f"{_NOT_IN_JOB_NAMES.sub('_', run.name)}--"[:128]
        with doing(f"listing the jobs of run '{run.name}'"):
            paginator = self._batch.get_paginator("list_jobs")
            filters: list[KeyValuesPairTypeDef] = [{"name": "JOB_NAME", "values": [f"{prefix}*"]}]
            summaries = {
                summary["jobId"]: summary
                for queue in self.deployment.queues
                for page in paginator.paginate(jobQueue=queue, filters=filters)
                for summary in page["jobSummaryList"]
            }
        self._describe([job_id for job_id in summaries if job_id not in self._described])
        jobs: list[BatchJob] = []
        for job_id, summary in summaries.items():
            execution, sample, step = self._described.get(job_id, ("", None, ""))
            if execution != run.name:
                continue
            if size := summary.get("arrayProperties", {}).get("size"):
                jobs += self._children(job_id, size, sample, step)
            else:
                jobs.append(_batch_job(summary, sample, step))
        return _numbered(jobs)

    def _children(self, array: str, size: int, sample: str | None, step: str) -> Iterator[BatchJob]:
        """The children of an array job, which lists of a queue leave out. What has ended is asked for once."""
        ids = [f"{array}:{index}" for index in range(size)]
        for child in self.details([job_id for job_id in ids if job_id not in self._ended]):
            job = _batch_job(child, sample, f"{step} {child['jobId'].rpartition(':')[2]}")
            if job.status in ENDED:
                self._ended[job.job_id] = job
            else:
                yield job
        yield from (self._ended[job_id] for job_id in ids if job_id in self._ended)

    def details(self, jobs: Sequence[str]) -> "Iterator[JobDetailTypeDef]":
        """DescribeJobs, in calls of a hundred."""
        with doing("looking at jobs"):
            for start in range(0, len(jobs), MOST_JOBS):
                yield from self._batch.describe_jobs(jobs=list(jobs[start : start + MOST_JOBS]))["jobs"]

    def _describe(self, job_ids: Sequence[str]) -> None:
        for job in self.details(job_ids):
            environment = {entry["name"]: entry["value"] for entry in job.get("container", {}).get("environment", [])}
            execution = environment.get("EXECUTION_ID", "")
            self._described[job["jobId"]] = (execution, *_sample_and_step(job.get("parameters", {})))


def _batch_job(job: "JobSummaryTypeDef | JobDetailTypeDef", sample: str | None, step: str) -> BatchJob:
    return BatchJob(
        job_id=job["jobId"],
        sample=sample,
        step=step,
        status=job["status"],
        reason=job.get("statusReason", ""),
        created=job.get("createdAt", 0) / 1000,
        start=job["startedAt"] / 1000 if job.get("startedAt") else None,
        stop=job["stoppedAt"] / 1000 if job.get("stoppedAt") else None,
        exit_code=job.get("container", {}).get("exitCode"),
    )


def _numbered(jobs: Sequence[BatchJob]) -> tuple[BatchJob, ...]:
    """Jobs in the order of their submission, with how often their step's job had been submitted."""
    submissions = Counter[tuple[str | None, str]]()
    numbered = []
    for job in sorted(jobs, key=lambda job: job.created):
        submissions[job.sample, job.step] += 1
        numbered.append(replace(job, submission=submissions[job.sample, job.step]))
    return tuple(numbered)


def _run(execution: "DescribeExecutionOutputTypeDef | ExecutionListItemTypeDef") -> Run:
    return Run(
        name=execution["name"],
        arn=execution["executionArn"],
        status=execution["status"],
        start=execution["startDate"],
        stop=execution.get("stopDate"),
    )


def _sample_and_step(parameters: Mapping[str, str]) -> tuple[str | None, str]:
    sample, *parts = (parameters.get(name, "-") for name in ("sample", "lane", "shard"))
    step = " ".join([parameters.get("command", ""), *(part for part in parts if part != "-")])
    return (None if sample == "-" else sample), step
