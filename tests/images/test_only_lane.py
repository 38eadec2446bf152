"""`step mem` of a sample's only lane: the sample's own BAM, in the pass that aligns. What it leaves out is `finish`."""

import pytest
from support.job_runner import JobRunner, each_aligner, refused, step_record
from support.tiny_genome import Small

from toolchain.workflow.aligners import Aligner

USAGE, MISSING = 64, 66
TWICE = "twice"


@pytest.fixture
def doubled(small: Small) -> Small:
    """A lane that holds each of its pairs twice."""
    for file in (small.r1, small.r2):
        file.write_bytes(2 * file.read_bytes())
    return small


def duplicates(job_runner: JobRunner, execution: str = "run1") -> int:
    return sum(bool(int(line.split("\t")[1]) & 1024) for line in job_runner.records("NA1", "NA1.bam", execution))


def fields(records: list[str]) -> list[tuple[list[str], set[str]]]:
    """Records, whatever the order of their tags: merging moves the read group to the end."""
    return [(line.split("\t")[:11], set(line.split("\t")[11:])) for line in records]


@each_aligner
def test_gives_the_records_that_aligning_and_finishing_give(
    job_runner: JobRunner, doubled: Small, aligner: Aligner
) -> None:
    job_runner.ok(aligner, **doubled.mem(), lanes="L001")
    job_runner.ok(aligner, environment={"EXECUTION_ID": TWICE}, **doubled.mem())
    job_runner.ok("samtools", environment={"EXECUTION_ID": TWICE}, **doubled.job("finish", lanes="L001"))
    assert fields(job_runner.records("NA1", "NA1.bam")) == fields(job_runner.records("NA1", "NA1.bam", TWICE))
    assert duplicates(job_runner) >= len(doubled.reads) * 2
    once, twice = (
        (job_runner.folder("NA1", execution) / "qc" / "NA1.markdup.txt").read_text(encoding="ascii").splitlines()[1:]
        for execution in ("run1", TWICE)
    )
    assert once == twice


@each_aligner
def test_writes_it_once_and_records_what_it_wrote(job_runner: JobRunner, small: Small, aligner: Aligner) -> None:
    job_runner.ok(aligner, **small.mem(), lanes="L001")
    folder = job_runner.folder("NA1")
    assert job_runner.finished() == [
        f"run1/NA1/{name}" for name in ("NA1.bam", "NA1.bam.bai", "qc/NA1.markdup.txt", "steps/mem.L001.json")
    ]
    record = step_record(job_runner, "NA1", "mem.L001")
    assert [entry["path"].removeprefix("/scratch/working/test/run1/NA1/") for entry in record["outputs"]] == [
        "qc/NA1.markdup.txt",
        "NA1.bam.bai",
        "NA1.bam",
    ]
    left = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    # Whole pages, and what SAMtools keeps aside: but no second BAM.
    assert record["written_bytes"] < 2 * left + 100_000


@each_aligner
def test_marks_no_duplicates_where_they_are_skipped(job_runner: JobRunner, doubled: Small, aligner: Aligner) -> None:
    job_runner.ok(aligner, **doubled.mem(), lanes="L001")
    result = job_runner.ok(aligner, **doubled.mem(), lanes="L001", skip="duplicates,qc")
    assert "done already" not in result.stderr
    assert duplicates(job_runner) == 0
    folder = job_runner.folder("NA1")
    assert not (folder / "qc" / "NA1.markdup.txt").exists(), "what an earlier attempt said of duplicates is still there"
    job_runner.ok("samtools", words=["samtools", "view", "-c", "/scratch/working/test/run1/NA1/NA1.bam", "chrB:1-100"])


def test_skipping_qc_is_no_reason_to_align_again(job_runner: JobRunner, small: Small) -> None:
    job_runner.ok("bwa", **small.mem(), lanes="L001")
    assert "done already" in job_runner.ok("bwa", **small.mem(), lanes="L001", skip="qc").stderr


def test_a_further_lane_of_the_sample_is_no_reason_to_align_those_before_it_again(
    job_runner: JobRunner, small: Small
) -> None:
    job_runner.ok("bwa", **small.mem(), lanes="L001,L002")
    assert (job_runner.folder("NA1") / "lanes" / "L001.bam").exists()
    assert "done already" in job_runner.ok("bwa", **small.mem(), lanes="L001,L002,L003").stderr


@each_aligner
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"lanes": "L002,L003"}, "lane 'L001' is not among the sample's lanes"),
        ({"lanes": "L001,L001"}, "lane 'L001' is given twice"),
        ({"lanes": "L001;ls"}, "bad lane"),
        ({"lanes": "L001", "skip": "alignment"}, "cannot skip 'alignment'"),
        ({"lanes": "L001", "skip": "duplicates,duplicates"}, "cannot skip"),
    ],
)
def test_refuses(job_runner: JobRunner, small: Small, aligner: Aligner, parameters: dict[str, str], said: str) -> None:
    refused(job_runner.run(aligner, **small.mem(), **parameters), USAGE, said)
    assert job_runner.finished() == []


def test_of_several_lanes_no_duplicates_are_marked_where_they_are_skipped(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch, lanes=2)
    one, two = small.sample.lanes
    for first, second in ((one.r1, two.r1), (one.r2, two.r2)):
        (job_runner.scratch / "data" / second).write_bytes((job_runner.scratch / "data" / first).read_bytes())
    job_runner.ok("bwa", words=["step", "index", small.reference])
    for lane in range(2):
        job_runner.ok("bwa", **small.mem(lane), lanes="L001,L002", skip="duplicates")
    job_runner.ok("samtools", **small.job("finish", lanes="L001,L002", skip="duplicates"))
    assert duplicates(job_runner) == 0
    assert len(job_runner.records("NA1", "NA1.bam")) == 2 * len(small.reads)
    job_runner.ok("samtools", words=["samtools", "view", "-c", "/scratch/working/test/run1/NA1/NA1.bam", "chrB:1-100"])


def test_the_contract_names_the_step_that_aligned_where_the_bam_is_missing(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch)
    job_runner.germline(small.sample, small.reference, shards=1)
    check = ["step", "check", small.reference, "NA1", "L001", "-", "1"]
    job_runner.ok("samtools", words=["rm", "/scratch/working/test/run1/NA1/NA1.bam"])
    refused(job_runner.run("samtools", words=check), MISSING, "no NA1.bam", "mem.L001 does its work anew")
    job_runner.ok("samtools", words=["rm", "/scratch/working/test/run1/NA1/steps/mem.L001.json"])
    refused(job_runner.run("samtools", words=check), MISSING, "no record of mem.L001")


def test_the_contract_asks_for_nothing_that_was_skipped(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch)
    job_runner.germline(small.sample, small.reference, shards=1, skip=("duplicates", "qc"))
    listed = {entry["path"].rpartition("/")[2] for entry in step_record(job_runner, "NA1", "check")["outputs"]}
    assert listed == {"NA1.bam", "NA1.bam.bai", "0-of-1.vcf.gz", "NA1.vcf.gz", "NA1.vcf.gz.tbi", "NA1.bcftools.txt"}
    whole = ["step", "check", small.reference, "NA1", "L001", "-", "1"]
    refused(job_runner.run("samtools", words=whole), MISSING, "no record of qc")
    job_runner.germline(small.sample, small.reference, shards=1)
    job_runner.ok("samtools", words=whole)
