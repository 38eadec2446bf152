"""Prepared references: found by digest, kept by a run, made once. What is refused is in test_failures.py."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.fake_programs import image_commands
from support.tiny_sample import FASTA, LENGTHS, REFERENCE, TinySample, with_variables

from step import fasta, index
from step.errors import MissingInputError, TryAgainError, UsageError
from step.job import Job
from step.references import find_reference

OTHER = FASTA.replace("ACGT", "TGCA")
MANIFEST = "manifest.json"
TWO = ("L001", "L002")
Spoil = Callable[[TinySample], object]
INDEX_FILES = {MANIFEST, *(f"reference.fa{suffix}" for suffix in (".amb", ".ann", ".bwt", ".pac", ".sa"))}


def digest(text: str = FASTA) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prepared(sample: TinySample, sha256: str = "") -> Path:
    return sample.job.workflow / "reference" / (sha256 or digest())


def replace_fasta(sample: TinySample) -> None:
    """Replaces the FASTA by one of the same size and time."""
    status = sample.fasta.stat()
    sample.fasta.write_text(OTHER, encoding="ascii")
    os.utime(sample.fasta, ns=(status.st_atime_ns, status.st_mtime_ns))


def other_run(sample: TinySample, execution: str = "run2") -> Job:
    return with_variables(sample.job, EXECUTION_ID=execution)


def find(job: Job) -> str:
    return find_reference(job, REFERENCE).sha256


# ---- preparing -------------------------------------------------------------------------------------------------------


def test_a_reference_is_found_by_the_digest_of_its_fasta(sample: TinySample) -> None:
    for suffix in (".fai", ".bwt", ".sa", ".pac", ".amb", ".ann", ".bwt.2bit.64"):
        sample.fasta.with_name(sample.fasta.name + suffix).write_text("stale\t99\t0\t60\t61\n")
    sample.step("index")
    reference = find_reference(sample.job, REFERENCE)
    assert reference.sha256 == digest()
    assert reference.folder == prepared(sample)
    assert reference.fasta.read_text() == FASTA
    assert reference.lengths == LENGTHS
    assert reference.index("bwa").with_name("reference.fa.bwt").read_bytes() == b".bwt" + FASTA.encode()
    assert {file.name for file in (reference.folder / "bwa").iterdir()} == INDEX_FILES
    for part in ("fasta", "bwa"):
        manifest = json.loads((reference.folder / part / MANIFEST).read_text())
        assert manifest["fasta"] == digest()
        for name, sha256 in manifest["files"].items():
            assert sha256 == hashlib.sha256((reference.folder / part / name).read_bytes()).hexdigest()
    assert sample.left_over() == []
    files = {file: file.stat().st_mtime_ns for file in prepared(sample).rglob("*")}
    sample.step("index")
    assert "index.bwa is done already" in sample.log()
    assert {file: file.stat().st_mtime_ns for file in files} == files


@pytest.mark.parametrize("suffix", [".bwt", ".64.bwt"])
def test_an_index_beside_the_fasta_is_named_and_not_used(sample: TinySample, suffix: str) -> None:
    sample.fasta.with_name(f"{REFERENCE}{suffix}").write_text("of some other FASTA")
    sample.step("index")
    assert f"note: ref.fa{suffix} is not used: nothing proves that it is of this FASTA" in sample.log()


def test_a_reference_can_be_prepared_outside_a_run_but_not_for_one_with_a_bad_name(sample: TinySample) -> None:
    with pytest.raises(UsageError, match="bad EXECUTION_ID"):
        sample.step("index", job=other_run(sample, "a b"))
    assert not sample.job.workflow.exists()
    sample.step("index", job=other_run(sample, ""))
    assert not sample.job.run.exists()
    assert find(sample.job) == digest()


def test_a_reference_that_changes_while_it_is_read_is_retried(
    sample: TinySample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def normalise(source: Path, *arguments: Any) -> str:  # noqa: ANN401
        source.write_text(OTHER, encoding="ascii")
        return fasta.normalise(source, *arguments)

    monkeypatch.setattr(index, "normalise", normalise)
    with pytest.raises(TryAgainError, match=r"changed while it was read"):
        sample.step("index")
    assert sample.finished() == sample.left_over() == []


def test_the_alt_contigs_beside_a_fasta_are_part_of_the_reference(sample: TinySample) -> None:
    sample.fasta.with_name(f"{REFERENCE}.alt").write_text("@HD\tVN:1.6\n\nchrB\t0\tchrA\t1\t60\t8M\n")
    sample.step("index")
    reference = find_reference(sample.job, REFERENCE)
    assert reference.sha256 != digest()
    assert reference.index("bwa").with_name("reference.fa.alt").read_text().splitlines()[2].startswith("chrB")


# ---- replaced references ---------------------------------------------------------------------------------------------


def test_a_run_keeps_the_reference_that_it_began_with_and_another_gets_the_new_one(sample: TinySample) -> None:
    sample.run(TWO, before="finish")
    replace_fasta(sample)
    second = other_run(sample)
    message = r"was replaced or changed since it was\. Run 'step index ref\.fa' again"
    with pytest.raises(MissingInputError, match=message):
        find(second)
    sample.step("index", job=second)
    for step in ("finish", "qc", "call", "gather", "check"):
        sample.step(step, lanes="L001,L002")
    assert sample.record("check")["reference"]["sha256"] == digest()
    assert find_reference(second, REFERENCE).fasta.read_text() == OTHER
    assert find(second) == digest(OTHER)


def test_a_run_that_did_not_prepare_its_reference_keeps_the_one_it_found_first(sample: TinySample) -> None:
    sample.step("index")
    assert find(other_run(sample)) == digest()
    replace_fasta(sample)
    sample.step("index", job=other_run(sample, "run3"))
    sample.fasta.unlink()
    assert find(other_run(sample)) == digest()
    assert find(other_run(sample, "run4")) == digest(OTHER)


# ---- concurrency -----------------------------------------------------------------------------------------------------


def run_concurrently(*tasks: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def guarded(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001  # asserted below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_several_runs_and_aligners_prepare_one_reference_concurrently(sample: TinySample) -> None:
    jobs = [other_run(sample, f"run{number}") for number in range(4)]
    images = ["bwa", "bwa", "bwa-mem3", "bwa-mem3"]
    for image in images:
        image_commands(image)
    sample.inject("index", "time.sleep(0.05)")
    run_concurrently(
        *(partial(sample.command, image, "index", REFERENCE, job=job) for job, image in zip(jobs, images, strict=True))
    )
    for job in jobs:
        reference = find_reference(job, REFERENCE)
        assert [reference.index(name).parent.name for name in ("bwa", "bwa-mem3")] == ["bwa", "bwa-mem3"]
    assert sample.left_over() == []
    assert not [name for name in sample.finished() if Path(name).name.startswith(".")]


def test_concurrent_first_steps_of_a_run_agree_on_its_reference(sample: TinySample) -> None:
    sample.step("index", job=other_run(sample, "run0"))
    digests: list[str] = []

    def note() -> None:
        with contextlib.suppress(MissingInputError):  # replaced, and not yet prepared
            digests.append(find(sample.job))

    def republish() -> None:
        replace_fasta(sample)
        sample.step("index", job=other_run(sample, "run9"))

    run_concurrently(*[note] * 4, republish, *[note] * 4)
    note()
    assert len(set(digests)) == 1
    assert [file.name for file in (sample.job.run / "steps" / "reference").iterdir()] == [f"{REFERENCE}.json"]


# ---- delivered indexes -----------------------------------------------------------------------------------------------


@pytest.fixture
def delivered(sample: TinySample) -> Path:
    """An index beside the FASTA, as prepared by another workflow, marked so that its use can be seen."""
    other = with_variables(sample.job, WORKFLOW_NAME="earlier")
    sample.step("index", job=other)
    folder = sample.fasta.with_name(f"{REFERENCE}.prepared") / "bwa"
    shutil.copytree(other.workflow / "reference" / digest() / "bwa", folder)
    add_file(folder, "reference.fa.sa", b"delivered")
    return folder


def add_file(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def used_delivered_index(sample: TinySample) -> bool:
    sample.step("index")
    return (prepared(sample) / "bwa" / "reference.fa.sa").read_bytes() == b"delivered"


def test_an_index_that_provably_belongs_to_the_fasta_is_copied(sample: TinySample, delivered: Path) -> None:
    sample.inject("index", "sys.exit('no index is to be made')")
    assert used_delivered_index(sample)
    assert delivered.exists()
    assert sample.left_over() == []


SPOILS: dict[str, Callable[[Path], object]] = {
    "damaged": lambda folder: (folder / "reference.fa.bwt").write_bytes(b"damaged"),
    "incomplete": lambda folder: (folder / "reference.fa.bwt").unlink(),
    "without a manifest": lambda folder: (folder / MANIFEST).unlink(),
    "with a broken manifest": lambda folder: (folder / MANIFEST).write_text('{"fasta": 3'),
    "with a strange manifest": lambda folder: (folder / MANIFEST).write_text('{"fasta": "x", "files": ["a"]}'),
    "of another FASTA": lambda folder: (folder / MANIFEST).write_text('{"fasta": "x", "files": {"a": "x"}}'),
    "with a file from elsewhere": lambda folder: add_file(folder, "../../../secret", b"x"),
    "with ALT contigs that the FASTA does not have": lambda folder: add_file(folder, "reference.fa.alt", b"chrA\n"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_an_index_is_made_where_the_delivered_one_is(sample: TinySample, delivered: Path, spoil: str) -> None:
    SPOILS[spoil](delivered)
    assert not used_delivered_index(sample)
    assert f"note: {delivered} is not used: " in sample.log()
    assert {file.name for file in (prepared(sample) / "bwa").iterdir()} == INDEX_FILES


def test_a_removed_reference_can_be_prepared_again(sample: TinySample) -> None:
    sample.step("index")
    shutil.rmtree(prepared(sample))
    sample.step("index")
    sample.step("mem")
