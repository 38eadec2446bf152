"""The job that a step runs in, the errors that end it, and the signals."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from step import errors, main, signals
from step.errors import InputOutputError, MissingInputError, StepError, TerminatedError, UsageError, cannot_write
from step.job import Job, check_input

# The table of images/base/README.md.
CODES = {
    "UsageError": 64,
    "BadDataError": 65,
    "MissingInputError": 66,
    "ToolFailedError": 70,
    "CannotCreateError": 73,
    "InputOutputError": 74,
    "TryAgainError": 75,
    "KilledError": 137,
}


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_every_error_has_its_exit_code() -> None:
    assert {kind.__name__: kind.code for kind in StepError.__subclasses__()} == CODES


def test_an_error_says_what_happened_why_and_what_to_do() -> None:
    assert str(UsageError("bad lane", why="it is empty", fix="Name it.")) == "bad lane: it is empty. Name it."


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, 74, "no space is left. Remove old runs"),
        (errno.EDQUOT, 74, "the quota is used up. Remove old runs"),
        (errno.EFBIG, 74, "the file grows too large"),
        (errno.EIO, 74, "input/output error. Check the file system"),
        (errno.EROFS, 73, "read-only file system. Make its directory writable"),
        (errno.EACCES, 73, "permission denied. Make its directory writable"),
        (errno.EISDIR, 73, "is a directory. Remove what is in its way"),
        (errno.ENOTDIR, 73, "not a directory. Remove what is in its way"),
        (errno.ENOTEMPTY, 73, "directory not empty. Remove what is in its way"),
    ],
)
def test_what_cannot_be_written_has_an_error_by_its_cause(number: int, code: int, said: str) -> None:
    error = cannot_write("/scratch/x", OSError(number, os.strerror(number)))
    assert error.code == code
    assert str(error).startswith(f"cannot write /scratch/x: {said}")


@given(text=st.one_of(st.text(), st.binary()))
def test_anything_is_printed_as_one_short_line_of_ascii(text: str | bytes) -> None:
    printed = errors.printable(text)
    assert printed.isascii()
    assert printed.isprintable()
    assert len(printed) == min(len(text), 80)


# ---- mounts and names ------------------------------------------------------------------------------------------------


def mounted(job: Job, kind: str, *names: str) -> None:
    """Rewrites the table of mounts."""
    job.mounts.write_text("".join(f"1 1 0:1 / {job.root / name} rw shared:1 - {kind} /dev/x rw\n" for name in names))


def test_without_a_word_the_scratch_must_be_lustre(make_job: Callable[..., Job]) -> None:
    job = make_job(SCRATCH="")
    with pytest.raises(InputOutputError, match=r"/reference is not a Lustre file system: .*SCRATCH=local"):
        job.check_mounts("reference", "working")
    mounted(job, "lustre", "reference", "working")
    job.check_mounts("reference", "working")
    with pytest.raises(InputOutputError, match="/data is not a Lustre file system"):
        job.check_mounts("data")


def test_on_one_machine_each_must_be_a_mount_of_its_own(job: Job) -> None:
    job.check_mounts("reference", "data", "working")
    mounted(job, "ext4", "reference")
    with pytest.raises(InputOutputError, match="/working is not mounted"):
        job.check_mounts("working")


def test_of_two_mounts_at_one_place_the_last_counts(make_job: Callable[..., Job]) -> None:
    job = make_job(SCRATCH="lustre")
    lines = [f"1 1 0:1 / {job.root / 'data'} rw - {kind} /dev/x rw\n" for kind in ("lustre", "overlay")]
    job.mounts.write_text("".join(lines))
    with pytest.raises(InputOutputError, match="not a Lustre"):
        job.check_mounts("data")
    job.mounts.write_text("".join(reversed(lines)))
    job.check_mounts("data")


def test_a_mount_whose_path_has_a_space_is_known(job: Job) -> None:
    spaced = replace(job, root=Path("/a b"))
    job.mounts.write_text("1 1 0:1 / /a\\040b/data rw - ext4 /dev/x rw\n")
    spaced.check_mounts("data")


def test_another_kind_of_scratch_is_a_mistake(make_job: Callable[..., Job]) -> None:
    with pytest.raises(UsageError, match=r"^bad SCRATCH 'nfs'"):
        make_job(SCRATCH="nfs").check_mounts("data")


@pytest.mark.parametrize("execution", ["", "reference", "../x", "a" * 81, "a/b", ".x"])
def test_no_run_is_named_such_as(make_job: Callable[..., Job], execution: str) -> None:
    with pytest.raises(UsageError, match="EXECUTION_ID"):
        _ = make_job(EXECUTION_ID=execution).run


def test_a_run_is_below_its_workflow(job: Job) -> None:
    assert job.run == job.root / "working" / "germline" / "run1"


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_an_input_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_input(tmp_path / "file") == tmp_path / "file"
    for name, said in (("missing", "is not there. Check the name."), ("file/x", "is not there"), (".", "a directory")):
        with pytest.raises(MissingInputError, match=said):
            check_input(tmp_path / name)
    with pytest.raises(MissingInputError, match="the step before this one"):
        check_input(tmp_path / "missing", step_before=True)
    with pytest.raises(MissingInputError, match=r"is a directory or a device"):
        check_input(Path("/dev/null"))


def test_a_link_that_leads_in_a_circle_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(InputOutputError, match="Too many levels"):
        check_input(tmp_path / "x")


# ---- signals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def heeded() -> Iterator[None]:
    """Signals as a step takes them; as they were afterwards."""
    handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
    signals.install_handlers()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeded")
def test_a_signal_ends_the_step_where_it_stands() -> None:
    with pytest.raises(TerminatedError) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    signal.raise_signal(signal.SIGINT)  # a second one is too late to change anything


@pytest.mark.usefixtures("heeded")
def test_a_signal_waits_until_what_must_not_be_torn_apart_is_done() -> None:
    done = []

    def work() -> None:
        with signals.deferred():
            with signals.deferred():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")
        done.append("after")

    with pytest.raises(TerminatedError) as caught:
        work()
    assert caught.value.code == 130
    assert done == ["inner", "outer"]


def test_the_door_returns_the_code_of_whatever_ends_a_command(
    job: Job, heeded: None, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(error: BaseException) -> main.Command:
        def command(*_: object) -> None:
            raise error

        return command

    for kind in StepError.__subclasses__():
        error = kind("a", why="b", fix="C.")
        assert main.main({"x": failing(error)}, ["x"], job) == CODES[kind.__name__]
        assert capfd.readouterr().err == "step: error: a: b. C.\n"
    assert main.main({"x": failing(TerminatedError(signal.SIGTERM))}, ["x"], job) == 143
    assert main.main({"x": lambda *_: None}, ["x"], job) == 0
    assert capfd.readouterr().err == ""
    assert heeded is None
