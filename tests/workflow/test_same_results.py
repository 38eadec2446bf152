"""The results depend on the reads and the reference, and on nothing else."""

import shutil

import pytest
from support.job_runner import EXECUTION, WORKFLOW, DataSet, JobRunner, prepared_fasta, vcf_records
from support.tiny_genome import Small, Variation

from toolchain.demo import simulate
from toolchain.workflow.samples import Lane, Sample


def place_simulated(job_runner: JobRunner) -> Sample:
    """Wgsim's reads, errors, SNPs and indels included."""
    sequences = simulate.genome({"chrA": 60_000, "chrB": 40_000}, seed=3)
    (job_runner.scratch / "reference" / "sim.fa").write_text(simulate.fasta(sequences), encoding="ascii")
    inside = f"/scratch/working/{WORKFLOW}/wgsim"
    words = simulate.wgsim_command("/scratch/reference/sim.fa", f"{inside}/R1.fq", f"{inside}/R2.fq", length=100_000)
    job_runner.ok("samtools", words=["sh", "-c", 'mkdir -p "$0" && exec "$@"', inside, *words])
    for name in ("R1.fq", "R2.fq"):
        shutil.copyfile(job_runner.working / WORKFLOW / "wgsim" / name, job_runner.scratch / "data" / name)
    return Sample(name="sim", lanes=(Lane(name="L001", r1="R1.fq", r2="R2.fq"),))


def test_records_are_the_same_from_one_thread_and_two_and_from_one_shard_and_five(job_runner: JobRunner) -> None:
    sample = place_simulated(job_runner)
    job_runner.germline(sample, "sim.fa", cores=1, shards=1, execution="one")
    job_runner.germline(sample, "sim.fa", cores=2, shards=5, execution="many")
    assert job_runner.records("sim", "sim.bam", "one") == job_runner.records("sim", "sim.bam", "many")
    records = [vcf_records(job_runner.folder("sim", execution) / "sim.vcf.gz") for execution in ("one", "many")]
    assert len(records[0]) > 80
    assert records[0] == records[1]


@pytest.mark.parametrize("real", ["human_hg001_chr22_tiny"], indirect=True)
def test_the_alignments_are_those_of_bwa_on_the_two_files(job_runner: JobRunner, real: DataSet) -> None:
    sample = real.place(job_runner)
    job_runner.ok("bwa", words=["step", "index", real.reference])
    lane = sample.lanes[0]
    parameters = {"reference": real.reference, "sample": sample.name, "lane": "L001", "r1": lane.r1, "r2": lane.r2}
    job_runner.ok("bwa", command="mem", **parameters)
    script = 'bwa mem -t 1 "$1" "$2" "$3" 2>/dev/null | samtools view -u - | samtools sort -o "$4" -'
    plain = f"/scratch/working/{WORKFLOW}/{EXECUTION}/{sample.name}/plain.bam"
    index = prepared_fasta(job_runner.working / WORKFLOW, real.reference).replace("/fasta/", "/bwa/")
    paths = [index, f"/scratch/data/{lane.r1}", f"/scratch/data/{lane.r2}", plain]
    job_runner.ok("bwa", words=["sh", "-euc", script, "sh", *paths])

    def aligned(lines: list[str]) -> list[list[str]]:
        # The first eleven columns are what an aligner decides; read groups and mate tags are added.
        return sorted(line.split("\t")[:11] for line in lines if not line.startswith("@"))

    assert aligned(job_runner.records(sample.name, "lanes/L001.bam")) == aligned(
        job_runner.records(sample.name, "plain.bam")
    )


def test_nothing_is_dropped_where_reads_are_six_hundred_deep(job_runner: JobRunner) -> None:
    sequences = {"amplicon": 3_000}
    genome = simulate.genome(sequences)
    at, gone = 1_500, genome["amplicon"][1_500:1_506]
    snp = genome["amplicon"][1_000]
    variations = [
        Variation(sequence="amplicon", position=at, reference=gone, alternative=gone[0]),
        Variation(sequence="amplicon", position=1_000, reference=snp, alternative="A" if snp != "A" else "C"),
    ]
    small = Small.make(job_runner.scratch, depth=600, variations=variations, sequences=sequences)
    job_runner.germline(small.sample, small.reference, shards=1)
    depths = {}
    for line in vcf_records(job_runner.folder("NA1") / "NA1.vcf.gz"):
        fields = line.split("\t")
        if float(fields[5]) >= 20:
            values = dict(zip(fields[8].split(":"), fields[9].split(":"), strict=True))
            depths[int(fields[1])] = int(values["DP"])
    # bcftools' own limits, 250 reads for either kind, would hide the deletion and half of the SNP's reads.
    assert sorted(depths) == [1_001, at + shift(genome["amplicon"], at)]
    assert min(depths.values()) > 400


def shift(bases: str, at: int) -> int:
    """How far a deletion of the five bases after this one moves when it is written leftmost."""
    moved = 0
    while bases[at + moved] == bases[at + moved + 5]:
        moved -= 1
    return moved + 1


def test_lanes_are_merged_each_with_its_read_group(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch, lanes=2)
    job_runner.germline(small.sample, small.reference, shards=1)
    lines = job_runner.records("NA1", "NA1.bam", header=True)
    groups = [dict(field.split(":", 1) for field in line.split("\t")[1:]) for line in lines if line.startswith("@RG")]
    assert groups == [
        {"ID": f"NA1.L00{lane}", "SM": "NA1", "LB": "NA1", "PL": "ILLUMINA", "PU": f"FLOW1.{lane}"} for lane in (1, 2)
    ]
    marked = [line.split("\tRG:Z:")[1].split("\t")[0] for line in lines if not line.startswith("@")]
    assert {group: marked.count(group) for group in set(marked)} == {
        group: 2 * sum(first.name.startswith(f"M1:7:FLOW1:{group[-1]}:") for first, _ in small.reads)
        for group in ("NA1.L001", "NA1.L002")
    }


def test_the_vcf_is_indexed_normalised_and_of_this_sample_alone(job_runner: JobRunner) -> None:
    # A deletion in a run of one base, written where it is leftmost whatever the aligner made of it.
    genome = simulate.genome({"chrA": 6_000})
    bases = genome["chrA"]
    at = bases.index("AAA", 2_000)
    variation = Variation(sequence="chrA", position=at + 1, reference=bases[at + 1 : at + 3], alternative="A")
    small = Small.make(job_runner.scratch, depth=40, variations=[variation], sequences={"chrA": 6_000})
    job_runner.germline(small.sample, small.reference, shards=3)
    path = f"/scratch/working/{WORKFLOW}/{EXECUTION}/NA1/NA1.vcf.gz"
    assert job_runner.ok("bcftools", words=["bcftools", "query", "-l", path]).stdout.split() == ["NA1"]
    words = ["bcftools", "view", "-H", "-v", "indels", "-r", "chrA", path]
    indel = job_runner.ok("bcftools", words=words).stdout.split("\t")
    assert (int(indel[1]), indel[3][0]) == (at, bases[at - 1]), indel
