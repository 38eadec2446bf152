"""The samtools image: check, the contract that what a sample's run left is held against, on what the tools write.

Every breach of it is tried without a container in tests/steps/test_check.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.job_runner import EXECUTION, WORKFLOW, BuiltImages, JobRunner, refused, step_record
from support.tiny_genome import Small, Variation

from toolchain.demo import simulate
from toolchain.docker.engine import Result

DATA, MISSING = 65, 66
QC = [f"qc/NA1.{figure}.txt" for figure in ("flagstat", "coverage", "idxstats", "stats")]
WRITERS = {
    "finish": ["NA1.bam", "NA1.bam.bai", "qc/NA1.markdup.txt"],
    "qc": QC,
    "call.0-of-2": ["shards/0-of-2.vcf.gz"],
    "call.1-of-2": ["shards/1-of-2.vcf.gz"],
    "gather": ["NA1.vcf.gz", "NA1.vcf.gz.tbi", "qc/NA1.bcftools.txt"],
}
# In the working files' own user's name: the run as it was, and `keep BYTES FILE`, which cuts a file short.
RESTORED = f"""
    keep() {{ head -c "$1" "$2" > kept; cat kept > "$2"; rm kept; }}
    cd /scratch/working/{WORKFLOW}
    [ -e ended ] || cp -a {EXECUTION} ended
    rm -rf {EXECUTION}
    cp -a ended {EXECUTION}
"""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Two lanes and two shards of NA1 that ended well, with what calling it in three left; and NA2, of one shard."""

    job_runner: JobRunner
    small: Small

    def check(self, **parameters: str) -> Result:
        """Runs the command on NA1."""
        return self.job_runner.run(
            "samtools", **self.small.job("check", **{"lanes": "L001,L002", "shards": "2"} | parameters)
        )

    def inside(self, script: str) -> Result:
        """Puts the run back to what it was when it had ended, and then runs a script in NA1's directory."""
        return self.job_runner.run("samtools", words=["sh", "-euc", f"{RESTORED} cd {EXECUTION}/NA1\n{script}"])


@pytest.fixture(scope="module")
def origin(built_images: BuiltImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One run for all tests: its last step is `check`, so that each breach is of a contract that was kept."""
    job_runner = JobRunner.make(built_images, tmp_path_factory.mktemp("origin") / "scratch")
    base = simulate.genome({"chrA": 12_000})["chrA"][5_000]
    variation = Variation(sequence="chrA", position=5_000, reference=base, alternative="C" if base == "A" else "A")
    small = Small.make(job_runner.scratch, lanes=2, variations=[variation])
    job_runner.germline(small.sample, small.reference, shards=2)
    for shard in range(3):
        job_runner.ok("bcftools", **small.job("call", shards="3", shard=str(shard)))
    job_runner.germline(Small.make(job_runner.scratch, name="NA2", lanes=2).sample, small.reference, shards=1)
    yield Finished(job_runner=job_runner, small=small)
    job_runner.clear()


@pytest.fixture
def finished(origin: Finished) -> Finished:
    """The run as it was when it had ended."""
    assert origin.inside("").exit_code == 0
    return origin


def test_a_run_ends_with_a_record_of_every_file_as_the_step_that_wrote_it_recorded_it(finished: Finished) -> None:
    outputs = {entry["path"]: entry for entry in step_record(finished.job_runner, "NA1", "check")["outputs"]}
    inside = f"/scratch/working/{WORKFLOW}/{EXECUTION}/NA1"
    assert set(outputs) == {f"{inside}/{name}" for names in WRITERS.values() for name in names}
    for writer in WRITERS:
        for entry in step_record(finished.job_runner, "NA1", writer)["outputs"]:
            assert outputs[entry["path"]] == entry
            assert entry["sha256"]


def test_what_is_checked_anew_passes_and_leaves_the_same_list(finished: Finished) -> None:
    before = step_record(finished.job_runner, "NA1", "check")["outputs"]
    result = finished.inside("rm steps/check.json; step check small.fa NA1 L001,L002 - 2")
    assert result.exit_code == 0, result.stderr
    assert "check: done in" in result.stderr
    assert step_record(finished.job_runner, "NA1", "check")["outputs"] == before


# What is done to the run, the exit code, and what the error says.
BREACHES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "no BAM": ("rm NA1.bam", MISSING, ("no NA1.bam:", "NA1/NA1.bam is not there", "finish does its work anew")),
    "a BAM cut off in the middle": ("keep 2000 NA1.bam", DATA, ("NA1.bam is broken", "cut off")),
    "another sample's BAM": ("cp ../NA2/NA2.bam NA1.bam", DATA, ("NA1.bam is not of sample NA1", "'NA2'")),
    "a broken index of the BAM": ("keep 60 NA1.bam.bai", DATA, ("NA1.bam.bai is broken",)),
    "a VCF without its last block": ("keep -28 NA1.vcf.gz", DATA, ("NA1.vcf.gz is broken", "cut off")),
    "another sample's VCF": ("cp ../NA2/NA2.vcf.gz* .; mv NA2.vcf.gz NA1.vcf.gz", DATA, ("not of sample NA1", "'NA2'")),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_it_refuses(origin: Finished, breach: str) -> None:
    script, code, said = BREACHES[breach]
    refused(origin.inside(f"{script}; step check small.fa NA1 L001,L002 - 2"), code, *said)
    assert not (origin.job_runner.folder("NA1") / "steps" / "check.json").exists()
    assert origin.job_runner.left_over() == []


def test_the_sample_run_again_mends_what_was_missing_or_changed(finished: Finished) -> None:
    finished.inside("rm NA1.bam.bai steps/call.1-of-2.json; : > qc/NA1.stats.txt; cp ../NA2/NA2.vcf.gz NA1.vcf.gz")
    assert finished.check().exit_code == MISSING
    finished.job_runner.germline(finished.small.sample, finished.small.reference, shards=2)
    assert "check is done already" in finished.check().stderr
