"""What a sample's run left, held against the output contract: each breach is named, with what mends it."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.finished_sample import REFERENCE, SAMPLE, Tiny, bam, vcf

from step.errors import BadDataError, MissingInputError, UsageError

MISSING, DATA = MissingInputError, BadDataError
FILES = {
    "NA1.bam": "finish",
    "NA1.bam.bai": "finish",
    "qc/NA1.markdup.txt": "finish",
    **{f"qc/NA1.{figure}.txt": "qc" for figure in ("flagstat", "coverage", "idxstats", "stats")},
    "shards/0-of-1.vcf.gz": "call.0-of-1",
    "NA1.vcf.gz": "gather",
    "NA1.vcf.gz.tbi": "gather",
    "qc/NA1.bcftools.txt": "gather",
}
WRITERS = ["mem.L001", "mem.L002", *dict.fromkeys(FILES.values())]


@pytest.fixture
def finished(tiny: Tiny) -> Tiny:
    """A sample of two lanes whose run has ended well."""
    tiny.all(("L001", "L002"))
    return tiny


def check(tiny: Tiny, lanes: str = "L001,L002", skip: str = "-", shards: str = "1", further: str = "-") -> None:
    tiny.step("samtools", "check", REFERENCE, SAMPLE, lanes, skip, shards, further)


def refused(tiny: Tiny, error: type[Exception], said: str, further: str = "-") -> None:
    with pytest.raises(error, match=said):
        check(tiny, further=further)
    assert not (tiny.folder / "steps" / "check.json").exists()
    assert tiny.left_over() == []


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_missing_is_named_with_the_step_that_writes_it(finished: Tiny, file: str) -> None:
    (finished.folder / file).unlink()
    refused(finished, MISSING, rf"^no {file}: .* is not there\. Run the sample again: {FILES[file]} does its work anew")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_record_that_is_missing_is_named(finished: Tiny, writer: str) -> None:
    (finished.folder / "steps" / f"{writer}.json").unlink()
    refused(finished, MISSING, f"^no record of {writer}: ")


def rewritten(file: Path, data: bytes) -> None:
    """Other content, later."""
    file.write_bytes(data)


def renamed(tiny: Tiny, writer: str, old: str, new: str) -> None:
    record = tiny.folder / "steps" / f"{writer}.json"
    text = record.read_text()
    assert old in text
    record.write_text(text.replace(old, new))


BREACHES: dict[str, tuple[Callable[[Tiny], object], str]] = {
    "an empty file": (
        lambda tiny: rewritten(tiny.folder / "qc" / "NA1.stats.txt", b""),
        r"^qc/NA1\.stats\.txt is empty",
    ),
    "a cut BAM": (
        lambda tiny: rewritten(tiny.folder / "NA1.bam", bam(SAMPLE, ("L001", "L002"), tiny.lengths)[:-28]),
        r"^NA1\.bam is broken: it was cut off",
    ),
    "another sample's BAM": (
        lambda tiny: rewritten(tiny.folder / "NA1.bam", bam("NA2", ("L001", "L002"), tiny.lengths)),
        r"^NA1\.bam is not of sample NA1: .*'NA2'",
    ),
    "a BAM of one lane": (
        lambda tiny: rewritten(tiny.folder / "NA1.bam", bam(SAMPLE, ("L001",), tiny.lengths)),
        r"^NA1\.bam is not of the lanes L001,L002: .*'NA1\.L001'",
    ),
    "a BAM of another reference": (
        lambda tiny: rewritten(tiny.folder / "NA1.bam", bam(SAMPLE, ("L001", "L002"), {"chrX": 9})),
        r"^NA1\.bam is of another reference",
    ),
    "an index older than its BAM": (
        lambda tiny: os.utime(tiny.folder / "NA1.bam.bai", (1, 1)),
        r"^NA1\.bam\.bai is older than NA1\.bam",
    ),
    "a broken index": (
        lambda tiny: rewritten(tiny.folder / "NA1.bam.bai", b"BAI\1\2\0\0\0"),
        r"^NA1\.bam\.bai is broken: it was cut off",
    ),
    "a cut VCF": (
        lambda tiny: rewritten(tiny.folder / "NA1.vcf.gz", vcf(SAMPLE)[:-28]),
        r"^NA1\.vcf\.gz is broken: it was cut off",
    ),
    "a cut shard": (
        lambda tiny: rewritten(tiny.folder / "shards" / "0-of-1.vcf.gz", vcf(SAMPLE)[:-28]),
        r"^shards/0-of-1\.vcf\.gz is broken: it was cut off",
    ),
    "another sample's VCF": (
        lambda tiny: rewritten(tiny.folder / "NA1.vcf.gz", vcf("NA2")),
        r"^NA1\.vcf\.gz is not of sample NA1: it holds 'NA2'",
    ),
    "an index older than its VCF": (
        lambda tiny: os.utime(tiny.folder / "NA1.vcf.gz.tbi", (1, 1)),
        r"^NA1\.vcf\.gz\.tbi is older than NA1\.vcf\.gz",
    ),
    "a figure written since": (
        lambda tiny: rewritten(tiny.folder / "qc" / "NA1.stats.txt", b"since"),
        r"^qc/NA1\.stats\.txt is not what qc wrote: it has size 5, .* qc does its work anew",
    ),
    "a file that its record does not name": (
        lambda tiny: renamed(tiny, "qc", "NA1.stats.txt", "NA1.other.txt"),
        r"^qc/NA1\.stats\.txt is not what qc wrote: steps/qc\.json does not name it",
    ),
    "a record of another sample": (
        lambda tiny: renamed(tiny, "finish", '"NA1"', '"NA2"'),
        r"^steps/finish\.json is the record of another step: .*NA2",
    ),
    "QC of an earlier BAM": (
        lambda tiny: renamed(tiny, "qc", tiny.record("finish")["outputs"][-1]["sha256"], "0" * 64),
        r"^qc was not made from NA1\.bam",
    ),
    "a shard of an earlier BAM": (
        lambda tiny: renamed(tiny, "call.0-of-1", tiny.record("finish")["outputs"][-1]["sha256"], "0" * 64),
        r"^call\.0-of-1 was not made from NA1\.bam",
    ),
    "a VCF of an earlier shard": (
        lambda tiny: renamed(tiny, "gather", "shards/0-of-1", "shards/0-of-3"),
        r"^NA1\.vcf\.gz was not made from shards/0-of-1\.vcf\.gz",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_it_refuses(finished: Tiny, breach: str) -> None:
    spoil, said = BREACHES[breach]
    spoil(finished)
    refused(finished, DATA, said)


def test_it_wants_the_lanes_and_the_shards_that_were_asked_for(finished: Tiny) -> None:
    for lanes, shards, error, said in (
        ("L001", "1", DATA, "not of the lanes L001|record of another step|no record"),
        ("L001,L002,L003", "1", MISSING, r"no record of mem\.L003"),
        ("L001,L002", "2", MISSING, "no record of call.0-of-2"),
        ("L001,L002", "-", UsageError, "number of shards"),
        ("-", "1", UsageError, "no lanes"),
    ):
        with pytest.raises((error, MISSING), match=said):
            check(finished, lanes, shards=shards)


def test_the_results_of_steps_that_a_lab_added_are_checked_by_their_names(finished: Tiny) -> None:
    with pytest.raises(UsageError, match="bad step 'a b'"):
        check(finished, further="a b")
    refused(finished, MISSING, "^no record of depths: ", further="depths")
    file, record = finished.folder / "qc" / "NA1.stats.txt", finished.folder / "steps" / "depths.json"
    # The step reads the BAM and writes a file, as QC does.
    text = (finished.folder / "steps" / "qc.json").read_text(encoding="utf-8").replace('"qc"', '"depths"')
    record.write_text(text.replace("NA1.stats.txt", "NA1.depths.txt"), encoding="utf-8")
    refused(finished, MISSING, r"^no qc/NA1\.depths\.txt: .* depths does its work anew", further="depths")
    shutil.copy2(file, file.with_name("NA1.depths.txt"))
    check(finished, further="depths")
    assert any(entry["path"].endswith("NA1.depths.txt") for entry in finished.record("check")["outputs"])
    renamed(finished, "depths", finished.record("finish")["outputs"][-1]["sha256"], "0" * 64)
    refused(finished, DATA, r"^depths was not made from NA1\.bam", further="depths")


def test_the_order_of_the_lanes_does_not_matter(finished: Tiny) -> None:
    check(finished, "L002,L001")


def test_what_was_skipped_is_not_wanted(finished: Tiny) -> None:
    for file in (*(finished.folder / "qc").glob("NA1.*stat*"), finished.folder / "qc" / "NA1.coverage.txt"):
        file.unlink()
    (finished.folder / "qc" / "NA1.markdup.txt").unlink()
    (finished.folder / "steps" / "qc.json").unlink()
    check(finished, skip="duplicates,qc")


def test_a_sample_of_one_lane_that_was_merged_is_held_against_finish(tiny: Tiny) -> None:
    tiny.index()
    tiny.mem()
    tiny.step("samtools", "finish", *tiny.words("finish", lanes="L001"))
    tiny.step("samtools", "qc", *tiny.words("qc"))
    for step in ("call", "gather"):
        tiny.step("bcftools", step, *tiny.words(step))
    tiny.step("samtools", "check", *tiny.words("check", lanes="L001"))
    assert any(entry["path"].endswith("/finish.json") for entry in tiny.record("check")["inputs"])


FLAGSTAT = """{primary} + 0 in total (QC-passed reads + QC-failed reads)
{primary} + 0 primary
{duplicates} + 0 primary duplicates
{pairs} + 0 with itself and mate mapped
{proper} + 0 properly paired (50.00% : N/A)
"""


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"primary": 100, "duplicates": 80, "pairs": 100, "proper": 50}, []),
        ({"primary": 100, "duplicates": 81, "pairs": 100, "proper": 50}, ["81% of the reads .*--skip duplicates"]),
        ({"primary": 100, "duplicates": 0, "pairs": 100, "proper": 49}, ["51% of the mapped pairs .*--count-orphans"]),
        ({"primary": 0, "duplicates": 0, "pairs": 0, "proper": 0}, []),
    ],
)
def test_the_record_notes_what_the_user_should_know_of_the_figures(
    tiny: Tiny, counts: dict[str, int], said: list[str]
) -> None:
    tiny.hold("flagstat", FLAGSTAT.format(**counts))
    tiny.kept = None
    tiny.all()
    notes = tiny.record("check")["notes"]
    assert len(notes) == len(said)
    for note, pattern in zip(notes, said, strict=True):
        assert re.search(pattern, note)


def test_what_was_done_already_is_not_advised(tiny: Tiny) -> None:
    tiny.hold("flagstat", FLAGSTAT.format(primary=100, duplicates=0, pairs=100, proper=1))
    tiny.kept = None
    tiny.all(until="call")
    tiny.step("bcftools", "call", *tiny.words("call"), "-", "count-orphans")
    tiny.step("bcftools", "gather", *tiny.words("gather"))
    tiny.step("samtools", "check", *tiny.words("check", lanes="L001"))
    assert tiny.record("check")["notes"] == []
