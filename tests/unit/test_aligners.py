"""The aligner that a run uses, and why."""

from pathlib import Path

import pytest

from toolchain.settings import AlignerChoice
from toolchain.workflow.aligners import (
    INDEX_PER_BASE,
    MAKING,
    MIB,
    WORK_MIB,
    Choice,
    Reference,
    choose,
    look,
    with_memory,
)

HUMAN = Reference(index=17 * 1024**3)
NEEDED = 17 * 1024 + WORK_MIB  # MiB


@pytest.mark.parametrize("aligner", ["bwa", "bwa-mem3"])
@pytest.mark.parametrize("reference", [HUMAN, Reference(index=None)])
def test_an_aligner_that_was_asked_for_is_taken(aligner: str, reference: Reference) -> None:
    assert choose(aligner, reference, memory=1) == Choice(aligner=aligner, reason="as asked for")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reference", "memory", "aligner", "reason"),
    [
        (HUMAN, NEEDED, "bwa-mem3", f"its index stands, and with a batch takes {NEEDED} of {NEEDED} MiB"),
        (HUMAN, NEEDED - 1, "bwa", f"takes {NEEDED} MiB, and a job of it has {NEEDED - 1}"),
        (Reference(index=None), 1_000_000, "bwa", "no index"),
        (Reference(index=None, making=100 * 1024**2), 100 + WORK_MIB, "bwa-mem3", "making its index takes"),
        (Reference(index=None, making=100 * 1024**2), 99 + WORK_MIB, "bwa", f"and a job of it has {99 + WORK_MIB}"),
    ],
)
def test_auto_takes_bwa_mem3_if_the_memory_holds_its_index_or_making_it(
    reference: Reference, memory: int, aligner: str, reason: str
) -> None:
    choice = choose("auto", reference, memory=memory)
    assert choice.aligner == aligner
    assert reason in choice.reason


def test_a_prepared_index_counts_with_its_size_once_it_is_complete(tmp_path: Path) -> None:
    references, workflow = tmp_path / "reference", tmp_path / "germline"
    references.mkdir()
    assert look(references, workflow, "a.fa") == Reference(index=None)
    (references / "a.fa").write_bytes(b"A" * 100)
    assert look(references, workflow, "a.fa") == Reference(index=None, making=100 * MAKING)
    (workflow / "reference" / "names").mkdir(parents=True)
    (workflow / "reference" / "names" / "a.fa.json").write_text('{"sha256": "0123"}', encoding="utf-8")
    folder = workflow / "reference" / "0123" / "bwa-mem3"
    folder.mkdir(parents=True)
    (folder / "reference.fa.bwt.2bit.64").write_bytes(b"x" * 1000)
    assert look(references, workflow, "a.fa").index is None, "the index is incomplete"
    (folder / "reference.fa.pac").write_bytes(b"x" * 10)
    assert look(references, workflow, "a.fa").index == 1000 + 9 * 10


def test_an_index_beside_the_fasta_does_not_count(tmp_path: Path) -> None:
    for suffix in ("", ".bwt.2bit.64", ".pac"):
        (tmp_path / f"a.fa{suffix}").write_bytes(b"A" * 100)
    assert look(tmp_path, tmp_path / "germline", "a.fa").index is None


def test_a_compressed_fasta_counts_uncompressed(tmp_path: Path) -> None:
    (tmp_path / "a.fa.gz").write_bytes(b"x" * 25)
    assert look(tmp_path, tmp_path / "germline", "a.fa.gz").making == 100 * MAKING


BASES = 3_100_000_000
HUMAN_INDEX = int(BASES * INDEX_PER_BASE) // MIB + WORK_MIB
HUMAN_MAKING = BASES * MAKING // MIB + WORK_MIB


@pytest.mark.parametrize(
    ("wanted", "making", "most", "aligner", "memory"),
    [
        ("auto", BASES * MAKING, HUMAN_MAKING, "bwa-mem3", {"index": HUMAN_MAKING}),
        ("auto", BASES * MAKING, HUMAN_MAKING - 1, "bwa", {}),
        # Its index came with it.
        ("auto", None, HUMAN_INDEX, "bwa-mem3", {}),
        ("auto", None, HUMAN_INDEX - 1, "bwa", {}),
        ("bwa-mem3", BASES * MAKING, 1000, "bwa-mem3", {"index": HUMAN_MAKING}),
    ],
)
def test_where_hosts_can_be_chosen_the_jobs_get_the_memory_that_they_take(
    wanted: AlignerChoice, making: int | None, most: int, aligner: str, memory: dict[str, int]
) -> None:
    human = Reference(index=int(BASES * INDEX_PER_BASE), making=making)
    choice = with_memory(wanted, human, usual=28000, most=most)
    assert (choice.aligner, choice.memory) == (aligner, memory)


def test_a_larger_genome_raises_the_memory_of_aligning_too() -> None:
    wheat = Reference(index=5 * int(BASES * INDEX_PER_BASE), making=None)
    choice = with_memory("auto", wheat, usual=28000, most=500_000)
    assert choice.memory == {"bwa-mem3": 5 * int(BASES * INDEX_PER_BASE) // MIB + WORK_MIB}
