"""The record of a finished step, what makes a step run again, and the arguments of `step mem`."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_programs import image_commands
from support.tiny_sample import REFERENCE, SAMPLE, TinySample, with_variables

from step import sample_bam
from step.errors import StepError, UsageError
from step.job import Job
from step.lanes import Lane, Memory
from step.records import Record

TWO = ("L001", "L002")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def state(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


# ---- the record ------------------------------------------------------------------------------------------------------


def test_a_record_tells_what_was_done_and_what_it_cost(sample: TinySample) -> None:
    sample.run()
    record = sample.record("mem.L001")
    assert record["step"] == "mem.L001"
    assert record["image"] == "tool:1-test"
    assert record["command"][:5] == ["step", "mem", REFERENCE, SAMPLE, "L001"]
    assert re.fullmatch(r"[0-9a-f]{64}", record["key"])
    assert all(re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}\.\d{3}Z", record[moment]) for moment in ("start", "end"))
    assert record["start"] <= record["end"]
    for figure in ("wall_seconds", "user_seconds", "system_seconds", "read_bytes", "written_bytes"):
        assert record[figure] >= 0
    assert (record["threads"], record["memory_mib"]) == (2, 2048)
    stages = {stage["name"]: stage for stage in record["stages"]}
    assert set(stages) == {"reads", "bwa", "fixmate", "sort", "markdup"}
    assert record["peak_memory_bytes"] == sum(stage["peak_memory_bytes"] for stage in record["stages"]) > 1_000_000
    assert stages["sort"]["user_seconds"] + stages["sort"]["system_seconds"] > 0


def test_a_record_has_the_digests_of_inputs_and_outputs(sample: TinySample) -> None:
    sample.run(TWO)
    for step in ("mem.L001", "finish", "qc", "call.0-of-1", "gather", "check"):
        record = sample.record(step)
        for entry in record["outputs"]:
            status = Path(entry["path"]).stat()
            assert (entry["size"], entry["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
        if step != "check":
            files = record["inputs"] + record["outputs"]
            assert [entry["sha256"] for entry in files] == [sha256(Path(entry["path"])) for entry in files]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"command": 3}', '{"key": "x", "inputs": [], "outputs": [1]}', "\x00"]
)
def test_a_broken_record_counts_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(content)
    assert Record.read(file) is None
    assert Record.read(tmp_path / "missing.json") is None


# ---- done already ----------------------------------------------------------------------------------------------------


def test_a_whole_run_done_again_runs_no_program(sample: TinySample) -> None:
    sample.run(TWO)
    before = state(sample.folder)
    for command in ("faidx", "index", "mem", "merge", "markdup", "flagstat", "mpileup", "concat"):
        sample.inject(command, "sys.exit('there is nothing to do')")
    sample.log()
    for lane in TWO:
        sample.step("mem", lane=lane, lanes="L001,L002")
    for step in ("finish", "qc", "call", "gather", "check"):
        sample.step(step, lanes="L001,L002")
    assert sample.log().count("is done already") == 7
    assert state(sample.folder) == before


def truncate_output(sample: TinySample) -> None:
    file = sample.folder / "lanes" / "L001.bam"
    status = file.stat()
    file.write_bytes(file.read_bytes()[:-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_reference(sample: TinySample) -> None:
    sample.fasta.write_text(">chrA\nACGTACGTACGTACGA\n>chrB\nGGGGCCCCAAAATTTT\n")
    sample.step("index")


CHANGES: dict[str, Callable[[TinySample], object]] = {
    "touched reads": lambda sample: os.utime(sample.job.root / "data" / "L001_1.fq.gz"),
    "other reads": lambda sample: sample.write_reads("L001", pairs=4),
    "a missing output": lambda sample: (sample.folder / "lanes" / "L001.bam").unlink(),
    "a truncated output": truncate_output,
    "a missing record": lambda sample: (sample.folder / "steps" / "mem.L001.json").unlink(),
    "another reference": replace_reference,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_is_done_again_after(sample: TinySample, change: str) -> None:
    sample.run(before="mem")
    sample.step("mem")
    CHANGES[change](sample)
    sample.log()
    sample.step("mem")
    assert "mem.L001: done in" in sample.log()
    sample.step("mem")
    assert "is done already" in sample.log()


def test_a_step_is_done_again_if_image_or_arguments_change_the_result(sample: TinySample) -> None:
    sample.run(before="mem")
    sample.step("mem")
    sample.log()
    sample.step("mem", job=replace(sample.job, threads=1, memory_mib=4096))
    sample.step("mem", skip="qc")
    sample.step("mem", lanes="L001,L002")
    sample.step("mem", "-", "-")
    assert sample.log().count("is done already") == 4
    sample.step("mem", job=with_variables(sample.job, STEP_IMAGE="tool:2-test"))
    sample.step("mem", skip="duplicates")
    sample.command("bwa", "mem", REFERENCE, SAMPLE, "L001", "L001_1.fq.gz", "L001_2.fq.gz", "other")
    sample.step("mem", lanes="L001")
    assert sample.log().count("mem.L001: done in") == 4


def test_a_result_made_again_with_the_same_bytes_keeps_later_steps_done(sample: TinySample) -> None:
    sample.run()
    (sample.folder / "steps" / "mem.L001.json").unlink()
    sample.step("mem", lanes="L001")
    sample.log()
    sample.step("call")
    assert "call.0-of-1 is done already" in sample.log()


def test_results_restored_with_whole_seconds_are_still_done(sample: TinySample) -> None:
    sample.run()
    for file, time in state(sample.folder).items():
        os.utime(file, ns=(time // 1_000_000_000 * 1_000_000_000,) * 2)
    sample.log()
    sample.step("mem", lanes="L001")
    sample.step("call")
    sample.step("check")
    printed = sample.log()
    assert "mem.L001 is done already" in printed
    assert "call.0-of-1 is done already" in printed


# ---- lanes -----------------------------------------------------------------------------------------------------------


def parse(*words: str) -> Lane:
    return Lane.parse((REFERENCE, SAMPLE, "L001", "a", "b", *words))


def test_an_only_lane_makes_the_sample_s_bam() -> None:
    assert parse("-", "-", "L001").is_only
    assert not any(parse(*words).is_only for words in ((), ("-", "-", "-"), ("-", "-", "L001,L002")))


def test_arguments_that_do_not_change_the_result_are_not_in_the_command() -> None:
    assert parse().command == parse("-", "-", "-", "-").command == parse("-", "-", "L001,L002", "qc").command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("b", "-", "-", "L002"), "'L001' is not among the sample's lanes"),
        (("-",), "single-end reads are not supported"),
    ],
)
def test_wrong_lanes_and_single_end_reads_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Lane.parse((REFERENCE, SAMPLE, "L001", "a", *words))


def test_the_read_group_names_sample_lane_library_and_flowcell() -> None:
    header = b"@A00:1:FLOW:3:1:2:3 1:N:0:ACGT"
    assert parse().read_group(header) == "@RG\\tID:NA1.L001\\tSM:NA1\\tLB:NA1\\tPL:ILLUMINA\\tPU:FLOW.3"
    assert parse().read_group(b"@read").endswith("\\tPU:L001")
    assert parse("lib", "unit").read_group(header).endswith("\\tLB:lib\\tPL:ILLUMINA\\tPU:unit")


@pytest.mark.parametrize(
    ("r2", "reason"), [("L001_1.fq.gz", "both are 'L001_1.fq.gz'"), ("link", "'L001_1.fq.gz' and 'link' are one file")]
)
def test_one_file_for_both_mates_is_refused(sample: TinySample, r2: str, reason: str) -> None:
    data = sample.job.root / "data"
    (data / "link").hardlink_to(data / "L001_1.fq.gz")
    with pytest.raises(UsageError, match=f"^R1 and R2 are the same file: {reason}"):
        sample.command("bwa", "mem", REFERENCE, SAMPLE, "L001", "L001_1.fq.gz", r2)


@given(memory=st.integers(1, 1 << 20), threads=st.integers(1, 256), index=st.integers(0, 1 << 40))
def test_memory_is_divided_within_what_the_job_has(memory: int, threads: int, index: int) -> None:
    job = Job(environment={}, root=Path(), mounts=Path(), threads=threads, memory_mib=memory)
    if memory <= index >> 20:
        with pytest.raises(UsageError, match=f"the index of {REFERENCE} takes"):
            Memory.share(job, index, REFERENCE)
        return
    shares = Memory.share(job, index, REFERENCE)
    assert 32 <= shares.sort_mib <= 2048
    assert shares.spare_mib <= memory / 2
    assert shares.sort_mib * threads <= max(shares.spare_mib, 32 * threads)


@pytest.mark.parametrize(
    ("lanes", "skip", "stages", "result"),
    [
        ("L001", "-", {"fixmate", "markdup"}, "NA1.bam"),
        ("L001", "duplicates", set(), "NA1.bam"),
        ("L001,L002", "-", {"fixmate"}, "lanes/L001.bam"),
        ("L001,L002", "duplicates", set(), "lanes/L001.bam"),
    ],
)
def test_mate_tags_and_marking_only_where_duplicates_are_marked(
    sample: TinySample, lanes: str, skip: str, stages: set[str], result: str
) -> None:
    sample.run(before="mem")
    sample.step("mem", lanes=lanes, skip=skip)
    assert {stage["name"] for stage in sample.record("mem.L001")["stages"]} == {"reads", "bwa", "sort"} | stages
    assert [name for name in ("NA1.bam", "lanes/L001.bam") if (sample.folder / name).exists()] == [result]
    assert (sample.folder / "qc" / "NA1.markdup.txt").exists() == ("markdup" in stages)


def test_skipping_duplicates_removes_earlier_figures_of_them(sample: TinySample) -> None:
    sample.run(before="qc")
    sample.step("mem", lanes="L001", skip="duplicates")
    assert not (sample.folder / "qc" / "NA1.markdup.txt").exists()


def test_an_index_that_is_written_on_the_fly_is_named_after_the_output() -> None:
    assert sample_bam.indexed_stdout([1 << 29]) == "/dev/stdout##idx##out.bam.csi"
    assert sample_bam.indexed_stdout([(1 << 29) - 1]) == "/dev/stdout##idx##out.bam.bai"


def test_bwa_mem3_runs_its_own_program_and_needs_avx2(sample: TinySample, monkeypatch: pytest.MonkeyPatch) -> None:
    module = image_commands("bwa-mem3")
    cpuinfo, program = sample.programs.folder / "cpuinfo", sample.programs.folder / "aligner"
    monkeypatch.setattr(module, "CPUINFO", cpuinfo)
    monkeypatch.setattr(module, "PROGRAM", program)
    program.write_text("import sys\nassert '--read-group' in sys.argv\nsys.stdin.buffer.read()\n")
    sample.command("bwa-mem3", "index", REFERENCE)
    cpuinfo.write_text("flags : avx avx512\n")
    with pytest.raises(UsageError, match="this processor has no AVX2"):
        sample.command("bwa-mem3", "mem", *sample.arguments("mem"))
    cpuinfo.write_text("flags : avx avx2\n")
    sample.command("bwa-mem3", "mem", *sample.arguments("mem"))
    assert {stage["name"] for stage in sample.record("mem.L001")["stages"]} == {"reads", "bwa-mem3", "fixmate", "sort"}


# ---- any arguments at all --------------------------------------------------------------------------------------------

COMMANDS = [
    (image, name) for image in ("bwa", "bwa-mem3", "samtools", "bcftools") for name in image_commands(image).COMMANDS
]
GOOD_WORDS = ["-", "", REFERENCE, SAMPLE, "L001", "L001,L002", "L001_1.fq.gz", "0", "1", "2", "qc", "duplicates"]
BAD_WORDS = ["../x", "$(id)", "a b", "-x", "\x00", "\udcff", "count-orphans", "999999999999", "a" * 2000, "x/y"]
WORDS = st.one_of(st.sampled_from(GOOD_WORDS), st.sampled_from(BAD_WORDS), st.text(max_size=8))
ENVIRONMENTS = st.dictionaries(
    st.sampled_from(["WORKFLOW_NAME", "EXECUTION_ID", "SCRATCH", "AWS_BATCH_JOB_ARRAY_INDEX"]),
    st.one_of(st.sampled_from(["", "reference", "lustre", "local", "run1", "../x", "0"]), st.text(max_size=5)),
)


@pytest.mark.parametrize(("image", "command"), COMMANDS)
def test_any_arguments_end_in_a_documented_exit_code(job: Job, image: str, command: str) -> None:
    @settings(max_examples=40)
    @given(words=st.lists(WORDS, max_size=11), variables=ENVIRONMENTS)
    def attempt(words: list[str], variables: dict[str, str]) -> None:
        with pytest.raises(StepError) as caught:  # no input exists
            image_commands(image).COMMANDS[command](with_variables(job, **variables), words)
        assert caught.value.code in (64, 66, 74)
        assert "\n" not in str(caught.value)
        assert str(caught.value).isascii()

    attempt()
