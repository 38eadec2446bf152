"""Runs whose jobs do what a script says, and an AWS that throttles calls."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from moto.core.exceptions import AWSError
from moto.ssm.models import SimpleSystemManagerBackend
from support.local_aws import RESOURCES, EndedExecution, LocalAws, Machines, until

from toolchain.localaws.batch.api import LocalBatchResponse
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.host import JOB_LABEL
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.objects import Objects
from toolchain.localaws.stepfunctions.backend import LocalStepFunctionsBackend
from toolchain.runs import stop as stopping
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Lane, Sample

LANES = (Lane(name="L001", r1="1.fq", r2="2.fq"), Lane(name="L002", r1="3.fq", r2="4.fq"))
NA1 = Sample(name="NA1", lanes=LANES[:1])
ONE_LANE = RunInput(reference="small.fa", samples=(NA1,), shards=1, ploidy=2, resources=RESOURCES)
TWO_LANES = replace(ONE_LANE, samples=(replace(NA1, lanes=LANES),))


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """A run, or the execution of a single job, that has ended.

    Attributes:
        jobs: What DescribeJobs says of its jobs, in the order in which they were submitted.
    """

    ended: EndedExecution
    jobs: Sequence[Mapping[str, Any]]

    @property
    def job(self) -> Mapping[str, Any]:
        (job,) = self.jobs
        return job

    @property
    def exit_codes(self) -> list[int | None]:
        """Of each attempt of the one job."""
        return [attempt["container"].get("exitCode") for attempt in self.job["attempts"]]


class ScriptedRuns:
    """Plays scenes: in state machines whose jobs obey scripts, beside the deployed ones."""

    def __init__(self, local_aws: LocalAws) -> None:
        self.local_aws = local_aws
        scripted = {tool: local_aws.scripted(tool) for tool in local_aws.registered}
        self.scripted = local_aws.machines("scripted", scripted)
        self.hurried = local_aws.machines("hurried", scripted, job_timeout=20)
        self.little = local_aws.machines("little", scripted, most_memory=192)
        self.least = local_aws.machines("least", {}, most_memory=24)
        self.unplanned = local_aws.machines("unplanned", scripted, germline={"{% 50 %}": "{% $number('many') %}"})
        self.without_storage = local_aws.machines("no-storage", scripted, germline={"/scratch/export": "/scratch/none"})
        lanes = "$join([$states.input.sample.lanes.name], ',')"
        lost = f"$states.input.sample.name = 'LOST' ? $error('it is lost') : {lanes}"
        self.losing = local_aws.machines("losing", scripted, germline={lanes: lost})

        def no_image(definition: dict[str, Any]) -> None:
            definition["containerProperties"]["image"] = f"sha256:{'0' * 64}"

        def no_log_group(definition: dict[str, Any]) -> None:
            definition["containerProperties"]["logConfiguration"]["options"]["awslogs-group"] = "/no/such/group"

        def short(definition: dict[str, Any]) -> None:
            definition["timeout"] = {"attemptDurationSeconds": 2}

        self.odd = local_aws.machines(
            "odd",
            {
                "bwa": local_aws.scripted("bwa", no_image),
                "samtools": local_aws.scripted("samtools", no_log_group),
                "bcftools": local_aws.scripted("bcftools", short),
                "fsx-export": re.sub(r"\d+$", "999", local_aws.registered["fsx-export"]),
            },
        )

    def jobs(self, run: str) -> list[Mapping[str, Any]]:
        batch = self.local_aws.account.batch()
        filters: Any = [{"name": "JOB_NAME", "values": [f"{run}--*"]}]
        listed = batch.get_paginator("list_jobs").paginate
        queues = self.local_aws.runs.deployment.queues
        pages = [page for queue in queues for page in listed(jobQueue=queue, filters=filters)]
        ids = [job["jobId"] for page in pages for job in page["jobSummaryList"]]
        jobs: list[Mapping[str, Any]] = [*batch.describe_jobs(jobs=ids)["jobs"]] if ids else []
        return sorted(jobs, key=lambda job: job["createdAt"])

    def outcome(self, run: str, arn: str) -> RunOutcome:
        ended = self.local_aws.ended(arn)
        return RunOutcome(ended=ended, jobs=self.jobs(run))

    # ---- runs -------------------------------------------------------------------------------------------------------

    def deployed(self, name: str, order: RunInput, machines: Machines | None = None) -> RunOutcome:
        """A run in the deployed state machine, or in another one, with the real tools."""
        runs = self.local_aws.runs_of(machines) if machines else self.local_aws.runs
        return self.outcome(name, runs.start(name, order).arn)

    def run(self, name: str, script: str, order: RunInput = ONE_LANE, machines: Machines | None = None) -> RunOutcome:
        """A run whose jobs begin with a script."""
        self.local_aws.script(name, script)
        return self.outcome(name, self.local_aws.runs_of(machines or self.scripted).start(name, order).arn)

    def any_input(self, name: str, run_input: Any) -> RunOutcome:  # any JSON
        """A run with this input."""
        return self.outcome(name, self.local_aws.begin(self.scripted.germline, name, run_input))

    def stopped(self, name: str) -> RunOutcome:
        """A run that is stopped while its first job runs."""
        self.local_aws.script(name, "exec sleep 100")
        runs = self.local_aws.runs_of(self.scripted)
        run = runs.start(name, ONE_LANE)
        until(lambda: [job for job in self.jobs(name) if job["status"] == "RUNNING"])
        stopping.stop(runs, name, "enough of it")
        return self.outcome(name, run.arn)

    # ---- single jobs ------------------------------------------------------------------------------------------------

    def begin(self, name: str, script: str, *, machine: str, tool: str, **resources: str) -> str:
        self.local_aws.script(name, script)
        parameters = {"command": "mem", "reference": "small.fa", "sample": "NA1"}
        resources = {kind: str(value) for kind, value in RESOURCES["bwa"].items()} | resources
        job_input = {
            "run": name,
            "sample": "NA1",
            "step": "mem L001",
            "tool": tool,
            "parameters": parameters,
            "resources": {tool: [{"Type": kind, "Value": value} for kind, value in resources.items()]},
        }
        return self.local_aws.begin(machine, name, job_input)

    def single_job(
        self, name: str, script: str, *, machines: Machines | None = None, tool: str = "bwa", **resources: str
    ) -> RunOutcome:
        """One job that begins with a script."""
        machine = (machines or self.scripted).job
        return self.outcome(name, self.begin(name, script, machine=machine, tool=tool, **resources))

    def lost(self, name: str, script: str, *, times: int, then: str = "") -> RunOutcome:
        """One job whose containers are taken away from under it as soon as they run, so many of them.

        Args:
            name: The run's.
            script: Of the containers that are lost.
            times: How many.
            then: The script of the next one, if it is another.
        """
        arn = self.begin(name, script, machine=self.scripted.job, tool="bwa")
        engine = self.local_aws.job_runner.built_images.builder.engine.client
        gone: set[str | None] = set()

        def running() -> Any:  # docker-py's container
            job_ids = (job["jobId"] for job in self.jobs(name) if job["status"] == "RUNNING")
            labels = [f"{JOB_LABEL}={job_id}" for job_id in job_ids]
            containers = [each for label in labels for each in engine.containers.list(filters={"label": label})]
            return next((container for container in containers if container.id not in gone), None)

        for _ in range(times):
            container = until(running)
            gone.add(container.id)
            if then and len(gone) == times:
                self.local_aws.script(name, then)
            container.remove(force=True)
        return self.outcome(name, arn)

    def waiting(self, name: str, reason: str) -> RunOutcome:
        """One job that no host can take, and that the queue's time limit ends with this reason."""
        arn = self.begin(name, "", machine=self.scripted.job, tool="bwa", VCPU="99")
        (job,) = until(lambda: [job for job in self.jobs(name) if "MISCONFIGURATION" in job.get("statusReason", "")])
        self.local_aws.account.batch().terminate_job(jobId=job["jobId"], reason=reason)
        return self.outcome(name, arn)


class Throttle:
    """Refuses each call of the run `throttled` once, as a service does that has too much to do."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused: set[str] = set()
        submit, start, get = LocalBatchBackend.submit, LocalStepFunctionsBackend.start_execution, Objects.get
        get_parameter = SimpleSystemManagerBackend.get_parameter
        throttle = self

        def submitted(self: LocalBatchBackend, request: Mapping[str, Any]) -> Any:  # moto's
            # One of the two errors that a Retry names for Batch, and then the other.
            for number, error in enumerate(("ServerException", "TooManyRequestsException")):
                if throttle.refuses(f"{request['jobName']}", number):
                    raise AWSError("Too Many Requests", error, 500)
            return submit(self, request)

        def started(  # the same of the two that a Retry names for Step Functions
            self: LocalStepFunctionsBackend,
            arn: str,
            name: Any,  # moto's, and so are the next ones
            given: Any,
            header: Any = None,
        ) -> Any:
            job = re.search(r'"run":"(throttled)".*"step":"([\w ]+)"', str(given))
            error = "ExecutionLimitExceeded" if job and "e" in job[2] else "ThrottlingException"
            if job and throttle.refuses(f"{job[1]} {job[2]}", 0):
                raise AWSError("Rate exceeded", error, 400)
            return start(self, arn, name, given, header)

        def got(self: Objects, bucket: str, key: str) -> Any:  # handed on
            if "/throttled/" in key and throttle.refuses("throttled S3", 0):
                raise S3Error("SlowDown", "Please reduce your request rate.", status=503)
            return get(self, bucket, key)

        def parameter(self: SimpleSystemManagerBackend, name: str) -> Any:  # moto's
            # Whatever run asks first.
            if throttle.refuses("throttled SSM", 0):
                raise AWSError("Rate exceeded", "ThrottlingException", 400)
            return get_parameter(self, name)

        patch.setattr(SimpleSystemManagerBackend, "get_parameter", parameter)
        patch.setattr(LocalBatchBackend, "submit", submitted)
        self._refuse_children(patch)
        patch.setattr(LocalStepFunctionsBackend, "start_execution", started)
        patch.setattr(Objects, "get", got)

    def _refuse_children(self, patch: pytest.MonkeyPatch) -> None:
        """Refuses looks at the children of array jobs."""
        listed, described = LocalBatchResponse.listjobs, LocalBatchBackend.describe_jobs
        throttle = self

        def array(backend: LocalBatchBackend, job_id: str) -> str:
            job = backend.job(job_id)
            return job.submission.name.partition("--")[0] if job else ""

        def list_jobs(self: LocalBatchResponse) -> str:
            array_id = json.loads(self.body).get("arrayJobId")
            if array_id and throttle.refuses(f"{array(self.batch_backend, array_id)} children", 0):
                raise AWSError("Too Many Requests", "ServerException", 500)
            return listed(self)

        def describe_jobs(self: LocalBatchBackend, jobs: list[str] | None) -> list[dict[str, Any]]:
            if jobs and ":" in jobs[0] and throttle.refuses(f"{array(self, jobs[0])} child", 0):
                raise AWSError("Too Many Requests", "ServerException", 500)
            return described(self, jobs)

        patch.setattr(LocalBatchResponse, "listjobs", list_jobs)
        patch.setattr(LocalBatchBackend, "describe_jobs", describe_jobs)

    def refuses(self, call: str, number: int) -> bool:
        """Whether this call is refused for this time; only some jobs are refused twice."""
        named = f"{call} {number}"
        if not call.startswith("throttled") or named in self.refused or (number and not call.endswith("index")):
            return False
        self.refused.add(named)
        return True
