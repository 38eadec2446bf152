"""The door: `step COMMAND ARGUMENT...`, and the exit codes."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from step import ending
from step.errors import (
    KilledError,
    StepError,
    ToldToEndError,
    ToolFailedError,
    UsageError,
    cannot_write,
    printable,
    tell,
)
from step.job import Job

Command = Callable[[Job, Sequence[str]], None]


def main(commands: Mapping[str, Command], arguments: Sequence[str] | None = None, job: Job | None = None) -> int:
    """Runs one command, and returns the exit code.

    Args:
        commands: What the image knows.
        arguments: The command and its arguments; those of this process if none.
        job: What it runs in; this process's if none.
    """
    os.umask(0o022)
    try:
        ending.heed()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by whoever started it, programs would leave no status
        _run(commands, sys.argv[1:] if arguments is None else arguments, job)
    except StepError as error:
        return _failed(error)
    except ToldToEndError as error:
        return error.code
    except MemoryError:
        return _failed(
            KilledError("the step ran out of memory", why="the job has too little", fix="Raise the job's memory.")
        )
    except OSError as error:
        return _failed(cannot_write(error.filename or "a file", error))
    except Exception as error:
        if os.environ.get("STEP_DEBUG"):
            raise
        what = f"{type(error).__name__}: {printable(str(error), 400)}"
        return _failed(
            ToolFailedError("the step failed", why=f"{what} was not foreseen", fix="Set STEP_DEBUG=1 to see where.")
        )
    finally:
        ending.over()
    return 0


def _run(commands: Mapping[str, Command], arguments: Sequence[str], job: Job | None) -> None:
    name = arguments[0] if arguments else ""
    if name not in commands:
        raise UsageError(
            f"unknown command '{printable(name)}'",
            why=f"this image knows: {' '.join(commands)}",
            fix="Give one of them: step COMMAND REFERENCE SAMPLE INPUT...",
        )
    commands[name](job or Job.here(), arguments[1:])


def _failed(error: StepError) -> int:
    tell(f"step: error: {error}\n".encode(errors="backslashreplace"))
    return error.code
