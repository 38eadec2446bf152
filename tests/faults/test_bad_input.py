"""Bad input in the real images, once a command: one line that names the file and the reason, and nothing finished.

Every kind of bad input is tried without a container in tests/steps.
"""

import pytest
from support.job_runner import WORKFLOW, JobRunner, each_aligner, refused
from support.tiny_genome import Small, fastq, gzipped

from toolchain.workflow.aligners import ALIGNERS, Aligner

USAGE, DATA, MISSING, CREATE, IO = 64, 65, 66, 73, 74


def nothing_finished(job_runner: JobRunner) -> None:
    """No file of the run looks finished, and no work directory is left."""
    assert job_runner.finished() == []
    assert job_runner.left_over() == []


@each_aligner
def test_mem_refuses_a_file_that_was_cut_off(job_runner: JobRunner, small: Small, aligner: Aligner) -> None:
    small.r2.write_bytes(small.r2.read_bytes()[:-3000])
    refused(job_runner.run(aligner, **small.mem()), DATA, small.r2.name, "cannot unpack")
    nothing_finished(job_runner)


@each_aligner
def test_mem_refuses_a_second_file_that_holds_the_first_reads(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    reads = "".join(f"@r{number}\n{first.bases}\n+\n{first.quality}\n" for number, (first, _) in enumerate(small.reads))
    for file in (small.r1, small.r2):
        file.write_bytes(gzipped(reads))
    refused(job_runner.run(aligner, **small.mem()), DATA, small.r2.name, "its reads are those of")
    nothing_finished(job_runner)


@each_aligner
def test_mem_refuses_a_record_that_is_broken_deep_in_the_file(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    firsts, seconds = (40 * [pair[side] for pair in small.reads] for side in (0, 1))
    text = fastq(firsts)
    small.r1.write_bytes(gzipped(text[: text.rindex("+\n")] + text[text.rindex("+\n") + 2 :]))
    small.r2.write_bytes(gzipped(fastq(seconds)))
    refused(job_runner.run(aligner, **small.mem()), DATA, small.r1.name, f"record {len(firsts)} is broken")
    nothing_finished(job_runner)


@each_aligner
def test_mem_refuses_a_reference_that_is_not_prepared_and_says_how_to(job_runner: JobRunner, aligner: Aligner) -> None:
    small = Small.make(job_runner.scratch)
    refused(job_runner.run(aligner, **small.mem()), MISSING, "'small.fa' is not prepared", "'step index small.fa' once")
    nothing_finished(job_runner)


def test_mem_refuses_the_index_of_another_aligner_and_says_which_image_makes_one(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch)
    job_runner.ok("bwa", words=["step", "index", small.reference])
    refused(job_runner.run("bwa-mem3", **small.mem()), MISSING, "no index of bwa-mem3", "with the bwa-mem3 image")
    nothing_finished(job_runner)


STEPS: dict[str, list[str]] = {
    **{aligner: ["mem", "small.fa", "VALUE", "L001", "a", "b"] for aligner in ALIGNERS},
    "samtools": ["finish", "small.fa", "VALUE", "L001"],
    "bcftools": ["call", "small.fa", "VALUE", "1", "0"],
}


@pytest.mark.parametrize("tool", STEPS)
def test_takes_no_hostile_sample_name(job_runner: JobRunner, tool: str) -> None:
    words = [word.replace("VALUE", "$(id)/../x") for word in STEPS[tool]]
    refused(job_runner.run(tool, words=["step", *words]), USAGE, "sample name")
    nothing_finished(job_runner)


# ---- BAM and shards -------------------------------------------------------------------------------------------


@pytest.fixture
def aligned(job_runner: JobRunner, small: Small) -> Small:
    """A small sample with one lane aligned."""
    job_runner.ok("bwa", **small.mem())
    return small


@pytest.fixture
def called(job_runner: JobRunner, aligned: Small) -> Small:
    """A small sample with its BAM finished and two shards called."""
    job_runner.ok("samtools", **aligned.job("finish", lanes="L001"))
    for shard in ("0", "1"):
        job_runner.ok("bcftools", **aligned.job("call", shards="2", shard=shard))
    return aligned


def cut_off(job_runner: JobRunner, name: str, *, last: int) -> None:
    """Cuts the last bytes off a file of NA1."""
    path = f"/scratch/working/test/run1/NA1/{name}"
    script = f'head -c -{last} "$1" > "$1.cut" && mv "$1.cut" "$1"'
    job_runner.ok("samtools", words=["sh", "-euc", script, "sh", path])


def test_finish_refuses_a_lane_that_was_cut_off(job_runner: JobRunner, aligned: Small) -> None:
    cut_off(job_runner, "lanes/L001.bam", last=28)
    before = job_runner.finished()
    refused(job_runner.run("samtools", **aligned.job("finish", lanes="L001")), DATA, "L001.bam is broken")
    assert job_runner.finished() == before


def test_call_refuses_a_bam_of_another_sample(job_runner: JobRunner, called: Small) -> None:
    script = "mkdir -p ../NA2 && cp NA1.bam ../NA2/NA2.bam && cp NA1.bam.bai ../NA2/NA2.bam.bai"
    job_runner.ok("samtools", words=["sh", "-euc", f"cd /scratch/working/test/run1/NA1; {script}"])
    job = called.job("call", shards="1", shard="0") | {"sample": "NA2"}
    refused(job_runner.run("bcftools", **job), DATA, "NA2.bam is not of sample NA2", "'NA1'")


def test_gather_refuses_a_shard_that_was_cut_off(job_runner: JobRunner, called: Small) -> None:
    cut_off(job_runner, "shards/1-of-2.vcf.gz", last=10)
    before = job_runner.finished()
    refused(job_runner.run("bcftools", **called.job("gather", shards="2")), DATA, "1-of-2.vcf.gz is broken")
    assert job_runner.finished() == before


# ---- scratch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [*ALIGNERS, "samtools", "bcftools"])
def test_no_step_starts_where_scratch_is_not_lustre_unless_it_is_told_that_it_is_local(
    job_runner: JobRunner, tool: str
) -> None:
    rest = {"samtools": ["qc", "small.fa", "NA1"], "bcftools": ["gather", "small.fa", "NA1", "1"]}
    words = ["step", *rest.get(tool, ["mem", "small.fa", "NA1", "L001", "a", "b"])]
    result = job_runner.run(tool, words=words, environment={"SCRATCH": "lustre"})
    refused(result, IO, "/scratch/reference is not a Lustre file system")
    nothing_finished(job_runner)


def test_no_step_starts_where_nothing_is_mounted(job_runner: JobRunner, small: Small) -> None:
    mounts = [
        mount
        for mount in job_runner.container("bwa").docker_arguments()["mounts"]
        if mount["Target"] != "/scratch/data"
    ]
    result = job_runner.run("bwa", extra={"mounts": mounts}, **small.mem())
    refused(result, IO, "/scratch/data is not mounted")


def test_a_step_that_may_not_write_says_so(job_runner: JobRunner, small: Small) -> None:
    result = job_runner.run("bwa", extra={"user": "1234:1234"}, environment={"WORKFLOW_NAME": "other"}, **small.mem())
    refused(result, MISSING, "is not prepared")  # another workflow has its own prepared references
    job_runner.working.chmod(0o755)
    (job_runner.working / WORKFLOW).chmod(0o755)
    result = job_runner.run("bwa", extra={"user": "1234:1234"}, **small.mem())
    refused(result, CREATE, "cannot write /scratch/working/test/run1")
    nothing_finished(job_runner)


STAGES = {
    "mem": ("bwa", ["index small.fa"], "mem small.fa NA1 L001 {r1} {r2} - - L001"),
    "mem of bwa-mem3": ("bwa-mem3", ["index small.fa"], "mem small.fa NA1 L001 {r1} {r2}"),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("left", [0, 4, 300])
def test_a_full_file_system_is_named_as_such(job_runner: JobRunner, stage: str, left: int) -> None:
    """A file system of some megabytes, of which so many KiB are left when the step starts."""
    tool, before, command = STAGES[stage]
    small = Small.make(job_runner.scratch, depth=200)
    arguments = job_runner.container(tool).docker_arguments()
    extra = {
        "mounts": [mount for mount in arguments["mounts"] if mount["Target"] != "/scratch/working"],
        "tmpfs": arguments["tmpfs"] | {"/scratch/working": "size=8m"},
        "user": "0:0",  # a tmpfs over a directory of the image takes that directory's owner: root
    }
    fill = f"dd if=/dev/zero of=/scratch/working/full bs=1k seek={left} 2>/dev/null || true"
    empty = f"dd if=/dev/zero of=/scratch/working/left bs=1k count={left} 2>/dev/null"
    words = command.format(r1=small.r1.name, r2=small.r2.name)
    script = "\n".join(
        [
            *(f"step {line} >/dev/null 2>&1" for line in before),
            empty,
            fill,
            "rm /scratch/working/left",
            f"exec step {words}",
        ]
    )
    result = job_runner.run(tool, words=["sh", "-euc", script], extra=extra)
    refused(result, IO, "no space is left")


@each_aligner
def test_a_step_that_runs_out_of_memory_ends_as_one_that_was_killed_and_says_why(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    result = job_runner.run(aligner, memory=8, **small.mem())
    assert result.exit_code == 137, result.stderr
    nothing_finished(job_runner)
