"""The alignments of bwa-mem3 are those of bwa, every field and tag, but for what images/bwa-mem3/README.md lists."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import pytest
from support import repeats
from support.job_runner import WORKFLOW, DataSet, JobRunner

from toolchain.demo import simulate
from toolchain.workflow.aligners import ALIGNERS, Aligner
from toolchain.workflow.samples import Lane, Sample

BAM = "lanes/L001.bam"
READ = 150
FIRST_BATCH = -(-10_000_000 // (2 * READ))  # pairs
FLAG, NAME, PLACE, MAPQ, BASES, TAGS = 1, 0, slice(2, 4), 4, slice(9, 11), 11


def align(
    job_runner: JobRunner, sample: Sample, reference: str, aligner: Aligner, *, execution: str = "", **resources: int
) -> list[str]:
    """A lane's records, in the order of the BAM."""
    lane, execution = sample.lanes[0], execution or aligner
    job_runner.ok(aligner, words=["step", "index", reference])
    parameters = {"reference": reference, "sample": sample.name, "lane": "L001", "r1": lane.r1, "r2": lane.r2}
    job_runner.ok(aligner, command="mem", environment={"EXECUTION_ID": execution}, **parameters, **resources)
    return job_runner.records(sample.name, BAM, execution)


@pytest.mark.parametrize(
    ("real", "member"),
    [
        *((name, None) for name in ("human_hg001_chr20", "human_hg001_chr22_tiny", "sarscov2_twist_MT007544")),
        ("smoke_sarscov2_nfcore", None),
        *(("human_trio_chr20_10kb", member) for member in ("NA12878", "NA12891", "NA12892")),
    ],
    indirect=["real"],
)
def test_of_real_reads(job_runner: JobRunner, real: DataSet, member: str | None) -> None:
    sample = real.place(job_runner)
    if member:
        lane = Lane(name="L001", r1=f"{member}_R1.fastq.gz", r2=f"{member}_R2.fastq.gz")
        sample = replace(sample, name=member, lanes=(lane,))
    records = {aligner: align(job_runner, sample, real.reference, aligner) for aligner in ALIGNERS}
    assert records["bwa"] == records["bwa-mem3"]
    assert len(records["bwa"]) >= 200


@pytest.fixture
def repetitive(job_runner: JobRunner) -> Sample:
    """Reads of a genome with repeats, of more than one batch."""
    sequences = repeats.genome({"chr1": 60_000, "chr2": 40_000})
    (job_runner.scratch / "reference" / "rep.fa").write_text(simulate.fasta(sequences), encoding="ascii")
    inside = f"/scratch/working/{WORKFLOW}/wgsim"
    words = ["wgsim", "-S", "3", "-N", str(FIRST_BATCH + 6_000), "-1", str(READ), "-2", str(READ), "-e", "0.005"]
    words += ["-d", "350", "-r", "0.002", "/scratch/reference/rep.fa", f"{inside}/R1.fq", f"{inside}/R2.fq"]
    job_runner.ok("samtools", words=["sh", "-c", 'mkdir -p "$0" && exec "$@"', inside, *words])
    for name in ("R1.fq", "R2.fq"):
        shutil.copyfile(job_runner.working / WORKFLOW / "wgsim" / name, job_runner.scratch / "data" / name)
    return Sample(name="rep", lanes=(Lane(name="L001", r1="R1.fq", r2="R2.fq"),))


def by_read(records: Sequence[str]) -> dict[tuple[str, int], list[list[str]]]:
    """The records of each read, as fields: by name, and by which of the pair and whether it is supplementary."""
    reads: dict[tuple[str, int], list[list[str]]] = {}
    for line in records:
        fields = line.split("\t")
        reads.setdefault((fields[NAME], int(fields[FLAG]) & 0x8C0), []).append(fields)
    return reads


def tags(fields: list[str]) -> dict[str, str]:
    return {tag[:2]: tag[5:] for tag in fields[TAGS:]}


def hits(fields: list[str]) -> int:
    return len(tags(fields).get("XA", "").split(";"))


def test_of_reads_in_repeats(job_runner: JobRunner, repetitive: Sample) -> None:
    bwa = by_read(align(job_runner, repetitive, "rep.fa", "bwa"))
    # One thread or two, and with 900 MiB, of which half is for sorting, one batch in flight: the same records.
    shapes = {"one": {"vcpus": 1}, "two": {"vcpus": 2}, "little": {"vcpus": 2, "memory": 900}}
    records = [
        align(job_runner, repetitive, "rep.fa", "bwa-mem3", execution=name, **resources)
        for name, resources in shapes.items()
    ]
    assert records[0] == records[1] == records[2]
    bwa_mem3 = by_read(records[0])
    with (job_runner.scratch / "data" / "R1.fq").open(encoding="ascii") as file:
        first_batch = {line[1:].split("/")[0].rstrip() for line in islice(file, 0, 4 * FIRST_BATCH, 4)}
    assert len(first_batch) == FIRST_BATCH
    assert bwa.keys() == bwa_mem3.keys()
    assert [read for read in bwa if read[0] in first_batch and bwa[read] != bwa_mem3[read]] == []

    # After the first batch, reads with several equally good places may be put at another one.
    moved = 0
    for read, ours in bwa_mem3.items():
        for theirs, mine in zip(bwa[read], ours, strict=True):
            assert [theirs[FLAG], theirs[MAPQ], *theirs[BASES]] == [mine[FLAG], mine[MAPQ], *mine[BASES]]
            for tag in ("AS", "XS", "NM", "RG"):
                assert tags(theirs).get(tag) == tags(mine).get(tag)
            if theirs[PLACE] != mine[PLACE]:
                assert mine[MAPQ] == "0"
                moved += 1
            elif mine[MAPQ] != "0":
                assert hits(theirs) == hits(mine)
    assert 0 < moved < len(records[0]) // 10
