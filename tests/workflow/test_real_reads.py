"""Real Illumina reads with truth, through every step, from the rendered job definitions."""

import pytest
from support.job_runner import DataSet, JobRunner, snps


@pytest.mark.parametrize("real", ["human_hg001_chr20"], indirect=True)
def test_finds_every_snp_of_hg001_in_the_confident_regions_and_no_false_one(
    job_runner: JobRunner, real: DataSet
) -> None:
    run = job_runner.germline(real.place(job_runner), real.reference, ploidy=real.ploidy)
    confident = real.compare(run, "confident.nist10kb.bed")
    assert (snps(confident.shared), snps(confident.missed), snps(confident.false)) == (45, 0, 0)
    target = real.compare(run, "target.100kb.bed")
    assert snps(target.shared) + snps(target.missed) == 188
    assert snps(target.shared) >= 186


@pytest.mark.parametrize("real", ["sarscov2_twist_MT007544"], indirect=True)
def test_finds_the_three_snps_and_the_deletion_of_the_twist_control_and_no_false_one(
    job_runner: JobRunner, real: DataSet
) -> None:
    run = job_runner.germline(real.place(job_runner), real.reference, ploidy=real.ploidy)
    found = real.compare(run, "genome.bed")
    assert (snps(found.shared), len(found.shared) - snps(found.shared)) == (3, 1)
    assert (found.missed, found.false) == (frozenset(), frozenset())


@pytest.mark.parametrize("real", ["human_hg001_chr22_tiny"], indirect=True)
def test_finds_all_fourteen_snps_of_the_tiny_window(job_runner: JobRunner, real: DataSet) -> None:
    run = job_runner.germline(real.place(job_runner), real.reference, ploidy=real.ploidy)
    found = real.compare(run, "region.bed")
    assert (snps(found.shared), snps(found.missed), snps(found.false)) == (14, 0, 0)


@pytest.mark.parametrize("real", ["smoke_sarscov2_nfcore"], indirect=True)
def test_a_hundred_pairs_go_through_to_an_indexed_vcf(job_runner: JobRunner, real: DataSet) -> None:
    sample = real.place(job_runner)
    job_runner.germline(sample, real.reference, ploidy=real.ploidy)
    for name in (f"{sample.name}.bam", f"{sample.name}.bam.bai", f"{sample.name}.vcf.gz", f"{sample.name}.vcf.gz.tbi"):
        assert (job_runner.folder(sample.name) / name).stat().st_size > 0
