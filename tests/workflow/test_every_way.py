"""Every path through the two state machines: how runs succeed, how they fail, and the cause that they give.

All runs are played side by side, once for the module; the tests look at their outcomes.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from support.local_aws import RESOURCES, LocalAws, Machines, until
from support.scripted_runs import LANES, NA1, ONE_LANE, TWO_LANES, RunOutcome, ScriptedRuns, Throttle
from support.state_coverage import Coverage, executed, possible
from support.tiny_genome import Small

from toolchain.jobdefs import failures
from toolchain.localaws.batch import submission
from toolchain.localaws.batch.host import JOB_LABEL
from toolchain.paths import HERE
from toolchain.runs.executions import Run
from toolchain.runs.progress import label
from toolchain.stacks import template as templates
from toolchain.workflow import plan
from toolchain.workflow.plan import Job
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Sample

ERROR = "step: error: the reads are bad: line 3 is cut off. Fetch them again."
# Nothing is done, but there is a VCF.
A_VCF = """
[ "$1" != gather ] || { mkdir -p "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1" &&
    echo > "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1/NA1.vcf.gz"; }
"""
REALLY_EXPORTED = '[ "$1" = export ] || exit 0'


def two_samples(local_aws: LocalAws) -> RunInput:
    """Two samples of two lanes."""
    samples = tuple(Small.make(local_aws.world.scratch, name=name, lanes=2).sample for name in ("NA1", "NA2"))
    return replace(ONE_LANE, samples=samples, shards=2)


def amplicons(local_aws: LocalAws) -> RunInput:
    """A sample of one lane and one of two, without duplicate marking and QC."""
    lanes = {"AMP1": 1, "AMP2": 2}
    samples = tuple(Small.make(local_aws.world.scratch, name=name, lanes=lanes[name]).sample for name in lanes)
    return replace(ONE_LANE, samples=samples, skip=("duplicates", "qc"))


def little_memory(local_aws: LocalAws, name: str, step: str, memory: int) -> RunInput:
    """A sample of two lanes, one of whose steps gets less memory than it needs."""
    sample = Small.make(local_aws.world.scratch, name=name, lanes=2, depth=200).sample
    return replace(ONE_LANE, samples=(sample,), resources={**RESOURCES, step: {"VCPU": 1, "MEMORY": memory}})


def truncated_file(local_aws: LocalAws) -> RunInput:
    """Two samples; R1 of the first is cut off."""
    bad, good = (Small.make(local_aws.world.scratch, name=name) for name in ("BAD", "GOOD"))
    bad.r1.write_bytes(bad.r1.read_bytes()[:2000])
    # A reference that no other run prepares at the same time.
    folder = local_aws.world.scratch / "reference"
    shutil.copyfile(folder / good.reference, folder / "own.fa")
    return replace(ONE_LANE, reference="own.fa", samples=(bad.sample, good.sample))


# QC waits for the VCF: whoever waited for QC to make it would wait in vain.
QC_LAST = f"""
{A_VCF}
[ "$1" != qc ] || for _ in $(seq 300); do
    [ ! -e "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1/NA1.vcf.gz" ] || exit 0
    sleep 0.2
done
[ "$1" != qc ] || exit 70
{REALLY_EXPORTED}
"""
STEPS = ("mem", "finish", "call", "gather", "qc", "check")
EACH_AT_ITS_STEP = '[ "$1" != "$3" ] || { echo "step: error: $1 broke" >&2; exit 70; }; exit 0'
TOO_LONG = f"""
[ "$1" != check ] || {{ cd "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1" &&
    for _ in 1 2 3 4 5; do mkdir {"d" * 240} && cd {"d" * 240}; done && echo > file; }}
"""
LONG_LOG = f'for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "$i {"x" * 150}" >&2; done; echo "{ERROR}" >&2; exit 65'


# More than the job has at first, and less than twice that.
ALLOCATING = "dd if=/dev/zero of=/dev/null bs=160M count=1 || exit 137"


def shards(count: int) -> RunInput:
    """A sample of so many shards, each of which has 128 MiB."""
    return replace(ONE_LANE, shards=count, resources={**RESOURCES, "bcftools": {"VCPU": 1, "MEMORY": 128}})


def shard_script(second: str, first: str = "true") -> str:
    """What the first two shards do."""
    return f'[ "$1" != call ] || case $AWS_BATCH_JOB_ARRAY_INDEX in 0) {first};; 1) {second};; esac\n'


def scenes(scripted: ScriptedRuns) -> dict[str, Callable[[str], RunOutcome]]:
    """What is played, by the run's name."""
    local_aws, run, job = scripted.local_aws, scripted.run, scripted.single_job
    each = tuple(Sample(name=name, lanes=LANES if name == "finish" else LANES[:1]) for name in STEPS)

    def of(scene: Callable[..., RunOutcome], *arguments: Any, **options: Any) -> Callable[[str], RunOutcome]:  # noqa: ANN401  # handed on
        return lambda name: scene(name, *arguments, **options)

    def out_of_memory(name: str, step: str, memory: int) -> Callable[[str], RunOutcome]:
        return of(scripted.deployed, little_memory(local_aws, name, step, memory), scripted.least)

    def allocating(size: int, memory: int, machines: Machines | None = None) -> Callable[[str], RunOutcome]:
        return of(job, f"exec dd if=/dev/zero of=/dev/null bs={size}M count=1", machines=machines, MEMORY=str(memory))

    return {
        # The longest first.
        "throttled": of(run, A_VCF + REALLY_EXPORTED, TWO_LANES),
        "qc-last": of(run, QC_LAST),
        "throttled-shards": of(
            run, shard_script("echo 'step: error: shard 1 broke' >&2; exit 70") + "exit 0", shards(3)
        ),
        "shard-out-of-memory": of(run, shard_script(ALLOCATING) + A_VCF + REALLY_EXPORTED, shards(2)),
        "shards-differ": of(run, shard_script("exit 65", f"{ALLOCATING}; exit 137") + "exit 0", shards(2)),
        "skipping": of(run, A_VCF + REALLY_EXPORTED, replace(TWO_LANES, skip=("duplicates", "qc"))),
        "done": of(scripted.deployed, two_samples(local_aws)),
        "amplicons": of(scripted.deployed, amplicons(local_aws)),
        "one-bad": of(scripted.deployed, truncated_file(local_aws)),
        "each-at-its-step": of(run, EACH_AT_ITS_STEP, replace(ONE_LANE, samples=each)),
        "mem-out-of-memory": out_of_memory("LESS", "mem", 24),
        "finish-out-of-memory": out_of_memory("MORE", "finish", 10),
        "export-fails": of(run, A_VCF + TOO_LONG + REALLY_EXPORTED),
        "no-receipt": of(run, "exit 0"),
        "stopped": scripted.stopped,
        "no-reference": of(scripted.deployed, replace(ONE_LANE, reference="none.fa")),
        "one-lost": of(
            run, A_VCF + REALLY_EXPORTED, replace(ONE_LANE, samples=(NA1, replace(NA1, name="LOST"))), scripted.losing
        ),
        "no-map": of(run, "exit 0", machines=scripted.unplanned),
        "no-storage": of(run, "exit 0", machines=scripted.without_storage),
        "not-a-run": of(scripted.any_input, {"samples": []}),
        "skips-what-it-cannot": of(scripted.any_input, {**ONE_LANE.as_json(), "skip": ["duplicates", "check"]}),
        # ---- single jobs
        "host-lost": of(scripted.lost, '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] && exit 0; exec sleep 100', times=1),
        "hosts-lost": of(scripted.lost, "exec sleep 100", times=9),
        "third-host-lost": of(scripted.lost, "exec sleep 100", times=3, then="exit 0"),
        "no-image": of(job, "", machines=scripted.odd, tool="bwa"),
        "no-log-group": of(job, "", machines=scripted.odd, tool="samtools"),
        "slow": of(job, "echo slow; exec sleep 100", machines=scripted.odd, tool="bcftools"),
        "no-definition": of(job, "", machines=scripted.odd, tool="fsx-export"),
        "hurried": of(job, "exec sleep 100", machines=scripted.hurried),
        "memory": allocating(160, 128),
        "more-memory": allocating(400, 128),
        "up-to-the-most": allocating(160, 128, scripted.little),
        "the-most": allocating(400, 192, scripted.little),
        "bad-data": of(job, LONG_LOG),
        "wrong-input": of(job, "exit 66"),
        "scratch-full": of(job, "exit 74"),
        "busy": of(job, '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] && exit 0; exit 75'),
        "too-busy": of(job, "echo try $AWS_BATCH_JOB_ATTEMPT; exit 75"),
        "tool-failed": of(job, "exit 70"),
        "too-large": of(scripted.waiting, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        "no-capacity": of(scripted.waiting, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
    }


@dataclass(frozen=True, kw_only=True)
class Played:
    """The outcome of every scene, and the calls that were throttled."""

    local_aws: LocalAws
    outcomes: Mapping[str, RunOutcome]
    refused: frozenset[str]

    def __getitem__(self, name: str) -> RunOutcome:
        return self.outcomes[name]


@pytest.fixture(scope="module")
def played(local_aws: LocalAws) -> Iterator[Played]:
    """Every scene, played once, side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "SHORTEST_TIMEOUT", 1)
        throttle = Throttle(patch)
        play = scenes(ScriptedRuns(local_aws))
        with ThreadPoolExecutor(max_workers=len(play)) as pool:
            futures = {name: pool.submit(scene, name) for name, scene in play.items()}
        outcomes = {name: future.result() for name, future in futures.items()}
        yield Played(local_aws=local_aws, outcomes=outcomes, refused=frozenset(throttle.refused))


def failed(outcome: RunOutcome, error: str) -> str:
    """The cause of a failure, with the job's id as `JOB`."""
    assert (outcome.ended.status, outcome.ended.error) == ("FAILED", error), outcome.ended
    cause = outcome.ended.cause
    for job in outcome.jobs:
        cause = cause.replace(job["jobId"], "JOB")
    return cause


EXITED = "Essential container in task exited"


# ---- runs that go well ----------------------------------------------------------------------------------------------


def test_two_samples_of_two_lanes_have_their_vcfs_in_the_bucket(played: Played) -> None:
    outcome, local_aws = played["done"], played.local_aws
    assert outcome.ended.status == "SUCCEEDED", outcome.ended
    run = local_aws.runs.find("done")
    assert set(run.vcfs) == {"NA1", "NA2"}
    for sample, vcf in run.vcfs.items():
        exported = local_aws.world.buckets / vcf.removeprefix("s3://")
        assert exported.read_bytes() == (local_aws.folder("done", sample) / f"{sample}.vcf.gz").read_bytes()
        assert {"sample": sample, "vcf": vcf, "bytes": exported.stat().st_size} in outcome.ended.output["samples"]


def planned(played: Played, name: str) -> tuple[Job, ...]:
    """The jobs that a dry run lists."""
    client = played.local_aws.account.step_functions()
    text = client.describe_execution(executionArn=played[name].ended.arn)["input"]
    return plan.jobs(templates.state_machine(HERE.stacks), json.loads(text))


def steps(played: Played, name: str) -> list[str]:
    """The samples and steps of a run's jobs, in the order in which they were submitted."""
    run = Run(name=name, arn="", status="SUCCEEDED", start=datetime.now(UTC))
    jobs = played.local_aws.runs.jobs(run)
    return [f"{job.sample}-{job.step}" if job.sample else job.step for job in jobs]


@pytest.mark.parametrize("name", ["done", "throttled", "qc-last", "skipping", "amplicons"])
def test_a_run_s_jobs_are_those_that_a_dry_run_lists(played: Played, name: str) -> None:
    assert played[name].ended.status == "SUCCEEDED", played[name].ended
    listed = (f"{job.sample}-{job.step}" if job.sample else job.step for job in planned(played, name))
    assert sorted(steps(played, name)) == sorted(listed)


def arguments(played: Played, name: str, parameter: str) -> dict[str, str]:
    """The values of a parameter that a run gives to its steps, by the step."""
    parameters = (job["parameters"] for job in played[name].jobs)
    return {values["command"]: values[parameter] for values in parameters if values.get(parameter, "-") != "-"}


def test_steps_get_what_is_skipped_and_the_names_of_all_lanes(played: Played) -> None:
    assert steps(played, "throttled").index("NA1-finish") == 3, "after the reference and two lanes"
    assert arguments(played, "skipping", "skip") == dict.fromkeys(("mem", "finish", "check"), "duplicates,qc")
    assert arguments(played, "throttled", "skip") == {}
    assert arguments(played, "throttled", "lanes")["mem"] == "L001,L002"
    assert arguments(played, "qc-last", "lanes")["mem"] == "L001"


def test_amplicons_are_called_without_duplicate_marking_and_qc(played: Played) -> None:
    for sample in ("AMP1", "AMP2"):
        folder = played.local_aws.folder("amplicons", sample)
        assert (folder / f"{sample}.vcf.gz").stat().st_size > 0
        # `gather` leaves figures of the VCF; there are none of the BAM.
        assert not [path for path in folder.glob("qc/*") if "vcf" not in path.name and "bcftools" not in path.name]


def test_the_vcf_does_not_wait_for_qc_and_the_check_does(played: Played) -> None:
    jobs = {job["parameters"]["command"]: job for job in played["qc-last"].jobs}
    # QC succeeded, so it saw the VCF.
    assert jobs["gather"]["startedAt"] < jobs["qc"]["stoppedAt"] <= jobs["check"]["createdAt"]


def test_throttled_calls_are_made_again(played: Played) -> None:
    executions = {f"throttled {job.step} 0" for job in planned(played, "throttled")}
    jobs = {f"throttled--{step.replace(' ', '_')} 0" for step in steps(played, "throttled")} | {"throttled--index 1"}
    refused = {call for call in played.refused if not call.startswith("throttled-shards")}
    assert refused == executions | jobs | {"throttled S3 0", "throttled SSM 0"}
    assert played.refused >= {"throttled-shards children 0", "throttled-shards child 0"}


# ---- array jobs -----------------------------------------------------------------------------------------------------


def test_a_shard_that_fails_fails_its_sample_and_the_cause_names_it_and_its_log(played: Played) -> None:
    assert failed(played["throttled-shards"], "ToolFailed") == (
        "1 of 1 samples failed. sample NA1, step call 1 failed (exit code 70). The tool's own messages stand in the "
        f"log. Job JOB:1: {EXITED}\nstep: error: shard 1 broke"
    )
    jobs = [job for job in played["throttled-shards"].jobs if job["parameters"]["command"] == "call"]
    assert [job["arrayProperties"]["size"] for job in jobs] == [3]
    assert jobs[0]["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2, "the others go on to their end"
    assert jobs[0]["tags"] == {"project": "genomics", "run": "throttled-shards", "sample": "NA1"}


def test_a_shard_that_ran_out_of_memory_is_tried_again_with_twice_as_much(played: Played) -> None:
    assert played["shard-out-of-memory"].ended.status == "SUCCEEDED", played["shard-out-of-memory"].ended
    run = Run(name="shard-out-of-memory", arn="", status="SUCCEEDED", start=datetime.now(UTC))
    calls = [job for job in played.local_aws.runs.jobs(run) if job.step.startswith("call")]
    assert [(label(job), job.exit_code) for job in calls] == [
        ("NA1 call 0", 0),
        ("NA1 call 1", 137),
        ("NA1 call 0, try 2", 0),
        ("NA1 call 1, try 2", 0),
    ]


def test_bad_data_in_a_shard_comes_before_another_one_s_want_of_memory(played: Played) -> None:
    assert "step call 1 found bad data (exit code 65)" in failed(played["shards-differ"], "BadData")
    assert len([job for job in played["shards-differ"].jobs if job["parameters"]["command"] == "call"]) == 1


# ---- runs that fail -------------------------------------------------------------------------------------------------


def test_a_wrong_input_fails_before_any_job_and_says_what_it_must_be(played: Played) -> None:
    skip = '"skip", which may be left out, is a list of "duplicates" and "qc" and nothing else; '
    assert failed(played["not-a-run"], "WrongInput") == (
        'The input must be {"reference": text, "shards": 1 to 9999, "ploidy": 1 or 2, "samples": [{"name": text, '
        '"lanes": [{"name": text, "r1": text, "r2": text}]}]}, with at least one sample, each of its own name and with '
        f'a lane. {skip}"countOrphans", which may be left out, is true or false. Let '
        "`python build.py run SAMPLES.csv --reference NAME --dry-run` write it."
    )
    assert skip in failed(played["skips-what-it-cannot"], "WrongInput")
    assert played["not-a-run"].jobs == played["skips-what-it-cannot"].jobs == []


def test_bad_data_in_one_of_two_samples_fails_the_run_and_the_other_sample_is_exported(played: Played) -> None:
    outcome, local_aws = played["one-bad"], played.local_aws
    first, *log = failed(outcome, "BadData").splitlines()
    assert first == (
        "1 of 2 samples failed. sample BAD, step mem L001 found bad data (exit code 65). Correct the input that the "
        f"log names: the same input fails the same way. Job JOB: {EXITED}"
    )
    assert log[-1].startswith("step: error: cannot unpack BAD_L001_R1.fastq.gz: ")
    assert log[-1].endswith("The file is damaged or cut off: fetch it again.")
    assert [path.name for path in local_aws.world.buckets.glob("*/results/*/one-bad/*/*.vcf.gz")] == ["GOOD.vcf.gz"]
    assert list(local_aws.world.buckets.glob("**/one-bad/**/BAD*.bam")) == []
    (bad,) = (job for job in outcome.jobs if job["parameters"].get("sample") == "BAD")
    assert [attempt["container"]["exitCode"] for attempt in bad["attempts"]] == [65], "submitted and tried once"


def test_a_sample_whose_own_execution_fails_ends_alone_and_is_named(played: Played) -> None:
    cause = failed(played["one-lost"], "States.QueryEvaluationError")
    assert "1 of 2 samples failed. sample LOST ended outside its steps: States.QueryEvaluationError: " in cause
    assert cause.endswith(" it is lost. Run it again: what is done is kept.")
    exported = played.local_aws.world.buckets.glob("*/results/*/one-lost/*/*.vcf.gz")
    assert [path.name for path in exported] == ["NA1.vcf.gz"]


def test_a_run_whose_samples_all_fail_says_where_each_did(played: Played) -> None:
    outcome = played["each-at-its-step"]
    steps = {"mem": "mem L001", "call": "call 0"}
    causes = [
        f"sample {name}, step {steps.get(name, name)} failed (exit code 70). The tool's own messages stand in the log. "
        f"Job JOB: {EXITED}\nstep: error: {name} broke"
        for name in STEPS
    ]
    assert failed(outcome, "ToolFailed") == f"{len(STEPS)} of {len(STEPS)} samples failed. " + "\n\n".join(causes)
    assert "export" not in {job["parameters"]["command"] for job in outcome.jobs}


def test_without_its_reference_a_run_ends_at_its_first_job(played: Played) -> None:
    assert failed(played["no-reference"], "WrongInput") == (
        "step index was told something wrong, or an input is missing (exit code 66). Correct the sample sheet or the "
        f"reference's name; the log says which. Job JOB: {EXITED}\n"
        "step: error: no none.fa: /scratch/reference/none.fa is not there. Check the name."
    )
    assert len(played["no-reference"].jobs) == 1


def test_without_file_systems_a_run_submits_no_job(played: Played) -> None:
    cause = failed(played["no-storage"], "ScratchFailed")
    assert cause.endswith("/scratch/none. Type: python build.py storage up; then start the run again.")
    assert played["no-storage"].jobs == []


def test_a_map_that_cannot_start_fails_the_run(played: Played) -> None:
    assert "$number('many')" in failed(played["no-map"], "States.QueryEvaluationError")


def test_files_that_cannot_be_exported_fail_the_run(played: Played) -> None:
    lines = failed(played["export-fails"], "ToolFailed").splitlines()
    assert lines[0].startswith("step export failed (exit code 70). The tool's own messages stand in the log. ")
    assert re.fullmatch(r"step: error: task-\w+ failed: 1 of 2 files failed\. Mend that, .*", lines[-1])


def test_a_vcf_that_is_not_in_the_bucket_after_the_export_fails_the_run(played: Played) -> None:
    assert failed(played["no-receipt"], "NotExported") == (
        f"The export ended well, but a VCF is not in {played.local_aws.outputs['ExportPath']}: Not Found (Service: S3, "
        "Status Code: 404). Run it again: what is done is kept."
    )


def test_stopping_a_run_stops_its_jobs(played: Played) -> None:
    outcome = played["stopped"]
    assert (outcome.ended.status, outcome.ended.cause) == ("ABORTED", "enough of it")
    assert (outcome.job["status"], outcome.job["isTerminated"]) == ("FAILED", True)
    engine = played.local_aws.job_runner.built_images.builder.engine.client
    assert engine.containers.list(filters={"label": f"{JOB_LABEL}={outcome.job['jobId']}"}) == []


# ---- single jobs ----------------------------------------------------------------------------------------------------

# Each cause after the job's name, its lines joined; `…` stands for what differs each time.
CAUSES = {
    "hosts-lost": """HostLost: lost its host more often than it may, on demand at last. See in EC2 why its hosts end,
        and run it again: what is done is kept. Job JOB: Host EC2 (instance …) terminated. (the log is empty)""",
    "no-image": """ImagePull: could not get its image. Build, push and register it again, and check the hosts' way to
        ECR. Job JOB: Task failed to start (there is no log)""",
    "no-log-group": """NotStarted: could not be started on its host. See the job's reason; run it again.
        Job JOB: Task failed to start (there is no log)""",
    "slow": """TimedOut: took longer than its job definition allows (exit code 143). Raise jobs.bcftools.timeout
        in genomics.toml, register, deploy, and run it again. Job JOB: Job attempt duration exceeded timeout slow""",
    "no-definition": """NotSubmitted: could not be submitted: Batch.ClientException: Error executing request,
        Exception : JobDefinition … does not exist or is not active, RequestId: …""",
    "hurried": """TimedOut: was not done within 20 seconds, its time in the queue included, and was ended. Raise
        JobTimeout of [stack.workflow] in genomics.toml, or see why the job waits in the queue.""",
    "more-memory": """OutOfMemory: ran out of memory twice (exit code 137, 256 MiB). Raise jobs.bwa.memory in
        genomics.toml, register, deploy, and run it again. Job JOB: ENDED (the log is empty)""",
    "the-most": """NoMoreMemory: ran out of memory with all that a job may have (exit code 137, 192 MiB). Use hosts with
        more memory, and raise MaxJobMemory of [stack.workflow] in genomics.toml; or, on one machine, a machine with
        more memory. The aligner bwa takes less than bwa-mem3. Job JOB: ENDED (the log is empty)""",
    "bad-data": f"""BadData: found bad data (exit code 65). Correct the input that the log names: the same input fails
        the same way. Job JOB: ENDED … {ERROR}""",
    "wrong-input": """WrongInput: was told something wrong, or an input is missing (exit code 66). Correct the sample
        sheet or the reference's name; the log says which. Job JOB: ENDED (the log is empty)""",
    "scratch-full": """ScratchFailed: could not read or write the scratch (exit code 74). Check the file system's free
        capacity and the host's mounts, and run it again. Job JOB: ENDED (the log is empty)""",
    "too-busy": """Unavailable: met something that was busy or did not answer, more often than it may (exit code 75).
        Run it again later: what is done is kept. Job JOB: ENDED try 3""",
    "tool-failed": """ToolFailed: failed (exit code 70). The tool's own messages stand in the log.
        Job JOB: ENDED (the log is empty)""",
    "too-large": """NeverRunnable: asks for more than any host has. Lower jobs.bwa in genomics.toml, or allow
        larger hosts; register, deploy, and run it again. Job JOB: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT
        (there is no log)""",
    "no-capacity": """NoCapacity: waited in vain for a host. Allow more instance types in genomics.toml, or try later.
        Job JOB: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY (there is no log)""",
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_failed_job_names_itself_its_class_and_what_to_do(played: Played, name: str) -> None:
    error, _, message = CAUSES[name].replace("ENDED", EXITED).partition(": ")
    cause = " ".join(failed(played[name], error).split())
    pattern = re.escape(" ".join(message.split())).replace("…", ".+")
    assert re.fullmatch(rf"sample\ NA1,\ step\ mem\ L001\ {pattern}", cause), cause


def test_every_class_of_failure_occurs() -> None:
    assert {failure.name for failure in failures.CLASSES} <= {cause.partition(":")[0] for cause in CAUSES.values()}


def test_a_long_log_is_cut_to_its_end_in_the_cause(played: Played) -> None:
    assert len(played["bad-data"].ended.cause) < 1200
    assert played["bad-data"].ended.cause.endswith(ERROR)


@pytest.mark.parametrize(
    ("name", "exit_codes"),
    [
        ("host-lost", [None, 0]),
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
def test_batch_retries_what_may_succeed_and_nothing_else(
    played: Played, name: str, exit_codes: list[int | None]
) -> None:
    assert played[name].exit_codes == exit_codes
    if exit_codes[-1:] == [0]:
        assert played[name].ended.status == "SUCCEEDED"
        assert played[name].ended.output == {"job": played[name].job["jobId"]}


@pytest.mark.parametrize(
    ("name", "exit_codes"),
    [
        ("third-host-lost", [[None, None, None], [0]]),
        ("hosts-lost", [[None, None, None], [None, None, None], [None, None, None]]),
    ],
)
def test_a_job_that_lost_three_hosts_goes_on_demand_and_may_lose_eight(
    played: Played, name: str, exit_codes: list[list[int | None]]
) -> None:
    jobs, outputs = played[name].jobs, played.local_aws.outputs
    assert [[attempt["container"].get("exitCode") for attempt in job["attempts"]] for job in jobs] == exit_codes
    assert [job["jobQueue"] for job in jobs] == [
        outputs["JobQueueArn"],
        *[outputs["OnDemandJobQueueArn"]] * (len(jobs) - 1),
    ]
    assert (played[name].ended.status == "SUCCEEDED") == (name == "third-host-lost")


def attempts(played: Played, name: str, step: str) -> list[tuple[str, int | None]]:
    """The memory and the exit code of each job that was submitted for a step."""
    containers = [job["container"] for job in played[name].jobs if job["parameters"]["command"] == step]
    requirements = [{entry["type"]: entry["value"] for entry in each["resourceRequirements"]} for each in containers]
    return [
        (each["MEMORY"], container.get("exitCode")) for each, container in zip(requirements, containers, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "step", "jobs"),
    [
        ("memory", "mem", [("128", 137), ("256", 0)]),
        ("more-memory", "mem", [("128", 137), ("256", 137)]),
        ("up-to-the-most", "mem", [("128", 137), ("192", 0)]),
        ("the-most", "mem", [("192", 137)]),
        ("finish-out-of-memory", "finish", [("10", 137), ("20", 0)]),
    ],
)
def test_a_job_that_ran_out_of_memory_is_submitted_once_more_with_twice_as_much_if_it_may_have_it(
    played: Played, name: str, step: str, jobs: list[tuple[str, int]]
) -> None:
    assert attempts(played, name, step) == jobs
    assert played[name].ended.status == ("SUCCEEDED" if jobs[-1][1] == 0 else "FAILED")


def test_an_aligner_that_ran_out_of_all_the_memory_there_is_fails_its_sample(played: Played) -> None:
    first = failed(played["mem-out-of-memory"], "NoMoreMemory").splitlines()[0]
    assert "sample LESS, step mem L00" in first
    assert " MiB). Use hosts with more memory, and raise MaxJobMemory" in first
    jobs = attempts(played, "mem-out-of-memory", "mem")
    assert {memory for memory, _ in jobs} == {"24"}
    assert ("24", 137) in jobs


def test_a_job_that_the_workflow_gives_up_on_is_ended(played: Played) -> None:
    batch = played.local_aws.account.batch()
    job_id = played["hurried"].job["jobId"]
    until(lambda: batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"] == "FAILED")
    assert batch.describe_jobs(jobs=[job_id])["jobs"][0]["isTerminated"]


# ---- all of it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource", "kind"), [("Germline", "germline"), ("Job", "job")])
def test_every_state_transition_and_retry_was_used(played: Played, resource: str, kind: str) -> None:
    template = templates.read(HERE.stacks / "workflow.yaml")
    expected = possible(template.resources[resource]["Properties"]["Definition"])
    client = played.local_aws.account.step_functions()
    machines = [machine["stateMachineArn"] for machine in client.list_state_machines()["stateMachines"]]
    coverage = Coverage()
    for machine in machines:
        if f"-{kind}" in machine.rpartition(":")[2]:
            coverage |= executed(client, machine)
    assert expected.states - coverage.states == set()
    assert expected.transitions - coverage.transitions == set()
    assert expected.retried - coverage.retried == set()
