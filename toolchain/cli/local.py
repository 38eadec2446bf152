"""The option --local, and the commands of the embedded AWS: `local start|stop|status`."""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from toolchain import console
from toolchain.paths import HERE, Checkout

if TYPE_CHECKING:
    from toolchain.jobdefs.target import Target
    from toolchain.localaws.lifecycle import Connected
    from toolchain.runs.target import LocalTarget

# A command that a message names, up to where the sentence goes on.
_OURS = re.compile(
    r"""python build\.py (?P<name>[a-z-]+)( (?P<subcommand>[a-z]+))?[^;,:`'"()\n]*?(?=[;,:`'"()\n]|\.?$|\. )"""
)
_AWS = re.compile(r"(?<![\w/.-])aws(?= [a-z][a-z0-9-]+ [a-z][a-z-]+)")
_START = "python build.py local start"
# They need nothing that an earlier command left in the embedded AWS.
_SELF_CONTAINED = ("run", "render")


def typed_command() -> str:
    """The command line as the user typed it, without --local, which `add_local` puts back."""
    return str(click.get_current_context().find_root().obj)


def add_local(text: str, takes_local: Callable[[str, str], bool]) -> str:
    """Makes the commands that a message names work with the embedded AWS.

    Args:
        text: The message, written for AWS.
        takes_local: Says of a command's name and the word after it whether the command has the option.
    """
    text = _AWS.sub(f'eval "$({_START})"; aws', text)
    named = [match for match in _OURS.finditer(text) if takes_local(match["name"], match["subcommand"] or "")]
    for match in reversed(named):
        text = f"{text[: match.end()]} --local{text[match.end() :]}"
    needing_server = [match for match in named if match["name"] not in _SELF_CONTAINED]
    if not needing_server or _is_served():
        return text
    return f"{text[: needing_server[0].start()]}{_START}; {text[needing_server[0].start() :]}"


# moto, which the embedded AWS is made of, takes a second to import, and the targets a tenth: only commands that need
# them wait for it.


def _is_served() -> bool:
    from toolchain.localaws import lifecycle

    return lifecycle.find_server(HERE) is not None


def with_target(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the option --local and the argument `target`.

    With --local the target is the server that `local start` left running, or one that ends with the command.
    """
    return _with_target(command, connected_target)


def with_running_target(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command about what an earlier one left: --local needs a server that runs already."""
    return _with_target(command, _attached)


def _with_target(
    command: Callable[..., Any], connect: Callable[[Checkout], "AbstractContextManager[Target]"]
) -> Callable[..., Any]:
    @click.option("--local", is_flag=True, help="In the embedded AWS, on this machine.")
    @functools.wraps(command)
    def wrapped(*, local: bool, **arguments: Any) -> Any:  # noqa: ANN401  # whatever the command takes and returns
        if not local:
            from toolchain.runs.target import AwsTarget

            return command(target=AwsTarget(checkout=HERE), **arguments)
        with connect(HERE) as target:
            return command(target=target, **arguments)

    return wrapped


@contextmanager
def connected_target(checkout: Checkout) -> "Iterator[Target]":
    """The embedded AWS: the server that runs, or one that ends with the block."""
    from toolchain.localaws import lifecycle

    with lifecycle.connect(checkout) as connected:
        yield local_target(checkout, connected)


@contextmanager
def _attached(checkout: Checkout) -> "Iterator[Target]":
    from toolchain.localaws import lifecycle

    with lifecycle.attach(checkout) as connected:
        yield local_target(checkout, connected)


def local_target(checkout: Checkout, connected: "Connected") -> "LocalTarget":
    """The target that stands for a connected embedded AWS."""
    from toolchain.runs.target import LocalTarget

    return LocalTarget(checkout=checkout, is_persistent=connected.is_persistent)


@click.group(name="local")
def local() -> None:
    """The embedded AWS as one server for many commands."""


@local.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On the loopback. [default: any free one]")
def start(*, port: int) -> None:
    """Start it; print what a shell needs to use it with any client of AWS."""
    from toolchain.localaws import lifecycle

    server = lifecycle.start(HERE, port)
    console.note(f"the embedded AWS runs (process {server.pid}); its files are in {HERE.local}")
    click.echo(lifecycle.shell_exports(server))


@local.command()
def stop() -> None:
    """Stop it, and its jobs with it. Files stay; stacks, runs and logs are gone."""
    from toolchain.localaws import lifecycle

    server = lifecycle.stop(HERE)
    stopped = "no embedded AWS was running" if server is None else f"stopped the embedded AWS (process {server.pid})"
    console.note(stopped)


@local.command()
def status() -> int:
    """Say whether it runs, and where: exit code 0, or 1 if it does not."""
    from toolchain.localaws import lifecycle

    server = lifecycle.find_server(HERE)
    if server is None:
        console.note("no embedded AWS runs. Type: python build.py local start")
        return 1
    console.note(f"the embedded AWS runs (process {server.pid}); its files are in {HERE.local}")
    click.echo(lifecycle.shell_exports(server))
    return 0
