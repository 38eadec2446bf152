"""Each way through the two state machines: how runs go well, and how they fail, and what they say then.

All runs go side by side, once for the module; tests look at what became of them.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from support.local_aws import RESOURCES, LocalAws, until
from support.scripted_runs import LANES, ONE_LANE, TWO_LANES, RunOutcome, ScriptedRuns, Throttle
from support.state_coverage import Coverage, executed, possible
from support.tiny_genome import Small

from toolchain.jobdefs import failures
from toolchain.localaws.batch import submission
from toolchain.localaws.batch.host import JOB_LABEL
from toolchain.paths import HERE
from toolchain.stacks import template as templates
from toolchain.workflow import plan
from toolchain.workflow.plan import Job
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Sample

ERROR = "step: error: the reads are bad: line 3 is cut off. Fetch them again."
# Nothing is done, but a VCF is there.
A_VCF = """
[ "$1" != gather ] || { mkdir -p "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1" &&
    echo > "/scratch/working/$WORKFLOW_NAME/$EXECUTION_ID/NA1/NA1.vcf.gz"; }
"""
REALLY_EXPORTED = '[ "$1" = export ] || exit 0'


def small_order(local_aws: LocalAws) -> RunInput:
    """Two samples of two lanes."""
    samples = tuple(Small.make(local_aws.world.scratch, name=name, lanes=2).sample for name in ("NA1", "NA2"))
    return replace(ONE_LANE, samples=samples, shards=2)


def of_amplicons(local_aws: LocalAws) -> RunInput:
    """A sample of two lanes and one of one, without duplicate marking and figures."""
    samples = tuple(
        Small.make(local_aws.world.scratch, name=name, lanes=lanes).sample for name, lanes in (("AMP1", 1), ("AMP2", 2))
    )
    return replace(ONE_LANE, samples=samples, skip=("duplicates", "qc"))


def with_little_memory(local_aws: LocalAws, name: str, step: str, memory: int) -> RunInput:
    """A sample of two lanes, one of whose steps gets less than it needs."""
    sample = Small.make(local_aws.world.scratch, name=name, lanes=2, depth=200).sample
    return replace(ONE_LANE, samples=(sample,), resources={**RESOURCES, step: {"VCPU": 1, "MEMORY": memory}})


def with_a_file_cut_off(local_aws: LocalAws) -> RunInput:
    """Two samples, of which the first one's R1 ends early."""
    good = Small.make(local_aws.world.scratch, name="GOOD")
    bad = Small.make(local_aws.world.scratch, name="BAD")
    bad.r1.write_bytes(bad.r1.read_bytes()[:2000])
    # A reference of its own: no other run prepares it at the same time.
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


def scenes(scripted_runs: ScriptedRuns) -> dict[str, Callable[[str], RunOutcome]]:
    """What is played, by the run's name."""
    each = tuple(Sample(name=name, lanes=LANES if name == "finish" else LANES[:1]) for name in STEPS)
    run, one = scripted_runs.run, scripted_runs.one

    def of(scene: Callable[..., RunOutcome], *given: Any, **more: Any) -> Callable[[str], RunOutcome]:  # noqa: ANN401  # handed on
        return lambda name: scene(name, *given, **more)

    return {
        # The longest first.
        "throttled": of(run, A_VCF + REALLY_EXPORTED, TWO_LANES),
        "qc-last": of(run, QC_LAST),
        "skipping": of(run, A_VCF + REALLY_EXPORTED, replace(TWO_LANES, skip=("duplicates", "qc"))),
        "done": of(scripted_runs.deployed, small_order(scripted_runs.local_aws)),
        "amplicons": of(scripted_runs.deployed, of_amplicons(scripted_runs.local_aws)),
        "one-bad": of(scripted_runs.deployed, with_a_file_cut_off(scripted_runs.local_aws)),
        "each-at-its-step": of(run, EACH_AT_ITS_STEP, replace(ONE_LANE, samples=each)),
        "mem-out-of-memory": of(
            scripted_runs.deployed, with_little_memory(scripted_runs.local_aws, "LESS", "mem", 24), scripted_runs.least
        ),
        "finish-out-of-memory": of(
            scripted_runs.deployed,
            with_little_memory(scripted_runs.local_aws, "MORE", "finish", 10),
            scripted_runs.least,
        ),
        "export-fails": of(run, A_VCF + TOO_LONG + REALLY_EXPORTED),
        "no-receipt": of(run, "exit 0"),
        "stopped": scripted_runs.stopped,
        "no-reference": of(scripted_runs.deployed, replace(ONE_LANE, reference="none.fa")),
        "no-map": of(run, "exit 0", machines=scripted_runs.unplanned),
        "not-an-order": of(scripted_runs.given, {"samples": []}),
        "skips-what-it-cannot": of(scripted_runs.given, {**ONE_LANE.as_json(), "skip": ["duplicates", "check"]}),
        # ---- single jobs
        "host-lost": of(scripted_runs.lost, '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] && exit 0; exec sleep 100', times=1),
        "hosts-lost": of(scripted_runs.lost, "exec sleep 100", times=3),
        "no-image": of(one, "", machines=scripted_runs.odd, tool="bwa"),
        "no-log-group": of(one, "", machines=scripted_runs.odd, tool="samtools"),
        "slow": of(one, "echo slow; exec sleep 100", machines=scripted_runs.odd, tool="bcftools"),
        "no-definition": of(one, "", machines=scripted_runs.odd, tool="fsx-export"),
        "hurried": of(one, "exec sleep 100", machines=scripted_runs.hurried),
        "memory": of(one, "exec dd if=/dev/zero of=/dev/null bs=160M count=1", MEMORY="128"),
        "more-memory": of(one, "exec dd if=/dev/zero of=/dev/null bs=400M count=1", MEMORY="128"),
        "up-to-the-most": of(
            one, "exec dd if=/dev/zero of=/dev/null bs=160M count=1", machines=scripted_runs.little, MEMORY="128"
        ),
        "the-most": of(
            one, "exec dd if=/dev/zero of=/dev/null bs=400M count=1", machines=scripted_runs.little, MEMORY="192"
        ),
        "bad-data": of(one, LONG_LOG),
        "wrong-input": of(one, "exit 66"),
        "scratch-full": of(one, "exit 74"),
        "busy": of(one, '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] && exit 0; exit 75'),
        "too-busy": of(one, "echo try $AWS_BATCH_JOB_ATTEMPT; exit 75"),
        "tool-failed": of(one, "exit 70"),
        "too-large": of(scripted_runs.waiting, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        "no-capacity": of(scripted_runs.waiting, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
    }


@dataclass(frozen=True, kw_only=True)
class Played:
    """What became of every scene."""

    local_aws: LocalAws
    told: Mapping[str, RunOutcome]
    refused: frozenset[str]

    def __getitem__(self, name: str) -> RunOutcome:
        return self.told[name]


@pytest.fixture(scope="module")
def played(local_aws: LocalAws) -> Iterator[Played]:
    """Every scene, played once, side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "SHORTEST_TIMEOUT", 1)
        throttle = Throttle(patch)
        scripted_runs = ScriptedRuns(local_aws)
        play = scenes(scripted_runs)
        with ThreadPoolExecutor(max_workers=len(play)) as pool:
            futures = {name: pool.submit(partial(scene, name)) for name, scene in play.items()}
        yield Played(
            local_aws=local_aws,
            told={name: future.result() for name, future in futures.items()},
            refused=frozenset(throttle.refused),
        )


def failed(told: RunOutcome, error: str) -> str:
    """The cause of a failure, with the job's id as `JOB`."""
    assert (told.ended.status, told.ended.error) == ("FAILED", error), told.ended
    cause = told.ended.cause
    for job in told.jobs:
        cause = cause.replace(job["jobId"], "JOB")
    return cause


EXITED = "Essential container in task exited"


# ---- runs that go well ----------------------------------------------------------------------------------------------


def test_two_samples_of_two_lanes_go_through_to_two_vcfs_in_the_bucket(played: Played) -> None:
    told, local_aws = played["done"], played.local_aws
    assert told.ended.status == "SUCCEEDED", told.ended
    run = local_aws.runs.find("done")
    assert set(run.vcfs) == {"NA1", "NA2"}
    for sample, vcf in run.vcfs.items():
        kept = local_aws.world.buckets / vcf.removeprefix("s3://")
        assert kept.read_bytes() == (local_aws.folder("done", sample) / f"{sample}.vcf.gz").read_bytes()
        assert {"sample": sample, "vcf": vcf, "bytes": kept.stat().st_size} in told.ended.output["samples"]


def planned(played: Played, name: str) -> tuple[Job, ...]:
    """The jobs that a dry run lists."""
    client = played.local_aws.account.step_functions()
    text = client.describe_execution(executionArn=played[name].ended.arn)["input"]
    return plan.jobs(templates.state_machine(HERE.stacks), json.loads(text))


def steps(played: Played, name: str) -> list[str]:
    """What a run's jobs are called, in the order in which they were submitted."""
    return [job["jobName"].removeprefix(f"{name}--") for job in played[name].jobs]


@pytest.mark.parametrize("name", ["done", "throttled", "qc-last", "skipping", "amplicons"])
def test_a_run_s_jobs_are_those_that_a_dry_run_lists(played: Played, name: str) -> None:
    assert played[name].ended.status == "SUCCEEDED", played[name].ended
    listed = (f"{job.sample}-{job.step}" if job.sample else job.step for job in planned(played, name))
    assert sorted(steps(played, name)) == sorted(one.replace(" ", "_") for one in listed)


def test_a_sample_of_two_lanes_is_finished_after_them_and_one_of_one_lane_has_no_such_job(played: Played) -> None:
    assert {"NA1-mem_L001", "NA1-mem_L002"} < set(steps(played, "throttled"))
    assert steps(played, "throttled").index("NA1-finish") == 3
    assert "NA1-mem_L001" in steps(played, "qc-last")
    assert "NA1-finish" not in steps(played, "qc-last")


def told_to_steps(played: Played, name: str, parameter: str) -> dict[str, str]:
    """A parameter of each of a run's steps that was given it."""
    parameters = (job["parameters"] for job in played[name].jobs)
    return {one["command"]: one[parameter] for one in parameters if one.get(parameter, "-") != "-"}


def test_what_is_skipped_reaches_the_steps_that_do_it_or_look_for_it(played: Played) -> None:
    assert told_to_steps(played, "skipping", "skip") == dict.fromkeys(("mem", "finish", "check"), "duplicates,qc")
    assert told_to_steps(played, "throttled", "skip") == {}


@pytest.mark.parametrize(("name", "lanes"), [("throttled", "L001,L002"), ("qc-last", "L001")])
def test_a_lane_is_told_whether_it_is_the_only_one(played: Played, name: str, lanes: str) -> None:
    assert told_to_steps(played, name, "lanes")["mem"] == lanes


def test_amplicons_go_through_without_a_duplicate_marked_or_a_figure(played: Played) -> None:
    assert played["amplicons"].ended.status == "SUCCEEDED", played["amplicons"].ended
    for sample in ("AMP1", "AMP2"):
        folder = played.local_aws.folder("amplicons", sample)
        assert (folder / f"{sample}.vcf.gz").stat().st_size > 0
        # What gathering says of the VCF is there; of the BAM nothing is.
        assert not [path for path in folder.glob("qc/*") if "vcf" not in path.name and "bcftools" not in path.name]


def test_without_qc_there_is_no_job_of_it(played: Played) -> None:
    assert "NA1-qc" not in steps(played, "skipping")


def test_the_vcf_does_not_wait_for_qc_and_the_check_does(played: Played) -> None:
    jobs = {job["parameters"]["command"]: job for job in played["qc-last"].jobs}
    # QC went well, so it saw the VCF.
    assert jobs["gather"]["startedAt"] < jobs["qc"]["stoppedAt"] <= jobs["check"]["createdAt"]


def test_calls_that_are_throttled_are_made_again_and_the_run_is_done(played: Played) -> None:
    assert played["throttled"].ended.status == "SUCCEEDED", played["throttled"].ended
    listed = planned(played, "throttled")
    names = {f"throttled--{name}" for name in steps(played, "throttled")}
    executions = {f"throttled {job.step} 0" for job in listed}
    jobs = {f"{name} 0" for name in names} | {"throttled--index 1"}
    assert played.refused == executions | jobs | {"throttled S3 0"}


# ---- runs that fail -------------------------------------------------------------------------------------------------


def test_an_input_that_is_no_order_says_what_one_is(played: Played) -> None:
    assert failed(played["not-an-order"], "WrongInput") == (
        'The input must be {"reference": text, "shards": 1 to 9999, "ploidy": 1 or 2, "samples": [{"name": text, '
        '"lanes": [{"name": text, "r1": text, "r2": text}]}]}, with at least one sample, each of its own name and with '
        'a lane. "skip", which may be left out, is a list of "duplicates" and "qc" and nothing else; '
        '"countOrphans", which may be left out, is true or false. Let '
        "`python build.py run SAMPLES.csv --reference NAME --dry-run` write it."
    )
    assert played["not-an-order"].jobs == []


def test_a_step_that_cannot_be_skipped_ends_the_run_before_any_job(played: Played) -> None:
    assert '"skip", which may be left out, is a list of' in failed(played["skips-what-it-cannot"], "WrongInput")
    assert played["skips-what-it-cannot"].jobs == []


def test_bad_data_in_one_of_two_samples_fails_the_run_and_leaves_the_other_done_and_exported(played: Played) -> None:
    told, local_aws = played["one-bad"], played.local_aws
    cause = failed(told, "BadData")
    first, *log = cause.splitlines()
    assert first == (
        "1 of 2 samples failed. sample BAD, step mem L001 found bad data (exit code 65). Correct the input that the "
        f"log names: the same input fails the same way. Job JOB: {EXITED}"
    )
    assert log[-1].startswith("step: error: cannot unpack BAD_L001_R1.fastq.gz: ")
    assert log[-1].endswith("The file is damaged or cut off: fetch it again.")
    assert [path.name for path in local_aws.world.buckets.glob("*/results/*/one-bad/*/*.vcf.gz")] == ["GOOD.vcf.gz"]
    assert not [
        path for path in local_aws.world.buckets.rglob("BAD*") if "one-bad" in path.parts and path.suffix == ".bam"
    ]


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
    assert failed(told, "ToolFailed") == f"{len(STEPS)} of {len(STEPS)} samples failed. " + "\n\n".join(told_of_each)
    assert "export" not in {job["parameters"]["command"] for job in told.jobs}


def test_without_its_reference_a_run_ends_at_its_first_job(played: Played) -> None:
    assert failed(played["no-reference"], "WrongInput") == (
        "step index was told something wrong, or an input is missing (exit code 66). Correct the sample sheet or the "
        f"reference's name; the log says which. Job JOB: {EXITED}\n"
        "step: error: no none.fa: /scratch/reference/none.fa is not there. "
        "Check the name."
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
        f"The export ended well, but a VCF is not in {played.local_aws.outputs['ExportPath']}: Not Found (Service: S3, "
        "Status Code: 404). Run it again: what is done is kept."
    )


def test_a_run_that_is_stopped_takes_its_jobs_with_it(played: Played) -> None:
    told = played["stopped"]
    assert (told.ended.status, told.ended.cause) == ("ABORTED", "enough of it")
    assert (told.job["status"], told.job["isTerminated"]) == ("FAILED", True)
    engine = played.local_aws.job_runner.built_images.builder.engine.client
    assert engine.containers.list(filters={"label": f"{JOB_LABEL}={told.job['jobId']}"}) == []


# ---- single jobs ----------------------------------------------------------------------------------------------------

# What each says after whose job it is, its lines as one; `…` stands for what differs each time.
CAUSES = {
    "hosts-lost": """HostLost: lost its host more often than it may. Run it again: what is done is kept. If it stays,
        put on-demand hosts first. Job JOB: Host EC2 (instance …) terminated. (the log is empty)""",
    "no-image": """ImagePull: could not get its image. Build, push and register it again, and check the hosts' way to
        ECR. Job JOB: Task failed to start (there is no log)""",
    "no-log-group": """NotStarted: could not be started on its host. See the job's reason; run it again.
        Job JOB: Task failed to start (there is no log)""",
    "slow": """TimedOut: took longer than its job definition allows (exit code 143). Raise jobs.bcftools.timeout
        in genomics.toml, register, deploy, and run it again. Job JOB: Job attempt duration exceeded timeout slow""",
    "no-definition": """NotSubmitted: could not be submitted: Batch.ClientException: Error executing request,
        Exception : JobDefinition … does not exist or is not active, RequestId: …""",
    "hurried": """TimedOut: was not done within 2 seconds, its time in the queue included, and was ended. Raise
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
def test_a_job_that_fails_says_which_of_what_class_and_what_to_do(played: Played, name: str) -> None:
    error, _, said = CAUSES[name].replace("ENDED", EXITED).partition(": ")
    cause = " ".join(failed(played[name], error).split())
    wanted = re.escape(" ".join(said.split())).replace("…", ".+")
    assert re.fullmatch(rf"sample\ NA1,\ step\ mem\ L001\ {wanted}", cause), cause


def test_every_class_of_failure_is_met() -> None:
    assert {one.name for one in failures.CLASSES} <= {said.partition(":")[0] for said in CAUSES.values()}


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


def test_a_job_is_never_given_more_memory_than_a_job_may_have(played: Played) -> None:
    assert [memory(job) for job in played["up-to-the-most"].jobs] == ["128", "192"]
    assert played["up-to-the-most"].ended.status == "SUCCEEDED"
    assert [memory(job) for job in played["the-most"].jobs] == ["192"]


def test_an_aligner_that_the_kernel_kills_with_all_the_memory_there_is_fails_its_sample_and_says_so(
    played: Played,
) -> None:
    first = failed(played["mem-out-of-memory"], "NoMoreMemory").splitlines()[0]
    assert "sample LESS, step mem L00" in first
    assert " MiB). Use hosts with more memory, and raise MaxJobMemory" in first
    jobs = [job for job in played["mem-out-of-memory"].jobs if job["parameters"]["command"] == "mem"]
    assert {memory(job) for job in jobs} == {"24"}
    assert 137 in [job["container"].get("exitCode") for job in jobs]


def test_a_step_that_the_kernel_kills_is_done_with_more_memory(played: Played) -> None:
    assert played["finish-out-of-memory"].ended.status == "SUCCEEDED", played["finish-out-of-memory"].ended
    jobs = [job for job in played["finish-out-of-memory"].jobs if job["parameters"]["command"] == "finish"]
    assert [(memory(job), job["container"].get("exitCode")) for job in jobs] == [("10", 137), ("20", 0)]


def test_a_job_that_the_workflow_gives_up_on_is_ended(played: Played) -> None:
    job = until(lambda: one if (one := _job(played, "hurried"))["status"] == "FAILED" else None)
    assert job["isTerminated"]


def _job(played: Played, name: str) -> Mapping[str, Any]:
    ids = [job["jobId"] for job in played[name].jobs]
    (job,) = played.local_aws.account.batch().describe_jobs(jobs=ids)["jobs"]
    return job


# ---- all of it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource", "kind"), [("Germline", "germline"), ("Job", "job")])
def test_each_state_each_retry_and_each_catch_is_reached(played: Played, resource: str, kind: str) -> None:
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
