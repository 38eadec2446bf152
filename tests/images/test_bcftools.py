"""The bcftools image: call and gather."""

import pytest
from support.job_runner import DataSet, JobRunner, prepared_fasta, step_record, vcf_records
from support.tiny_genome import Small, Variation, fastq, gzipped, pairs

from step import bam, regions
from toolchain.demo import simulate


@pytest.fixture
def ready(job_runner: JobRunner) -> Small:
    """A sample with three SNPs, up to its finished BAM."""
    genome = simulate.genome({"chrA": 12_000, "chrB": 8_000})
    variations = [
        Variation(
            sequence=name, position=at, reference=genome[name][at], alternative="A" if genome[name][at] != "A" else "C"
        )
        for name, at in (("chrA", 3_000), ("chrA", 9_999), ("chrB", 4_000))
    ]
    small = Small.make(job_runner.scratch, depth=30, variations=variations)
    job_runner.ok("bwa", words=["step", "index", small.reference])
    job_runner.ok("bwa", **small.mem())
    job_runner.ok("samtools", **small.job("finish", lanes="L001"))
    return small


def positions(job_runner: JobRunner) -> list[tuple[str, int]]:
    fields = [line.split("\t") for line in vcf_records(job_runner.folder("NA1") / "NA1.vcf.gz")]
    return [(field[0], int(field[1])) for field in fields if float(field[5]) >= 20]


def test_shards_cut_the_genome_and_gather_puts_it_together(job_runner: JobRunner, ready: Small) -> None:
    # Two shards of 10,000 bases: the second SNP is the last base of the first one.
    for shard in ("0", "1"):
        job_runner.ok("bcftools", **ready.job("call", shards="2", shard=shard))
    job_runner.ok("bcftools", **ready.job("gather", shards="2"))
    assert positions(job_runner) == [("chrA", 3_001), ("chrA", 10_000), ("chrB", 4_001)]


def test_an_array_job_s_index_is_the_shard(job_runner: JobRunner, ready: Small) -> None:
    job_runner.ok("bcftools", environment={"AWS_BATCH_JOB_ARRAY_INDEX": "1"}, **ready.job("call", shards="2"))
    assert (job_runner.folder("NA1") / "shards" / "1-of-2.vcf.gz").exists()


def test_more_shards_than_variants_make_the_same_vcf(job_runner: JobRunner, ready: Small) -> None:
    script = 'i=0; while [ $i -lt 40 ]; do step call "$@" 40 $i || exit; i=$((i + 1)); done; step gather "$@" 40'
    job_runner.ok("bcftools", words=["sh", "-c", script, "sh", ready.reference, ready.sample.name])
    assert positions(job_runner) == [("chrA", 3_001), ("chrA", 10_000), ("chrB", 4_001)]


def test_ploidy_is_that_of_the_genotypes(job_runner: JobRunner, ready: Small) -> None:
    job_runner.ok("bcftools", **ready.job("call", shards="1", shard="0", ploidy="1"))
    job_runner.ok("bcftools", **ready.job("gather", shards="1"))
    assert {line.split("\t")[9].split(":")[0] for line in vcf_records(job_runner.folder("NA1") / "NA1.vcf.gz")} == {"1"}


def test_the_vcf_says_which_image_made_it_and_the_record_what_of(job_runner: JobRunner, ready: Small) -> None:
    job_runner.ok("bcftools", **ready.job("call", shards="1", shard="0"))
    job_runner.ok("bcftools", **ready.job("gather", shards="1"))
    path = f"{job_runner.folder('NA1').relative_to(job_runner.working)}/NA1.vcf.gz"
    header = job_runner.ok("bcftools", words=["bcftools", "head", f"/scratch/working/{path}"]).stdout
    record = step_record(job_runner, "NA1", "gather")
    assert f"##genomicsImage={record['image']}" in header
    shard = step_record(job_runner, "NA1", "call.0-of-1")["outputs"][0]
    assert {entry["path"]: entry["sha256"] for entry in record["inputs"]}[shard["path"]] == shard["sha256"]


def test_shards_have_about_as_many_reads_each(job_runner: JobRunner) -> None:
    """Reads of the first tenth of a genome of three sequences, the second of which has none."""
    sequences = {"chrA": 400_000, "chrB": 50_000, "chrC": 150_000}
    small = Small.make(job_runner.scratch, depth=1, sequences=sequences)
    reads = pairs({"chrA": small.genome["chrA"][:60_000]}, 40)
    for file, mate in ((small.r1, 0), (small.r2, 1)):
        file.write_bytes(gzipped(fastq([pair[mate] for pair in reads])))
    job_runner.ok("bwa", words=["step", "index", small.reference])
    job_runner.ok("bwa", **small.mem(), lanes="L001")
    folder = job_runner.folder("NA1")
    spans = bam.read_index(folder / "NA1.bam.bai").spans
    starts = [int(line.split("\t")[3]) - 1 for line in job_runner.records("NA1", "NA1.bam")]
    counts = []
    for number in range(4):
        shard = regions.shard_regions(sequences, spans, number, 4)
        counts.append(
            sum(region.start <= at < region.end for region in shard if region.sequence == "chrA" for at in starts)
        )
    assert sum(counts) == len(starts)
    assert min(counts) > 0.6 * max(counts), counts  # windows of 16 kb, and BGZF's blocks, are coarse for so few reads


@pytest.mark.parametrize("real", ["human_hg001_chr20", "sarscov2_twist_MT007544"], indirect=True)
def test_records_are_those_of_mpileup_and_call_alone(job_runner: JobRunner, real: DataSet) -> None:
    """The blocks in which sites without a variant are handed on change no record, nor does the number of shards."""
    sample = real.place(job_runner)
    job_runner.germline(sample, real.reference, shards=23, ploidy=real.ploidy)
    script = (
        'cd /scratch/working/test; bcftools mpileup -f "$1" -d 1000000 -L 1000000 -a FORMAT/AD,FORMAT/DP'
        ' "run1/$2/$2.bam" | bcftools call -mv --ploidy "$3" | bcftools norm -f "$1" | bcftools view -H'
    )
    fasta = prepared_fasta(job_runner.working / "test", real.reference)
    words = ["sh", "-euc", script, "sh", fasta, sample.name, str(real.ploidy)]
    plain = job_runner.ok("bcftools", words=words).stdout.splitlines()
    assert vcf_records(job_runner.folder(sample.name) / f"{sample.name}.vcf.gz") == plain
    assert len(plain) > 3


def test_gather_copies_the_shards_blocks_as_they_are(job_runner: JobRunner, ready: Small) -> None:
    for shard in ("0", "1"):
        job_runner.ok("bcftools", **ready.job("call", shards="2", shard=shard))
    job_runner.ok("bcftools", **ready.job("gather", shards="2"))
    stages = {stage["name"] for stage in step_record(job_runner, "NA1", "gather")["stages"]}
    assert stages == {"concat", "index", "stats"}


def test_gather_puts_in_order_what_left_aligning_moved_before_its_shard(job_runner: JobRunner, ready: Small) -> None:
    for shard in ("0", "1"):
        job_runner.ok("bcftools", **ready.job("call", shards="2", shard=shard))
    # The second shard starts with a record that belongs before the last one of the first.
    early = ready.genome["chrA"][9_989]
    script = (
        "cd /scratch/working/test/run1/NA1/shards; gunzip -c 1-of-2.vcf.gz |"
        """ awk -v OFS='\\t' -v ref="$1" '!/^#/ && !n++ { it = $0; $1 = "chrA"; $2 = 9990; $4 = ref;"""
        """ $5 = ref == "A" ? "C" : "A"; print; $0 = it } { print }'"""
        " > moved.vcf; bcftools view --no-version -Oz -o 1-of-2.vcf.gz moved.vcf; rm moved.vcf"
    )
    job_runner.ok("bcftools", words=["sh", "-euc", script, "sh", early])
    job_runner.ok("bcftools", **ready.job("gather", shards="2"))
    found = [tuple(line.split("\t")[:2]) for line in vcf_records(job_runner.folder("NA1") / "NA1.vcf.gz")]
    assert found == [("chrA", "3001"), ("chrA", "9990"), ("chrA", "10000"), ("chrB", "4001")]
    assert "norm" in {stage["name"] for stage in step_record(job_runner, "NA1", "gather")["stages"]}


def test_its_plugins_are_there(job_runner: JobRunner) -> None:
    listed = job_runner.ok("bcftools", words=["bcftools", "plugin", "-lv"])
    assert {"fill-tags", "setGT", "mendelian2", "split-vep"} <= set(listed.stdout.split())
