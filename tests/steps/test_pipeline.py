"""Pipelines: costs, digests, the log, and which program is named when one fails."""

import contextlib
import hashlib
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import BinaryIO, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_programs import FakePrograms

from step.errors import BadDataError, InputOutputError, KilledError, StepError, ToolFailedError
from step.job import Job
from step.pipeline import Exit, Feed, Pipeline, Program, first_cause, run_together, write_all

DRAIN = "while sys.stdin.buffer.read1(1 << 20): pass\n"
COPY = "while chunk := sys.stdin.buffer.read1(1 << 20): sys.stdout.buffer.write(chunk)\n"
FLOOD = "while True: os.write(1, b'x' * 65536)\n"
SLEEP = "time.sleep(60)"
KILLED = "os.kill(os.getpid(), 9)\n"
NAMES = ("one", "two", "three")


class Make(Protocol):
    """Makes a pipeline of programs, each given as Python code; their names are NAMES."""

    def __call__(
        self, *codes: str, names: tuple[str, ...] = NAMES, quiet: bool = False, feed: Feed | None = None, sink: str = ""
    ) -> Pipeline: ...


@pytest.fixture
def make(job: Job, programs: FakePrograms, tmp_path: Path) -> Make:
    def pipeline(
        *codes: str, names: tuple[str, ...] = NAMES, quiet: bool = False, feed: Feed | None = None, sink: str = ""
    ) -> Pipeline:
        for name, code in zip(names, codes, strict=False):
            programs.write(name, code)
        stages = [Program(name=name, command=(name,), is_quiet=quiet) for name in names[: len(codes)]]
        return Pipeline(
            programs=stages, work=tmp_path, environment=job.environment, memory_mib=64, feed=feed, sink=sink
        )

    return pipeline


def feed(data: bytes) -> Feed:
    def write(pipe: BinaryIO) -> float:
        write_all(pipe, data)
        return 0.25

    return write


def children() -> frozenset[str]:
    return frozenset(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())


# ---- output, costs and environment -----------------------------------------------------------------------------------


def test_data_flow_through_all_programs_into_the_sink_with_their_digest_and_cost(make: Make, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    pipeline = make(COPY, f"x = b'x' * 150_000_000\nfor _ in range(10**6): pass\n{COPY}", feed=feed(data), sink="out")
    run_together([pipeline])
    assert (tmp_path / "out").read_bytes() == data
    assert pipeline.sha256 == hashlib.sha256(data).hexdigest()
    costs = {cost.name: cost for cost in pipeline.costs}
    assert set(costs) == {"reads", "one", "two"}
    # Between fork and exec, a program has the memory of this process, so program one's peak may be large, too.
    assert costs["two"].peak_memory_bytes > 150_000_000
    assert costs["two"].peak_memory_bytes >= costs["one"].peak_memory_bytes > 1_000_000
    assert costs["two"].user_seconds > 0.005
    assert costs["reads"].user_seconds >= 0.25


def test_programs_run_in_the_work_directory_with_empty_stdin_and_the_job_s_environment(
    make: Make, tmp_path: Path
) -> None:
    run_together([make("assert not sys.stdin.read()\nprint(os.getcwd(), os.environ['WORKFLOW_NAME'])", sink="out")])
    assert (tmp_path / "out").read_text() == f"{tmp_path} germline\n"


def test_pipelines_run_concurrently_and_the_first_that_failed_is_named(make: Make) -> None:
    meet = "open('{mine}', 'w').close()\nwhile not os.path.exists('{other}'): time.sleep(0.01)\n"
    left = make(meet.format(mine="a", other="b"), sink="left")
    right = make(meet.format(mine="b", other="a") + "sys.exit(5)", names=("other",), sink="right")
    with pytest.raises(ToolFailedError, match=r"^other failed: its exit status is 5"):
        run_together([left, right])


# ---- which program is named ------------------------------------------------------------------------------------------

STUBBORN = f"import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_IGN)\ntry:\n {FLOOD}except OSError: os._exit(3)"
EXITS_EARLY = "os.write(1, b'x')\nos._exit(3)"
DIES_OF_SIGPIPE = "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
CLOSES_OUTPUT_EARLY = "os.close(1)\nos.dup2(2, 1)\ntime.sleep(0.2)\nos._exit(3)"
FAILURES: dict[str, tuple[tuple[str, ...], str]] = {
    "a killed producer": ((KILLED, f"{COPY}sys.exit(4)", f"{DRAIN}sys.exit(5)"), "one was killed: .* 64 MiB"),
    "a killed filter": ((STUBBORN, KILLED, f"{DRAIN}sys.exit(5)"), "two was killed"),
    "a killed consumer": ((STUBBORN, f"{COPY}sys.exit(4)", KILLED), "three was killed"),
    "a reader that fails, not its writers": ((FLOOD, COPY, "os.read(0, 1)\nsys.exit(7)"), "three failed: .* is 7"),
    "a reader, not a writer that exits on EPIPE": ((STUBBORN, "os.read(0, 1)\nos._exit(7)"), "two failed: .* is 7"),
    "a writer, not its reader": ((EXITS_EARLY, "os.read(0, 9)\nos.read(0, 9)\nos._exit(4)"), "one failed: .* is 3"),
    "a writer that closed its pipe": ((CLOSES_OUTPUT_EARLY, f"{DRAIN}os._exit(4)"), "one failed: .* is 3"),
    "a reader of a part": (("os.write(1, b'x' * 10)", "time.sleep(0.1)\nos.read(0, 1)"), "two failed: .* not read its"),
    "a writer of more": ((f"{DIES_OF_SIGPIPE}{FLOOD}", "os.read(0, 1)"), "one failed: what it wrote was not read"),
    "a signal": (("os.kill(os.getpid(), 11)",), r"one failed: signal 11 \(Segmentation fault\) ended it"),
    "a signal without a name": (
        ("os.kill(os.getpid(), 40)",),
        r"one failed: signal 40 \(Real-time signal 6\)",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_program_that_caused_the_failure_is_named(make: Make, failure: str) -> None:
    codes, message = FAILURES[failure]
    with pytest.raises(KilledError if "killed" in message else ToolFailedError, match=f"^{message}"):
        run_together([make(*codes)])


@pytest.mark.parametrize("size", [10, 10_000_000], ids=["all of it in the pipe", "more than a pipe holds"])
def test_a_program_that_does_not_read_its_feed_is_an_error(make: Make, size: int) -> None:
    with pytest.raises(ToolFailedError, match=r"^one failed: it did not read its input to the end"):
        run_together([make("sys.exit(0)", feed=feed(b"x" * size), sink="out")])


def test_the_eof_marker_of_a_bgzf_stream_need_not_be_read(make: Make) -> None:
    marker = "bytes.fromhex('1f8b08040000000000ff0600424302001b0003000000000000000000')"
    run_together([make(f"os.write(1, b'x' + {marker})", "time.sleep(0.1)\nos.read(0, 1)")])


@given(statuses=st.lists(st.sampled_from([0, 0, 1, 70, -signal.SIGPIPE, -signal.SIGKILL, -signal.SIGSEGV]), max_size=5))
def test_the_cause_is_a_kill_else_the_first_failure_that_is_no_broken_pipe(statuses: list[int]) -> None:
    cause = first_cause([Exit(name=str(number), status=status) for number, status in enumerate(statuses)])
    failed = [status for status in statuses if status]
    assert (cause is None) == (not failed)
    if cause is not None and -signal.SIGKILL in failed:
        assert cause.status == -signal.SIGKILL
    elif cause is not None and set(failed) != {-signal.SIGPIPE}:
        assert cause.status == next(status for status in failed if status != -signal.SIGPIPE)


@pytest.mark.parametrize("missing", range(3))
def test_a_missing_program_is_named_and_the_others_end(make: Make, programs: FakePrograms, missing: int) -> None:
    before = children()
    pipeline = make(FLOOD, COPY, COPY, feed=feed(b"x" * 10_000_000), sink="out")
    (programs.folder / NAMES[missing]).unlink()
    with pytest.raises(ToolFailedError, match=f"^no program '{NAMES[missing]}': this image does not hold it"):
        run_together([pipeline])
    assert children() <= before


@pytest.mark.parametrize(("mode", "reason"), [(0o644, "permission denied"), (0o755, "exec format error")])
def test_a_program_that_cannot_be_started_is_named(make: Make, programs: FakePrograms, mode: int, reason: str) -> None:
    pipeline = make("")
    (programs.folder / "one").write_text("no program")
    (programs.folder / "one").chmod(mode)
    with pytest.raises(ToolFailedError, match=f"^cannot start 'one': {reason}"):
        run_together([pipeline])


def test_when_memory_runs_out_the_kernel_kills_a_program_and_not_the_step(make: Make) -> None:
    code = "while open('/proc/self/oom_score_adj').read().strip() != '1000': time.sleep(0.001)\n"
    run_together([make(f"import threading\nthreading.Timer(20, os._exit, [1]).start()\n{code}os._exit(0)")])
    assert Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip() != "1000"


# ---- bad data, full disks and the end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [BadDataError("bad reads", why="record 8 is broken", fix="Correct it."), RuntimeError()]
)
def test_an_error_of_the_feed_ends_every_program(make: Make, error: Exception) -> None:
    def broken_feed(pipe: BinaryIO) -> float:
        write_all(pipe, b"x" * 100)
        raise error

    before, began = children(), time.monotonic()
    with pytest.raises(type(error)) as caught:
        run_together([make(SLEEP, SLEEP, feed=broken_feed)])
    assert caught.value is error
    assert time.monotonic() - began < 10
    assert children() <= before


@pytest.mark.parametrize("size", [1, 10_000_000])
def test_a_full_disk_under_the_sink_is_named(make: Make, tmp_path: Path, size: int) -> None:
    (tmp_path / "out").symlink_to("/dev/full")
    with pytest.raises(InputOutputError, match=r"out: no space is left"):
        run_together([make(f"os.write(1, b'x' * {size})", sink="out")])


@pytest.mark.parametrize("message", ["No space left on device", "Disk quota exceeded"])
def test_a_program_that_reports_a_full_disk_is_believed(make: Make, message: str) -> None:
    for quiet in (True, False):
        with pytest.raises(InputOutputError, match=r"^one failed: no space is left"):
            run_together([make(f"sys.exit('sort: cannot write: {message}')", quiet=quiet)])


def test_leaving_a_pipeline_leaves_no_program(make: Make) -> None:
    before = children()
    with make(SLEEP, SLEEP):
        assert len(children() - before) == 2
    assert children() <= before


def test_no_descriptor_and_no_thread_is_left(make: Make) -> None:
    run_together([make(COPY, COPY, feed=feed(b"x"), sink="out")])
    before = sorted(Path("/proc/self/fd").iterdir()), threading.active_count()
    for codes in ((COPY, COPY), (KILLED, COPY), (COPY, "sys.exit(1)")):
        with contextlib.suppress(StepError):
            run_together([make(*codes, feed=feed(b"x" * 100_000), sink="out")])
    assert (sorted(Path("/proc/self/fd").iterdir()), threading.active_count()) == before


# ---- the log ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "printed"), [("os.write(2, b'so it is\\n')", "so it is\n"), ("os.write(2, b'.' * 99999)", "." * 99999)]
)
def test_stderr_is_passed_on(make: Make, code: str, printed: str, capfd: pytest.CaptureFixture[str]) -> None:
    run_together([make(code)])
    assert capfd.readouterr().err.rstrip("\n") == printed.rstrip("\n")


def test_half_a_line_of_a_killed_program_is_a_line_of_its_own(
    make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def bad_feed(_: BinaryIO) -> float:
        while not (tmp_path / "printed").exists():
            time.sleep(0.001)
        raise BadDataError("the data", why="are bad", fix="Mend them.")

    code = f"os.write(2, b'one\\nhalf a l')\nopen('printed', 'w').close()\n{SLEEP}"
    with pytest.raises(BadDataError):
        run_together([make(code, feed=bad_feed)])
    assert capfd.readouterr().err == "one\nhalf a l\n"


def test_a_quiet_program_s_stderr_is_shown_only_if_it_fails(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    code = "for number in range(9): os.write(2, b'line %d\\n' % number)\n"
    run_together([make(code, quiet=True)])
    assert capfd.readouterr().err == ""
    with pytest.raises(ToolFailedError):
        run_together([make(f"{code}sys.exit(1)", quiet=True)])
    assert capfd.readouterr().err == "".join(f"line {number}\n" for number in range(4, 9))


def test_of_ten_megabytes_of_stderr_only_the_end_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = itertools.count()
    monkeypatch.setattr("step.pipeline.write_stderr", lambda _: next(writes))
    pipeline = make("for _ in range(160): os.write(2, b'x' * 65536)\nsys.exit(1)")
    with pytest.raises(ToolFailedError):
        run_together([pipeline])
    assert next(writes) > 1
    assert sum(len(result.stderr) for result in pipeline._exits) <= 8192  # noqa: SLF001
