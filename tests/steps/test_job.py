"""The job that a step runs in, its inputs, the errors that end it, and the signals."""

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


@pytest.mark.parametrize(
    ("number", "code", "message"),
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
def test_a_write_error_has_the_exit_code_and_advice_for_its_cause(number: int, code: int, message: str) -> None:
    error = cannot_write("/scratch/x", OSError(number, os.strerror(number)))
    assert error.code == code
    assert str(error).startswith(f"cannot write /scratch/x: {message}")


@given(text=st.one_of(st.text(), st.binary()))
def test_anything_is_printed_as_one_short_line_of_ascii(text: str | bytes) -> None:
    printed = errors.printable(text)
    assert printed.isascii()
    assert printed.isprintable()
    assert len(printed) == min(len(text), 80)


# ---- mounts and names ------------------------------------------------------------------------------------------------


def mount(job: Job, **types: str) -> None:
    """Rewrites the table of mounts: name to file system type."""
    job.mounts.write_text("".join(f"1 1 0:1 / {job.root / n} rw shared:1 - {t} /dev/x rw\n" for n, t in types.items()))


def test_by_default_the_scratch_must_be_lustre(make_job: Callable[..., Job]) -> None:
    job = make_job(SCRATCH="")
    with pytest.raises(InputOutputError, match=r"/reference is not a Lustre file system: .*SCRATCH=local"):
        job.check_mounts("reference", "working")
    mount(job, reference="lustre", working="lustre")
    job.check_mounts("reference", "working")
    with pytest.raises(InputOutputError, match="/data is not a Lustre file system"):
        job.check_mounts("data")


def test_on_one_machine_it_must_be_any_mount(job: Job) -> None:
    job.check_mounts("reference", "data", "working")
    mount(job, reference="ext4")
    with pytest.raises(InputOutputError, match="/working is not mounted"):
        job.check_mounts("working")


def test_of_several_mounts_at_one_path_the_last_counts(make_job: Callable[..., Job]) -> None:
    job = make_job(SCRATCH="lustre")
    lines = [f"1 1 0:1 / {job.root / 'data'} rw - {kind} /dev/x rw\n" for kind in ("lustre", "overlay")]
    job.mounts.write_text("".join(lines))
    with pytest.raises(InputOutputError, match="not a Lustre"):
        job.check_mounts("data")
    job.mounts.write_text("".join(reversed(lines)))
    job.check_mounts("data")


def test_the_path_of_a_mount_may_have_spaces(job: Job) -> None:
    job.mounts.write_text("1 1 0:1 / /a\\040b/data rw - ext4 /dev/x rw\n")
    replace(job, root=Path("/a b")).check_mounts("data")


def test_another_kind_of_scratch_is_refused(make_job: Callable[..., Job]) -> None:
    with pytest.raises(UsageError, match=r"^bad SCRATCH 'nfs'"):
        make_job(SCRATCH="nfs").check_mounts("data")


@pytest.mark.parametrize("execution", ["", "reference", "../x", "a" * 81, "a/b", ".x"])
def test_a_run_needs_a_safe_name_below_its_workflow(make_job: Callable[..., Job], execution: str) -> None:
    job = make_job()
    assert job.run == job.root / "working" / "germline" / "run1"
    with pytest.raises(UsageError, match="EXECUTION_ID"):
        _ = make_job(EXECUTION_ID=execution).run


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_an_input_must_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    assert check_input(tmp_path / "file") == tmp_path / "file"
    for path, error, message in (
        ("missing", MissingInputError, "is not there. Check the name."),
        ("file/x", MissingInputError, "is not there"),
        (".", MissingInputError, "is a directory or a device"),
        ("/dev/null", MissingInputError, "is a directory or a device"),
        ("circle", InputOutputError, "Too many levels"),
    ):
        with pytest.raises(error, match=message):
            check_input(tmp_path / path)
    with pytest.raises(MissingInputError, match="the step before this one"):
        check_input(tmp_path / "missing", step_before=True)


# ---- signals and exit codes ------------------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers of a step; the former ones afterwards."""
    former = {number: signal.getsignal(number) for number in signals.SIGNALS}
    signals.install_handlers()
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_the_first_signal_ends_the_step() -> None:
    with pytest.raises(TerminatedError) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    signal.raise_signal(signal.SIGINT)  # ignored


@pytest.mark.usefixtures("handlers")
def test_a_deferred_signal_is_raised_when_the_outermost_block_ends() -> None:
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


@pytest.mark.usefixtures("handlers")
def test_a_command_ends_with_the_exit_code_of_its_error_and_prints_it(
    job: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail_with(error: BaseException) -> main.Command:
        def command(*_: object) -> None:
            raise error

        return command

    assert {kind.__name__ for kind in StepError.__subclasses__()} == set(CODES)
    for kind in StepError.__subclasses__():
        error = kind("a", why="b", fix="C.")
        assert main.main({"x": fail_with(error)}, ["x"], job) == CODES[kind.__name__]
        assert capfd.readouterr().err == "step: error: a: b. C.\n"
    assert main.main({"x": fail_with(TerminatedError(signal.SIGTERM))}, ["x"], job) == 143
    assert main.main({"x": lambda *_: None}, ["x"], job) == 0
    assert capfd.readouterr().err == ""
