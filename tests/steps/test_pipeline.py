"""Programs in a pipe: what they cost, what they say, and which of them is named where one fails."""

import contextlib
import hashlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.standins import Standins

from step.errors import BadDataError, InputOutputError, KilledError, StepError, ToolFailedError
from step.job import Job
from step.pipeline import Exit, Pipeline, Program, first_cause, run_together, write_all

DRAIN = "while sys.stdin.buffer.read1(1 << 20): pass\n"
COPY = "while chunk := sys.stdin.buffer.read1(1 << 20): sys.stdout.buffer.write(chunk)\n"
FLOOD = "while True: os.write(1, b'x' * 65536)\n"
KILLED = "os.kill(os.getpid(), signal.SIGKILL)\n"
Make = Callable[..., Pipeline]


@pytest.fixture
def make(job: Job, standins: Standins, tmp_path: Path) -> Make:
    """Makes a pipeline of programs, each given by its code; the names are one, two, three."""

    def pipeline(*codes: str, quiet: bool = False, **further: object) -> Pipeline:
        programs = []
        for name, code in zip(("one", "two", "three"), codes, strict=False):
            standins.write(name, code)
            programs.append(Program(name=name, command=(name,), is_quiet=quiet))
        return Pipeline(
            programs=programs,
            work=tmp_path,
            environment=job.environment,
            memory_mib=64,
            **further,  # type: ignore[arg-type]
        )

    return pipeline


def feed(data: bytes) -> Callable[[BinaryIO], float]:
    def write(pipe: BinaryIO) -> float:
        write_all(pipe, data)
        return 0.25

    return write


def all_children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()


class _Before:
    children: frozenset[str] = frozenset()


@pytest.fixture(autouse=True)
def before() -> None:
    """Other tests of the same process may have left servers for those that follow."""
    _Before.children = frozenset(all_children())


def children() -> list[str]:
    """The processes that this test started and that are still there."""
    return [number for number in all_children() if number not in _Before.children]


# ---- what goes well ------------------------------------------------------------------------------------------------


def test_data_go_through_all_programs_into_the_sink_with_their_digest(make: Make, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    pipeline = make(COPY, COPY, COPY, feed=feed(data), sink="out").run()
    assert (tmp_path / "out").read_bytes() == data
    assert pipeline.sha256 == hashlib.sha256(data).hexdigest()


def test_each_stage_has_its_cost(make: Make) -> None:
    pipeline = make(COPY, "x = b'x' * 150_000_000\nfor _ in range(10**6): pass\n" + DRAIN, feed=feed(b"x")).run()
    costs = {cost.name: cost for cost in pipeline.costs}
    assert set(costs) == {"reads", "one", "two"}
    # The kernel counts what this process held when it started a program, which is more than that one's own.
    assert costs["two"].peak_memory_bytes > 150_000_000
    assert costs["two"].peak_memory_bytes >= costs["one"].peak_memory_bytes > 1_000_000
    assert costs["two"].user_seconds > 0.005
    assert costs["reads"].user_seconds >= 0.25


def test_programs_run_in_the_work_directory_with_nothing_on_stdin_and_the_job_s_environment(
    make: Make, tmp_path: Path
) -> None:
    make("assert not sys.stdin.read()\nprint(os.getcwd(), os.environ['WORKFLOW_NAME'])", sink="out").run()
    assert (tmp_path / "out").read_text() == f"{tmp_path} germline\n"


def test_an_uncompressed_stream_s_last_block_need_not_be_read(make: Make) -> None:
    end = "bytes.fromhex('1f8b08040000000000ff0600424302001b0003000000000000000000')"
    make(f"os.write(1, b'x' + {end})", "time.sleep(0.2)\nos.read(0, 1)").run()


# ---- which program is named ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", range(3))
def test_a_killed_program_is_named_wherever_it_stands(make: Make, killed: int) -> None:
    codes = ["for _ in range(200): os.write(1, b'x' * 65536)", COPY, COPY]
    codes[killed] = KILLED
    with pytest.raises(KilledError, match=f"^{('one', 'two', 'three')[killed]} was killed: .* 64 MiB") as caught:
        make(*codes, sink="out").run()
    assert caught.value.code == 137


@pytest.mark.parametrize("killed", range(3))
def test_a_killed_program_is_named_though_others_fail_for_it(make: Make, killed: int) -> None:
    codes = [f"try:\n {FLOOD}except OSError: sys.exit(3)", f"{COPY}sys.exit(4)", f"{DRAIN}sys.exit(5)"]
    codes[0] = "signal.signal(signal.SIGPIPE, signal.SIG_IGN)\n" + codes[0]
    codes[killed] = KILLED
    with pytest.raises(KilledError, match=f"^{('one', 'two', 'three')[killed]} was killed"):
        make(*codes).run()


def test_a_program_that_a_later_one_hung_up_on_is_not_blamed(make: Make) -> None:
    with pytest.raises(ToolFailedError, match=r"^three failed: its exit status is 7"):
        make(FLOOD, COPY, "os.read(0, 1)\nsys.exit(7)").run()


def test_nor_is_one_that_takes_the_broken_pipe_for_an_error_of_its_own(make: Make) -> None:
    stubborn = f"signal.signal(signal.SIGPIPE, signal.SIG_IGN)\ntry:\n {FLOOD}except OSError: os._exit(1)"
    with pytest.raises(ToolFailedError, match=r"^two failed: its exit status is 7"):
        make(stubborn, "os.read(0, 1)\nos._exit(7)").run()


def test_of_a_program_that_failed_and_the_one_that_missed_its_data_the_first_is_named(make: Make) -> None:
    with pytest.raises(ToolFailedError, match=r"^one failed: its exit status is 3"):
        make("os.write(1, b'x')\nos._exit(3)", "os.read(0, 9)\nos.read(0, 9)\nos._exit(4)").run()


@pytest.mark.parametrize("size", [10, 10_000_000], ids=["all of it in the pipe", "more than a pipe holds"])
def test_a_program_that_stops_reading_and_ends_well_is_an_error(make: Make, size: int) -> None:
    with pytest.raises(ToolFailedError, match=r"^one failed: it did not read its input to the end"):
        make("sys.exit(0)", feed=feed(b"x" * size), sink="out").run()
    with pytest.raises(ToolFailedError, match=r"^(one|two) failed: .* read"):
        make(f"os.write(1, b'x' * {size})", "time.sleep(0.1)\nos.read(0, 1)").run()


def test_out_of_memory_the_kernel_takes_a_program_and_not_the_step(make: Make) -> None:
    code = "while open('/proc/self/oom_score_adj').read().strip() != '1000': time.sleep(0.001)\n"
    began = time.monotonic()
    make(f"import threading\nthreading.Timer(20, os._exit, [1]).start()\n{code}os._exit(0)").run()
    assert time.monotonic() - began < 20
    assert Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip() != "1000"


def test_a_signal_is_named(make: Make) -> None:
    for number, name in ((signal.SIGSEGV, "Segmentation fault"), (40, "Real-time signal 6")):
        with pytest.raises(ToolFailedError, match=rf"signal {int(number)} \({name}\) ended it"):
            make(f"signal.raise_signal({int(number)})").run()


@pytest.mark.parametrize("missing", range(3))
def test_a_program_that_is_not_there_is_named_and_the_others_end(make: Make, standins: Standins, missing: int) -> None:
    pipeline = make(FLOOD, COPY, COPY, feed=feed(b"x" * 10_000_000), sink="out")
    name = ("one", "two", "three")[missing]
    (standins.folder / name).unlink()
    with pytest.raises(ToolFailedError, match=f"^no program '{name}': this image does not hold it"):
        pipeline.run()
    assert children() == []


def test_a_program_that_may_not_be_run_is_named(make: Make, standins: Standins) -> None:
    pipeline = make("")
    (standins.folder / "one").chmod(0o644)
    with pytest.raises(ToolFailedError, match=r"^cannot start 'one': permission denied"):
        pipeline.run()
    (standins.folder / "one").write_text("no program")
    (standins.folder / "one").chmod(0o755)
    with pytest.raises(ToolFailedError, match=r"^cannot start 'one': exec format error"):
        pipeline.run()


EXITS = st.sampled_from([0, 0, 1, 70, -signal.SIGPIPE, -signal.SIGKILL, -signal.SIGSEGV])


@given(statuses=st.lists(EXITS, max_size=5))
def test_the_cause_is_a_kill_else_the_first_failure_that_is_no_broken_pipe(statuses: list[int]) -> None:
    exits = [Exit(name=str(number), status=status) for number, status in enumerate(statuses)]
    cause = first_cause(exits)
    failed = [status for status in statuses if status]
    assert (cause is None) == (not failed)
    if cause is not None and -signal.SIGKILL in failed:
        assert cause.status == -signal.SIGKILL
    elif cause is not None and set(failed) != {-signal.SIGPIPE}:
        assert cause.status == next(status for status in failed if status != -signal.SIGPIPE)


# ---- bad data ------------------------------------------------------------------------------------------------------


def test_a_program_that_closes_its_pipe_before_it_fails_is_named_and_not_what_reads_the_pipe(make: Make) -> None:
    closes = "os.close(1)\nos.dup2(2, 1)\ntime.sleep(0.3)\nos._exit(3)"
    with pytest.raises(ToolFailedError, match=r"^one failed: its exit status is 3"):
        make(closes, DRAIN + "os._exit(4)", sink="out").run()


# ---- bad data ------------------------------------------------------------------------------------------------------


def test_bad_data_end_every_program_though_they_would_go_on(make: Make) -> None:
    def bad(pipe: BinaryIO) -> float:
        write_all(pipe, b"x" * 100)
        raise BadDataError("bad reads", why="record 8 is broken", fix="Correct it.")

    began = time.monotonic()
    with pytest.raises(BadDataError, match=r"record 8"):
        make("time.sleep(60)", "time.sleep(60)", feed=bad).run()
    assert time.monotonic() - began < 10
    assert children() == []


def test_what_is_not_foreseen_in_the_feed_ends_every_program_too(make: Make) -> None:
    def broken(_: BinaryIO) -> float:
        message = "a fault"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=r"a fault"):
        make("time.sleep(60)", feed=broken).run()
    assert children() == []


# ---- full disks ----------------------------------------------------------------------------------------------------


def test_a_full_disk_under_the_sink_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/dev/full")
    for size in (1, 10_000_000):
        with pytest.raises(InputOutputError, match=r"out: no space is left") as caught:
            make(f"os.write(1, b'x' * {size})", sink="out").run()
        assert caught.value.code == 74


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
@pytest.mark.parametrize("quiet", [True, False])
def test_a_program_that_says_that_the_disk_is_full_is_believed(make: Make, words: str, quiet: bool) -> None:  # noqa: FBT001
    with pytest.raises(InputOutputError, match=r"^one failed: no space is left"):
        make(f"sys.exit('sort: cannot write: {words}')", quiet=quiet).run()


# ---- what programs say ---------------------------------------------------------------------------------------------


def test_what_a_program_says_is_passed_on(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make("os.write(2, b'so it is\\n')").run()
    assert capfd.readouterr().err == "so it is\n"


def test_half_a_line_of_a_program_that_is_killed_is_a_line_of_its_own(
    make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def bad(_: BinaryIO) -> float:
        while not said.exists():
            time.sleep(0.001)
        raise BadDataError("the data", why="are bad", fix="Mend them.")

    said = tmp_path / "said"
    pipeline = make("os.write(2, b'one\\nhalf a l')\nopen('said', 'w').close()\ntime.sleep(60)", feed=bad)
    with pytest.raises(BadDataError):
        pipeline.run()
    assert capfd.readouterr().err == "one\nhalf a l\n"


def test_a_line_without_an_end_is_not_held_for_ever(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    make("os.write(2, b'.' * 100000)").run()
    said = capfd.readouterr().err
    assert said.rstrip("\n") == "." * 100000


def test_what_a_quiet_program_says_is_shown_only_where_it_fails(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    code = "for number in range(9): os.write(2, b'line %d\\n' % number)\n"
    make(code, quiet=True).run()
    assert capfd.readouterr().err == ""
    with pytest.raises(ToolFailedError):
        make(f"{code}sys.exit(1)", quiet=True).run()
    assert capfd.readouterr().err == "".join(f"line {number}\n" for number in range(4, 9))


def test_ten_megabytes_of_words_are_not_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = itertools.count()
    monkeypatch.setattr("step.pipeline.tell", lambda _: next(passed))
    pipeline = make("for _ in range(160): os.write(2, b'x' * 65536)\nsys.exit(1)")
    with pytest.raises(ToolFailedError):
        pipeline.run()
    assert next(passed) > 1
    assert sum(len(end.said) for end in pipeline._exits) <= 8192  # noqa: SLF001


# ---- ends ----------------------------------------------------------------------------------------------------------


def test_leaving_a_pipeline_leaves_no_program(make: Make) -> None:
    with make("time.sleep(60)", "time.sleep(60)"):
        assert len(children()) == 2
    assert children() == []


def test_pipelines_run_side_by_side_and_the_first_that_failed_is_named(make: Make, tmp_path: Path) -> None:
    meet = "open('{mine}', 'w').close()\nwhile not os.path.exists('{other}'): time.sleep(0.01)\n"
    pipelines = [make(meet.format(mine="a", other="b"), sink="left")]
    second = Pipeline(
        programs=(Program(name="other", command=("other",)),),
        work=tmp_path,
        environment=pipelines[0].environment,
        memory_mib=64,
        sink="right",
    )
    Standins(folder=tmp_path / "bin").write("other", meet.format(mine="b", other="a") + "sys.exit(5)")
    with pytest.raises(ToolFailedError, match=r"^other failed: its exit status is 5"):
        run_together([*pipelines, second])


def test_no_descriptor_and_no_thread_is_left(make: Make) -> None:
    make(COPY, COPY, feed=feed(b"x"), sink="out").run()
    before = sorted(Path("/proc/self/fd").iterdir()), threading.active_count()
    for codes in ((COPY, COPY), (KILLED, COPY), (COPY, "sys.exit(1)")):
        with contextlib.suppress(StepError):
            make(*codes, feed=feed(b"x" * 100_000), sink="out").run()
    assert (sorted(Path("/proc/self/fd").iterdir()), threading.active_count()) == before
