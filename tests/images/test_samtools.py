"""The samtools image: finish and qc."""

import re

import pytest
from support.job_runner import JobRunner, step_record
from support.tiny_genome import Small, fastq, gzipped


@pytest.fixture
def finished(job_runner: JobRunner, small: Small) -> Small:
    job_runner.ok("bwa", **small.mem())
    job_runner.ok("samtools", **small.job("finish", lanes="L001"))
    return small


def test_finish_leaves_an_indexed_bam_of_every_read(job_runner: JobRunner, finished: Small) -> None:
    folder = job_runner.folder("NA1")
    assert (folder / "NA1.bam.bai").stat().st_size > 0
    records = job_runner.records("NA1", "NA1.bam")
    assert len(records) == 2 * len(finished.reads)


def test_finish_marks_pairs_that_start_and_end_alike(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch, lanes=2)
    # The second lane holds the first one's reads again, under other names.
    for first, second in (
        (small.sample.lanes[0].r1, small.sample.lanes[1].r1),
        (small.sample.lanes[0].r2, small.sample.lanes[1].r2),
    ):
        (job_runner.scratch / "data" / second).write_bytes((job_runner.scratch / "data" / first).read_bytes())
    job_runner.ok("bwa", words=["step", "index", small.reference])
    for lane in range(2):
        job_runner.ok("bwa", **small.mem(lane))
    job_runner.ok("samtools", **small.job("finish", lanes="L001,L002"))
    flags = [int(line.split("\t")[1]) for line in job_runner.records("NA1", "NA1.bam")]
    assert sum(bool(flag & 1024) for flag in flags) >= len(flags) // 2
    report = (job_runner.folder("NA1") / "qc" / "NA1.markdup.txt").read_text(encoding="ascii")
    assert re.search(r"DUPLICATE TOTAL: \d{3,}", report)


def test_qc_leaves_the_figures_that_multiqc_reads(job_runner: JobRunner, finished: Small) -> None:
    job_runner.ok("samtools", **finished.job("qc"))
    folder = job_runner.folder("NA1") / "qc"
    reads = 2 * len(finished.reads)
    assert f"{reads} + 0 primary mapped" in (folder / "NA1.flagstat.txt").read_text(encoding="ascii")
    assert (
        (folder / "NA1.stats.txt").read_text(encoding="ascii").startswith("# This file was produced by samtools stats")
    )
    coverage = (folder / "NA1.coverage.txt").read_text(encoding="ascii").splitlines()
    assert [line.split("\t")[0] for line in coverage] == ["#rname", "chrA", "chrB"]
    idxstats = (folder / "NA1.idxstats.txt").read_text(encoding="ascii").splitlines()
    assert sum(int(line.split("\t")[2]) for line in idxstats) == reads


def test_a_record_names_the_digest_of_the_bam_that_is_there_and_not_of_an_earlier_one(
    job_runner: JobRunner, finished: Small
) -> None:
    job_runner.ok("samtools", **finished.job("qc"))
    half = finished.reads[::2]
    for file, mate in ((finished.r1, 0), (finished.r2, 1)):
        file.write_bytes(gzipped(fastq([pair[mate] for pair in half])))
    job_runner.ok("bwa", **finished.mem())
    job_runner.ok("samtools", **finished.job("finish", lanes="L001"))
    # The record of `qc` still names the earlier BAM.
    job_runner.ok("bcftools", **finished.job("call", shards="1", shard="0"))
    written = {entry["path"]: entry for entry in step_record(job_runner, "NA1", "finish")["outputs"]}
    bam, index = step_record(job_runner, "NA1", "call.0-of-1")["inputs"][:2]
    assert (bam, index) == (written[bam["path"]], written[index["path"]])
