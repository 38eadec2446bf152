"""Real Illumina reads with truth, through the deployed state machine: what comes out is what the steps alone make."""

from dataclasses import dataclass, replace

import pytest
from support.job_runner import DataSet, JobRunner, snps, vcf_records
from support.local_aws import RESOURCES, LocalAws

from toolchain.docker.host import Run
from toolchain.workflow.run_input import RunInput


@dataclass(frozen=True, kw_only=True)
class Went:
    """One sample's run, and where both ways left it."""

    job_runner: JobRunner
    through_the_api: Run
    direct: Run
    sample: str

    def vcf(self, run: Run) -> list[str]:
        return vcf_records(run.folder(self.sample) / f"{self.sample}.vcf.gz")

    def bam(self, run: Run) -> list[str]:
        return self.job_runner.records(self.sample, f"{self.sample}.bam", run.execution, workflow=run.workflow)


@pytest.fixture
def went(local_aws: LocalAws, real: DataSet) -> Went:
    """Both ways at once: each uses a workflow's directory of its own."""
    job_runner = local_aws.job_runner
    sample, name = real.place(job_runner), real.folder.name
    resources = {**RESOURCES, "bwa": {"VCPU": 2, "MEMORY": 2048}, "samtools": {"VCPU": 2, "MEMORY": 2048}}
    order = RunInput(reference=real.reference, samples=(sample,), shards=3, ploidy=real.ploidy, resources=resources)
    run = local_aws.runs.start(name, order)
    direct = job_runner.germline(sample, real.reference, ploidy=real.ploidy, execution=name)
    ended = local_aws.ended(run.arn)
    assert ended.status == "SUCCEEDED", ended
    through_the_api = replace(direct, workflow=local_aws.workflow)
    assert through_the_api.workflow != direct.workflow
    return Went(job_runner=job_runner, through_the_api=through_the_api, direct=direct, sample=sample.name)


def compared(went: Went) -> Run:
    """The run through the API, whose records are those of the direct one."""
    assert went.bam(went.through_the_api) == went.bam(went.direct)
    assert went.vcf(went.through_the_api) == went.vcf(went.direct)
    return went.through_the_api


@pytest.mark.parametrize("real", ["human_hg001_chr20"], indirect=True)
def test_hg001_has_the_same_records_and_every_snp_of_the_confident_regions(real: DataSet, went: Went) -> None:
    run = compared(went)
    confident = real.compare(run, "confident.nist10kb.bed")
    assert (snps(confident.shared), snps(confident.missed), snps(confident.false)) == (45, 0, 0)
    target = real.compare(run, "target.100kb.bed")
    assert snps(target.shared) + snps(target.missed) == 188
    assert snps(target.shared) >= 186


@pytest.mark.parametrize("real", ["sarscov2_twist_MT007544"], indirect=True)
def test_the_twist_control_has_the_same_records_and_its_three_snps_and_its_deletion(real: DataSet, went: Went) -> None:
    found = real.compare(compared(went), "genome.bed")
    assert (snps(found.shared), len(found.shared) - snps(found.shared)) == (3, 1)
    assert (found.missed, found.false) == (frozenset(), frozenset())


@pytest.mark.parametrize("real", ["human_hg001_chr22_tiny"], indirect=True)
def test_the_tiny_window_has_the_same_records_and_all_fourteen_snps(real: DataSet, went: Went) -> None:
    found = real.compare(compared(went), "region.bed")
    assert (snps(found.shared), snps(found.missed), snps(found.false)) == (14, 0, 0)


@pytest.mark.parametrize("real", ["smoke_sarscov2_nfcore"], indirect=True)
@pytest.mark.usefixtures("real")
def test_a_hundred_pairs_have_the_same_records(went: Went) -> None:
    assert compared(went)
