"""Prepared references: found by the digest of their FASTA, kept by a run, and never trusted by their name."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.finished_sample import FASTA, REFERENCE, SAMPLE, Tiny, bam, commands

from step import fasta, index, references
from step.errors import BadDataError, MissingInputError, ToolFailedError, TryAgainError, UsageError
from step.job import Job

OTHER = FASTA.replace("ACGT", "TGCA")
MANIFEST = "manifest.json"


def digest(text: str = FASTA) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prepared(tiny: Tiny, sha256: str) -> Path:
    return tiny.job.workflow / "reference" / sha256


def replaced(tiny: Tiny, text: str = OTHER) -> None:
    """Puts another FASTA of the same size and time at the same name."""
    status = tiny.fasta.stat()
    tiny.fasta.write_text(text, encoding="ascii")
    os.utime(tiny.fasta, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert tiny.fasta.stat().st_size == status.st_size


def other_run(tiny: Tiny, execution: str = "run2", **variables: str) -> Job:
    return replace(tiny.job, environment={**tiny.job.environment, "EXECUTION_ID": execution, **variables})


def test_a_reference_is_found_by_the_digest_of_its_fasta(tiny: Tiny) -> None:
    tiny.index()
    reference = references.find_reference(tiny.job, REFERENCE)
    assert reference.sha256 == digest()
    assert reference.folder == prepared(tiny, digest())
    assert reference.fasta.read_text() == FASTA
    assert reference.lengths == tiny.lengths
    assert reference.index("bwa").with_name("reference.fa.bwt").read_bytes() == b".bwt" + FASTA.encode()
    for part in ("fasta", "bwa"):
        manifest = json.loads((reference.folder / part / MANIFEST).read_text())
        assert manifest["fasta"] == digest()
        for name, known in manifest["files"].items():
            assert known == hashlib.sha256((reference.folder / part / name).read_bytes()).hexdigest()
    assert tiny.left_over() == []


def test_of_an_index_only_the_files_that_the_aligner_reads_are_kept(tiny: Tiny) -> None:
    tiny.index()
    files = {file.name for file in (prepared(tiny, digest()) / "bwa").iterdir()}
    assert files == {MANIFEST, *(f"reference.fa{suffix}" for suffix in (".amb", ".ann", ".bwt", ".pac", ".sa"))}


def test_prepared_again_it_is_done_already(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    tiny.index()
    files = {file: file.stat().st_mtime_ns for file in prepared(tiny, digest()).rglob("*")}
    tiny.index()
    assert "index.bwa is done already" in capfd.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_stale_files_beside_a_fasta_are_not_used(tiny: Tiny) -> None:
    for suffix in (".fai", ".bwt", ".sa", ".pac", ".amb", ".ann", ".bwt.2bit.64"):
        tiny.fasta.with_name(tiny.fasta.name + suffix).write_text("stale\t99\t0\t60\t61\n")
    tiny.index()
    reference = references.find_reference(tiny.job, REFERENCE)
    assert reference.lengths == tiny.lengths
    assert not any(b"stale" in file.read_bytes() for file in reference.folder.rglob("*") if file.is_file())


# ---- replaced references ---------------------------------------------------------------------------------------------


def test_another_fasta_of_the_same_size_and_time_is_another_reference(tiny: Tiny) -> None:
    tiny.index()
    replaced(tiny)
    second = other_run(tiny)
    tiny.index(job=second)
    assert references.find_reference(second, REFERENCE).sha256 == digest(OTHER)
    assert references.find_reference(second, REFERENCE).fasta.read_text() == OTHER


def test_a_run_keeps_the_reference_that_it_began_with_and_another_gets_the_new_one(tiny: Tiny) -> None:
    tiny.all(("L001", "L002"), until="finish")
    replaced(tiny)
    second = other_run(tiny)
    tiny.index(job=second)
    for step in ("finish", "qc", "call", "gather", "check"):
        image = "bcftools" if step in ("call", "gather") else "samtools"
        tiny.step(image, step, *tiny.words(step, lanes="L001,L002"))
    assert tiny.record("check")["reference"]["sha256"] == digest()
    assert references.find_reference(second, REFERENCE).sha256 == digest(OTHER)


def test_a_run_that_was_prepared_by_another_keeps_what_it_met_first(tiny: Tiny) -> None:
    tiny.index()
    second = other_run(tiny)
    assert references.find_reference(second, REFERENCE).sha256 == digest()
    replaced(tiny)
    tiny.index(job=other_run(tiny, "run3"))
    assert references.find_reference(second, REFERENCE).sha256 == digest()
    assert references.find_reference(other_run(tiny, "run4"), REFERENCE).sha256 == digest(OTHER)


def test_prepared_outside_a_run_no_run_is_noted(tiny: Tiny) -> None:
    environment = {name: value for name, value in tiny.job.environment.items() if name != "EXECUTION_ID"}
    tiny.index(job=replace(tiny.job, environment=environment))
    assert not tiny.job.run.exists()
    assert references.find_reference(tiny.job, REFERENCE).sha256 == digest()


def test_a_bad_name_of_the_run_is_told_before_an_hour_of_work(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="bad EXECUTION_ID"):
        tiny.index(job=other_run(tiny, "a b"))
    assert not tiny.job.workflow.exists()


def test_a_reference_that_changes_while_it_is_read_is_tried_again(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fasta.normalise

    def prepare(source: Path, name: str, write: Callable[[bytes], object]) -> str:
        source.write_text(OTHER, encoding="ascii")
        return real(source, name, write)

    monkeypatch.setattr(index, "normalise", prepare)
    with pytest.raises(TryAgainError, match=r"changed while it was read"):
        tiny.index()
    assert tiny.finished() == []
    assert tiny.left_over() == []


@pytest.mark.parametrize("step", ["mem.L001", "finish", "qc", "call.0-of-1", "gather"])
def test_check_refuses_a_step_that_was_done_with_another_reference(tiny: Tiny, step: str) -> None:
    tiny.all(("L001", "L002"))
    record = tiny.folder / "steps" / f"{step}.json"
    record.write_text(record.read_text().replace(digest(), digest(OTHER)))
    with pytest.raises(BadDataError, match=rf"^{step} was done with another reference: .*{digest(OTHER)}.*{digest()}"):
        tiny.step("samtools", "check", *tiny.words("check", lanes="L001,L002"))
    assert not (tiny.folder / "steps" / "check.json").exists()


# ---- at once -------------------------------------------------------------------------------------------------------


def at_once(*works: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_two_runs_and_two_aligners_prepare_one_reference_at_once(tiny: Tiny) -> None:
    jobs = [tiny.job, other_run(tiny), other_run(tiny, "run3"), other_run(tiny, "run4")]
    images = ["bwa", "bwa", "bwa-mem3", "bwa-mem3"]
    for image in images:
        commands(image)
    tiny.fault("index", "time.sleep(0.05)")
    at_once(
        *(
            (lambda job=job, image=image: tiny.step(image, "index", REFERENCE, job=job))
            for job, image in zip(jobs, images, strict=True)
        )
    )
    for job in jobs:
        reference = references.find_reference(job, REFERENCE)
        assert {reference.index(name).parent.name for name in ("bwa", "bwa-mem3")} == {"bwa", "bwa-mem3"}
    assert tiny.left_over() == []
    assert not [name for name in tiny.finished() if Path(name).name.startswith(".")]


def test_steps_that_begin_a_run_at_once_agree_on_its_reference(tiny: Tiny) -> None:
    tiny.index(job=other_run(tiny, "run0"))
    digests: list[str] = []

    def find() -> None:
        with contextlib.suppress(MissingInputError):  # replaced, and not yet prepared
            digests.append(references.find_reference(tiny.job, REFERENCE).sha256)

    def republish() -> None:
        replaced(tiny)
        tiny.index(job=other_run(tiny, "run9"))

    at_once(*[find] * 4, republish, *[find] * 4)
    find()
    assert len(set(digests)) == 1
    pins = tiny.job.run / "steps" / "reference"
    assert [file.name for file in pins.iterdir()] == [f"{REFERENCE}.json"]


# ---- indexes that come with a reference ------------------------------------------------------------------------------


@pytest.fixture
def delivered(tiny: Tiny) -> Path:
    """An index beside the FASTA, as another workflow prepared it, marked so that its use can be seen."""
    other = replace(tiny.job, environment={**tiny.job.environment, "WORKFLOW_NAME": "earlier"})
    tiny.index(job=other)
    folder = tiny.fasta.with_name(f"{REFERENCE}.prepared") / "bwa"
    shutil.copytree(other.workflow / "reference" / digest() / "bwa", folder)
    marked(folder, "reference.fa.sa", b"delivered")
    return folder


def marked(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def adopted(tiny: Tiny) -> bool:
    tiny.index()
    return (prepared(tiny, digest()) / "bwa" / "reference.fa.sa").read_bytes() == b"delivered"


def test_an_index_that_provably_belongs_to_the_fasta_is_copied(tiny: Tiny, delivered: Path) -> None:
    tiny.fault("index", "sys.exit('no index is to be made')")
    assert adopted(tiny)
    assert delivered.exists()
    assert tiny.left_over() == []


def damaged(folder: Path) -> None:
    (folder / "reference.fa.bwt").write_bytes(b"damaged")


def incomplete(folder: Path) -> None:
    (folder / "reference.fa.bwt").unlink()


def of_another_fasta(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace(digest(), digest(OTHER)))


def without_a_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def with_a_broken_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"fasta": 3')


def with_a_strange_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"fasta": "x", "files": ["a"]}')


def with_a_file_from_elsewhere(folder: Path) -> None:
    marked(folder, "../../../secret", b"x")


def with_alternatives_that_the_fasta_has_not(folder: Path) -> None:
    marked(folder, "reference.fa.alt", b"chrA\n")


@pytest.mark.parametrize(
    "spoil",
    [
        damaged,
        incomplete,
        of_another_fasta,
        without_a_manifest,
        with_a_broken_manifest,
        with_a_strange_manifest,
        with_a_file_from_elsewhere,
        with_alternatives_that_the_fasta_has_not,
    ],
)
def test_an_index_is_made_anew_where_the_delivered_one_is(
    tiny: Tiny, delivered: Path, spoil: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(delivered)
    assert not adopted(tiny)
    assert f"note: {delivered} is not used: " in capfd.readouterr().err
    files = {file.name for file in (prepared(tiny, digest()) / "bwa").iterdir()}
    assert files == {MANIFEST, *(f"reference.fa{suffix}" for suffix in (".amb", ".ann", ".bwt", ".pac", ".sa"))}


# ---- ALT contigs -----------------------------------------------------------------------------------------------------


def test_the_alternatives_beside_a_fasta_are_part_of_the_reference(tiny: Tiny) -> None:
    tiny.index()
    plain = references.find_reference(tiny.job, REFERENCE).sha256
    tiny.fasta.with_name(f"{REFERENCE}.alt").write_text("@HD\tVN:1.6\n\nchrB\t0\tchrA\t1\t60\t8M\n")
    tiny.index()
    reference = references.find_reference(tiny.job, REFERENCE)
    assert reference.sha256 not in (plain, digest())
    assert reference.index("bwa").with_name("reference.fa.alt").read_text().splitlines()[2].startswith("chrB")


def test_alternatives_of_another_reference_are_refused(tiny: Tiny) -> None:
    tiny.fasta.with_name(f"{REFERENCE}.alt").write_text("chrX_alt\t0\tchrX\t1\t60\t8M\n")
    with pytest.raises(BadDataError, match=r"ref\.fa\.alt names 'chrX_alt', which is no sequence of it"):
        tiny.index()


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_a_reference_that_is_not_prepared_says_how_to_prepare_it(tiny: Tiny) -> None:
    with pytest.raises(MissingInputError, match=rf"'{REFERENCE}' is not prepared: .*Run 'step index {REFERENCE}' once"):
        tiny.mem()


def test_a_reference_that_is_not_there_is_named(tiny: Tiny) -> None:
    tiny.fasta.unlink()
    for attempt in (tiny.mem, tiny.index):
        with pytest.raises(MissingInputError, match=rf"^no {REFERENCE}: {tiny.fasta} is not there"):
            attempt()


def test_an_index_of_another_aligner_is_not_enough(tiny: Tiny) -> None:
    tiny.step("bwa-mem3", "index", REFERENCE)
    with pytest.raises(MissingInputError, match=r"has no index of bwa: .*with the bwa image"):
        tiny.mem()


def test_a_prepared_reference_that_was_removed_is_missed(tiny: Tiny) -> None:
    tiny.index()
    shutil.rmtree(prepared(tiny, digest()))
    with pytest.raises(MissingInputError, match=r"is not prepared: .*again"):
        tiny.mem()
    tiny.index()
    tiny.mem()


@pytest.mark.parametrize("content", ["", "chrA\n", "chrA\tx\n"])
def test_a_broken_list_of_sequences_ends_in_one_line(tiny: Tiny, content: str) -> None:
    tiny.index()
    (prepared(tiny, digest()) / "fasta" / "reference.fa.fai").write_text(content)
    with pytest.raises(
        BadDataError,
        match=r"^reference(\.fa\.fai is broken| 'ref\.fa' is damaged): .*Remove .*, and run 'step index.* again",
    ):
        tiny.mem()


def test_an_index_that_came_out_with_an_empty_file_is_an_error(tiny: Tiny) -> None:
    tiny.fault("index", "for s in ('.amb', '.ann', '.bwt', '.pac'): Path(words[2] + s).write_text(s)\nsys.exit()")
    with pytest.raises(ToolFailedError, match=r"the index came out broken: there is nothing in its \.sa"):
        tiny.index()
    assert not (prepared(tiny, digest()) / "bwa").exists()


def test_an_index_that_takes_more_memory_than_there_is_is_not_begun(tiny: Tiny) -> None:
    tiny.hold("fai", "long\t3000000000\t0\t60\t61\n")
    with pytest.raises(UsageError, match=r"to index ref\.fa takes 2861 MiB and this job has 2048"):
        tiny.index()


def test_a_bam_of_another_reference_is_not_called(tiny: Tiny) -> None:
    tiny.all(until="call")
    (tiny.folder / "NA1.bam").write_bytes(bam("NA1", ("L001",), {"chrC": 16}))
    with pytest.raises(BadDataError, match=r"^NA1\.bam is of another reference"):
        tiny.step("bcftools", "call", *tiny.words("call"))


def test_an_index_beside_the_fasta_that_proves_nothing_is_named_and_not_used(
    tiny: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.fasta.with_name(f"{tiny.fasta.name}.64.bwt").write_text("of some other FASTA")
    tiny.index()
    said = capfd.readouterr().err
    assert f"note: {tiny.fasta.name}.64.bwt is not used: nothing proves that it is of this FASTA" in said


# ---- files of a run that are of another reference --------------------------------------------------------------------


@pytest.mark.parametrize("step", ["finish", "qc", "call", "gather"])
def test_what_was_made_with_another_reference_is_refused_by_the_step_that_reads_it(tiny: Tiny, step: str) -> None:
    tiny.all(("L001", "L002"), until=step)
    replaced(tiny)
    tiny.index()
    image = "bcftools" if step in ("call", "gather") else "samtools"
    finished = tiny.finished()
    with pytest.raises(
        BadDataError, match=r"was made with another reference: .*Run (mem\.L001|finish|call\.0-of-1) again"
    ):
        tiny.step(image, step, *tiny.words(step, lanes="L001,L002"))
    assert tiny.finished() == finished
    assert tiny.left_over() == []


def test_a_lane_s_bam_under_another_lane_s_name_is_refused(tiny: Tiny) -> None:
    tiny.all(("L001", "L002"), until="finish")
    (tiny.folder / "lanes" / "L002.bam").write_bytes(bam(SAMPLE, ["L001"], tiny.lengths))
    with pytest.raises(BadDataError, match=r"^L002\.bam is not of lane L002: its read group is 'NA1\.L001'"):
        tiny.step("samtools", "finish", *tiny.words("finish", lanes="L001,L002"))


# ---- prepared, and then replaced -------------------------------------------------------------------------------------


def test_a_new_run_does_not_begin_with_a_fasta_that_was_replaced_since_it_was_prepared(tiny: Tiny) -> None:
    tiny.index()
    replaced(tiny)
    second = other_run(tiny)
    with pytest.raises(
        MissingInputError, match=r"was replaced or changed since it was\. Run 'step index ref\.fa' again"
    ):
        references.find_reference(second, REFERENCE)
    assert references.find_reference(tiny.job, REFERENCE).sha256 == digest()  # it began before
    tiny.index(job=second)
    assert references.find_reference(second, REFERENCE).sha256 == digest(OTHER)


def test_a_prepared_reference_outlives_its_fasta(tiny: Tiny) -> None:
    tiny.index()
    tiny.fasta.unlink()
    assert references.find_reference(other_run(tiny), REFERENCE).sha256 == digest()


@pytest.mark.parametrize("file", ["fasta/reference.fa", "fasta/reference.fa.fai", "bwa/reference.fa.bwt"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_prepared_reference_that_was_damaged_is_refused(tiny: Tiny, file: str, is_gone: bool) -> None:  # noqa: FBT001
    tiny.index()
    path = prepared(tiny, digest()) / file
    path.write_bytes(path.read_bytes()[:-1])
    if is_gone:
        path.unlink()
    for run in (tiny.mem, tiny.index):
        with pytest.raises(BadDataError, match=rf"^reference 'ref\.fa' is damaged: .*{path.name} has .*Remove .*again"):
            run()
    assert not tiny.folder.exists()
