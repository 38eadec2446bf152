"""Runs `step COMMAND ARGUMENT...` and turns errors into exit codes."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from step import signals
from step.errors import (
    KilledError,
    StepError,
    TerminatedError,
    ToolFailedError,
    UsageError,
    cannot_write,
    printable,
    write_stderr,
)
from step.job import Job

Command = Callable[[Job, Sequence[str]], None]


def main(commands: Mapping[str, Command], arguments: Sequence[str] | None = None, job: Job | None = None) -> int:
    """Runs one command and returns the exit code.

    Args:
        commands: The image's commands by name.
        arguments: The command and its arguments; default: those of this process.
        job: The job to run in; default: this process's.
    """
    os.umask(0o022)
    try:
        signals.install_handlers()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if a parent ignores it, exit statuses of programs are lost
        _run(commands, sys.argv[1:] if arguments is None else arguments, job)
    except StepError as error:
        return _report(error)
    except TerminatedError as error:
        return error.code
    except MemoryError:
        return _report(
            KilledError("the step ran out of memory", why="the job has too little", fix="Raise the job's memory.")
        )
    except OSError as error:
        return _report(cannot_write(error.filename or "a file", error))
    except Exception as error:
        if os.environ.get("STEP_DEBUG"):
            raise
        what = f"{type(error).__name__}: {printable(str(error), 400)}"
        return _report(
            ToolFailedError("the step failed", why=f"{what} was not foreseen", fix="Set STEP_DEBUG=1 to see where.")
        )
    finally:
        signals.ignore()
    return 0


def _run(commands: Mapping[str, Command], arguments: Sequence[str], job: Job | None) -> None:
    name = arguments[0] if arguments else ""
    if name not in commands:
        raise UsageError(
            f"unknown command '{printable(name)}'",
            why=f"this image knows: {' '.join(commands)}",
            fix="Give one of them: step COMMAND REFERENCE SAMPLE INPUT...",
        )
    commands[name](job or Job.current(), arguments[1:])


def _report(error: StepError) -> int:
    write_stderr(f"step: error: {error}\n".encode(errors="backslashreplace"))
    return error.code
