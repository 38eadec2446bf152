"""All steps of a sample one after the other, with stand-ins for the programs."""

import hashlib
from pathlib import Path

import pytest
from support.finished_sample import REFERENCE, SAMPLE, Tiny
from support.standins import Standins

from step.job import Job

LONG = 1 << 29


@pytest.mark.parametrize("lanes", [("L001",), ("L001", "L002")], ids=["one lane", "two lanes"])
def test_a_sample_goes_from_reads_to_a_contract_that_is_kept(tiny: Tiny, lanes: tuple[str, ...]) -> None:
    tiny.all(lanes)
    assert len(tiny.record("check")["outputs"]) == 11
    assert tiny.left_over() == []


@pytest.mark.parametrize(("length", "bam", "vcf"), [(LONG - 1, "bai", "tbi"), (LONG, "csi", "csi")])
@pytest.mark.parametrize("lanes", [("L001",), ("L001", "L002")], ids=["one lane", "two lanes"])
def test_the_kind_of_every_index_follows_from_the_longest_sequence(
    job: Job, standins: Standins, length: int, bam: str, vcf: str, lanes: tuple[str, ...]
) -> None:
    tiny = Tiny(job=job, standins=standins, lengths={"long": length, "short": 5})
    tiny.all(lanes)
    kinds = {file.suffix for file in tiny.folder.iterdir() if file.suffix in (".bai", ".csi", ".tbi")}
    assert kinds == {f".{bam}", f".{vcf}"}
    checked = {Path(entry["path"]).name for entry in tiny.record("check")["outputs"]}
    assert {f"{SAMPLE}.bam.{bam}", f"{SAMPLE}.vcf.gz.{vcf}"} <= checked
    for reader in ("qc", "call.0-of-1"):
        assert f"{SAMPLE}.bam.{bam}" in {Path(entry["path"]).name for entry in tiny.record(reader)["inputs"]}


def test_an_index_of_the_other_kind_that_an_earlier_attempt_left_goes(tiny: Tiny) -> None:
    tiny.all(until="qc")
    stale = tiny.folder / f"{SAMPLE}.bam.csi"
    stale.write_bytes(b"stale")
    (tiny.folder / "steps" / "mem.L001.json").unlink()
    tiny.mem(lanes="L001")
    assert not stale.exists()


def test_every_record_names_the_digest_of_the_reference(tiny: Tiny) -> None:
    tiny.all(("L001", "L002"))
    digest = hashlib.sha256(tiny.fasta.read_bytes()).hexdigest()
    for step in ("mem.L001", "mem.L002", "finish", "qc", "call.0-of-1", "gather", "check"):
        assert tiny.record(step)["reference"] == {"name": REFERENCE, "sha256": digest}


def test_norm_takes_a_shard_s_own_records_since_call_would_drop_them_all(tiny: Tiny) -> None:
    tiny.all(until="call")
    tiny.fault("call", "assert '-T' not in words and '-t' not in words")
    tiny.fault("norm", "assert Path(words[words.index('-T') + 1]).read_text() == 'chrB\\t1\\t16\\n'")
    tiny.step("bcftools", "call", REFERENCE, SAMPLE, "2", "1")
