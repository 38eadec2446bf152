"""All steps of a sample in sequence, with fake programs."""

import hashlib
from pathlib import Path

import pytest
from support.fake_programs import FakePrograms
from support.tiny_sample import REFERENCE, SAMPLE, TinySample

from step.job import Job

BAI_LIMIT = 1 << 29


@pytest.mark.parametrize(("length", "bam", "vcf"), [(BAI_LIMIT - 1, "bai", "tbi"), (BAI_LIMIT, "csi", "csi")])
@pytest.mark.parametrize("lanes", [("L001",), ("L001", "L002")], ids=["one lane", "two lanes"])
def test_a_sample_goes_from_reads_to_checked_results_with_indexes_for_its_longest_sequence(
    job: Job, programs: FakePrograms, length: int, bam: str, vcf: str, lanes: tuple[str, ...]
) -> None:
    sample = TinySample(job=job, programs=programs, lengths={"long": length, "short": 5})
    sample.run(lanes)
    assert sample.left_over() == []
    indexes = {file.suffix for file in sample.folder.iterdir() if file.suffix in (".bai", ".csi", ".tbi")}
    assert indexes == {f".{bam}", f".{vcf}"}
    checked = [Path(entry["path"]).name for entry in sample.record("check")["outputs"]]
    assert len(checked) == 11
    assert {f"{SAMPLE}.bam.{bam}", f"{SAMPLE}.vcf.gz.{vcf}"} <= set(checked)
    for reader in ("qc", "call.0-of-1"):
        assert f"{SAMPLE}.bam.{bam}" in {Path(entry["path"]).name for entry in sample.record(reader)["inputs"]}
    digest = hashlib.sha256(sample.fasta.read_bytes()).hexdigest()
    steps = [file.stem for file in (sample.folder / "steps").glob("*.json")]
    assert len(steps) == (7 if len(lanes) > 1 else 5)
    assert all(sample.record(step)["reference"] == {"name": REFERENCE, "sha256": digest} for step in steps)


@pytest.mark.parametrize(("before", "stale"), [("qc", "bam.csi"), ("check", "vcf.gz.csi")])
def test_an_index_of_the_other_kind_from_an_earlier_attempt_is_removed(
    sample: TinySample, before: str, stale: str
) -> None:
    sample.run(before=before)
    index = sample.folder / f"{SAMPLE}.{stale}"
    index.write_bytes(b"stale")
    for record in (sample.folder / "steps").glob("*.json"):
        record.unlink()
    if before == "qc":
        sample.step("mem", lanes="L001")
    else:
        sample.step("gather")
    assert not index.exists()


def test_norm_selects_the_shard_s_records_since_call_would_drop_them_all(sample: TinySample) -> None:
    sample.run(before="call")
    sample.inject("call", "assert '-T' not in words and '-t' not in words")
    sample.inject("norm", "assert read(words[words.index('-T') + 1]) == b'chrB\\t1\\t16\\n'")
    sample.command("bcftools", "call", REFERENCE, SAMPLE, "2", "1")
