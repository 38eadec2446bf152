"""Runs programs connected by pipes, without a shell, and names the program that caused a failure.

The cost of each program comes from wait4(2). The thread that writes the output also computes its digest.
"""

import contextlib
import fcntl
import hashlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from step import bgzf, signals
from step.errors import (
    FULL_FIX,
    InputOutputError,
    KilledError,
    StepError,
    ToolFailedError,
    cannot_write,
    write_stderr,
)

PIPE_BYTES = 1 << 20
STDERR_BYTES = 8192  # kept of a program's stderr, for the error message
FEED, SINK = "reads", "output"
_DISK_FULL_MESSAGES = (b"No space left on device", b"Disk quota exceeded")
_NEARLY_FULL = 64 * 1024  # bytes: programs write in pieces that are larger

# Writes to the first program's stdin, in its own thread. Returns the CPU seconds of threads that it started, and raises
# StepError for bad data.
Feed = Callable[[BinaryIO], float]


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program of a pipeline.

    Attributes:
        name: The stage's name in errors and the record.
        command: The program and its arguments.
        is_quiet: Whether its stderr is shown only if it fails.
    """

    name: str
    command: tuple[str, ...]
    is_quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one stage took; the peak is that of the resident set."""

    name: str
    user_seconds: float
    system_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a program ended.

    Attributes:
        status: As in subprocess: the exit code, or the negative number of a signal.
        stderr: The end of what it wrote to stderr.
    """

    name: str
    status: int
    stderr: bytes = b""


def first_cause(exits: Sequence[Exit]) -> Exit | None:
    """The program that made a pipeline fail, or None if none failed.

    Args:
        exits: In the order in which the programs ended.
    """
    failed = [result for result in exits if result.status != 0]
    killed = [result for result in failed if result.status == -signal.SIGKILL]
    # SIGPIPE is hardly ever the cause: the program that reads the pipe ended first.
    others = [result for result in failed if result.status != -signal.SIGPIPE]
    return next(iter(killed or others or failed), None)


@dataclass(kw_only=True)
class _Stage:
    program: Program
    process: "subprocess.Popen[bytes]"
    source: int  # the pipe that it reads, kept open here until its exit is recorded; -1 if it reads none
    stderr: bytes = b""
    exit_recorded: threading.Event = field(default_factory=threading.Event)


@dataclass(kw_only=True)
class Pipeline:
    """Programs, each reading the output of the one before it. Enter it to start them, and `wait` for their end.

    Attributes:
        programs: In the order in which the data flow.
        work: The directory they run in.
        environment: The programs' environment variables.
        memory_mib: The job's memory, for the error message of a killed program.
        feed: Writes the input of the first program; without it, stdin is empty.
        sink: The file below `work` for the output of the last program.
        costs: The stages' costs, once the pipeline has ended.
        sha256: The digest of the sink, likewise.
    """

    programs: Sequence[Program]
    work: Path
    environment: Mapping[str, str]
    memory_mib: int
    feed: Feed | None = None
    sink: str = ""
    costs: list[Cost] = field(default_factory=list)
    sha256: str = ""
    _stages: list[_Stage] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _exits: list[Exit] = field(default_factory=list)
    _unread: list[str] = field(default_factory=list)
    _errors: dict[str, StepError] = field(default_factory=dict)
    _unforeseen: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Starts every program."""
        try:
            with signals.deferred():
                self._start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kills the programs that still run."""
        self.kill()

    def wait(self) -> None:
        """Waits until all programs have ended. Raises StepError for the first cause of a failure."""
        for thread in self._threads:
            thread.join()
        for error in self._unforeseen:
            raise error
        if FEED in self._errors:
            raise self._errors[FEED]
        cause = first_cause(self._exits)
        if SINK in self._errors and (cause is None or cause.status != -signal.SIGKILL):
            raise self._errors[SINK]
        if cause is not None:
            raise self._error_for(cause)
        if self._unread:
            raise ToolFailedError(
                f"{self._unread[0]} failed", why="it did not read its input to the end", fix="Run the step again."
            )
        if _is_nearly_full(self.work):  # not every program notices a short write
            raise self._disk_full(self.programs[-1].name)

    def kill(self) -> None:
        """Kills the programs that still run, and waits for their end."""
        with signals.deferred():
            self._kill_all()
        for thread in self._threads:
            thread.join()

    def _kill_all(self) -> None:
        for stage in self._stages:
            if stage.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stage.process.pid, signal.SIGKILL)

    # ---- start -------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        source, target = _pipe() if self.feed is not None else (-1, -1)
        try:
            for number, program in enumerate(self.programs):
                is_last = number + 1 == len(self.programs)
                following, output = (-1, -1) if is_last and not self.sink else _pipe()
                try:
                    self._start_program(program, source, output)
                finally:
                    _close(output)
                    source = following
        except BaseException:
            _close(source, target)
            raise
        if self.sink:
            self._start_thread(self._write_sink, source)
        if self.feed is not None:  # last, so that on bad data all programs are there to be killed
            self._start_thread(self._run_feed, self.feed, target)

    def _start_program(self, program: Program, source: int, output: int) -> None:
        """Starts a program between two pipes, and takes over the one that it reads."""
        errors, stderr = _pipe()
        try:
            process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL if source < 0 else source,
                stdout=subprocess.DEVNULL if output < 0 else output,
                stderr=stderr,
                cwd=self.work,
                env=self.environment,
            )
        except OSError as error:
            _close(source, errors)
            raise self._cannot_start(program, error) from error
        finally:
            _close(stderr)
        # When memory runs out, the kernel should kill this program and not the step, which then reports it.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000", encoding="ascii")
        stage = _Stage(program=program, process=process, source=source)
        self._stages.append(stage)
        self._start_thread(self._watch, stage, errors)

    def _cannot_start(self, program: Program, error: OSError) -> StepError:
        if not self.work.is_dir():
            return cannot_write(self.work, error)
        if isinstance(error, FileNotFoundError):
            return ToolFailedError(
                f"no program '{program.command[0]}'",
                why="this image does not hold it",
                fix="Use the step's own image.",
            )
        reason = (error.strerror or str(error)).lower()
        return ToolFailedError(f"cannot start '{program.command[0]}'", why=reason, fix="Use the step's own image.")

    def _start_thread(self, work: Callable[..., None], *arguments: object) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001  # raised again by `wait`
                self._unforeseen.append(error)
                self._kill_all()

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    # ---- threads -----------------------------------------------------------------------------------------------------

    def _run_feed(self, feed: Feed, target: int) -> None:
        thread_seconds = 0.0
        try:
            with os.fdopen(target, "wb", buffering=0) as pipe:
                thread_seconds = feed(pipe)
        except BrokenPipeError:
            self._unread.append(self.programs[0].name)  # its exit status may show why
        except StepError as error:
            # A program that read on would take this for the end of the data, and succeed.
            self._errors[FEED] = error
            self._kill_all()
        cpu = time.thread_time() + thread_seconds
        self.costs.append(Cost(name=FEED, user_seconds=cpu, system_seconds=0.0, peak_memory_bytes=0))

    def _watch(self, stage: _Stage, errors: int) -> None:
        """Copies a program's stderr to the log, waits for the program and records its exit."""
        line = b""
        while chunk := os.read(errors, 65536):
            stage.stderr = (stage.stderr + chunk)[-STDERR_BYTES:]
            if stage.program.is_quiet:
                continue
            # Whole lines only, so that half a line of a killed program does not precede the error message.
            line += chunk
            end = len(line) if len(line) > STDERR_BYTES else line.rfind(b"\n") + 1
            write_stderr(line[:end])
            line = line[end:]
        if line:
            write_stderr(line + b"\n")
        os.close(errors)
        os.waitid(os.P_PID, stage.process.pid, os.WEXITED | os.WNOWAIT)
        earlier = self._stages[: self._stages.index(stage)]
        for other in earlier:
            if _has_ended(other.process):
                other.exit_recorded.wait()
        # If the program before closed its output and is about to end, that may be why this one failed.
        if earlier and _is_closed(stage.source):
            earlier[-1].exit_recorded.wait()
        _, status, usage = os.wait4(stage.process.pid, 0)
        stage.process.returncode = os.waitstatus_to_exitcode(status)
        self._exits.append(Exit(name=stage.program.name, status=stage.process.returncode, stderr=stage.stderr))
        stage.exit_recorded.set()
        # Closed only now: a SIGPIPE of the program before comes after this exit, and cannot be taken for the cause.
        if stage.source >= 0:
            if _peek(stage.source) not in (b"", bgzf.EOF_MARKER):
                self._unread.append(stage.program.name)
            os.close(stage.source)
        self.costs.append(
            Cost(
                name=stage.program.name,
                user_seconds=usage.ru_utime,
                system_seconds=usage.ru_stime,
                peak_memory_bytes=usage.ru_maxrss * 1024,
            )
        )

    def _write_sink(self, source: int) -> None:
        """Writes the output of the last program to the sink, and computes its digest."""
        digest = hashlib.sha256()
        file = self.work / self.sink
        try:
            with file.open("wb", buffering=0) as out:
                while chunk := os.read(source, PIPE_BYTES):
                    digest.update(chunk)
                    write_all(out, chunk)
        except OSError as error:
            self._errors[SINK] = cannot_write(file, error)
        finally:
            os.close(source)
        self.sha256 = digest.hexdigest()

    # ---- errors ------------------------------------------------------------------------------------------------------

    def _error_for(self, cause: Exit) -> StepError:
        quiet = {program.name for program in self.programs if program.is_quiet}
        if cause.name in quiet and cause.stderr:
            write_stderr(b"\n".join(cause.stderr.splitlines()[-5:]) + b"\n")
        if cause.status == -signal.SIGKILL:
            return KilledError(
                f"{cause.name} was killed",
                why=f"most likely it needed more than the {self.memory_mib} MiB of this job",
                fix="Raise the job's memory.",
            )
        if any(message in cause.stderr for message in _DISK_FULL_MESSAGES) or _is_nearly_full(self.work):
            return self._disk_full(cause.name)
        if cause.status == -signal.SIGPIPE:
            return ToolFailedError(
                f"{cause.name} failed", why="what it wrote was not read to the end", fix="Run the step again."
            )
        how = f"its exit status is {cause.status}"
        if cause.status < 0:
            how = f"signal {-cause.status} ({signal.strsignal(-cause.status)}) ended it"
        return ToolFailedError(f"{cause.name} failed", why=how, fix="Its own messages stand above.")

    def _disk_full(self, name: str) -> StepError:
        return InputOutputError(
            f"{name} failed", why=f"no space is left on the file system of {self.work}", fix=FULL_FIX
        )


def run_together(pipelines: Sequence[Pipeline]) -> None:
    """Runs pipelines concurrently. Raises StepError for the first of them, in their order, that failed."""
    with contextlib.ExitStack() as stack:
        for pipeline in pipelines:
            stack.enter_context(pipeline)
        for pipeline in pipelines:
            pipeline.wait()


def write_all(out: BinaryIO, data: bytes) -> None:
    """Writes all data to an unbuffered file, which may take only a part at a time."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a user's pipes are limited in total; the default size works too
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _peek(source: int) -> bytes:
    """The first bytes that were not read from a pipe."""
    os.set_blocking(source, False)
    try:
        return os.read(source, len(bgzf.EOF_MARKER) + 1)
    except BlockingIOError:
        return b""


def _is_closed(source: int) -> bool:
    """Whether the writing end of a pipe is closed."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # another thread has just waited for it
        return True


def _is_nearly_full(folder: Path) -> bool:
    try:
        space = os.statvfs(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    # Some file systems report no size.
    return space.f_blocks > 0 and space.f_bavail * space.f_frsize < _NEARLY_FULL
