"""Each way through the two state machines: how runs go well, and how they fail, and what they say then.

All runs go side by side, once for the module; tests look at what became of them.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from home import RESOURCES, Ended, Home, Machines, until
from moto.core.exceptions import AWSError
from small import Small
from walked import NONE, walked, ways

from toolchain import failures, templates
from toolchain.localaws.batch import submission
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.host import JOB_LABEL
from toolchain.localaws.s3.objects import Objects, S3Error
from toolchain.localaws.stepfunctions.backend import LocalStepFunctionsBackend
from toolchain.paths import HERE
from toolchain.runs import stopping
from toolchain.runs.order import Order, parse
from toolchain.samples import Lane, Sample

RESOURCES_OF_ALL = {
    tool: [{"Type": kind, "Value": str(value)} for kind, value in own.items()] for tool, own in RESOURCES.items()
}
NA1 = Sample(name="NA1", lanes=(Lane(name="L001", r1="1.fq", r2="2.fq"),))
ORDER = Order(reference="small.fa", samples=(NA1,), shards=1, ploidy=2, resources=RESOURCES)
ERROR = "step: error: the reads are bad: line 3 is cut off. Fetch them again."
# Nothing is done, but a VCF is there.
A_VCF = """
[ "$1" != gather ] || { mkdir -p "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1" &&
    echo > "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1/NA1.vcf.gz"; }
"""
REALLY_EXPORTED = '[ "$1" = export ] || exit 0'


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of a run, or of a single job's execution.

    Attributes:
        jobs: What DescribeJobs says of its jobs, in the order in which they were submitted.
    """

    ended: Ended
    jobs: Sequence[Mapping[str, Any]]

    @property
    def job(self) -> Mapping[str, Any]:
        (job,) = self.jobs
        return job

    @property
    def exit_codes(self) -> list[int | None]:
        """Of each attempt of the one job."""
        return [attempt["container"].get("exitCode") for attempt in self.job["attempts"]]


class Stage:
    """Where scenes are played: state machines whose jobs heed scripts, beside the deployed ones."""

    def __init__(self, home: Home) -> None:
        self.home = home
        scripted = {tool: home.scripted(tool) for tool in home.registered}
        self.scripted = home.machines("scripted", scripted)
        self.hurried = home.machines("hurried", scripted, job_timeout=2)
        self.unplanned = home.machines("unplanned", scripted, concurrency="$number('many')")

        def no_image(definition: dict[str, Any]) -> None:
            definition["containerProperties"]["image"] = f"sha256:{'0' * 64}"

        def no_log_group(definition: dict[str, Any]) -> None:
            definition["containerProperties"]["logConfiguration"]["options"]["awslogs-group"] = "/no/such/group"

        def short(definition: dict[str, Any]) -> None:
            definition["timeout"] = {"attemptDurationSeconds": 1}

        self.odd = home.machines(
            "odd",
            {
                "bwa": home.scripted("bwa", no_image),
                "samtools": home.scripted("samtools", no_log_group),
                "bcftools": home.scripted("bcftools", short),
                "fsx-export": re.sub(r"\d+$", "999", home.registered["fsx-export"]),
            },
        )

    def jobs(self, run: str) -> list[Mapping[str, Any]]:
        batch = self.home.account.batch()
        filters: Any = [{"name": "JOB_NAME", "values": [f"{run}--*"]}]
        pages = batch.get_paginator("list_jobs").paginate(jobQueue=self.home.outputs["JobQueueArn"], filters=filters)
        ids = [one["jobId"] for page in pages for one in page["jobSummaryList"]]
        found: list[Mapping[str, Any]] = [*batch.describe_jobs(jobs=ids)["jobs"]] if ids else []
        return sorted(found, key=lambda job: job["createdAt"])

    def told(self, run: str, arn: str) -> Told:
        ended = self.home.ended(arn)
        return Told(ended=ended, jobs=self.jobs(run))

    # ---- runs -------------------------------------------------------------------------------------------------------

    def deployed(self, name: str, order: Order) -> Told:
        """A run in the deployed state machine, with the real tools."""
        return self.told(name, self.home.runs.start(name, order).arn)

    def run(self, name: str, script: str, order: Order = ORDER, machines: Machines | None = None) -> Told:
        """A run whose jobs begin with a script."""
        self.home.script(name, script)
        return self.told(name, self.home.runs_of(machines or self.scripted).start(name, order).arn)

    def given(self, name: str, given: Any) -> Told:  # noqa: ANN401  # any JSON
        """A run with this input."""
        return self.told(name, self.home.begin(self.scripted.germline, name, given))

    def stopped(self, name: str) -> Told:
        """A run that is stopped while its first job runs."""
        self.home.script(name, "exec sleep 100")
        runs = self.home.runs_of(self.scripted)
        run = runs.start(name, ORDER)
        until(lambda: [job for job in self.jobs(name) if job["status"] == "RUNNING"])
        stopping.stop(runs, name, "enough of it")
        return self.told(name, run.arn)

    # ---- single jobs ------------------------------------------------------------------------------------------------

    def begin(self, name: str, script: str, *, machine: str, tool: str, **resources: str) -> str:
        self.home.script(name, script)
        parameters = {"command": "mem", "reference": "small.fa", "sample": "NA1"}
        resources = {entry["Type"]: entry["Value"] for entry in RESOURCES_OF_ALL["bwa"]} | resources
        given = {
            "run": name,
            "sample": "NA1",
            "step": "mem L001",
            "tool": tool,
            "parameters": parameters,
            "resources": {tool: [{"Type": kind, "Value": value} for kind, value in resources.items()]},
        }
        return self.home.begin(machine, name, given)

    def one(
        self, name: str, script: str, *, machines: Machines | None = None, tool: str = "bwa", **resources: str
    ) -> Told:
        """One job that begins with a script."""
        machine = (machines or self.scripted).job
        return self.told(name, self.begin(name, script, machine=machine, tool=tool, **resources))

    def lost(self, name: str, script: str) -> Told:
        """One job whose containers are taken away from under it, each as soon as it runs."""
        arn = self.begin(name, script, machine=self.scripted.job, tool="bwa")
        engine = self.home.bench.lab.workshop.engine.client
        gone: set[str] = set()
        while self.home.account.step_functions().describe_execution(executionArn=arn)["status"] == "RUNNING":
            for job in self.jobs(name):
                for container in engine.containers.list(filters={"label": f"{JOB_LABEL}={job['jobId']}"}):
                    if container.id not in gone and job["status"] == "RUNNING":
                        gone.add(str(container.id))
                        container.remove(force=True)
            time.sleep(0.1)
        return self.told(name, arn)

    def waiting(self, name: str, reason: str) -> Told:
        """One job that no host can take, and that the queue's time limit ends with this reason."""
        arn = self.begin(name, "", machine=self.scripted.job, tool="bwa", VCPU="99")
        (job,) = until(lambda: [job for job in self.jobs(name) if "MISCONFIGURATION" in job.get("statusReason", "")])
        self.home.account.batch().terminate_job(jobId=job["jobId"], reason=reason)
        return self.told(name, arn)


def small_order(home: Home) -> Order:
    """Two samples of two lanes, one of them for the tools to choke on if it is the only one of a run."""
    samples = tuple(Small.make(home.world.scratch, name=name, lanes=2).sample for name in ("NA1", "NA2"))
    return replace(ORDER, samples=samples, shards=2)


def with_a_file_cut_off(home: Home) -> Order:
    good = Small.make(home.world.scratch, name="GOOD")
    bad = Small.make(home.world.scratch, name="BAD")
    bad.r1.write_bytes(bad.r1.read_bytes()[:2000])
    return replace(ORDER, samples=(bad.sample, good.sample))


STEPS = ("mem", "finish", "call", "gather", "check")
EACH_AT_ITS_STEP = '[ "$1" != "$3" ] || { echo "step: error: $1 broke" >&2; exit 70; }; exit 0'
TOO_LONG = f"""
[ "$1" != check ] || {{ cd "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1" &&
    for _ in 1 2 3 4 5; do mkdir {"d" * 240} && cd {"d" * 240}; done && echo > file; }}
"""
LONG_LOG = f'for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "$i {"x" * 150}" >&2; done; echo "{ERROR}" >&2; exit 65'


def scenes(stage: Stage) -> dict[str, Callable[[str], Told]]:
    """What is played, by the run's name."""
    each = tuple(Sample(name=name, lanes=NA1.lanes) for name in STEPS)
    run, one = stage.run, stage.one

    def of(scene: Callable[..., Told], *given: Any, **more: Any) -> Callable[[str], Told]:  # noqa: ANN401  # handed on
        return lambda name: scene(name, *given, **more)

    return {
        # The longest first.
        "throttled": of(run, A_VCF + REALLY_EXPORTED),
        "done": of(stage.deployed, small_order(stage.home)),
        "one-bad": of(stage.deployed, with_a_file_cut_off(stage.home)),
        "each-at-its-step": of(run, EACH_AT_ITS_STEP, replace(ORDER, samples=each)),
        "export-fails": of(run, A_VCF + TOO_LONG + REALLY_EXPORTED),
        "no-receipt": of(run, "exit 0"),
        "stopped": stage.stopped,
        "no-reference": of(stage.deployed, replace(ORDER, reference="none.fa")),
        "no-map": of(run, "exit 0", machines=stage.unplanned),
        "not-an-order": of(stage.given, {"samples": []}),
        # ---- single jobs
        "host-lost": of(stage.lost, '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] && exit 0; exec sleep 100'),
        "hosts-lost": of(stage.lost, "exec sleep 100"),
        "no-image": of(one, "", machines=stage.odd, tool="bwa"),
        "no-log-group": of(one, "", machines=stage.odd, tool="samtools"),
        "slow": of(one, "echo slow; exec sleep 100", machines=stage.odd, tool="bcftools"),
        "no-definition": of(one, "", machines=stage.odd, tool="fsx-export"),
        "hurried": of(one, "exec sleep 100", machines=stage.hurried),
        "memory": of(one, "exec dd if=/dev/zero of=/dev/null bs=160M count=1", MEMORY="128"),
        "more-memory": of(one, "exec dd if=/dev/zero of=/dev/null bs=400M count=1", MEMORY="128"),
        "bad-data": of(one, LONG_LOG),
        "wrong-input": of(one, "exit 66"),
        "scratch-full": of(one, "exit 74"),
        "busy": of(one, '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] && exit 0; exit 75'),
        "too-busy": of(one, "echo try $AWS_BATCH_JOB_ATTEMPT; exit 75"),
        "tool-failed": of(one, "exit 70"),
        "too-large": of(stage.waiting, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        "no-capacity": of(stage.waiting, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
    }


class Throttle:
    """Refuses each call of the run `throttled` once, as a service does that has too much to do."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused: set[str] = set()
        submit, start, get = LocalBatchBackend.submit, LocalStepFunctionsBackend.start_execution, Objects.get
        throttle = self

        def submitted(self: LocalBatchBackend, request: Mapping[str, Any]) -> Any:  # noqa: ANN401  # moto's
            # One of the two errors that a Retry names for Batch, and then the other.
            for number, error in enumerate(("ServerException", "TooManyRequestsException")):
                if throttle.refuses(f"{request['jobName']}", number):
                    raise AWSError("Too Many Requests", error, 500)
            return submit(self, request)

        def started(self: LocalStepFunctionsBackend, arn: str, name: Any, given: Any, header: Any = None) -> Any:  # noqa: ANN401  # moto's
            found = re.search(r'"run":"(throttled)".*"step":"([\w ]+)"', str(given))
            error = "ExecutionLimitExceeded" if found and "e" in found[2] else "ThrottlingException"
            if found and throttle.refuses(f"{found[1]} {found[2]}", 0):
                raise AWSError("Rate exceeded", error, 400)
            return start(self, arn, name, given, header)

        def got(self: Objects, bucket: str, key: str) -> Any:  # noqa: ANN401  # handed on
            if "/throttled/" in key and throttle.refuses("throttled S3", 0):
                raise S3Error("SlowDown", "Please reduce your request rate.", status=503)
            return get(self, bucket, key)

        patch.setattr(LocalBatchBackend, "submit", submitted)
        patch.setattr(LocalStepFunctionsBackend, "start_execution", started)
        patch.setattr(Objects, "get", got)

    def refuses(self, call: str, number: int) -> bool:
        """Whether this call is refused for this time; only some jobs are refused twice."""
        named = f"{call} {number}"
        if not call.startswith("throttled") or named in self.refused or (number and not call.endswith("index")):
            return False
        self.refused.add(named)
        return True


@dataclass(frozen=True, kw_only=True)
class Played:
    """What became of every scene."""

    home: Home
    told: Mapping[str, Told]
    refused: frozenset[str]

    def __getitem__(self, name: str) -> Told:
        return self.told[name]


@pytest.fixture(scope="module")
def played(there: Home) -> Iterator[Played]:
    """Every scene, played once, side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "SHORTEST_TIMEOUT", 1)
        throttle = Throttle(patch)
        stage = Stage(there)
        play = scenes(stage)
        with ThreadPoolExecutor(max_workers=len(play)) as pool:
            futures = {name: pool.submit(partial(scene, name)) for name, scene in play.items()}
        yield Played(
            home=there,
            told={name: future.result() for name, future in futures.items()},
            refused=frozenset(throttle.refused),
        )


def failed(told: Told, error: str) -> str:
    """The cause of a failure, with the job's id as `JOB`."""
    assert (told.ended.status, told.ended.error) == ("FAILED", error), told.ended
    cause = told.ended.cause
    for job in told.jobs:
        cause = cause.replace(job["jobId"], "JOB")
    return cause


EXITED = "Essential container in task exited"


# ---- runs that go well ----------------------------------------------------------------------------------------------


def test_two_samples_of_two_lanes_go_through_to_two_vcfs_in_the_bucket(played: Played) -> None:
    told, home = played["done"], played.home
    assert told.ended.status == "SUCCEEDED", told.ended
    run = home.runs.find("done")
    assert set(run.vcfs) == {"NA1", "NA2"}
    for sample, vcf in run.vcfs.items():
        kept = home.world.buckets / vcf.removeprefix("s3://")
        assert kept.read_bytes() == (home.folder("done", sample) / f"{sample}.vcf.gz").read_bytes()
        assert {"sample": sample, "vcf": vcf, "bytes": kept.stat().st_size} in told.ended.output["samples"]


def test_a_run_s_jobs_are_those_that_a_dry_run_lists(played: Played) -> None:
    runs = played.home.runs
    run = runs.find("done")
    assert run.order
    found = [(job.sample, job.step) for job in runs.jobs(run)]
    assert sorted(found, key=str) == sorted(((job.sample, job.step) for job in run.order.jobs()), key=str)


def test_a_run_s_input_is_an_order_that_reads_back(played: Played) -> None:
    client = played.home.account.step_functions()
    text = client.describe_execution(executionArn=played["done"].ended.arn)["input"]
    order = parse(text)
    assert [sample.name for sample in order.samples] == ["NA1", "NA2"]
    assert (order.reference, order.shards, order.ploidy, order.aligner) == ("small.fa", 2, 2, "bwa")


def test_calls_that_are_throttled_are_made_again_and_the_run_is_done(played: Played) -> None:
    assert played["throttled"].ended.status == "SUCCEEDED", played["throttled"].ended
    steps = ("index", "mem L001", "finish", "qc", "call 0", "gather", "check", "export")
    names = {f"throttled--{'' if step in ('index', 'export') else 'NA1-'}{step.replace(' ', '_')}" for step in steps}
    executions = {f"throttled {step} 0" for step in steps}
    jobs = {f"{name} 0" for name in names} | {"throttled--index 1"}
    assert played.refused == executions | jobs | {"throttled S3 0"}


# ---- runs that fail -------------------------------------------------------------------------------------------------


def test_an_input_that_is_no_order_says_what_one_is(played: Played) -> None:
    assert failed(played["not-an-order"], "WrongInput") == (
        'The input must be {"reference": text, "shards": 1 to 9999, "ploidy": 1 or 2, "samples": [{"name": text, '
        '"lanes": [{"name": text, "r1": text, "r2": text}]}]}, with at least one sample, each of its own name and with '
        "a lane. Let `python build.py run --dry-run` write it."
    )
    assert played["not-an-order"].jobs == []


def test_bad_data_in_one_of_two_samples_fails_the_run_and_leaves_the_other_done_and_exported(played: Played) -> None:
    told, home = played["one-bad"], played.home
    cause = failed(told, "BadData")
    first, *log = cause.splitlines()
    assert first == (
        "1 of 2 samples failed. sample BAD, step mem L001 found bad data (exit code 65). Correct the input that the log "
        f"names: the same input fails the same way. Job JOB: {EXITED}"
    )
    assert log[-1].startswith("step: error: cannot unpack BAD_L001_R1.fastq.gz: ")
    assert log[-1].endswith("The file is damaged or cut off: fetch it again.")
    assert [path.name for path in home.world.buckets.glob("*/results/*/one-bad/*/*.vcf.gz")] == ["GOOD.vcf.gz"]
    assert not [path for path in home.world.buckets.rglob("BAD*") if "one-bad" in path.parts and path.suffix == ".bam"]


def test_bad_data_is_submitted_once_and_tried_once(played: Played) -> None:
    (bad,) = (job for job in played["one-bad"].jobs if job["parameters"].get("sample") == "BAD")
    assert [attempt["container"]["exitCode"] for attempt in bad["attempts"]] == [65]


def test_a_run_of_which_every_sample_fails_says_of_each_where(played: Played) -> None:
    told = played["each-at-its-step"]
    steps = {"mem": "mem L001", "call": "call 0"}
    told_of_each = [
        f"sample {name}, step {steps.get(name, name)} failed (exit code 70). The tool's own messages stand in the log. "
        f"Job JOB: {EXITED}\nstep: error: {name} broke"
        for name in STEPS
    ]
    assert failed(told, "ToolFailed") == "5 of 5 samples failed. " + "\n\n".join(told_of_each)
    assert "export" not in {job["parameters"]["command"] for job in told.jobs}


def test_without_its_reference_a_run_ends_at_its_first_job(played: Played) -> None:
    assert failed(played["no-reference"], "WrongInput") == (
        "step index was told something wrong, or an input is missing (exit code 66). Correct the sample sheet or the "
        f"reference's name; the log says which. Job JOB: {EXITED}\n"
        "step: error: no none.fa: /scratch/reference/none.fa is not there. "
        "Check the name, and that the step before this one has run."
    )
    assert len(played["no-reference"].jobs) == 1


def test_a_map_that_cannot_start_fails_the_run(played: Played) -> None:
    assert "$number('many')" in failed(played["no-map"], "States.QueryEvaluationError")


def test_files_that_cannot_be_exported_fail_the_run(played: Played) -> None:
    lines = failed(played["export-fails"], "ToolFailed").splitlines()
    assert lines[0].startswith("step export failed (exit code 70). The tool's own messages stand in the log. ")
    assert re.fullmatch(r"step: error: task-\w+ failed: 1 of 2 files failed\. Mend that, .*", lines[-1])


def test_a_vcf_that_is_not_in_the_bucket_after_all_fails_the_run(played: Played) -> None:
    assert failed(played["no-receipt"], "NotExported") == (
        f"The export ended well, but a VCF is not in {played.home.outputs['ExportPath']}: Not Found (Service: S3, Status "
        "Code: 404). Run it again: what is done is kept."
    )


def test_a_run_that_is_stopped_takes_its_jobs_with_it(played: Played) -> None:
    told = played["stopped"]
    assert (told.ended.status, told.ended.cause) == ("ABORTED", "enough of it")
    assert (told.job["status"], told.job["isTerminated"]) == ("FAILED", True)
    engine = played.home.bench.lab.workshop.engine.client
    assert engine.containers.list(filters={"label": f"{JOB_LABEL}={told.job['jobId']}"}) == []


# ---- single jobs ----------------------------------------------------------------------------------------------------

CAUSES = {
    "hosts-lost": (
        "HostLost",
        "lost its host more often than it may. Run it again: what is done is kept. If it stays, put on-demand hosts "
        r"first\. Job JOB: Host EC2 \(instance i-\w+\) terminated\.\n\(the log is empty\)",
    ),
    "no-image": (
        "ImagePull",
        "could not get its image. Type: python build.py verify; check the hosts' way to ECR. Job JOB: Task failed to "
        r"start\n\(there is no log\)",
    ),
    "no-log-group": (
        "NotStarted",
        "could not be started on its host. See the job's reason; run it again. Job JOB: Task failed to start"
        r"\n\(there is no log\)",
    ),
    "slow": (
        "TimedOut",
        r"took longer than its job definition allows \(exit code 143\). Raise jobs.<tool>.timeout in genomics.toml, "
        r"register, and run it again. Job JOB: Job attempt duration exceeded timeout\nslow",
    ),
    "no-definition": (
        "NotSubmitted",
        r"could not be submitted: Batch.ClientException: Error executing request, Exception : JobDefinition \S+ does "
        r"not exist or is not active, RequestId: .*",
    ),
    "hurried": (
        "TimedOut",
        "was not done within 2 seconds, its time in the queue included, and was ended. Raise JobTimeout in "
        "genomics.toml, or see with `python build.py doctor` whether it can run at all.",
    ),
    "more-memory": (
        "OutOfMemory",
        r"needed more memory than its job has, twice over \(exit code 137\). Raise jobs.<tool>.memory in genomics.toml, "
        rf"register, and run it again. Job JOB: {EXITED}\n\(the log is empty\)",
    ),
    "bad-data": (
        "BadData",
        r"found bad data \(exit code 65\). Correct the input that the log names: the same input fails the same way. "
        rf"Job JOB: {EXITED}\n[\dx \n]+\n{re.escape(ERROR)}",
    ),
    "wrong-input": (
        "WrongInput",
        r"was told something wrong, or an input is missing \(exit code 66\). Correct the sample sheet or the reference's "
        rf"name; the log says which. Job JOB: {EXITED}\n\(the log is empty\)",
    ),
    "scratch-full": (
        "ScratchFailed",
        r"could not read or write the scratch \(exit code 74\). Check the file system's free capacity and the host's "
        rf"mounts, and run it again. Job JOB: {EXITED}\n\(the log is empty\)",
    ),
    "too-busy": (
        "Unavailable",
        r"met something that was busy or did not answer, more often than it may \(exit code 75\). Run it again later: "
        rf"what is done is kept. Job JOB: {EXITED}\ntry 3",
    ),
    "tool-failed": (
        "ToolFailed",
        rf"failed \(exit code 70\). The tool's own messages stand in the log. Job JOB: {EXITED}\n\(the log is empty\)",
    ),
    "too-large": (
        "NeverRunnable",
        "asks for more than any host has. Type: python build.py doctor. Job JOB: MISCONFIGURATION:"
        r"JOB_RESOURCE_REQUIREMENT\n\(there is no log\)",
    ),
    "no-capacity": (
        "NoCapacity",
        "waited in vain for a host. Allow more instance types in genomics.toml, or try later. Job JOB: CAPACITY:"
        r"INSUFFICIENT_INSTANCE_CAPACITY\n\(there is no log\)",
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_job_that_fails_says_which_of_what_class_and_what_to_do(played: Played, name: str) -> None:
    error, cause = CAUSES[name]
    assert re.fullmatch(f"sample NA1, step mem L001 {cause}", failed(played[name], error)), played[name].ended.cause


def test_every_class_of_failure_is_met() -> None:
    assert {one.name for one in failures.CLASSES} <= {error for error, _ in CAUSES.values()}


def test_a_cause_is_short_enough_to_be_read_with_its_log_s_end_in_it(played: Played) -> None:
    assert len(played["bad-data"].ended.cause) < 1200
    assert played["bad-data"].ended.cause.endswith(ERROR)


@pytest.mark.parametrize(
    ("name", "exit_codes"),
    [
        ("host-lost", [None, 0]),
        ("hosts-lost", [None, None, None]),
        ("no-image", [None, None, None]),
        ("no-log-group", [None, None, None]),
        ("slow", [143]),
        ("bad-data", [65]),
        ("wrong-input", [66]),
        ("scratch-full", [74]),
        ("busy", [75, 0]),
        ("too-busy", [75, 75, 75]),
        ("tool-failed", [70]),
        ("too-large", []),
    ],
)
def test_batch_tries_again_what_may_go_well_and_nothing_else(
    played: Played, name: str, exit_codes: list[int | None]
) -> None:
    assert played[name].exit_codes == exit_codes


@pytest.mark.parametrize("name", ["host-lost", "busy"])
def test_a_job_that_goes_well_at_its_second_attempt_is_done(played: Played, name: str) -> None:
    assert played[name].ended.status == "SUCCEEDED"
    assert played[name].ended.output == {"job": played[name].job["jobId"]}


def memory(job: Mapping[str, Any]) -> str:
    """What a job was given of it."""
    (given,) = (one["value"] for one in job["container"]["resourceRequirements"] if one["type"] == "MEMORY")
    return str(given)


@pytest.mark.parametrize(("name", "exit_codes"), [("memory", [137, 0]), ("more-memory", [137, 137])])
def test_a_job_that_was_out_of_memory_is_submitted_once_more_with_twice_as_much(
    played: Played, name: str, exit_codes: list[int]
) -> None:
    jobs = played[name].jobs
    assert [memory(job) for job in jobs] == ["128", "256"]
    assert [job["container"]["exitCode"] for job in jobs] == exit_codes
    assert played[name].ended.status == ("SUCCEEDED" if exit_codes[-1] == 0 else "FAILED")


def test_a_job_that_the_workflow_gives_up_on_is_ended(played: Played) -> None:
    job = until(lambda: one if (one := played.home.runs and _job(played, "hurried"))["status"] == "FAILED" else None)
    assert job["isTerminated"]


def _job(played: Played, name: str) -> Mapping[str, Any]:
    ids = [job["jobId"] for job in played[name].jobs]
    (job,) = played.home.account.batch().describe_jobs(jobs=ids)["jobs"]
    return job


# ---- all of it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource", "kind"), [("Germline", "germline"), ("Job", "job")])
def test_each_state_each_retry_and_each_catch_is_reached(played: Played, resource: str, kind: str) -> None:
    template = templates.read(HERE.stacks / "workflow.yaml")
    wanted = ways(template.resources[resource]["Properties"]["Definition"])
    client = played.home.account.step_functions()
    machines = [one["stateMachineArn"] for one in client.list_state_machines()["stateMachines"]]
    found = NONE
    for machine in machines:
        if f"-{kind}" in machine.rpartition(":")[2]:
            found |= walked(client, machine)
    assert wanted.states - found.states == set()
    assert wanted.steps - found.steps == set()
    assert wanted.retried - found.retried == set()
