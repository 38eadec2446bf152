"""Failures of steps: an error with its cause and advice, and nothing that looks finished or is left over."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import hts_files
from support.hts_files import Indexed
from support.tiny_sample import FASTA, REFERENCE, TinySample, bam, vcf

from step.errors import (
    BadDataError,
    CannotCreateError,
    InputOutputError,
    KilledError,
    MissingInputError,
    StepError,
    ToolFailedError,
    UsageError,
)

MISSING, DATA, FAILED, CREATE = MissingInputError, BadDataError, ToolFailedError, CannotCreateError
TWO = ("L001", "L002")
# Every step, with the lanes of the sample and the commands of its programs.
STEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "index": (TWO[:1], ("faidx", "index")),
    "mem": (TWO[:1], ("mem", "fixmate", "sort", "markdup")),
    "finish": (TWO, ("merge", "markdup")),
    "qc": (TWO[:1], ("flagstat", "coverage", "idxstats", "stats")),
    "call": (TWO[:1], ("mpileup", "call", "norm", "annotate")),
    "gather": (TWO[:1], ("concat", "index", "stats")),
    "check": (TWO, ()),
}
PROGRAMS = [(step, program) for step, (_, programs) in STEPS.items() for program in programs]

Spoil = Callable[[TinySample], object]
Case = tuple[str, Spoil, type[StepError], str]


def prepare(sample: TinySample, step: str) -> Callable[[], None]:
    """Runs what a step needs, and returns a function that runs the step itself."""
    lanes, _ = STEPS[step]
    sample.run(lanes, before=step)
    return lambda: sample.step(step, lanes=",".join(lanes))


def results(sample: TinySample) -> list[str]:
    """What looks finished, without pins of references, and without the FASTA of one, finished before its index."""
    return [file for file in sample.finished() if "/fasta/" not in file and "/steps/reference/" not in file]


# ---- programs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "program"), PROGRAMS)
def test_a_killed_program_is_named_and_nothing_is_published(sample: TinySample, step: str, program: str) -> None:
    run = prepare(sample, step)
    finished = results(sample)
    sample.inject(program, "os.kill(os.getpid(), 9)")
    name = "bwa" if (step, program) in (("index", "index"), ("mem", "mem")) else program
    with pytest.raises(KilledError, match=rf"^{name} was killed: most likely .* 2048 MiB of this job"):
        run()
    assert results(sample) == finished
    assert sample.left_over() == []


def inject(program: str, code: str) -> Spoil:
    return lambda sample: sample.inject(program, code)


def provide(name: str, data: bytes) -> Spoil:
    return lambda sample: sample.provide(name, data)


def break_reads(sample: TinySample) -> None:
    """Bad reads, and an aligner that would not end by itself."""
    (sample.job.root / "data" / "L001_2.fq.gz").write_bytes(b"@L001:0/2\nACGT\n+\nIII\n")
    sample.inject("mem", "time.sleep(60)")


WRITE_NOTHING = "drain() if name != 'concat' else None\nsys.exit()"
NOTHING = "wrote nothing|came out broken|is not there"
NO_SPACE = "sys.exit('[E::bgzf_flush] write failed: No space left on device')"
NO_FIGURES = "os.symlink('/dev/null', 'markdup.txt')"
FEW_FILES = "write(words[2] + '.amb', b'x')\nsys.exit()"
HUGE = b"long\t3000000000\t0\t60\t61\n"
WRITERS = [("index", "index"), ("mem", "markdup"), ("finish", "markdup"), ("qc", "idxstats"), ("call", "annotate")]
BAD_OUTPUT: list[Case] = [
    *((step, inject(program, WRITE_NOTHING), FAILED, NOTHING) for step, program in WRITERS),
    *(("gather", inject(program, WRITE_NOTHING), FAILED, NOTHING) for program in ("concat", "stats")),
    *(
        (step, inject(programs[-1], NO_SPACE), InputOutputError, "failed: no space is left on the file system of")
        for step, (_, programs) in STEPS.items()
        if programs
    ),
    ("mem", provide("bam", bam(["L001"])[:-20]), FAILED, r"^out\.bam came out broken: .*cut off.*Run the step again"),
    ("mem", provide("bam", bam(["L001"])[:40]), FAILED, r"^out\.bam came out broken: .*no BAM header"),
    ("mem", provide("index", hts_files.bai([])[:6]), FAILED, "^the index came out broken: it was cut off"),
    ("mem", provide("index", hts_files.bai([Indexed()] * 3)), FAILED, "^the index came out .*: it is of another ref"),
    ("mem", inject("markdup", NO_FIGURES), FAILED, r"^no NA1\.markdup\.txt: the programs wrote nothing to markdup"),
    ("mem", break_reads, DATA, "^bad reads: "),
    *((step, provide("vcf", vcf()[:-20]), FAILED, r"\.vcf\.gz came out broken") for step in ("call", "gather")),
    ("index", inject("index", FEW_FILES), FAILED, r"^the index came out broken: there is nothing in its \.ann"),
    ("index", provide("fai", HUGE), UsageError, r"to index ref\.fa takes 2861 MiB and this job has 2048"),
]

# ---- obstacles -------------------------------------------------------------------------------------------------------

BAM_RESULTS = ("NA1.bam", "NA1.bam.bai", "qc/NA1.markdup.txt")
RESULTS = {
    "mem": BAM_RESULTS,
    "finish": BAM_RESULTS,
    "qc": ("qc/NA1.stats.txt",),
    "call": ("shards/0-of-1.vcf.gz",),
    "gather": ("NA1.vcf.gz", "NA1.vcf.gz.tbi", "qc/NA1.bcftools.txt"),
}


def put_directory(file: str) -> Spoil:
    return lambda sample: (sample.folder / file / "x").mkdir(parents=True)


def put_file(folder: str) -> Spoil:
    def spoil(sample: TinySample) -> None:
        shutil.rmtree(sample.folder / folder, ignore_errors=True)
        sample.folder.mkdir(parents=True, exist_ok=True)
        (sample.folder / folder).touch()

    return spoil


IN_THE_WAY = r"^cannot write .*/{}: .*directory\. Remove "
OBSTACLES: list[Case] = [
    *((step, put_directory(file), CREATE, IN_THE_WAY.format(file)) for step in RESULTS for file in RESULTS[step]),
    *((step, put_file("qc"), CREATE, "^cannot write .*/qc") for step in ("mem", "finish", "qc", "gather")),
    ("call", put_file("shards"), CREATE, "^cannot write .*/shards"),
]

# ---- references ------------------------------------------------------------------------------------------------------


def prepared(sample: TinySample) -> Path:
    (folder,) = (sample.job.workflow / "reference").glob("?" * 64)
    return folder


def remove_fasta(sample: TinySample) -> None:
    forget_reference(sample)
    sample.fasta.unlink()


def forget_reference(sample: TinySample) -> None:
    shutil.rmtree(sample.job.workflow, ignore_errors=True)


def use_bwa_mem3_index(sample: TinySample) -> None:
    forget_reference(sample)
    sample.command("bwa-mem3", "index", REFERENCE)


def replace_fasta(sample: TinySample) -> None:
    sample.fasta.write_text(FASTA.replace("ACGT", "TGCA"), encoding="ascii")
    sample.step("index")


def write_alt(sample: TinySample) -> None:
    sample.fasta.with_name(f"{REFERENCE}.alt").write_text("chrX_alt\t0\tchrX\t1\t60\t8M\n")


def write_fai(content: str) -> Spoil:
    """Writes sequence lengths as earlier images would have left them, without sizes in the manifest."""

    def spoil(sample: TinySample) -> None:
        (prepared(sample) / "fasta" / "manifest.json").write_text("{}")
        (prepared(sample) / "fasta" / "reference.fa.fai").write_text(content)

    return spoil


def damage(file: str, cut: slice) -> Spoil:
    """Truncates a file of a reference that is prepared, or removes it."""

    def spoil(sample: TinySample) -> None:
        sample.step("index")
        path = prepared(sample) / file
        data = path.read_bytes()[cut]
        path.unlink()
        if data:
            path.write_bytes(data)

    return spoil


NO_FASTA = r"^no ref\.fa: .*/ref\.fa is not there"
BROKEN_FAI = r"^reference\.fa\.fai is broken: .*Remove .*, and run 'step index' again"
DAMAGED = r"^reference 'ref\.fa' is damaged: .*{} has .*Remove .*again"
DAMAGES = [(file, cut) for file in ("fasta/reference.fa", "bwa/reference.fa.bwt") for cut in (slice(-1), slice(0))]
OTHER = r"was made with another reference: .*Run (mem\.L001|finish|call\.0-of-1) again"
REFERENCES: list[Case] = [
    ("mem", forget_reference, MISSING, r"'ref\.fa' is not prepared: .*Run 'step index ref\.fa' once"),
    *((step, remove_fasta, MISSING, NO_FASTA) for step in ("index", "mem")),
    ("mem", use_bwa_mem3_index, MISSING, r"has no index of bwa: .*with the bwa image"),
    ("mem", lambda sample: shutil.rmtree(prepared(sample)), MISSING, r"is not prepared: .*again"),
    *(("mem", write_fai(content), DATA, BROKEN_FAI) for content in ("", "chrA\n", "chrA\tx\n")),
    *((step, damage(*of), DATA, DAMAGED.format(of[0])) for step in ("mem", "index") for of in DAMAGES),
    ("index", write_alt, DATA, r"ref\.fa\.alt names 'chrX_alt', which is no sequence of it"),
    *((step, replace_fasta, DATA, OTHER) for step in ("finish", "qc", "call", "gather")),
]

# ---- inputs and the output contract ----------------------------------------------------------------------------------


def remove(file: str) -> Spoil:
    return lambda sample: (sample.folder / file).unlink()


def rewrite(file: str, content: bytes) -> Spoil:
    return lambda sample: (sample.folder / file).write_bytes(content)


def make_old(file: str) -> Spoil:
    return lambda sample: os.utime(sample.folder / file, (1, 1))


def edit_record(step: str, old: str, new: str) -> Spoil:
    """Replaces a text in a record; BAM stands for the BAM's digest, FASTA for that of the reference."""

    def spoil(sample: TinySample) -> None:
        finish = sample.record("finish")
        text = old.replace("BAM", finish["outputs"][-1]["sha256"]).replace("FASTA", finish["reference"]["sha256"])
        record = sample.folder / "steps" / f"{step}.json"
        assert text in record.read_text()
        record.write_text(record.read_text().replace(text, new))

    return spoil


OTHER_BAM = bam(["L001"], lengths={"chrC": 16})
FILES = {
    **dict.fromkeys(BAM_RESULTS, "finish"),
    **{f"qc/NA1.{figure}.txt": "qc" for figure in ("flagstat", "coverage", "idxstats", "stats")},
    "shards/0-of-1.vcf.gz": "call.0-of-1",
    **dict.fromkeys(RESULTS["gather"], "gather"),
}
WRITTEN_BY = ["mem.L001", "mem.L002", *dict.fromkeys(FILES.values())]
AGAIN = r"is not there\. Run the sample again: {} does its work anew"
CONTRACT: list[tuple[Spoil, type[StepError], str]] = [
    *((remove(file), MISSING, f"^no {file}: .* {AGAIN.format(FILES[file])}") for file in FILES),
    *((remove(f"steps/{step}.json"), MISSING, f"^no record of {step}: ") for step in WRITTEN_BY),
    *((edit_record(s, "FASTA", "0" * 64), DATA, f"^{s} was done with another ref.* 0{{64}}, ") for s in WRITTEN_BY),
    (rewrite("qc/NA1.stats.txt", b""), DATA, r"^qc/NA1\.stats\.txt is empty"),
    (rewrite("NA1.bam", bam(TWO)[:-28]), DATA, r"^NA1\.bam is broken: it was cut off"),
    (rewrite("NA1.bam", bam(TWO, sample="NA2")), DATA, r"^NA1\.bam is not of sample NA1: .*'NA2'"),
    (rewrite("NA1.bam", bam(TWO[:1])), DATA, r"^NA1\.bam is not of the lanes L001,L002: .*'NA1\.L001'"),
    (rewrite("NA1.bam", bam(TWO, lengths={"x": 9})), DATA, r"^NA1\.bam is of another reference"),
    (make_old("NA1.bam.bai"), DATA, r"^NA1\.bam\.bai is older than NA1\.bam"),
    (rewrite("NA1.bam.bai", b"BAI\1\2\0\0\0"), DATA, r"^NA1\.bam\.bai is broken: it was cut off"),
    (rewrite("NA1.bam.bai", b"BAI\1" + bytes.fromhex("01000000 00000000 01000000 ffffffffffffff7f")), DATA, "beyond"),
    (rewrite("NA1.vcf.gz", vcf()[:-28]), DATA, r"^NA1\.vcf\.gz is broken: it was cut off"),
    (rewrite("shards/0-of-1.vcf.gz", vcf()[:-28]), DATA, r"^shards/0-of-1\.vcf\.gz is broken: it was cut off"),
    (rewrite("NA1.vcf.gz", vcf("NA2")), DATA, r"^NA1\.vcf\.gz is not of sample NA1: it holds 'NA2'"),
    (make_old("NA1.vcf.gz.tbi"), DATA, r"^NA1\.vcf\.gz\.tbi is older than NA1\.vcf\.gz"),
    (rewrite("qc/NA1.stats.txt", b"later"), DATA, r"^qc/NA1\.stats\.txt is not what qc wrote: it has size 5, "),
    (edit_record("qc", "NA1.stats", "NA1.other"), DATA, r"is not what qc wrote: steps/qc\.json does not name it"),
    (edit_record("finish", '"NA1"', '"NA2"'), DATA, r"^steps/finish\.json is the record of another step: .*NA2"),
    (edit_record("qc", "BAM", "0" * 64), DATA, r"^qc was not made from NA1\.bam"),
    (edit_record("call.0-of-1", "BAM", "0" * 64), DATA, r"^call\.0-of-1 was not made from NA1\.bam"),
    (edit_record("gather", "shards/0-of-1", "x"), DATA, r"^NA1\.vcf\.gz was not made from shards/0-of-1\.vcf\.gz"),
]
INPUTS: list[Case] = [
    ("call", rewrite("NA1.bam", OTHER_BAM), DATA, r"^NA1\.bam is of another reference"),
    ("finish", rewrite("lanes/L002.bam", bam(TWO[:1])), DATA, r"^L002\.bam is not of lane L002: its .*'NA1\.L001'"),
    *(("check", *breach) for breach in CONTRACT),
]
CASES = [*BAD_OUTPUT, *OBSTACLES, *REFERENCES, *INPUTS]


@pytest.mark.parametrize("case", CASES, ids=[f"{step}: {message[:50]}" for step, _, _, message in CASES])
def test_a_step_that_fails_names_the_cause_and_publishes_nothing(sample: TinySample, case: Case) -> None:
    step, spoil, error, message = case
    run = prepare(sample, step)
    spoil(sample)
    finished = results(sample)
    with pytest.raises(error, match=message):
        run()
    assert results(sample) == finished
    assert sample.left_over() == []


# ---- full disks, and what is not a failure ---------------------------------------------------------------------------

WORK_FILES = [*((step, ".record") for step in RESULTS), ("call", "wide.bed"), ("call", "shard.tsv"), ("call", "header")]


@pytest.mark.parametrize(("step", "name"), WORK_FILES)
def test_a_full_disk_under_the_record_or_a_work_file_publishes_nothing(
    sample: TinySample, step: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare(sample, step)
    finished = sample.finished()
    write_text = Path.write_text

    def write_to_full_disk(self: Path, data: str, encoding: str | None = None) -> int:
        if self.name == name:
            self.symlink_to("/dev/full")
        return write_text(self, data, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", write_to_full_disk)
    with pytest.raises(InputOutputError, match=rf"{name}: no space is left"):
        run()
    assert sample.finished() == finished
    assert sample.left_over() == []


def test_a_directory_in_the_place_of_the_record_is_an_error(sample: TinySample) -> None:
    run = prepare(sample, "mem")
    put_directory("steps/mem.L001.json")(sample)
    with pytest.raises(CannotCreateError, match=r"^cannot write .*/mem\.L001\.json"):
        run()


def test_unsorted_shards_are_sorted(sample: TinySample) -> None:
    run = prepare(sample, "gather")
    fail_once = "if not os.path.exists(here + 'tried'):\n write(here + 'tried', b'')\n sys.exit('unsorted positions')"
    sample.inject("index", fail_once)
    run()
    assert "an indel moved from one shard to the one before" in sample.log()
    assert [stage["name"] for stage in sample.record("gather")["stages"]].count("norm") == 1


def test_a_broken_index_makes_shards_of_equal_length(sample: TinySample) -> None:
    run = prepare(sample, "call")
    rewrite("NA1.bam.bai", b"no index")(sample)
    run()
    assert "note: shards are of equal length: NA1.bam.bai cannot be read" in sample.log()


def test_a_lane_with_the_name_of_the_output_is_not_overwritten(sample: TinySample) -> None:
    sample.run(before="mem")
    sample.provide_alignment(["out", "lane"])
    for lane in ("out", "lane"):
        sample.write_reads(lane)
        sample.step("mem", lane=lane, lanes="out,lane")
    lanes = {file: file.read_bytes() for file in (sample.folder / "lanes").iterdir()}
    sample.inject("merge", "assert all(os.path.getsize(word) for word in words if word.endswith('.bam'))")
    for skip in ("-", "duplicates"):
        sample.step("finish", lanes="out,lane", skip=skip)
    assert {file: file.read_bytes() for file in lanes} == lanes
