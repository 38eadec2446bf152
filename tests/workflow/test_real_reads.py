"""Real Illumina reads with truth, through the deployed state machine."""

from collections.abc import Callable

import pytest
from support.job_runner import WORKFLOW, DataSet, snps, vcf_records
from support.local_aws import RESOURCES, LocalAws

from toolchain.demo.accuracy import Comparison
from toolchain.workflow.run_input import RunInput

Compare = Callable[[str], Comparison]


@pytest.fixture
def compare(local_aws: LocalAws, real: DataSet) -> Compare:
    """Compares a run's variants in a BED's regions with the truth.

    The run had two threads and three shards; the same steps with one thread and one shard gave the same records.
    """
    job_runner, name = local_aws.job_runner, real.folder.name
    sample = real.place(job_runner)
    resources = {**RESOURCES, "bwa": {"VCPU": 2, "MEMORY": 2048}, "samtools": {"VCPU": 2, "MEMORY": 2048}}
    run_input = RunInput(reference=real.reference, samples=(sample,), shards=3, ploidy=real.ploidy, resources=resources)
    run = local_aws.runs.start(name, run_input)
    job_runner.germline(sample, real.reference, cores=1, shards=1, ploidy=real.ploidy, execution=name)
    ended = local_aws.ended(run.arn)
    assert ended.status == "SUCCEEDED", ended
    assert local_aws.workflow != WORKFLOW
    bams = [
        job_runner.records(sample.name, f"{sample.name}.bam", name, workflow=workflow)
        for workflow in (local_aws.workflow, WORKFLOW)
    ]
    assert bams[0] == bams[1]
    vcf = f"{sample.name}.vcf.gz"
    records = vcf_records(local_aws.folder(name, sample.name) / vcf)
    assert records == vcf_records(job_runner.folder(sample.name, name) / vcf)
    return lambda bed: real.compare(job_runner, bed, workflow=local_aws.workflow, execution=name)


@pytest.mark.parametrize("real", ["human_hg001_chr20"], indirect=True)
def test_finds_every_snp_of_hg001_in_the_confident_regions_and_no_false_one(compare: Compare) -> None:
    confident = compare("confident.nist10kb.bed")
    assert (snps(confident.shared), snps(confident.missed), snps(confident.false)) == (45, 0, 0)
    target = compare("target.100kb.bed")
    assert snps(target.shared) + snps(target.missed) == 188
    assert snps(target.shared) >= 186


@pytest.mark.parametrize("real", ["sarscov2_twist_MT007544"], indirect=True)
def test_finds_the_three_snps_and_the_deletion_of_the_twist_control_and_no_false_one(compare: Compare) -> None:
    genome = compare("genome.bed")
    assert (snps(genome.shared), len(genome.shared) - snps(genome.shared)) == (3, 1)
    assert (genome.missed, genome.false) == (frozenset(), frozenset())


@pytest.mark.parametrize("real", ["human_hg001_chr22_tiny"], indirect=True)
def test_finds_all_fourteen_snps_of_the_tiny_window(compare: Compare) -> None:
    region = compare("region.bed")
    assert (snps(region.shared), snps(region.missed), snps(region.false)) == (14, 0, 0)


@pytest.mark.parametrize("real", ["smoke_sarscov2_nfcore"], indirect=True)
@pytest.mark.usefixtures("compare")
def test_a_hundred_pairs_go_through(local_aws: LocalAws, real: DataSet) -> None:
    folder = local_aws.folder(real.folder.name, real.sample)
    for name in (f"{real.sample}.bam", f"{real.sample}.bam.bai", f"{real.sample}.vcf.gz", f"{real.sample}.vcf.gz.tbi"):
        assert (folder / name).stat().st_size > 0
