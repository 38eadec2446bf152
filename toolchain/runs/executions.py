"""Runs as the service knows them: executions of the state machine, and the Batch jobs that they submit."""

import json
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from toolchain.aws import Account, doing
from toolchain.errors import BadDataError, MissingInputError, WrongUsageError
from toolchain.jobdefs import failures
from toolchain.paths import typed
from toolchain.stacks.service import CloudFormation
from toolchain.workflow.run_input import RunInput, parse

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import JobDetailTypeDef
    from types_boto3_stepfunctions import SFNClient

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]
JobStatus = Literal["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]
ENDED = ("SUCCEEDED", "FAILED")
# What DescribeJobs takes in one call.
MOST_JOBS = 100
_NOT_IN_JOB_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What the deployed stacks say of themselves.

    Attributes:
        state_machine: The ARN of the state machine that takes samples to variants.
        queue: The ARN of the job queue.
        log_group: Where jobs log.
    """

    state_machine: str
    queue: str
    log_group: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run.

    Attributes:
        name: Its name.
        arn: Its execution's ARN.
        status: As Step Functions says.
        start: When it was started.
        stop: When it ended; none while it runs.
        order: What it was asked to do; none where only the list was asked for, or where its input is no order.
        error: The class of the failure; empty if there is none.
        cause: What happened, and what to do.
        vcfs: Sample to its VCF in the bucket, once it is done.
    """

    name: str
    arn: str
    status: Status
    start: datetime
    stop: datetime | None = None
    order: RunInput | None = None
    error: str = ""
    cause: str = ""
    vcfs: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From its start to its end, or to now."""
        return ((self.stop or datetime.now(UTC)) - self.start).total_seconds()

    @property
    def exit_code(self) -> int:
        """Of the command that followed it."""
        if self.status == "SUCCEEDED":
            return 0
        classes = {one.name: one.exit_code for one in failures.CLASSES}
        return classes.get(self.error, 75 if self.status in ("TIMED_OUT", "ABORTED") else 70)


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """One Batch job of a run.

    Attributes:
        job_id: Its id.
        sample: Whose job it is; none for a job of the whole run.
        step: Its name, such as `mem L001` or `call 3`.
        status: As Batch says.
        reason: Why it has this status, if Batch says so.
        created: When it was submitted, in seconds since 1970.
        start: When its last attempt started; none before.
        stop: When it ended; none before.
        exit_code: Of its container.
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

    @property
    def waits_for(self) -> str:
        """Why Batch cannot start it; empty where it merely waits for its turn, or waits no more."""
        return self.reason if self.status == "RUNNABLE" else ""


class Runs:
    """The runs of a project in an account and region.

    Args:
        account: Where they are.
        project: Of genomics.toml.
    """

    def __init__(self, account: Account, project: str) -> None:
        self.account = account
        self._project = project
        self._steps: SFNClient = account.step_functions()
        self._batch: BatchClient = account.batch()
        # What a job is does not change: it is asked for once.
        self._known: dict[str, tuple[str, str | None, str]] = {}

    @cached_property
    def deployment(self) -> Deployment:
        """What is deployed.

        Raises:
            MissingInputError: A stack that is needed is not there.
        """
        service = CloudFormation(self.account)
        states = [service.state(f"{self._project}-{stack}") for stack in ("compute", "workflow")]
        outputs = ChainMap(*(dict(state.outputs) for state in states if state))
        try:
            return Deployment(
                state_machine=outputs["StateMachineArn"],
                queue=outputs["JobQueueArn"],
                log_group=outputs["JobLogGroup"],
            )
        except KeyError as error:
            raise MissingInputError(
                "the workflow is not deployed",
                why=f"no stack of '{self._project}' has an output {error}",
                fix=f"Type: {typed('deploy')}",
            ) from error

    def start(self, name: str, order: RunInput) -> Run:
        """Starts a run.

        Raises:
            WrongUsageError: Another run has this name.
        """
        text = order.dump()
        with doing(f"starting run '{name}'"):
            try:
                answer = self._steps.start_execution(
                    stateMachineArn=self.deployment.state_machine, name=name, input=text
                )
            except self._steps.exceptions.ExecutionAlreadyExists as error:
                raise WrongUsageError(
                    f"a run '{name}' exists already",
                    why="its name is the directory of its results",
                    fix=f"Choose another name, or see it: {typed('status', name)}",
                ) from error
        return Run(name=name, arn=answer["executionArn"], status="RUNNING", start=answer["startDate"], order=order)

    def latest(self, *, most: int) -> Iterator[Run]:
        """The latest runs, the newest first."""
        with doing("listing runs"):
            pages = self._steps.get_paginator("list_executions").paginate(
                stateMachineArn=self.deployment.state_machine, PaginationConfig={"MaxItems": most}
            )
            for page in pages:
                for one in page["executions"]:
                    yield Run(
                        name=one["name"],
                        arn=one["executionArn"],
                        status=one["status"],
                        start=one["startDate"],
                        stop=one.get("stopDate"),
                    )

    def find(self, name: str) -> Run:
        """A run, with what it was asked to do and how it ended.

        Raises:
            MissingInputError: There is none of that name.
        """
        arn = f"{self.deployment.state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        with doing(f"looking for run '{name}'"):
            try:
                one = self._steps.describe_execution(executionArn=arn)
            except (self._steps.exceptions.ExecutionDoesNotExist, self._steps.exceptions.InvalidArn) as error:
                raise MissingInputError(
                    f"no run '{name}'",
                    why="the state machine has no execution of that name",
                    fix=f"Type: {typed('status')}",
                ) from error
        output = json.loads(one.get("output") or "{}")
        return Run(
            name=one["name"],
            arn=one["executionArn"],
            status=one["status"],
            start=one["startDate"],
            stop=one.get("stopDate"),
            order=_order(one["input"]),
            error=one.get("error", ""),
            cause=one.get("cause", ""),
            vcfs={receipt["sample"]: receipt["vcf"] for receipt in output.get("samples", [])},
        )

    def notes(self, run: Run) -> Iterator[str]:
        """What the last step of each sample noted for the user, from the records that were exported."""
        s3 = self.account.s3()
        for vcf in run.vcfs.values():
            bucket, _, key = vcf.removeprefix("s3://").partition("/")
            with doing(f"reading the figures of {vcf}"):
                answer = s3.get_object(Bucket=bucket, Key=f"{key.rpartition('/')[0]}/steps/check.json")
                yield from json.loads(answer["Body"].read()).get("notes", [])

    def stop(self, run: Run, cause: str) -> None:
        """Stops a run; the jobs that it waits for end with it."""
        with doing(f"stopping run '{run.name}'"):
            self._steps.stop_execution(executionArn=run.arn, cause=cause)

    def end(self, job: BatchJob, reason: str) -> None:
        """Ends a job that is still there."""
        with doing(f"ending job {job.job_id}"):
            self._batch.terminate_job(jobId=job.job_id, reason=reason)

    def jobs(self, run: Run) -> tuple[BatchJob, ...]:
        """A run's jobs, in the order in which they were submitted. Batch keeps those that ended for seven days."""
        prefix = f"{_NOT_IN_JOB_NAMES.sub('_', run.name)}--"[:128]
        with doing(f"listing the jobs of run '{run.name}'"):
            pages = self._batch.get_paginator("list_jobs").paginate(
                jobQueue=self.deployment.queue, filters=[{"name": "JOB_NAME", "values": [f"{prefix}*"]}]
            )
            found = {one["jobId"]: one for page in pages for one in page["jobSummaryList"]}
        self._learn([job_id for job_id in found if job_id not in self._known])
        jobs = []
        for job_id, one in found.items():
            execution, sample, step = self._known.get(job_id, ("", None, ""))
            if execution != run.name:
                continue
            jobs.append(
                BatchJob(
                    job_id=job_id,
                    sample=sample,
                    step=step,
                    status=one["status"],
                    reason=one.get("statusReason", ""),
                    created=one["createdAt"] / 1000,
                    start=one["startedAt"] / 1000 if one.get("startedAt") else None,
                    stop=one["stoppedAt"] / 1000 if one.get("stoppedAt") else None,
                    exit_code=one.get("container", {}).get("exitCode"),
                )
            )
        return tuple(sorted(jobs, key=lambda job: job.created))

    def details(self, jobs: Sequence[str]) -> "Iterator[JobDetailTypeDef]":
        """DescribeJobs, a hundred in a call."""
        with doing("looking at jobs"):
            for start in range(0, len(jobs), MOST_JOBS):
                yield from self._batch.describe_jobs(jobs=list(jobs[start : start + MOST_JOBS]))["jobs"]

    def _learn(self, jobs: Sequence[str]) -> None:
        for one in self.details(jobs):
            environment = {entry["name"]: entry["value"] for entry in one.get("container", {}).get("environment", [])}
            self._known[one["jobId"]] = (environment.get("EXECUTION_ID", ""), *_who(one.get("parameters", {})))


def _order(text: str) -> RunInput | None:
    """What a run was asked to do. Whatever somebody else started must be seen and stopped all the same."""
    try:
        return parse(text)
    except BadDataError:
        return None


def _who(parameters: Mapping[str, str]) -> tuple[str | None, str]:
    """Whose job it is and which step, by the parameters of its job definition."""
    command = parameters.get("command", "")
    part = {"mem": parameters.get("lane", ""), "call": parameters.get("shard", "")}.get(command, "")
    sample = parameters.get("sample", "-")
    return (None if sample == "-" else sample), f"{command} {part}".strip()
