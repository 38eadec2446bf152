"""The command line: `python build.py COMMAND`.

`main` catches and prints; everything below it only raises. What a command makes for other programs goes to
stdout, what it says to people goes to stderr.
"""

import ast
import importlib
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import click

from toolchain import console, files
from toolchain.errors import CannotCreateError, SeveralFailedError, ToolchainError, WrongUsageError

EXIT_CODES = """
Exit codes: 0 done, 64 wrong usage, 65 bad data, 66 missing input, 69 a service does not answer, 70 a build, a
step or a stack failed, 73 a result cannot be written, 75 something is in the way: try again, 78 a file of this
repository is wrong, 130 Ctrl-C, SIGTERM or SIGHUP; of verify, 1 where cloud and checkout differ; of doctor, 1
where something is red.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: The words after `build.py`.

    Returns:
        The exit code, as listed in `--help`.
    """
    typed = shlex.join(("python", "build.py", *(word for word in arguments if word != "--local")))
    with console.rewriting_notes(_in_local_mode) if _is_local(arguments) else nullcontext(), _ending_as_by_ctrl_c():
        return _run(arguments, typed)


@contextmanager
def _ending_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP (a closed terminal) end a command as Ctrl-C does, and its jobs with it."""

    def interrupt(_number: int, _frame: object) -> None:
        # Closing a session sends both; the second must not interrupt the cleaning up.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        both = (signal.SIGTERM, signal.SIGHUP)
        # Under nohup SIGHUP is ignored, and stays so.
        before = {number: signal.SIG_DFL for number in both if signal.getsignal(number) is signal.SIG_DFL}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_local(arguments: Sequence[str]) -> bool:
    return "--local" in arguments or list(arguments[:1]) in (["demo"], ["local"])


def _in_local_mode(text: str) -> str:
    from toolchain.cli import local  # its imports are those of every command with --local

    return local.add_local(text, _takes_local)


def _takes_local(name: str, subcommand: str) -> bool:
    command = cli.get_command(click.Context(cli), name)
    if isinstance(command, click.Group):
        command = command.commands.get(subcommand)
    return command is not None and any(parameter.name == "local" for parameter in command.params)


def _run(arguments: Sequence[str], typed: str) -> int:
    try:
        result = _called(arguments, typed)
    except ToolchainError as error:
        for failure in error.errors if isinstance(error, SeveralFailedError) else (error,):
            if failure.details:
                console.note(failure.details.rstrip())
            console.note(f"error: {failure}")
        return error.exit_code
    except click.exceptions.Abort:
        console.note("stopped")
        return 130
    except click.ClickException as error:
        error.show()
        return WrongUsageError.exit_code
    except KeyboardInterrupt:
        console.note("stopped")
        return 130
    except SystemExit:
        # click's way to say that the reader of our output has gone (EPIPE).
        return 0
    return result if isinstance(result, int) else 0


def _called(arguments: Sequence[str], typed: str) -> object:
    try:
        return cli.main(args=list(arguments), prog_name="build.py", standalone_mode=False, obj=typed)
    except PermissionError as error:
        if error.filename is None:
            raise
        # A file that a command reads or writes may belong to another user.
        reason = files.unwritable(Path(error.filename), error)
        raise CannotCreateError(f"no access to {error.filename}", why=reason.why, fix=reason.fix) from error


# The commands by section; `NAME = module.function` below toolchain/cli. A command's module is imported when it is
# called: all of them together take longer than most commands.
SECTIONS = {
    "Images": {
        "list": "images.list_images",
        "new": "images.new",
        "build": "images.build",
        "test": "images.test",
        "push": "images.push",
        "sbom": "images.sbom",
    },
    "Job definitions": {
        "render": "jobdefs.render",
        "register": "jobdefs.register",
        "prune": "jobdefs.prune",
        "verify": "jobdefs.verify",
    },
    "Stacks": {
        "deploy": "stacks.deploy",
        "storage": "stacks.storage",
        "destroy": "stacks.destroy",
        "update-hosts": "stacks.update_hosts",
        "policy": "stacks.policy",
        "doctor": "doctor.doctor",
    },
    "Runs": {
        "samplesheet": "samplesheet.samplesheet",
        "run": "runs.run",
        "status": "runs.status",
        "logs": "runs.logs",
        "stop": "runs.stop",
    },
    "This machine": {"demo": "demo.demo", "local": "local.local"},
}
COMMANDS = {name: place for commands in SECTIONS.values() for name, place in commands.items()}


class _LazyGroup(click.Group):
    """Imports the command that is called, and lists all of them by section without importing any."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        if name not in COMMANDS:
            return None
        module, function = COMMANDS[name].split(".")
        command: click.Command = getattr(importlib.import_module(f"toolchain.cli.{module}"), function)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each section with the whole description of its commands."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _description(place)) for name, place in commands.items()])


@cache
def _docstrings(module: str) -> dict[str, str]:
    source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {function.name: ast.get_docstring(function) or "" for function in functions}


def _description(place: str) -> str:
    module, function = place.split(".")
    return " ".join(_docstrings(module)[function].split("\n\n")[0].split()).removesuffix(".")


@click.group(cls=_LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """FASTQ to VCF on AWS Batch, Step Functions and FSx for Lustre: images, job definitions, runs."""
