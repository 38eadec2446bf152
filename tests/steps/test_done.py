"""What a step that is done leaves of itself, and when it is done again."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.finished_sample import REFERENCE, SAMPLE, Tiny, commands

from step import sample_bam
from step.errors import StepError, UsageError
from step.job import Job
from step.lanes import Lane, Memory
from step.records import Record


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def variables(job: Job, **changed: str) -> Job:
    return replace(job, environment={**job.environment, **changed})


# ---- the record ------------------------------------------------------------------------------------------------------


def test_a_record_tells_what_was_done_and_what_it_cost(tiny: Tiny) -> None:
    tiny.all()
    record = tiny.record("mem.L001")
    assert record["step"] == "mem.L001"
    assert record["image"] == "tool:1-test"
    assert record["command"][:5] == ["step", "mem", REFERENCE, SAMPLE, "L001"]
    assert re.fullmatch(r"[0-9a-f]{64}", record["key"])
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(moment, record["start"])
    assert re.fullmatch(moment, record["end"])
    assert record["start"] <= record["end"]
    for figure in ("wall_seconds", "user_seconds", "system_seconds", "read_bytes", "written_bytes"):
        assert record[figure] >= 0
    assert (record["threads"], record["memory_mib"]) == (2, 2048)
    stages = {stage["name"]: stage for stage in record["stages"]}
    assert set(stages) == {"reads", "bwa", "fixmate", "sort", "markdup"}
    assert record["peak_memory_bytes"] == sum(stage["peak_memory_bytes"] for stage in record["stages"]) > 1_000_000
    assert stages["sort"]["user_seconds"] + stages["sort"]["system_seconds"] > 0


def test_digests_of_outputs_are_those_of_the_files_and_of_inputs_those_of_the_reads(tiny: Tiny) -> None:
    tiny.all(("L001", "L002"))
    for step in ("mem.L001", "finish", "qc", "call.0-of-1", "gather", "check"):
        for entry in tiny.record(step)["outputs"]:
            file = Path(entry["path"])
            assert entry["sha256"] == sha256(file)
            assert (entry["size"], entry["mtime_ns"]) == (file.stat().st_size, file.stat().st_mtime_ns)
    data = tiny.job.root / "data"
    assert [entry["sha256"] for entry in tiny.record("mem.L001")["inputs"]] == [
        sha256(data / f"L001_{mate}.fq.gz") for mate in "12"
    ]
    for step in ("finish", "qc", "call.0-of-1", "gather"):
        known = {entry["path"]: entry["sha256"] for entry in tiny.record(step)["inputs"]}
        assert known == {path: sha256(Path(path)) for path in known}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"command": 3}', '{"key": "x", "inputs": [], "outputs": [1]}', "\x00"]
)
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(content)
    assert Record.read(file) is None
    assert Record.read(tmp_path / "missing.json") is None


# ---- done already ----------------------------------------------------------------------------------------------------


def test_a_whole_run_done_again_runs_no_program(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    tiny.all(("L001", "L002"))
    files = {file: file.stat().st_mtime_ns for file in tiny.folder.rglob("*") if file.is_file()}
    for program in ("faidx", "index", "mem", "merge", "markdup", "flagstat", "mpileup", "concat"):
        tiny.fault(program, "sys.exit('nothing is to be done')")
    capfd.readouterr()
    for lane in ("L001", "L002"):
        tiny.mem(lane, "L001,L002")
    for image, step in (("samtools", "finish"), ("samtools", "qc"), ("bcftools", "call"), ("bcftools", "gather")):
        tiny.step(image, step, *tiny.words(step, lanes="L001,L002"))
    tiny.step("samtools", "check", *tiny.words("check", lanes="L001,L002"))
    assert capfd.readouterr().err.count("is done already") == 7
    assert {file: file.stat().st_mtime_ns for file in files} == files


def touched(tiny: Tiny) -> None:
    os.utime(tiny.job.root / "data" / "L001_1.fq.gz")


def other_reads(tiny: Tiny) -> None:
    tiny.reads("L001", pairs=4)


def no_output(tiny: Tiny) -> None:
    (tiny.folder / "lanes" / "L001.bam").unlink()


def cut_output(tiny: Tiny) -> None:
    file = tiny.folder / "lanes" / "L001.bam"
    status = file.stat()
    file.write_bytes(file.read_bytes()[:-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def no_record(tiny: Tiny) -> None:
    (tiny.folder / "steps" / "mem.L001.json").unlink()


def other_reference(tiny: Tiny) -> None:
    tiny.fasta.write_text(">chrA\nACGTACGTACGTACGA\n>chrB\nGGGGCCCCAAAATTTT\n")
    tiny.index()


@pytest.mark.parametrize("change", [touched, other_reads, no_output, cut_output, no_record, other_reference])
def test_a_step_is_done_again_with(
    tiny: Tiny, change: Callable[[Tiny], None], capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.index()
    tiny.mem()
    change(tiny)
    capfd.readouterr()
    tiny.mem()
    assert "mem.L001: done in" in capfd.readouterr().err
    tiny.mem()
    assert "is done already" in capfd.readouterr().err


def test_a_step_is_done_again_by_another_image_and_with_other_arguments(
    tiny: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.index()
    tiny.mem()
    capfd.readouterr()
    tiny.mem(job=variables(tiny.job, STEP_IMAGE="tool:2-test"))
    tiny.mem(skip="duplicates")
    tiny.step("bwa", "mem", REFERENCE, SAMPLE, "L001", "L001_1.fq.gz", "L001_2.fq.gz", "other")
    tiny.mem(lanes="L001")
    assert capfd.readouterr().err.count("mem.L001: done in") == 4


def test_what_does_not_change_the_result_does_not_have_it_done_again(
    tiny: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.index()
    tiny.mem()
    capfd.readouterr()
    tiny.mem(job=replace(tiny.job, threads=1, memory_mib=4096))
    tiny.mem(skip="qc")
    tiny.mem(lanes="L001,L002")
    tiny.step("bwa", "mem", *tiny.words("mem"), "-", "-")
    assert capfd.readouterr().err.count("is done already") == 4


def test_a_result_made_anew_with_the_same_bytes_keeps_later_steps_done(
    tiny: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.all()
    (tiny.folder / "steps" / "mem.L001.json").unlink()
    tiny.mem(lanes="L001")
    capfd.readouterr()
    tiny.step("bcftools", "call", *tiny.words("call"))
    assert "call.0-of-1 is done already" in capfd.readouterr().err


def test_results_put_back_from_a_copy_that_kept_whole_seconds_are_the_same(
    tiny: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.all()
    for file in tiny.folder.rglob("*"):
        if file.is_file():
            seconds = file.stat().st_mtime_ns // 1_000_000_000
            os.utime(file, ns=(seconds * 1_000_000_000, seconds * 1_000_000_000))
    capfd.readouterr()
    tiny.mem(lanes="L001")
    tiny.step("bcftools", "call", *tiny.words("call"))
    tiny.step("samtools", "check", *tiny.words("check", lanes="L001"))
    said = capfd.readouterr().err
    assert "mem.L001 is done already" in said
    assert "call.0-of-1 is done already" in said


# ---- lanes -----------------------------------------------------------------------------------------------------------


def parse(*words: str) -> Lane:
    return Lane.parse((REFERENCE, SAMPLE, "L001", "a", "b", *words))


def test_a_lane_alone_makes_the_sample_s_bam() -> None:
    assert parse("-", "-", "L001").is_only
    assert not parse("-", "-", "L001,L002").is_only
    assert not parse("-", "-", "-").is_only
    assert not parse().is_only
    with pytest.raises(UsageError, match="'L001' is not among the sample's lanes"):
        parse("-", "-", "L002")


def test_an_argument_that_is_not_given_and_one_of_a_dash_are_one_command() -> None:
    assert parse().command == parse("-", "-", "-", "-").command == parse("-", "-", "L001,L002", "qc").command


def test_the_read_group_names_sample_lane_library_and_flowcell() -> None:
    head = b"@A00:1:FLOW:3:1:2:3 1:N:0:ACGT"
    assert parse().read_group(head) == "@RG\\tID:NA1.L001\\tSM:NA1\\tLB:NA1\\tPL:ILLUMINA\\tPU:FLOW.3"
    assert parse().read_group(b"@read").endswith("\\tPU:L001")
    assert parse("lib", "unit").read_group(head).endswith("\\tLB:lib\\tPL:ILLUMINA\\tPU:unit")


def test_a_lane_without_second_reads_says_that_single_reads_are_not_supported() -> None:
    with pytest.raises(UsageError, match="single-end reads are not supported"):
        Lane.parse((REFERENCE, SAMPLE, "L001", "a", "-"))


def test_one_file_for_both_mates_is_refused_by_whatever_name(tiny: Tiny) -> None:
    tiny.index()
    data = tiny.job.root / "data"
    (data / "link").hardlink_to(data / "L001_1.fq.gz")
    for two, said in (("L001_1.fq.gz", "both are 'L001_1.fq.gz'"), ("link", "'L001_1.fq.gz' and 'link' are one file")):
        with pytest.raises(UsageError, match=f"^R1 and R2 are the same file: {said}"):
            tiny.step("bwa", "mem", REFERENCE, SAMPLE, "L001", "L001_1.fq.gz", two)


@given(memory=st.integers(1, 1 << 20), threads=st.integers(1, 256), index=st.integers(0, 1 << 40))
def test_memory_is_shared_within_what_the_job_has(memory: int, threads: int, index: int) -> None:
    job = Job(environment={}, root=Path(), mounts=Path(), threads=threads, memory_mib=memory)
    try:
        shares = Memory.share(job, index, REFERENCE)
    except UsageError as error:
        assert memory <= index >> 20
        assert error.code == 64  # noqa: PT017
        return
    assert 32 <= shares.sort_mib <= 2048
    assert shares.spare_mib <= memory / 2
    assert shares.sort_mib * threads <= max(shares.spare_mib, 32 * threads)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("skip", ["-", "duplicates"])
def test_only_what_marks_duplicates_has_the_tags_for_it(tiny: Tiny, skip: str, alone: bool) -> None:  # noqa: FBT001
    tiny.index()
    tiny.mem(lanes="L001" if alone else "L001,L002", skip=skip)
    stages = [stage["name"] for stage in tiny.record("mem.L001")["stages"]]
    expected = {"reads", "bwa", "sort"}
    if skip == "-":
        expected |= {"fixmate", "markdup"} if alone else {"fixmate"}
    assert set(stages) == expected
    assert tiny.folder.joinpath(f"{SAMPLE}.bam").exists() == alone
    assert tiny.folder.joinpath("lanes", "L001.bam").exists() != alone
    assert tiny.folder.joinpath("qc", f"{SAMPLE}.markdup.txt").exists() == (alone and skip == "-")


def test_duplicates_that_are_no_longer_marked_leave_no_figures_of_them(tiny: Tiny) -> None:
    tiny.index()
    tiny.mem(lanes="L001")
    tiny.mem(lanes="L001", skip="duplicates")
    assert not tiny.folder.joinpath("qc", f"{SAMPLE}.markdup.txt").exists()


def test_an_index_is_named_after_the_output_that_is_a_pipe() -> None:
    assert sample_bam.indexed_stdout([1 << 29]) == "/dev/stdout##idx##out.bam.csi"
    assert sample_bam.indexed_stdout([(1 << 29) - 1]) == "/dev/stdout##idx##out.bam.bai"


def test_the_other_aligner_runs_its_own_program_and_needs_avx2(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    module = commands("bwa-mem3")
    cpuinfo, program = tiny.working.parent / "cpuinfo", tiny.standins.folder / "aligner"
    monkeypatch.setattr(module, "CPUINFO", cpuinfo)
    monkeypatch.setattr(module, "PROGRAM", program)
    program.write_text("import sys\nassert '--read-group' in sys.argv\nsys.stdin.buffer.read()\n")
    tiny.step("bwa-mem3", "index", REFERENCE)
    cpuinfo.write_text("flags : avx avx512\n")
    with pytest.raises(UsageError, match="this processor has no AVX2"):
        tiny.step("bwa-mem3", "mem", *tiny.words("mem"))
    cpuinfo.write_text("flags : avx avx2\n")
    tiny.step("bwa-mem3", "mem", *tiny.words("mem"))
    assert {stage["name"] for stage in tiny.record("mem.L001")["stages"]} == {"reads", "bwa-mem3", "fixmate", "sort"}


# ---- any arguments at all --------------------------------------------------------------------------------------------

COMMANDS = [(image, name) for image in ("bwa", "bwa-mem3", "samtools", "bcftools") for name in commands(image).COMMANDS]
WORDS = st.one_of(
    st.sampled_from(
        ["-", "", REFERENCE, SAMPLE, "L001", "L001,L002", "L001_1.fq.gz", "0", "1", "2", "qc", "duplicates"]
    ),
    st.sampled_from(
        ["../x", "$(id)", "a b", "-x", "\x00", "\udcff", "count-orphans", "999999999999", "a" * 2000, "x/y"]
    ),
    st.text(max_size=8),
)
ENVIRONMENTS = st.dictionaries(
    st.sampled_from(["WORKFLOW_NAME", "EXECUTION_ID", "SCRATCH", "AWS_BATCH_JOB_ARRAY_INDEX"]),
    st.one_of(st.sampled_from(["", "reference", "lustre", "local", "run1", "../x", "0"]), st.text(max_size=5)),
)


@pytest.mark.parametrize(("image", "command"), COMMANDS)
def test_any_arguments_end_in_an_exit_code_of_the_table(job: Job, image: str, command: str) -> None:
    @given(words=st.lists(WORDS, max_size=11), changed=ENVIRONMENTS)
    def attempt(words: list[str], changed: dict[str, str]) -> None:
        with pytest.raises(StepError) as caught:  # there is nothing to do it with
            commands(image).COMMANDS[command](variables(job, **changed), words)
        assert caught.value.code in (64, 66, 74)
        assert "\n" not in str(caught.value)
        assert str(caught.value).isascii()

    attempt()
