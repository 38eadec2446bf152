"""The samtools image: check, the contract that what a sample's run left is held against."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from harness import EXECUTION, WORKFLOW, Bench, Lab, refused, step_record
from small import Small, Variation

from toolchain import simulate
from toolchain.direct import Run
from toolchain.engine import Result

USAGE, DATA, MISSING = 64, 65, 66
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

    bench: Bench
    small: Small
    run: Run

    def check(self, **parameters: str) -> Result:
        """Runs the command on NA1."""
        return self.bench.run(
            "samtools", **self.small.job("check", **{"lanes": "L001,L002", "shards": "2"} | parameters)
        )

    def inside(self, script: str) -> Result:
        """Puts the run back to what it was when it had ended, and then runs a script in NA1's directory."""
        return self.bench.run("samtools", words=["sh", "-euc", f"{RESTORED} cd {EXECUTION}/NA1\n{script}"])


@pytest.fixture(scope="module")
def origin(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One run for all tests: its last step is `check`, so that each breach is of a contract that was kept."""
    bench = Bench.make(lab, tmp_path_factory.mktemp("origin") / "scratch")
    base = simulate.genome({"chrA": 12_000})["chrA"][5_000]
    variation = Variation(sequence="chrA", position=5_000, reference=base, alternative="C" if base == "A" else "A")
    small = Small.make(bench.scratch, lanes=2, variations=[variation])
    run = bench.germline(small.sample, small.reference, shards=2)
    for shard in range(3):
        bench.ok("bcftools", **small.job("call", shards="3", shard=str(shard)))
    run.germline(Small.make(bench.scratch, name="NA2", lanes=2).sample, shards=1, ploidy=2)
    yield Finished(bench=bench, small=small, run=run)
    bench.clear()


@pytest.fixture
def finished(origin: Finished) -> Finished:
    """The run as it was when it had ended."""
    assert origin.inside("").exit_code == 0
    return origin


def test_a_run_ends_with_a_record_of_every_file_as_the_step_that_wrote_it_recorded_it(finished: Finished) -> None:
    outputs = {entry["path"]: entry for entry in step_record(finished.bench, "NA1", "check")["outputs"]}
    inside = f"/scratch/working/{WORKFLOW}/{EXECUTION}/NA1"
    assert set(outputs) == {f"{inside}/{name}" for names in WRITERS.values() for name in names}
    for writer in WRITERS:
        for entry in step_record(finished.bench, "NA1", writer)["outputs"]:
            assert outputs[entry["path"]] == entry
            assert entry["sha256"]


def test_checked_again_it_is_done_already(finished: Finished) -> None:
    result = finished.check()
    assert result.exit_code == 0
    assert "check is done already" in result.stderr


def test_what_is_checked_anew_passes_and_leaves_the_same_list(finished: Finished) -> None:
    before = step_record(finished.bench, "NA1", "check")["outputs"]
    result = finished.inside("rm steps/check.json; step check small.fa NA1 L001,L002 - 2")
    assert result.exit_code == 0, result.stderr
    assert "check: done in" in result.stderr
    assert step_record(finished.bench, "NA1", "check")["outputs"] == before


# What is done to the run, the exit code, and what the error says.
BREACHES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "no BAM": ("rm NA1.bam", MISSING, ("no NA1.bam:", "NA1/NA1.bam is not there", "finish does its work anew")),
    "no index of the BAM": ("rm NA1.bam.bai", MISSING, ("no NA1.bam.bai", "finish does")),
    "no VCF": ("rm NA1.vcf.gz", MISSING, ("no NA1.vcf.gz:", "gather does")),
    "no index of the VCF": ("rm NA1.vcf.gz.tbi", MISSING, ("no NA1.vcf.gz.tbi", "gather does")),
    "no shard": ("rm shards/1-of-2.vcf.gz", MISSING, ("no shards/1-of-2.vcf.gz", "call.1-of-2 does")),
    **{f"no {name}": (f"rm {name}", MISSING, (f"no {name}", " does its work anew")) for name in QC},
    **{
        f"no record of {writer}": (f"rm steps/{writer}.json", MISSING, (f"no record of {writer}", f"{writer} does"))
        for writer in WRITERS
    },
    "an empty record": (": > steps/qc.json", MISSING, ("no record of qc", "empty")),
    "nothing at all": ("rm -r *", MISSING, ("no record of finish",)),
    "an empty BAM": (": > NA1.bam", DATA, ("NA1.bam is empty", "finish does")),
    "an empty VCF": (": > NA1.vcf.gz", DATA, ("NA1.vcf.gz is empty", "gather does")),
    "an empty figure": (": > qc/NA1.bcftools.txt", DATA, ("qc/NA1.bcftools.txt is empty", "gather does")),
    "a BAM cut off in the middle": ("keep 2000 NA1.bam", DATA, ("NA1.bam is broken", "cut off")),
    "a BAM without its last block": ("keep -28 NA1.bam", DATA, ("NA1.bam is broken", "cut off")),
    "another sample's BAM": ("cp ../NA2/NA2.bam NA1.bam", DATA, ("NA1.bam is not of sample NA1", "'NA2'")),
    "a BAM of one lane": (
        "cp lanes/L001.bam NA1.bam",
        DATA,
        ("NA1.bam is not of the lanes L001,L002", "'NA1.L001'", "finish does"),
    ),
    "an index older than its BAM": ("touch -t 200101010000 NA1.bam.bai", DATA, ("NA1.bam.bai is older than NA1.bam",)),
    "a broken index of the BAM": ("keep 60 NA1.bam.bai", DATA, ("NA1.bam.bai is broken",)),
    "a VCF without its last block": ("keep -28 NA1.vcf.gz", DATA, ("NA1.vcf.gz is broken", "cut off")),
    "a broken index of the VCF": ("keep -28 NA1.vcf.gz.tbi", DATA, ("NA1.vcf.gz.tbi is broken", "cut off")),
    "a shard without its last block": ("keep -28 shards/0-of-2.vcf.gz", DATA, ("shards/0-of-2.vcf.gz is broken",)),
    "another sample's VCF": ("cp ../NA2/NA2.vcf.gz* .; mv NA2.vcf.gz NA1.vcf.gz", DATA, ("not of sample NA1", "'NA2'")),
    "a text for a VCF": ("cp steps/qc.json NA1.vcf.gz", DATA, ("NA1.vcf.gz is broken",)),
    "an index older than its VCF": ("touch -t 200101010000 NA1.vcf.gz.tbi", DATA, ("NA1.vcf.gz.tbi is older than",)),
    "a figure written since": ("echo >> qc/NA1.stats.txt", DATA, ("qc/NA1.stats.txt is not what qc wrote", "qc does")),
    "a VCF of another time": (
        "touch -t 200101010000 NA1.vcf.gz",
        DATA,
        ("NA1.vcf.gz is not what gather wrote", "mtime: 97", "steps/gather.json says size: "),
    ),
    "a file that its record does not name": (
        "sed -i '/NA1.stats.txt/s/stats/other/' steps/qc.json",
        DATA,
        ("qc/NA1.stats.txt is not what qc wrote", "steps/qc.json does not name it"),
    ),
    "a shard's record of another sharding": (
        "cp steps/call.1-of-3.json steps/call.1-of-2.json",
        DATA,
        ("steps/call.1-of-2.json is the record of another step", "'step call small.fa NA1 3 1 2'"),
    ),
    "a shard's record of another shard": (
        "cp steps/call.0-of-2.json steps/call.1-of-2.json",
        DATA,
        ("steps/call.1-of-2.json is the record of another step", "'step call small.fa NA1 2 0 2'"),
    ),
    "another sample's record": (
        "cp ../NA2/steps/finish.json steps/",
        DATA,
        ("steps/finish.json is the record of another step", "NA2"),
    ),
    "QC of another BAM": (
        """sed -i '/NA1.bam"/s/"sha256": "./"sha256": "_/' steps/qc.json""",
        DATA,
        ("qc was not made from NA1.bam",),
    ),
    "a shard of another BAM": (
        """sed -i '/NA1.bam"/s/"sha256": "./"sha256": "_/' steps/call.1-of-2.json""",
        DATA,
        ("call.1-of-2 was not made from NA1.bam", "call.1-of-2 does"),
    ),
    "shards on different references": (
        """sed -i '/small.fa"/s/"sha256": "./"sha256": "_/' steps/call.1-of-2.json""",
        DATA,
        ("call.1-of-2 was made from other files than call.0-of-2",),
    ),
    "a VCF of another shard": (
        "sed -i '/1-of-2.vcf.gz/s/1-of-2/1-of-3/' steps/gather.json",
        DATA,
        ("NA1.vcf.gz was not made from shards/1-of-2.vcf.gz", "gather does"),
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_it_refuses(origin: Finished, breach: str) -> None:
    script, code, said = BREACHES[breach]
    refused(origin.inside(f"{script}; step check small.fa NA1 L001,L002 - 2"), code, *said)
    assert not (origin.bench.folder("NA1") / "steps" / "check.json").exists()
    assert origin.bench.left_over() == []


def test_it_wants_the_lanes_and_the_number_of_shards_that_were_asked_for(finished: Finished) -> None:
    refused(finished.check(lanes="L001"), DATA, "NA1.bam is not of the lanes L001", "'NA1.L001 NA1.L002'")
    refused(finished.check(shards="3"), DATA, "steps/gather.json is the record of another step", "'step gather")
    refused(finished.check(shards="4"), MISSING, "no record of call.0-of-4")
    refused(finished.check(shards="-"), USAGE, "number of shards")
    refused(finished.check(lanes="-"), USAGE, "lane")


def test_the_order_of_the_lanes_is_nobody_s_concern(finished: Finished) -> None:
    assert finished.check(lanes="L002,L001").exit_code == 0


def test_the_sample_run_again_mends_what_was_missing_or_changed(finished: Finished) -> None:
    finished.inside("rm NA1.bam.bai steps/call.1-of-2.json; : > qc/NA1.stats.txt; cp ../NA2/NA2.vcf.gz NA1.vcf.gz")
    assert finished.check().exit_code == MISSING
    finished.run.germline(finished.small.sample, shards=2, ploidy=2)
    assert "check is done already" in finished.check().stderr
