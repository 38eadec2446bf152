"""`step check`: the parameters of the contract, and its notes. Its breaches are in test_failures.py."""

import re
import shutil

import pytest
from support.tiny_sample import REFERENCE, SAMPLE, TinySample

from step.errors import BadDataError, MissingInputError, StepError, UsageError

MISSING, DATA = MissingInputError, BadDataError
LANES = ("L001", "L002")


@pytest.fixture
def finished(sample: TinySample) -> TinySample:
    """A sample of two lanes whose run has succeeded."""
    sample.run(LANES)
    return sample


def check(sample: TinySample, lanes: str = "L001,L002", skip: str = "-", shards: str = "1", further: str = "-") -> None:
    sample.command("samtools", "check", REFERENCE, SAMPLE, lanes, skip, shards, further)


@pytest.mark.parametrize(
    ("lanes", "shards", "error", "message"),
    [
        ("L001", "1", DATA, r"^NA1\.bam is not of the lanes L001: "),
        ("L001,L002,L003", "1", MISSING, r"no record of mem\.L003"),
        ("L001,L002", "2", MISSING, "no record of call.0-of-2"),
        ("L001,L002", "-", UsageError, "number of shards"),
        ("-", "1", UsageError, "no lanes"),
    ],
)
def test_it_wants_the_lanes_and_shards_that_it_was_told(
    finished: TinySample, lanes: str, shards: str, error: type[StepError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(finished, lanes, shards=shards)


def test_a_breach_removes_an_earlier_record_of_the_check(finished: TinySample) -> None:
    (finished.folder / "NA1.bam.bai").unlink()
    with pytest.raises(MissingInputError):
        check(finished)
    assert not (finished.folder / "steps" / "check.json").exists()


def test_the_order_of_the_lanes_does_not_matter(finished: TinySample) -> None:
    check(finished, "L002,L001")


def test_what_was_skipped_is_not_wanted(finished: TinySample) -> None:
    for figure in ("flagstat", "coverage", "idxstats", "stats", "markdup"):
        (finished.folder / "qc" / f"NA1.{figure}.txt").unlink()
    (finished.folder / "steps" / "qc.json").unlink()
    check(finished, skip="duplicates,qc")


def test_the_results_of_steps_that_a_lab_added_are_checked_by_their_names(finished: TinySample) -> None:
    record = finished.folder / "steps" / "depths.json"
    copy_qc = (finished.folder / "steps" / "qc.json").read_text(encoding="utf-8").replace('"qc"', '"depths"')

    def refuse(error: type[StepError], message: str, further: str = "depths") -> None:
        with pytest.raises(error, match=message):
            check(finished, further=further)

    refuse(UsageError, "bad step 'a b'", "a b")
    refuse(MISSING, "^no record of depths: ")
    record.write_text(copy_qc.replace("NA1.stats.txt", "NA1.depths.txt"), encoding="utf-8")
    refuse(MISSING, r"^no qc/NA1\.depths\.txt: .* depths does its work anew")
    shutil.copy2(finished.folder / "qc" / "NA1.stats.txt", finished.folder / "qc" / "NA1.depths.txt")
    check(finished, further="depths")
    assert any(entry["path"].endswith("NA1.depths.txt") for entry in finished.record("check")["outputs"])
    record.write_text(record.read_text().replace(finished.record("finish")["outputs"][-1]["sha256"], "0" * 64))
    refuse(DATA, r"^depths was not made from NA1\.bam")


def test_the_bam_of_an_only_lane_may_come_from_finish(sample: TinySample) -> None:
    sample.step("index")
    sample.step("mem")
    for step in ("finish", "qc", "call", "gather", "check"):
        sample.step(step)
    assert any(entry["path"].endswith("/finish.json") for entry in sample.record("check")["inputs"])


FLAGSTAT = """{0} + 0 in total (QC-passed reads + QC-failed reads)
{0} + 0 primary
{1} + 0 primary duplicates
{2} + 0 with itself and mate mapped
{3} + 0 properly paired (50.00% : N/A)
"""


@pytest.mark.parametrize(
    ("figures", "further", "notes"),
    [
        ((100, 80, 100, 50), (), []),
        ((100, 81, 100, 50), (), ["81% of the reads .*--skip duplicates"]),
        ((100, 0, 100, 49), (), ["51% of the mapped pairs .*--count-orphans"]),
        ((100, 0, 100, 49), ("-", "count-orphans"), []),
        ((0, 0, 0, 0), (), []),
    ],
)
def test_the_record_notes_conspicuous_figures(
    sample: TinySample, figures: tuple[int, ...], further: tuple[str, ...], notes: list[str]
) -> None:
    sample.run(before="qc")
    sample.provide("flagstat", FLAGSTAT.format(*figures))
    sample.step("qc")
    sample.step("call", *further)
    sample.step("gather")
    sample.step("check")
    recorded = sample.record("check")["notes"]
    assert len(recorded) == len(notes)
    assert all(re.search(pattern, note) for note, pattern in zip(recorded, notes, strict=True))
