"""However a step ends: an exit code of the table, one line that names the cause, and nothing that looks finished."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.finished_sample import REFERENCE, SAMPLE, Tiny, commands, ended, process

from step.errors import (
    BadDataError,
    CannotCreateError,
    InputOutputError,
    KilledError,
    ToolFailedError,
)
from step.job import Job

NOBODY = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
# Every step, with the image, the lanes of the sample, and the commands of programs that it runs.
STEPS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "index": ("bwa", "L001", ("faidx", "index")),
    "mem": ("bwa", "L001", ("mem", "fixmate", "sort", "markdup")),
    "finish": ("samtools", "L001,L002", ("merge", "markdup")),
    "qc": ("samtools", "L001", ("flagstat", "coverage", "idxstats", "stats")),
    "call": ("bcftools", "L001", ("mpileup", "call", "norm", "annotate")),
    "gather": ("bcftools", "L001", ("concat", "index", "stats")),
}
EACH = [(step, program) for step, (_, _, programs) in STEPS.items() for program in programs]


def before(tiny: Tiny, step: str) -> Callable[[], None]:
    """Runs what a step needs, and returns what runs the step itself."""
    image, lanes, _ = STEPS.get(step, ("samtools", "L001", ()))
    tiny.all(lanes.split(","), until=step)
    return lambda: tiny.step(image, step, *tiny.words(step, lanes=lanes))


def results(tiny: Tiny) -> list[str]:
    """What looks finished, but for the FASTA of a prepared reference, which is whole before its index is."""
    return [file for file in tiny.finished() if "/fasta/" not in file]


# ---- programs that fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "program"), EACH)
def test_a_program_that_is_killed_is_named_and_nothing_is_published(tiny: Tiny, step: str, program: str) -> None:
    run = before(tiny, step)
    finished = results(tiny)
    tiny.fault(program, "os.kill(os.getpid(), signal.SIGKILL)")
    name = "bwa" if (step, program) in (("index", "index"), ("mem", "mem")) else program
    with pytest.raises(KilledError, match=rf"^{name} was killed: most likely .* 2048 MiB of this job"):
        run()
    assert results(tiny) == finished
    assert tiny.left_over() == []
    tiny.well()
    run()


@pytest.mark.parametrize(
    ("step", "program"),
    [
        ("index", "index"),
        ("mem", "markdup"),
        ("finish", "markdup"),
        ("qc", "idxstats"),
        ("call", "annotate"),
        ("gather", "concat"),
        ("gather", "stats"),
    ],
)
def test_a_program_that_writes_nothing_leaves_no_empty_result(tiny: Tiny, step: str, program: str) -> None:
    run = before(tiny, step)
    finished = results(tiny)
    tiny.fault(program, "drain() if name not in ('merge', 'mpileup', 'concat') else None\nsys.exit()")
    with pytest.raises((ToolFailedError, InputOutputError)):
        run()
    assert results(tiny) == finished


def test_markdup_s_figures_that_are_not_there_are_an_error(tiny: Tiny) -> None:
    run = before(tiny, "mem")
    tiny.fault("markdup", "Path('markdup.txt').symlink_to('/dev/null')")
    with pytest.raises(ToolFailedError, match=r"^no NA1\.markdup\.txt: the programs wrote nothing to markdup\.txt"):
        run()
    assert not tiny.folder.joinpath("NA1.bam").exists()


@pytest.mark.parametrize("what", ["bam", "index"])
def test_a_bam_or_an_index_that_came_out_broken_is_not_published(tiny: Tiny, what: str) -> None:
    run = before(tiny, "mem")
    tiny.hold(what, (tiny.standins.folder / what).read_bytes()[:-20])
    with pytest.raises(ToolFailedError, match=r"came out broken: .*Run the step again"):
        run()
    assert not tiny.folder.joinpath("NA1.bam").exists()


def test_bad_reads_end_the_aligner_though_it_would_go_on(tiny: Tiny) -> None:
    tiny.index()
    (tiny.job.root / "data" / "L001_2.fq.gz").write_bytes(b"@L001:0/2\nACGT\n+\nIII\n")
    tiny.fault("mem", "time.sleep(60)")
    with pytest.raises(BadDataError, match=r"^bad reads: "):
        tiny.mem()
    assert tiny.left_over() == []


def test_records_out_of_order_are_put_in_order(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    run = before(tiny, "gather")
    first = "mark = here / 'asked'\nif not mark.exists():\n mark.touch()\n sys.exit('unsorted positions')"
    tiny.fault("index", first)
    run()
    assert "an indel moved from one shard to the one before" in capfd.readouterr().err
    assert [stage["name"] for stage in tiny.record("gather")["stages"]].count("norm") == 1


# ---- what is in the way ----------------------------------------------------------------------------------------------

RESULTS = {
    "mem": (f"{SAMPLE}.bam", f"{SAMPLE}.bam.bai", f"qc/{SAMPLE}.markdup.txt", "steps/mem.L001.json"),
    "finish": (f"{SAMPLE}.bam", f"{SAMPLE}.bam.bai", f"qc/{SAMPLE}.markdup.txt"),
    "qc": (f"qc/{SAMPLE}.stats.txt",),
    "call": ("shards/0-of-1.vcf.gz",),
    "gather": (f"{SAMPLE}.vcf.gz", f"{SAMPLE}.vcf.gz.tbi", f"qc/{SAMPLE}.bcftools.txt"),
}


@pytest.mark.parametrize(
    ("step", "result"), [(step, result) for step, results in RESULTS.items() for result in results]
)
def test_a_directory_in_the_place_of_a_result_is_an_error(tiny: Tiny, step: str, result: str) -> None:
    run = before(tiny, step)
    place = tiny.folder / result
    place.mkdir(parents=True)
    if step == "mem":
        (place / "file").touch()
    finished = tiny.finished()
    with pytest.raises(CannotCreateError, match=rf"^cannot write {place}: .*directory. Remove ") as caught:
        run()
    assert caught.value.code == 73
    if "steps" not in result:
        assert tiny.finished() == finished
    assert tiny.left_over() == []


@pytest.mark.parametrize("step", RESULTS)
def test_a_file_in_the_place_of_a_directory_is_an_error(tiny: Tiny, step: str) -> None:
    run = before(tiny, step)
    folder = tiny.folder / ("shards" if step == "call" else "qc")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()
    with pytest.raises(CannotCreateError, match=rf"^cannot write {folder}"):
        run()


def test_a_lane_called_as_the_output_is_not_written_over(tiny: Tiny) -> None:
    tiny.index()
    tiny.aligned(("out", "lane"))
    for lane in ("out", "lane"):
        tiny.reads(lane)
        tiny.mem(lane, "out,lane")
    lanes = {file: file.read_bytes() for file in (tiny.folder / "lanes").iterdir()}
    tiny.fault("merge", "assert all(Path(word).stat().st_size for word in words if word.endswith('.bam'))")
    for skip in ("-", "duplicates"):
        tiny.step("samtools", "finish", REFERENCE, SAMPLE, "out,lane", skip)
    assert {file: file.read_bytes() for file in lanes} == lanes


# ---- permissions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def nobody(tiny: Tiny) -> Sequence[str]:
    """What runs a step as a user who may not do everything."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may enter every directory, and there is no setpriv to be another user")
    for folder in (tiny.job.root, *tiny.job.root.parents):
        if not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o11)
    return NOBODY


def handed_over(folder: Path) -> None:
    if os.getuid() == 0:
        for file in (folder, *folder.rglob("*")):
            os.chown(file, 1000, 1000, follow_symlinks=False)


@pytest.mark.parametrize("below", ["data", "reference"])
def test_a_directory_that_may_not_be_entered_is_named(tiny: Tiny, nobody: Sequence[str], below: str) -> None:
    tiny.all(until="mem")
    handed_over(tiny.working)
    closed = tiny.job.root / below / "closed"
    (closed / "deeper").mkdir(parents=True)
    (closed / "deeper" / "x").write_text(">a\nACGT\n")
    closed.chmod(0o600)
    words: tuple[str, ...] = ("mem", REFERENCE, SAMPLE, "L001", "closed/deeper/x", "L001_2.fq.gz")
    if below == "reference":
        words = ("index", "closed/deeper/x")
    code, said = ended(process(tiny.job, "bwa", *words, before=nobody))
    closed.chmod(0o700)
    assert code == 66
    assert said.count("step: error:") == 1
    assert f"user {1000 if nobody else os.getuid()} may not enter the directory {closed}." in said


@pytest.mark.parametrize(("image", "step"), [("samtools", "qc"), ("samtools", "check"), ("bcftools", "gather")])
def test_results_that_may_not_be_entered_are_not_called_missing(
    tiny: Tiny, nobody: Sequence[str], image: str, step: str
) -> None:
    tiny.all()
    handed_over(tiny.working)
    tiny.folder.chmod(0o600)
    code, said = ended(process(tiny.job, image, step, *tiny.words(step, lanes="L001"), before=nobody))
    tiny.folder.chmod(0o700)
    assert (code, said.count("\n")) == (66, 1)
    assert f"may not enter the directory {tiny.folder}." in said


def test_a_file_that_may_not_be_read_is_named(tiny: Tiny, nobody: Sequence[str]) -> None:
    tiny.all(until="mem")
    handed_over(tiny.working)
    file = tiny.job.root / "data" / "L001_1.fq.gz"
    file.chmod(0o000)
    code, said = ended(process(tiny.job, "bwa", "mem", *tiny.words("mem"), before=nobody))
    assert code == 66
    assert f"{file} is not readable for user" in said


def test_a_scratch_that_may_not_be_written_is_named(tiny: Tiny, nobody: Sequence[str]) -> None:
    tiny.all(until="mem")
    if not nobody:
        tiny.working.chmod(0o555)
    code, said = ended(process(tiny.job, "bwa", "mem", *tiny.words("mem"), before=nobody))
    tiny.working.chmod(0o755)
    assert code == 73
    assert said.count("step: error: cannot write ") == 1
    assert "Make its directory writable for the user that this job runs as." in said


# ---- full disks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", RESULTS)
def test_a_full_disk_under_the_record_publishes_nothing(tiny: Tiny, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = before(tiny, step)
    finished = tiny.finished()
    real = Path.write_text

    def write_text(self: Path, data: str, encoding: str | None = None) -> int:
        if self.name == ".record":
            self.symlink_to("/dev/full")
        return real(self, data, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(InputOutputError, match=r"\.record: no space is left") as caught:
        run()
    assert caught.value.code == 74
    assert tiny.finished() == finished
    assert tiny.left_over() == []


@pytest.mark.parametrize("name", ["wide.bed", "shard.tsv", "header"])
def test_a_full_disk_under_a_work_file_of_call_is_named(tiny: Tiny, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = before(tiny, "call")
    real = Path.write_text

    def write_text(self: Path, data: str, encoding: str | None = None) -> int:
        if self.name == name:
            self.symlink_to("/dev/full")
        return real(self, data, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(InputOutputError, match=rf"{name}: no space is left"):
        run()


@pytest.mark.parametrize(("step", "program"), [(step, programs[-1]) for step, (_, _, programs) in STEPS.items()])
def test_a_program_s_own_full_disk_is_named(tiny: Tiny, step: str, program: str) -> None:
    run = before(tiny, step)
    tiny.fault(program, "sys.exit('[E::bgzf_flush] write failed: No space left on device')")
    with pytest.raises(InputOutputError, match=r"failed: no space is left on the file system of"):
        run()
    assert tiny.left_over() == []


PAGE = 4096


@contextlib.contextmanager
def small_disk(place: Path, pages: int) -> Iterator[None]:
    """Mounts a file system of so many pages, which only root can do."""
    options = f"size={max(pages, 1) * PAGE},mode=755"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "small", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


FILL = """
if not {early}:
    drain() if "-" in words or name in ("call", "mem") else None
fill = open(Path("..").resolve() / "fill", "ab", buffering=0)
try:
    for _ in range(256): fill.write(bytes(4096))
except OSError: pass
"""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    step=st.sampled_from(sorted(STEPS)),
    free=st.one_of(st.integers(0, 16), st.integers(17, 100)),
    moment=st.integers(-1, 3),
    early=st.booleans(),
)
def test_however_small_the_disk_and_whenever_it_is_full_the_step_says_so(
    shared: Callable[[], Tiny],
    step: str,
    free: int,
    moment: int,
    early: bool,  # noqa: FBT001
) -> None:
    tiny = shared()
    image, lanes, programs = STEPS[step]
    kept = tiny.standins.folder / f"kept.{step}"
    tiny.well()
    tiny.aligned(lanes.split(","))
    if not kept.exists():
        before(tiny, step)
        shutil.copytree(tiny.working, kept)
        shutil.rmtree(tiny.working)
        tiny.working.mkdir()
    pages = sum(-(-file.stat().st_size // PAGE) for file in kept.rglob("*") if file.is_file())
    with small_disk(tiny.working, pages + free):
        shutil.copytree(kept, tiny.working, dirs_exist_ok=True)
        finished = results(tiny)
        if moment >= 0:
            tiny.fault(programs[moment % len(programs)], FILL.format(early=early))
        else:
            with contextlib.suppress(OSError):
                (tiny.working / ".work").mkdir(exist_ok=True)
                with (tiny.working / ".work" / "fill").open("ab", buffering=0) as fill:
                    for _ in range(256):
                        fill.write(bytes(PAGE))
        code, said = ended(process(tiny.job, image, step, *tiny.words(step, lanes=lanes)))
        assert code == 74, said
        errors = [line for line in said.splitlines() if line.startswith("step: error:")]
        assert len(errors) == 1, said
        assert "space" in errors[0]
        assert "images/base/step" not in said  # no traceback of its own
        assert results(tiny) == finished
        assert tiny.left_over() == []


@pytest.fixture
def shared(tiny: Tiny) -> Callable[[], Tiny]:
    """The sample, for a test whose examples share it."""
    return lambda: tiny


# ---- signals ---------------------------------------------------------------------------------------------------------


def waited_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def begun(tiny: Tiny, *programs: str) -> Path:
    """Has programs note their ids and stay; returns where."""
    notes = tiny.standins.folder / "running"
    notes.mkdir()
    for program in programs:
        tiny.fault(program, "(here / 'running' / str(os.getpid())).touch()\ntime.sleep(60)")
    return notes


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=["TERM", "INT", "HUP"]
)
@pytest.mark.parametrize("step", ["mem", "qc", "call"])
def test_told_to_end_a_step_ends_its_programs_and_leaves_nothing(tiny: Tiny, step: str, number: int, code: int) -> None:
    before(tiny, step)
    image, _, programs = STEPS[step]
    finished = tiny.finished()
    notes = begun(tiny, *programs)
    running = process(tiny.job, image, step, *tiny.words(step, lanes="L001"))
    waited_for(lambda: len(list(notes.iterdir())) == len(programs))
    began = time.monotonic()
    running.send_signal(number)
    assert ended(running)[0] == code
    assert time.monotonic() - began < 10
    for note in notes.iterdir():
        assert not is_stand_in(tiny, note.name)
    assert tiny.finished() == finished
    assert tiny.left_over() == []


def test_told_to_end_at_any_moment_it_leaves_nothing(tiny: Tiny) -> None:
    before(tiny, "mem")
    finished = tiny.finished()
    for delay in (0.0, 0.01, 0.02, 0.04, 0.06, 0.08):
        running = process(tiny.job, "bwa", "mem", *tiny.words("mem"))
        waited_for(functools.partial(is_told, running))
        time.sleep(delay)
        running.send_signal(signal.SIGTERM)
        code, said = ended(running)
        assert code in (0, 143), said
        assert "Traceback" not in said
        assert tiny.left_over() == []
        if code == 143 and "done in" not in said:
            assert tiny.finished() == finished
        for file in (tiny.folder / "steps").glob("mem*"):
            file.unlink()
        shutil.rmtree(tiny.folder / "lanes", ignore_errors=True)


def is_stand_in(tiny: Tiny, number: str) -> bool:
    """Whether a process of this id runs, and is one of the test's programs: ids are used again."""
    try:
        return str(tiny.standins.folder).encode() in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


def is_told(running: "subprocess.Popen[str]") -> bool:
    """Whether a process has ended, or has a handler for SIGTERM."""
    if running.poll() is not None:
        return True
    status = Path(f"/proc/{running.pid}/status").read_text(encoding="utf-8")
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_killed_it_leaves_nothing_that_looks_finished_and_the_next_attempt_sweeps(tiny: Tiny) -> None:
    before(tiny, "mem")
    finished = tiny.finished()
    notes = begun(tiny, "markdup")
    running = process(tiny.job, "bwa", "mem", *tiny.words("mem", lanes="L001"))
    waited_for(lambda: bool(list(notes.iterdir())))
    running.kill()
    for note in notes.iterdir():
        os.kill(int(note.name), signal.SIGKILL)
    assert ended(running)[0] == -signal.SIGKILL
    assert tiny.finished() == finished
    assert len(tiny.left_over()) == 1
    tiny.well()
    tiny.mem(lanes="L001")
    assert tiny.left_over() == []


def test_a_work_directory_whose_lock_was_not_made_yet_is_swept_and_one_that_is_held_is_not(tiny: Tiny) -> None:
    before(tiny, "mem")
    desk = tiny.working / ".work" / tiny.folder.relative_to(tiny.working)
    (desk / "tmp.mem.L001.dead").mkdir(parents=True)
    notes = begun(tiny, "mem")
    running = process(tiny.job, "bwa", "mem", *tiny.words("mem"))
    waited_for(lambda: bool(list(notes.iterdir())))
    tiny.well()
    (living,) = tiny.left_over()
    tiny.mem()
    assert tiny.left_over() == [living]
    running.terminate()
    assert ended(running)[0] == 143


def test_two_attempts_at_once_do_not_spoil_each_other(tiny: Tiny) -> None:
    before(tiny, "mem")
    attempts = [process(tiny.job, "bwa", "mem", *tiny.words("mem", lanes="L001")) for _ in range(3)]
    assert [ended(attempt)[0] for attempt in attempts] == [0, 0, 0]
    assert tiny.left_over() == []
    for entry in tiny.record("mem.L001")["outputs"]:
        assert Path(entry["path"]).stat().st_size == entry["size"]
    hidden = [name for name in tiny.finished() if Path(name).name.startswith(".")]
    assert hidden == []


# ---- the door --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/dev/full", "a pipe that nobody reads", "closed"])
def test_a_log_that_cannot_be_written_changes_no_exit_code(job: Job, target: str) -> None:
    words = ("sh", "-c", 'exec "$@" 2>&-', "sh") if target == "closed" else ()
    if target == "/dev/full":
        words = ("sh", "-c", 'exec "$@" 2>/dev/full', "sh")
    running = process(job, "bwa", "mem", "../x", before=words)
    if target == "a pipe that nobody reads":
        assert running.stderr is not None
        running.stderr.close()
        assert running.wait(timeout=30) == 64
    else:
        assert ended(running)[0] == 64


def test_a_fault_of_the_step_itself_ends_in_one_line(job: Job) -> None:
    code = """
import sys
sys.path.insert(0, {path})
from step.main import main
def fault(job, arguments): raise {error}
sys.exit(main({{"x": fault}}, ["x"], {job}))
"""
    base = repr(str(Path(commands("bwa").__file__ or "").parents[1] / "base"))
    for error, expected, words in (
        ("ValueError('a\\nb')", 70, "ValueError: a?b was not foreseen"),
        ("MemoryError", 137, "ran out of memory"),
        ("OSError(28, 'No space left on device', '/scratch/x')", 74, "cannot write /scratch/x: no space is left"),
        ("PermissionError(13, 'Permission denied', '/scratch/x')", 73, "cannot write /scratch/x"),
    ):
        result = subprocess.run(
            [sys.executable, "-I", "-c", code.format(path=base, error=error, job=True)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == expected
        assert result.stderr.count("\n") == 1
        assert words in result.stderr
    assert job.run.name == "run1"


def test_a_signal_that_comes_when_the_step_has_ended_changes_nothing(job: Job) -> None:
    code = """
import os, signal, sys
sys.path.insert(0, {path})
from step.main import main
code = main({{"x": lambda *_: None}}, ["x"], {job})
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): os.kill(os.getpid(), number)
sys.exit(code)
"""
    base = repr(str(Path(commands("bwa").__file__ or "").parents[1] / "base"))
    result = subprocess.run(
        [sys.executable, "-I", "-c", code.format(path=base, job=True)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert job.run.name == "run1"


@pytest.mark.parametrize("image", ["bwa", "bwa-mem3", "samtools", "bcftools"])
def test_only_an_image_s_own_commands_are_known(job: Job, image: str) -> None:
    for word in ("sh", "$(id)"):
        code, said = ended(process(job, image, word))
        assert code == 64
        assert f"unknown command '{word}': this image knows: {' '.join(commands(image).COMMANDS)}" in said
    assert ended(process(job, image))[0] == 64
