"""`doctor --deep`: a small job of each tool through the real queue, and a tiny run from reads to a VCF in S3."""

import gzip
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from toolchain import settings
from toolchain.aws import Account, doing
from toolchain.doctor.result import CheckResult, green, red, red_error, yellow
from toolchain.errors import ToolchainError
from toolchain.images import catalog
from toolchain.jobdefs.revisions import active
from toolchain.jobdefs.target import Target
from toolchain.runs.executions import ENDED, Runs
from toolchain.runs.follow import follow
from toolchain.runs.run_error import run_failure
from toolchain.settings import Settings
from toolchain.stacks import outputs
from toolchain.stacks.template import state_machine
from toolchain.workflow import data_link
from toolchain.workflow.run_input import RunInput, new_name
from toolchain.workflow.samples import Lane, Sample

if TYPE_CHECKING:
    from types_boto3_batch.type_defs import JobDetailTypeDef

MEMORY = 512
# Below the linked paths of references and reads.
FOLDER = "doctor"
BASES, PAIRS, READ, INSERT = 20_000, 2_000, 100, 300
# All three directories are there, and the program starts; bwa ends with 1 where it only says how it is called.
_SCRIPT = """
for name in reference data working; do test -d /scratch/$name || exit 74; done
"$@" > /dev/null 2>&1
test $? -lt 2
"""


@dataclass(kw_only=True)
class DeepCheck:
    """What is tried in an account.

    Attributes:
        command: What the user typed, for messages.
        patience: Seconds that a job may wait and run: a first host takes minutes to start.
    """

    target: Target
    account: Account
    command: str
    patience: float = 1800.0
    interval: float = 3.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def run(self) -> Iterator[CheckResult]:
        """Yields a result for each job and one for the run; an error is a result too."""
        try:
            self.target.prepare(self.account, self.command)
            known = settings.load(self.target.checkout.settings)
            # First, so that the file systems have seen the files by the time that the run starts.
            is_there = self._upload_inputs(known)
            yield from self._jobs(known)
            if is_there:
                yield from self._tiny_run(known)
            else:
                yield replace(
                    yellow("was not tried: a link that only imports shows no new files", "Try it with your own files."),
                    check="tiny run",
                )
        except ToolchainError as error:
            yield replace(red_error(error), check="deep")

    def _upload_inputs(self, known: Settings) -> bool:
        """Puts a made-up reference and reads into the buckets; False where the file systems would not see them."""
        reference, reads = data_link.of(known, "Reference"), data_link.of(known, "Data")
        if reference.keeps_keys or reads.keeps_keys:
            return False
        s3 = self.account.s3()
        for link, name, body in zip((reference, reads, reads), NAMES, inputs(), strict=True):
            with doing(f"writing s3://{link.bucket}/{link.key(name)}"):
                s3.put_object(Bucket=link.bucket, Key=link.key(name), Body=body)
        return True

    def _jobs(self, known: Settings) -> Iterator[CheckResult]:
        batch = self.account.batch()
        queue = outputs.read(self.account, self.target.checkout)["JobQueueArn"]
        submitted: dict[str, str] = {}
        for tool, image in sorted(catalog.load(self.target.checkout.images).tools.items()):
            revisions = active(batch, f"{known.project}-{tool}")
            if not revisions or image.program is None:
                missing = red("has no job definition", "Type: python build.py deploy --all")
                yield replace(missing, check=f"job of {tool}")
                continue
            with doing(f"submitting a job of {tool}"):
                response = batch.submit_job(
                    jobName=f"doctor-{tool}",
                    jobQueue=queue,
                    jobDefinition=revisions[0].arn,
                    shareIdentifier="doctor",
                    schedulingPriorityOverride=0,
                    containerOverrides={
                        "command": ["sh", "-c", _SCRIPT, "sh", *image.program.command],
                        "resourceRequirements": [
                            {"type": "VCPU", "value": "1"},
                            {"type": "MEMORY", "value": str(MEMORY)},
                        ],
                    },
                )
            submitted[response["jobId"]] = tool
        yield from self._ended(submitted)

    def _ended(self, submitted: dict[str, str]) -> Iterator[CheckResult]:
        """A result for each job, as they end; those that do not end in time are terminated."""
        batch = self.account.batch()
        waiting = dict(submitted)
        end = time.monotonic() + self.patience
        while waiting:
            with doing("looking at jobs"):
                jobs = batch.describe_jobs(jobs=list(waiting))["jobs"]
            for job in jobs:
                if job["status"] in ENDED or time.monotonic() > end:
                    check = f"job of {waiting.pop(job['jobId'])}"
                    yield replace(_result(job), check=check)
                    if job["status"] not in ENDED:
                        with doing(f"ending job {job['jobId']}"):
                            batch.terminate_job(jobId=job["jobId"], reason="doctor gave up on it")
            if waiting:
                self.sleep(self.interval)

    def _tiny_run(self, known: Settings) -> Iterator[CheckResult]:
        reference, r1, r2 = NAMES
        resources = self.target.job_resources()
        choice = self.target.choose_aligner(self.account, known, reference, None, resources)
        run_input = RunInput(
            reference=reference,
            samples=(Sample(name="doctor", lanes=(Lane(name="L001", r1=r1, r2=r2),)),),
            # Two, for an array job.
            shards=2,
            ploidy=2,
            aligner=choice.aligner,
            resources=resources,
        )
        runs = Runs(self.account, known.project, state_machine(self.target.checkout.stacks))
        run = follow(runs, runs.start(f"doctor-{new_name()}", run_input))
        if run.status != "SUCCEEDED":
            yield replace(red_error(run_failure(run, self.target)), check="tiny run")
            return
        jobs = list(runs.details([job.job_id for job in runs.jobs(run)]))
        hours = sum(_seconds(job) * _vcpus(job) for job in jobs) / 3600
        [vcf] = run.vcfs.values()
        took = f"{run.seconds:.0f} s, {hours:.3f} vCPU hours of hosts"
        if known.prices:
            took += f" ({hours * known.prices.vcpu_hour:.4f} USD on demand, by genomics.toml)"
        done = green(f"{len(jobs)} jobs with {choice.aligner} took {took}, and left {vcf}")
        yield replace(done, check="tiny run")


NAMES = tuple(f"{FOLDER}/{name}" for name in ("tiny.fa", "tiny_R1.fastq.gz", "tiny_R2.fastq.gz"))


def inputs() -> tuple[bytes, bytes, bytes]:
    """A FASTA of one sequence, and read pairs of it: the same bytes each time."""
    source = random.Random(1)  # noqa: S311  # no secret
    sequence = "".join(source.choices("ACGT", k=BASES))
    complement = str.maketrans("ACGT", "TGCA")
    lines: tuple[list[str], list[str]] = ([], [])
    for number in range(PAIRS):
        start = source.randrange(BASES - INSERT)
        fragment = sequence[start : start + INSERT]
        for mates, read in zip(lines, (fragment[:READ], fragment[::-1].translate(complement)[:READ]), strict=True):
            mates.append(f"@doctor:{number}\n{read}\n+\n{'I' * READ}\n")
    r1, r2 = (gzip.compress("".join(mates).encode(), mtime=0) for mates in lines)
    return f">tiny\n{sequence}\n".encode(), r1, r2


def _result(job: "JobDetailTypeDef") -> CheckResult:
    if job["status"] == "SUCCEEDED":
        return green(f"started its program on a host with /scratch, {_waited(job):.0f} s after it was submitted")
    reason = job.get("container", {}).get("reason") or job.get("statusReason") or "Batch does not say why"
    exit_code = job.get("container", {}).get("exitCode")
    ended = f"exit code {exit_code}: " if exit_code is not None else ""
    return red(f"is {job['status']}: {ended}{reason}", f"See its log: aws batch describe-jobs --jobs {job['jobId']}")


def _waited(job: "JobDetailTypeDef") -> float:
    return (job.get("startedAt", job["createdAt"]) - job["createdAt"]) / 1000


def _seconds(job: "JobDetailTypeDef") -> float:
    return (job.get("stoppedAt", 0) - job.get("startedAt", 0)) / 1000


def _vcpus(job: "JobDetailTypeDef") -> float:
    requirements = job.get("container", {}).get("resourceRequirements", [])
    return next((float(entry["value"]) for entry in requirements if entry["type"] == "VCPU"), 0.0)
