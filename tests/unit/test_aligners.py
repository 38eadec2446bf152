"""Which aligner a run uses, and what is said of it."""

from pathlib import Path

import pytest

from toolchain.workflow.aligners import MAKING, WORK_MIB, Choice, Reference, choose, look

GIB = 1024**3
HUMAN = Reference(index=17 * GIB)


@pytest.mark.parametrize("wanted", ["bwa", "bwa-mem3"])
@pytest.mark.parametrize("reference", [HUMAN, Reference(index=None)])
def test_what_was_asked_for_is_taken_whatever_there_is(wanted: str, reference: Reference) -> None:
    assert choose(wanted, reference, memory=1) == Choice(aligner=wanted, reason="as asked for")  # type: ignore[arg-type]


def test_auto_takes_bwa_mem3_where_its_index_stands_and_the_memory_holds_it() -> None:
    choice = choose("auto", HUMAN, memory=28_000)
    assert choice == Choice(
        aligner="bwa-mem3", reason=f"its index stands, and with a batch takes {17 * 1024 + WORK_MIB} of 28000 MiB"
    )


def test_auto_takes_bwa_where_the_memory_does_not_hold_the_index_of_bwa_mem3() -> None:
    needed = 17 * 1024 + WORK_MIB
    assert choose("auto", HUMAN, memory=needed).aligner == "bwa-mem3"
    choice = choose("auto", HUMAN, memory=needed - 1)
    assert choice.aligner == "bwa"
    assert f"takes {needed} MiB, and a job of it has {needed - 1}" in choice.reason


def test_auto_takes_bwa_where_no_index_of_bwa_mem3_stands_and_none_is_made() -> None:
    choice = choose("auto", Reference(index=None), memory=1_000_000)
    assert choice.aligner == "bwa"
    assert "no index" in choice.reason


def test_auto_counts_what_making_the_index_takes_where_the_run_makes_it() -> None:
    genome = Reference(index=None, making=25 * 4 * 1024**2)
    assert choose("auto", genome, memory=100 + WORK_MIB).aligner == "bwa-mem3"
    assert choose("auto", genome, memory=99 + WORK_MIB).aligner == "bwa"


def test_an_index_that_stands_is_not_made_and_is_counted_by_what_it_holds(tmp_path: Path) -> None:
    references, workflow = tmp_path / "reference", tmp_path / "germline"
    references.mkdir()
    (references / "a.fa").write_bytes(b"A" * 100)
    assert look(references, workflow, "a.fa") == Reference(index=None, making=100 * MAKING)
    (workflow / "reference" / "names").mkdir(parents=True)
    (workflow / "reference" / "names" / "a.fa.json").write_text('{"sha256": "0123"}', encoding="utf-8")
    folder = workflow / "reference" / "0123" / "bwa-mem3"
    folder.mkdir(parents=True)
    (folder / "reference.fa.bwt.2bit.64").write_bytes(b"x" * 1000)
    assert look(references, workflow, "a.fa").index is None, "half an index is none"
    (folder / "reference.fa.pac").write_bytes(b"x" * 10)
    assert look(references, workflow, "a.fa").index == 1000 + 9 * 10


def test_an_index_that_only_lies_beside_the_fasta_is_not_counted(tmp_path: Path) -> None:
    for suffix in ("", ".bwt.2bit.64", ".pac"):
        (tmp_path / f"a.fa{suffix}").write_bytes(b"A" * 100)
    assert look(tmp_path, tmp_path / "germline", "a.fa").index is None


def test_a_compressed_fasta_counts_for_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.fa.gz").write_bytes(b"x" * 25)
    assert look(tmp_path, tmp_path / "germline", "a.fa.gz").making == 100 * MAKING


def test_of_a_reference_that_is_not_there_nothing_is_known(tmp_path: Path) -> None:
    assert look(tmp_path, tmp_path / "germline", "a.fa") == Reference(index=None)
