"""The bcftools image: call and gather."""

import pytest
from harness import Bench, step_record, vcf_records
from small import Small, Variation

from toolchain import simulate


@pytest.fixture
def ready(bench: Bench) -> Small:
    """A sample with three SNPs, up to its finished BAM."""
    genome = simulate.genome({"chrA": 12_000, "chrB": 8_000})
    variations = [
        Variation(
            sequence=name, position=at, reference=genome[name][at], alternative="A" if genome[name][at] != "A" else "C"
        )
        for name, at in (("chrA", 3_000), ("chrA", 9_999), ("chrB", 4_000))
    ]
    small = Small.make(bench.scratch, depth=30, variations=variations)
    bench.ok("bwa", words=["step", "index", small.reference])
    bench.ok("bwa", **small.mem())
    bench.ok("samtools", **small.job("finish", lanes="L001"))
    return small


def positions(bench: Bench) -> list[tuple[str, int]]:
    fields = [line.split("\t") for line in vcf_records(bench.folder("NA1") / "NA1.vcf.gz")]
    return [(field[0], int(field[1])) for field in fields if float(field[5]) >= 20]


def test_shards_cut_the_genome_and_gather_puts_it_together(bench: Bench, ready: Small) -> None:
    # Two shards of 10,000 bases: the second SNP is the last base of the first one.
    for shard in ("0", "1"):
        bench.ok("bcftools", **ready.job("call", shards="2", shard=shard))
    bench.ok("bcftools", **ready.job("gather", shards="2"))
    assert positions(bench) == [("chrA", 3_001), ("chrA", 10_000), ("chrB", 4_001)]


def test_an_array_job_s_index_is_the_shard(bench: Bench, ready: Small) -> None:
    bench.ok("bcftools", environment={"AWS_BATCH_JOB_ARRAY_INDEX": "1"}, **ready.job("call", shards="2"))
    assert (bench.folder("NA1") / "shards" / "1-of-2.vcf.gz").exists()


def test_more_shards_than_variants_make_the_same_vcf(bench: Bench, ready: Small) -> None:
    script = 'i=0; while [ $i -lt 40 ]; do step call "$@" 40 $i || exit; i=$((i + 1)); done; step gather "$@" 40'
    bench.ok("bcftools", words=["sh", "-c", script, "sh", ready.reference, ready.sample.name])
    assert positions(bench) == [("chrA", 3_001), ("chrA", 10_000), ("chrB", 4_001)]


def test_ploidy_is_that_of_the_genotypes(bench: Bench, ready: Small) -> None:
    bench.ok("bcftools", **ready.job("call", shards="1", shard="0", ploidy="1"))
    bench.ok("bcftools", **ready.job("gather", shards="1"))
    assert {line.split("\t")[9].split(":")[0] for line in vcf_records(bench.folder("NA1") / "NA1.vcf.gz")} == {"1"}


def test_the_vcf_says_which_image_made_it_and_the_record_what_of(bench: Bench, ready: Small) -> None:
    bench.ok("bcftools", **ready.job("call", shards="1", shard="0"))
    bench.ok("bcftools", **ready.job("gather", shards="1"))
    path = f"{bench.folder('NA1').relative_to(bench.working)}/NA1.vcf.gz"
    header = bench.ok("bcftools", words=["bcftools", "head", f"/scratch/working/{path}"]).stdout
    record = step_record(bench, "NA1", "gather")
    assert f"##genomicsImage={record['image']}" in header
    shard = step_record(bench, "NA1", "call.0-of-1")["outputs"][0]
    assert {entry["path"]: entry["sha256"] for entry in record["inputs"]}[shard["path"]] == shard["sha256"]


def test_its_plugins_are_there(bench: Bench) -> None:
    listed = bench.ok("bcftools", words=["bcftools", "plugin", "-lv"])
    assert {"fill-tags", "setGT", "mendelian2", "split-vep"} <= set(listed.stdout.split())
