"""Steps as processes: permissions, full disks, signals, and exit codes."""

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
from support.fake_programs import image_commands
from support.tiny_sample import IMAGES, REFERENCE, SAMPLE, TinySample, end, start

from step.job import Job
from toolchain.paths import HERE

PROGRAMS = {
    "index": ("faidx", "index"),
    "mem": ("mem", "fixmate", "sort", "markdup"),
    "finish": ("merge", "markdup"),
    "qc": ("flagstat", "coverage", "idxstats", "stats"),
    "call": ("mpileup", "call", "norm", "annotate"),
    "gather": ("concat", "index", "stats"),
}

# ---- permissions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def launcher() -> Sequence[str]:
    """A launcher that takes root's right to ignore permissions from a step."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root ignores permissions, and there is no setpriv to take that right away")
    capabilities = "-dac_override,-dac_read_search"
    return ("setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}")


MAY_NOT_ENTER, NOT_READABLE = "{user} may not enter the directory {path}.", "{path} is not readable for {user}"
FORBIDDEN: list[tuple[str, tuple[str, ...], str, str]] = [
    ("mem", (REFERENCE, SAMPLE, "L001", "closed/deeper/x", "L001_2.fq.gz"), "data/closed", MAY_NOT_ENTER),
    ("index", ("closed/deeper/x",), "reference/closed", MAY_NOT_ENTER),
    *((step, (), "working/germline/run1/NA1", MAY_NOT_ENTER) for step in ("qc", "check", "gather")),
    ("mem", (), "data/L001_1.fq.gz", NOT_READABLE),
]


@pytest.mark.parametrize(("step", "words", "path", "message"), FORBIDDEN)
def test_what_may_not_be_read_or_entered_is_named(
    sample: TinySample, launcher: Sequence[str], step: str, words: tuple[str, ...], path: str, message: str
) -> None:
    sample.run()
    for mount in ("data", "reference"):
        (sample.job.root / mount / "closed" / "deeper").mkdir(parents=True)
        (sample.job.root / mount / "closed" / "deeper" / "x").write_text(">a\nACGT\n")
    forbidden = sample.job.root / path
    forbidden.chmod(0o600 if forbidden.is_dir() else 0)
    code, printed = end(sample.start(step, words=words, launcher=launcher))
    forbidden.chmod(0o700)
    assert (code, printed.count("\n")) == (66, 1)
    assert message.format(path=forbidden, user=f"user {os.getuid()}") in printed


def test_a_scratch_that_may_not_be_written_is_named(sample: TinySample, launcher: Sequence[str]) -> None:
    sample.run(before="mem")
    folders = [sample.working, *(path for path in sample.working.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    code, printed = end(sample.start("mem", launcher=launcher))
    for folder in folders:
        folder.chmod(0o755)
    assert code == 73
    assert printed.count("step: error: cannot write ") == 1
    assert "Make its directory writable for the user that this job runs as." in printed


# ---- full disks ------------------------------------------------------------------------------------------------------

PAGE = 4096
FILL = """
if not {early}:
    drain() if "-" in words or name in ("call", "mem") else None
with open({file!r}, "ab", buffering=0) as fill:
    try:
        for _ in range(256): fill.write(bytes(4096))
    except OSError: pass
"""


@contextlib.contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[None]:
    """Mounts a file system of that many pages, which only root may."""
    options = f"size={max(pages, 1) * PAGE},mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "small", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    step=st.sampled_from(sorted(PROGRAMS)),
    free=st.one_of(st.integers(0, 16), st.integers(17, 100)),
    moment=st.integers(-1, 3),
    early=st.booleans(),
)
def test_whenever_a_disk_of_any_size_is_full_the_step_reports_it(
    sample: TinySample,
    step: str,
    free: int,
    moment: int,
    early: bool,  # noqa: FBT001
) -> None:
    """The disk is filled before the step (-1), or by one of its programs, before or after that has read its input."""
    lanes = ("L001", "L002") if step == "finish" else ("L001",)
    sample.repair()
    sample.run(lanes, before=step)
    state = sample.job.root.with_name("state")
    shutil.rmtree(state, ignore_errors=True)
    sample.working.rename(state)
    sample.working.mkdir()
    pages = sum(-(-file.stat().st_size // PAGE) for file in state.rglob("*") if file.is_file())
    with small_disk(sample.working, pages + free):
        shutil.copytree(state, sample.working, dirs_exist_ok=True)
        finished = [*sample.finished(), "fill"]
        if moment >= 0:
            fill = FILL.format(early=early, file=str(sample.working / "fill"))
            sample.inject(PROGRAMS[step][moment % len(PROGRAMS[step])], fill)
        else:
            with contextlib.suppress(OSError), (sample.working / "fill").open("wb", buffering=0) as file:
                for _ in range(256):
                    file.write(bytes(PAGE))
        code, printed = end(sample.start(step, lanes=",".join(lanes)))
        assert code == 74, printed
        errors = [line for line in printed.splitlines() if line.startswith("step: error:")]
        assert len(errors) == 1, printed
        assert "space" in errors[0]
        assert "images/base/step" not in printed  # no traceback
        fasta = [file for file in sample.finished() if "/fasta/" in file]  # finished before its index
        assert set(sample.finished()) - set(fasta) <= set(finished)
        assert sample.left_over() == []


# ---- signals ---------------------------------------------------------------------------------------------------------


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def make_programs_wait(sample: TinySample, *programs: str) -> Path:
    """Makes programs note their process ids in a folder, and sleep."""
    folder = sample.programs.folder / "running"
    folder.mkdir()
    for program in programs:
        sample.inject(program, "write(here + 'running/' + str(os.getpid()), b'')\ntime.sleep(60)")
    return folder


def is_fake_program(sample: TinySample, process_id: str) -> bool:
    """Whether a process runs and is one of the fake programs; its id may have been reused."""
    try:
        return str(sample.programs.folder).encode() in Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return False


def handles_sigterm(process: "subprocess.Popen[str]") -> bool:
    """Whether a process has ended, or has a handler for SIGTERM."""
    if process.poll() is not None:
        return True
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


SIGNALS = [("mem", signal.SIGTERM, 143), ("qc", signal.SIGINT, 130), ("call", signal.SIGHUP, 129)]


@pytest.mark.parametrize(("step", "number", "code"), SIGNALS, ids=["mem-TERM", "qc-INT", "call-HUP"])
def test_a_signal_ends_a_step_and_its_programs_and_leaves_nothing(
    sample: TinySample, step: str, number: int, code: int
) -> None:
    sample.run(before=step)
    programs = PROGRAMS[step]
    finished = sample.finished()
    process_ids = make_programs_wait(sample, *programs)
    process = sample.start(step, lanes="L001")
    wait_for(lambda: len(list(process_ids.iterdir())) == len(programs))
    began = time.monotonic()
    process.send_signal(number)
    assert end(process)[0] == code
    assert time.monotonic() - began < 10
    assert not [file for file in process_ids.iterdir() if is_fake_program(sample, file.name)]
    assert sample.finished() == finished
    assert sample.left_over() == []


def test_a_signal_at_any_moment_leaves_nothing(sample: TinySample) -> None:
    sample.run(before="mem")
    finished = sample.finished()
    for delay in (0.0, 0.02, 0.05, 0.08):
        process = sample.start("mem")
        wait_for(functools.partial(handles_sigterm, process))
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        code, printed = end(process)
        assert code in (0, 143), printed
        assert "Traceback" not in printed
        assert sample.left_over() == []
        if code == 143 and "done in" not in printed:
            assert sample.finished() == finished
        for file in (sample.folder / "steps").glob("mem*"):
            file.unlink()
        shutil.rmtree(sample.folder / "lanes", ignore_errors=True)


def test_a_killed_step_leaves_nothing_that_looks_finished_and_the_next_attempt_cleans_up(sample: TinySample) -> None:
    sample.run(before="mem")
    finished = sample.finished()
    process_ids = make_programs_wait(sample, "markdup")
    process = sample.start("mem", lanes="L001")
    wait_for(lambda: bool(list(process_ids.iterdir())))
    process.kill()
    for file in process_ids.iterdir():
        os.kill(int(file.name), signal.SIGKILL)
    assert end(process)[0] == -signal.SIGKILL
    assert sample.finished() == finished
    assert len(sample.left_over()) == 1
    sample.repair()
    sample.step("mem", lanes="L001")
    assert sample.left_over() == []


def test_the_work_directory_of_a_live_attempt_is_kept_and_one_without_a_lock_is_removed(sample: TinySample) -> None:
    sample.run(before="mem")
    (sample.working / ".work" / sample.folder.relative_to(sample.working) / "tmp.mem.L001.dead").mkdir(parents=True)
    process_ids = make_programs_wait(sample, "mem")
    process = sample.start("mem")
    wait_for(lambda: bool(list(process_ids.iterdir())))
    sample.repair()
    (alive,) = sample.left_over()
    sample.step("mem")
    assert sample.left_over() == [alive]
    process.terminate()
    assert end(process)[0] == 143


def test_concurrent_attempts_do_not_spoil_each_other(sample: TinySample) -> None:
    sample.run(before="mem")
    attempts = [sample.start("mem", lanes="L001") for _ in range(3)]
    assert [end(attempt)[0] for attempt in attempts] == [0, 0, 0]
    assert sample.left_over() == []
    for entry in sample.record("mem.L001")["outputs"]:
        assert Path(entry["path"]).stat().st_size == entry["size"]
    assert not [name for name in sample.finished() if Path(name).name.startswith(".")]


# ---- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/dev/full", "a closed pipe", "&-"])
def test_a_log_that_cannot_be_written_changes_no_exit_code(job: Job, target: str) -> None:
    launcher = () if target == "a closed pipe" else ("sh", "-c", f'exec "$@" 2>{target}', "sh")
    process = start(job, "bwa", "mem", "../x", launcher=launcher)
    if not launcher:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(timeout=30) == 64
    else:
        assert end(process)[0] == 64


MAIN = """
import os, signal, sys
sys.path.insert(0, {path!r})
from step.main import main
def command(job, arguments): {body}
code = main({{"x": command}}, ["x"], True)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): os.kill(os.getpid(), number)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("pass", 0, ""),
        (r"raise ValueError('a\nb')", 70, "ValueError: a?b was not foreseen"),
        ("raise MemoryError", 137, "ran out of memory"),
        ("raise OSError(28, 'No space left on device', '/scratch/x')", 74, "cannot write /scratch/x: no space is left"),
        ("raise PermissionError(13, 'Permission denied', '/scratch/x')", 73, "cannot write /scratch/x"),
    ],
)
def test_an_unexpected_error_is_one_line_and_late_signals_do_not_change_the_exit_code(
    body: str, code: int, message: str
) -> None:
    program = MAIN.format(path=str(HERE.images / "base"), body=body)
    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == bool(message)


@pytest.mark.parametrize("image", sorted({*IMAGES.values(), "bwa-mem3"}))
def test_only_an_image_s_own_commands_are_known(job: Job, image: str) -> None:
    code, printed = end(start(job, image, "$(id)"))
    assert code == 64
    assert f"unknown command '$(id)': this image knows: {' '.join(image_commands(image).COMMANDS)}" in printed
