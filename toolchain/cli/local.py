"""The embedded AWS on the command line: `--local` on a command, and `local start|stop|status`."""

import functools
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import click

from toolchain import console
from toolchain.paths import HERE, Checkout

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from toolchain.localaws.lifecycle import Connected


# A command that a message names, up to where the sentence goes on.
_OURS = re.compile(r"""python build\.py (?P<name>[a-z]+)[^;,:`'"()\n]*?(?=[;,:`'"()\n]|\.?$|\. )""")
_AWS = re.compile(r"(?<![\w/.-])aws(?= [a-z][a-z0-9-]+ [a-z][a-z-]+)")
_START = "python build.py local start"
# They deal with nothing that an earlier command left.
_BY_THEMSELVES = ("run", "render")


def as_typed() -> str:
    """The command that this is, as it was typed; --local aside, which `hinted` adds."""
    return str(click.get_current_context().find_root().obj)


def hinted(text: str, commands: Collection[str]) -> str:
    """A message of a command that deals with the embedded AWS: the commands that it names deal with that too.

    Args:
        text: The message, as of a command that deals with AWS itself.
        commands: Which commands take --local.
    """
    text = _AWS.sub(f'eval "$({_START})"; aws', text)
    named = [found for found in _OURS.finditer(text) if found["name"] in commands]
    for found in reversed(named):
        text = f"{text[: found.end()]} --local{text[found.end() :]}"
    needs = [found for found in named if found["name"] not in _BY_THEMSELVES]
    if not needs or _is_served():
        return text
    return f"{text[: needs[0].start()]}{_START}; {text[needs[0].start() :]}"


def _is_served() -> bool:
    from toolchain.localaws import lifecycle as here

    return here.answering(HERE) is not None


def place(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the option --local, and hands it the checkout as it deals with the AWS that was chosen.

    With --local it goes to the server that `local start` left running, or to one of its own.
    """
    return _placed(command, _connected)


def place_again(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that deals with what an earlier one left: it has no server of its own."""
    return _placed(command, _attached)


def _placed(
    command: Callable[..., Any], connect: "Callable[[Checkout], AbstractContextManager[Connected]]"
) -> Callable[..., Any]:
    @click.option("--local", is_flag=True, help="In the embedded AWS, on this machine.")
    @functools.wraps(command)
    def placed(*, local: bool, **arguments: Any) -> Any:  # noqa: ANN401  # whatever the command takes and returns
        if not local:
            return command(checkout=HERE, **arguments)
        with connect(HERE) as there:
            return command(checkout=there.checkout, **arguments)

    return placed


def _connected(checkout: Checkout) -> "AbstractContextManager[Connected]":
    from toolchain.localaws import lifecycle as here

    return here.connected(checkout)


def _attached(checkout: Checkout) -> "AbstractContextManager[Connected]":
    from toolchain.localaws import lifecycle as here

    return here.attached(checkout)


@click.group(name="local")
def local() -> None:
    """The embedded AWS as one server for many commands."""


@local.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On the loopback. [default: any free one]")
def start(*, port: int) -> None:
    """Start it; print what a shell needs to use it with any client of AWS."""
    from toolchain.localaws import lifecycle as here

    there = here.start(HERE, port)
    console.note(f"the embedded AWS runs (process {there.pid}); its files are in {HERE.local}")
    click.echo(here.shell_exports(there))


@local.command()
def stop() -> None:
    """Stop it, and its jobs with it. Files stay; stacks, runs and logs are gone."""
    from toolchain.localaws import lifecycle as here

    there = here.stop(HERE)
    console.note("no embedded AWS was running" if there is None else f"stopped the embedded AWS (process {there.pid})")


@local.command()
def status() -> int:
    """Say whether it runs, and where: exit code 0, or 1 if it does not."""
    from toolchain.localaws import lifecycle as here

    there = here.answering(HERE)
    if there is None:
        console.note("no embedded AWS runs. Type: python build.py local start")
        return 1
    console.note(f"the embedded AWS runs (process {there.pid}); its files are in {HERE.local}")
    click.echo(here.shell_exports(there))
    return 0


COMMANDS = (local,)
