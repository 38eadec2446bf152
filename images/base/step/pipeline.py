"""Runs programs as processes with real pipes between them, and names the first cause where one fails.

Nothing passes through a shell. What each process cost comes from wait4(2). The digest of what comes out is computed
beside the pipe, in the thread that writes it.
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

from step import bgzf, ending
from step.errors import (
    FULL_FIX,
    InputOutputError,
    KilledError,
    StepError,
    ToolFailedError,
    cannot_write,
    tell,
)

PIPE_BYTES = 1 << 20
KEPT_BYTES = 8192  # of what a program says, for the error
FEED, SINK = "reads", "output"
_FULL_WORDS = (b"No space left on device", b"Disk quota exceeded")
_NEARLY_FULL = 64 * 1024  # bytes: less than any program's next write

# Writes to the first program's stdin, in a thread of its own. Returns the CPU seconds of threads that it started, and
# raises StepError for bad data.
Feed = Callable[[BinaryIO], float]


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program of a pipeline.

    Attributes:
        name: Of the stage, for errors and the record.
        command: The program and its arguments.
        is_quiet: Whether what it says is shown only where it fails.
    """

    name: str
    command: tuple[str, ...]
    is_quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one stage took: CPU seconds, and the largest resident size in bytes."""

    name: str
    user_seconds: float
    system_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a program ended.

    Attributes:
        name: Of the stage.
        status: As subprocess has it: the exit code, or less than 0 for a signal.
        said: The end of what it wrote to stderr.
    """

    name: str
    status: int
    said: bytes = b""


def first_cause(exits: Sequence[Exit]) -> Exit | None:
    """The program to name where a pipeline failed, or nothing where all went well.

    Args:
        exits: In the order in which the programs ended.
    """
    failed = [end for end in exits if end.status != 0]
    killed = [end for end in failed if end.status == -signal.SIGKILL]
    # A program that SIGPIPE ended is hardly ever the cause: the one behind it hung up.
    others = [end for end in failed if end.status != -signal.SIGPIPE]
    return next(iter(killed or others or failed), None)


@dataclass(kw_only=True)
class _Stage:
    program: Program
    process: "subprocess.Popen[bytes]"
    source: int  # the end of a pipe that it reads, held until it is known how it ended; less than 0 if it reads none
    said: bytes = b""
    is_noted: threading.Event = field(default_factory=threading.Event)  # that it ended, and how


@dataclass(kw_only=True)
class Pipeline:
    """Programs, each reading what the one before it writes.

    Attributes:
        programs: In the order in which the data go.
        work: The directory they run in.
        environment: Theirs.
        memory_mib: The job's memory, for the error of a killed program.
        feed: Writes what the first program reads; it reads nothing if none.
        sink: The file, below `work`, for what the last program writes.
        costs: Of the stages, once the pipeline has ended.
        sha256: Of the sink, likewise.
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

    def run(self) -> Self:
        """Runs all of it to its end.

        Raises:
            StepError: What went wrong first, and where.
        """
        with self:
            self.wait()
        return self

    def __enter__(self) -> Self:
        """Starts every program."""
        try:
            with ending.held_back():
                self._start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves no program behind."""
        self.kill()

    def wait(self) -> None:
        """Waits for the end. Raises StepError if anything failed."""
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
            raise self._explained(cause)
        if self._unread:
            raise ToolFailedError(
                f"{self._unread[0]} failed", why="it did not read its input to the end", fix="Run the step again."
            )
        if _is_nearly_full(self.work):  # not every program looks whether all of it was written
            raise self._full(self.programs[-1].name)

    def kill(self) -> None:
        """Ends every program that still runs, and waits until it is gone."""
        with ending.held_back():
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
            self._thread(self._write, source)
        if self.feed is not None:  # last, so that bad data end every program
            self._thread(self._run_feed, self.feed, target)

    def _start_program(self, program: Program, source: int, output: int) -> None:
        """Starts a program between two pipes, of which it takes the one that it reads."""
        errors, said = _pipe()
        try:
            process = subprocess.Popen(  # a list, and no shell
                program.command,
                stdin=subprocess.DEVNULL if source < 0 else source,
                stdout=subprocess.DEVNULL if output < 0 else output,
                stderr=said,
                cwd=self.work,
                env=self.environment,
            )
        except OSError as error:
            _close(source, errors)
            raise self._cannot_start(program, error) from error
        finally:
            _close(said)
        # Out of memory, the kernel is to end this program and not the step, which then says so.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000", encoding="ascii")
        stage = _Stage(program=program, process=process, source=source)
        self._stages.append(stage)
        self._thread(self._listen, stage, errors)

    def _cannot_start(self, program: Program, error: OSError) -> StepError:
        if not self.work.is_dir():
            return cannot_write(self.work, error)
        if isinstance(error, FileNotFoundError):
            return ToolFailedError(
                f"no program '{program.command[0]}'",
                why="this image does not hold it",
                fix="Use the step's own image.",
            )
        said = (error.strerror or str(error)).lower()
        return ToolFailedError(f"cannot start '{program.command[0]}'", why=said, fix="Use the step's own image.")

    def _thread(self, work: Callable[..., None], *arguments: object) -> None:
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
        further = 0.0
        try:
            with os.fdopen(target, "wb", buffering=0) as pipe:
                further = feed(pipe)
        except BrokenPipeError:
            self._unread.append(self.programs[0].name)  # what it says, and how it ended, may tell why
        except StepError as error:
            # Programs that read on would take the end of the good data for the end of all of them.
            self._errors[FEED] = error
            self._kill_all()
        cpu = time.thread_time() + further
        self.costs.append(Cost(name=FEED, user_seconds=cpu, system_seconds=0.0, peak_memory_bytes=0))

    def _listen(self, stage: _Stage, errors: int) -> None:
        """Passes on what a program says, keeps the end of it, and waits for the program."""
        held = b""
        while chunk := os.read(errors, 65536):
            stage.said = (stage.said + chunk)[-KEPT_BYTES:]
            if stage.program.is_quiet:
                continue
            # By whole lines: a program that is killed in the middle of one must not put its half before the error.
            held += chunk
            end = len(held) if len(held) > KEPT_BYTES else held.rfind(b"\n") + 1
            tell(held[:end])
            held = held[end:]
        if held:
            tell(held + b"\n")
        os.close(errors)
        os.waitid(os.P_PID, stage.process.pid, os.WEXITED | os.WNOWAIT)
        earlier = self._stages[: self._stages.index(stage)]
        for other in earlier:
            if _has_ended(other.process):
                other.is_noted.wait()
        # One that closed its pipe and is about to end may be why this one missed the rest of its data.
        if earlier and _is_closed(stage.source):
            earlier[-1].is_noted.wait()
        _, status, usage = os.wait4(stage.process.pid, 0)
        stage.process.returncode = os.waitstatus_to_exitcode(status)
        self._exits.append(Exit(name=stage.program.name, status=stage.process.returncode, said=stage.said))
        stage.is_noted.set()
        # Only now does the program before it learn that nobody reads any more: so it never ends first for that reason.
        if stage.source >= 0:
            if _left(stage.source) not in (b"", bgzf.END):
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

    def _write(self, source: int) -> None:
        """Writes what the last program puts out, and its digest."""
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

    def _explained(self, cause: Exit) -> StepError:
        quiet = {program.name for program in self.programs if program.is_quiet}
        if cause.name in quiet and cause.said:
            tell(b"\n".join(cause.said.splitlines()[-5:]) + b"\n")
        if cause.status == -signal.SIGKILL:
            return KilledError(
                f"{cause.name} was killed",
                why=f"most likely it needed more than the {self.memory_mib} MiB of this job",
                fix="Raise the job's memory.",
            )
        if any(words in cause.said for words in _FULL_WORDS) or _is_nearly_full(self.work):
            return self._full(cause.name)
        if cause.status == -signal.SIGPIPE:
            return ToolFailedError(
                f"{cause.name} failed", why="what it wrote was not read to the end", fix="Run the step again."
            )
        how = f"its exit status is {cause.status}"
        if cause.status < 0:
            how = f"signal {-cause.status} ({signal.strsignal(-cause.status)}) ended it"
        return ToolFailedError(f"{cause.name} failed", why=how, fix="Its own messages stand above.")

    def _full(self, name: str) -> StepError:
        return InputOutputError(
            f"{name} failed", why=f"no space is left on the file system of {self.work}", fix=FULL_FIX
        )


def run_together(pipelines: Sequence[Pipeline]) -> None:
    """Runs pipelines side by side. Raises StepError for the first of them, in their order, that failed."""
    with contextlib.ExitStack() as stack:
        for pipeline in pipelines:
            stack.enter_context(pipeline)
        for pipeline in pipelines:
            pipeline.wait()


def write_all(out: BinaryIO, data: bytes) -> None:
    """Writes all of it to an unbuffered file: a pipe or a nearly full disk takes what it can."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # the user's pipes may be many: the usual size does too
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _left(source: int) -> bytes:
    """The start of what is left in a pipe that nobody reads."""
    os.set_blocking(source, False)
    try:
        return os.read(source, len(bgzf.END) + 1)
    except BlockingIOError:
        return b""


def _is_closed(source: int) -> bool:
    """Whether nobody can write any more to a pipe."""
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
    # Some file systems do not know their size.
    return space.f_blocks > 0 and space.f_bavail * space.f_frsize < _NEARLY_FULL
