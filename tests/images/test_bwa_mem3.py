"""The bwa-mem3 image, where it differs from that of bwa. What both do alike is in test_bwa.py."""

import os
from pathlib import Path

import pytest
from support.job_runner import WORKFLOW, JobRunner
from support.tiny_genome import Small

from toolchain.workflow.aligners import ALIGNERS, Aligner

MEM3 = pytest.mark.parametrize("aligner", ["bwa-mem3"])


def index(job_runner: JobRunner, aligner: str) -> str:
    return job_runner.ok(aligner, words=["step", "index", "small.fa"]).stderr


@pytest.mark.parametrize("order", [ALIGNERS, ALIGNERS[::-1]], ids="-then-".join)
def test_both_indexes_stand_side_by_side_and_each_step_finds_its_own_done(
    job_runner: JobRunner, order: tuple[Aligner, ...]
) -> None:
    small = Small.make(job_runner.scratch)
    for aligner in order:
        index(job_runner, aligner)
    for aligner in order:
        assert "is done already" in index(job_runner, aligner)
        job_runner.ok(aligner, environment={"EXECUTION_ID": aligner}, **small.mem())


def test_a_reference_that_changed_is_prepared_beside_the_one_that_it_was(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch)
    index(job_runner, "bwa")
    fasta = job_runner.scratch / "reference" / "small.fa"
    status = fasta.stat()
    text = fasta.read_text(encoding="ascii")
    fasta.write_text(text.translate(str.maketrans("ACGT", "CATG")), encoding="ascii")
    os.utime(fasta, ns=(status.st_atime_ns, status.st_mtime_ns))
    # A run that has begun keeps the reference that it began with, whatever another one prepares under that name.
    job_runner.ok("bwa", environment={"EXECUTION_ID": "later"}, words=["step", "index", "small.fa"])
    job_runner.ok("bwa", **small.mem())
    job_runner.ok("bwa", environment={"EXECUTION_ID": "later"}, **small.mem())
    mapped = [
        sum(not int(line.split("\t")[1]) & 4 for line in job_runner.records("NA1", "lanes/L001.bam", execution))
        for execution in ("run1", "later")
    ]
    assert mapped == [2 * len(small.reads), 0]


@MEM3
def test_a_processor_without_avx2_is_refused_before_anything_is_done(
    job_runner: JobRunner, small: Small, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags : fpu sse4_2 avx avx512f\n", encoding="ascii")
    mounts = job_runner.container("bwa-mem3").docker_arguments()["mounts"]
    fake = {"Target": "/proc/cpuinfo", "Source": str(cpuinfo), "Type": "bind", "ReadOnly": True}
    result = job_runner.run("bwa-mem3", extra={"mounts": [*mounts, fake]}, **small.mem())
    assert result.exit_code == 64
    assert "step: error: this processor has no AVX2" in result.stderr
    assert job_runner.finished() == []


@MEM3
def test_an_index_that_was_cut_off_is_refused_and_named(job_runner: JobRunner, small: Small) -> None:
    cut = f"/scratch/working/{WORKFLOW}/reference/*/bwa-mem3/reference.fa.pac"
    job_runner.ok("bwa-mem3", words=["sh", "-euc", f'set -- {cut}; head -c 10 "$1" > "$1.cut" && mv "$1.cut" "$1"'])
    result = job_runner.run("bwa-mem3", **small.mem())
    assert result.exit_code == 65
    assert "step: error: reference 'small.fa' is damaged" in result.stderr
    assert "reference.fa.pac has 10 bytes" in result.stderr
    assert job_runner.finished() == []
    assert job_runner.left_over() == []


@MEM3
def test_an_index_that_cannot_be_read_fails_the_step_with_the_program_s_own_words(
    job_runner: JobRunner, small: Small
) -> None:
    """Of the same size, and so for the aligner to find."""
    index = f"/scratch/working/{WORKFLOW}/reference/*/bwa-mem3/reference.fa.ann"
    spoil = f'set -- {index}; tr "0-9" "x" < "$1" > "$1.new" && mv "$1.new" "$1"'
    job_runner.ok("bwa-mem3", words=["sh", "-euc", spoil])
    result = job_runner.run("bwa-mem3", **small.mem())
    assert result.exit_code == 70
    assert "step: error: bwa-mem3 failed" in result.stderr
    assert job_runner.finished() == []
    assert job_runner.left_over() == []


@MEM3
def test_what_the_program_says_of_every_batch_is_not_in_the_job_s_log(job_runner: JobRunner, small: Small) -> None:
    said = job_runner.ok("bwa-mem3", **small.mem()).stderr
    assert [line for line in said.splitlines() if not line.startswith("step: ")] == []


@MEM3
def test_batches_in_flight_follow_the_job_s_memory_and_the_records_do_not(job_runner: JobRunner, small: Small) -> None:
    records = []
    for memory in (500, 3000):
        environment = {"EXECUTION_ID": f"run{memory}"}
        job_runner.ok("bwa-mem3", memory=memory, environment=environment, **small.mem())
        records.append(job_runner.records("NA1", "lanes/L001.bam", f"run{memory}"))
    assert records[0] == records[1]


def test_index_refuses_a_genome_that_its_memory_cannot_take(job_runner: JobRunner) -> None:
    # A million bases, at 25 bytes each.
    (job_runner.scratch / "reference" / "large.fa").write_text(f">c\n{'ACGGT' * 200_000}\n", encoding="ascii")
    result = job_runner.run("bwa-mem3", words=["step", "index", "large.fa"], memory=20)
    assert result.exit_code == 64
    assert "to index large.fa takes 23 MiB and this job has 20" in result.stderr
