"""The embedded AWS on the command line: `--local` on a command, and `local start|stop|status`."""

import functools
from collections.abc import Callable
from typing import Any

import click

from toolchain import console
from toolchain.paths import HERE


def place(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the option --local, and hands it the checkout as it deals with the AWS that was chosen."""

    @click.option("--local", is_flag=True, help="In the embedded AWS, on this machine.")
    @functools.wraps(command)
    def placed(*, local: bool, **arguments: Any) -> Any:  # noqa: ANN401  # whatever the command takes and returns
        if not local:
            return command(checkout=HERE, **arguments)
        from toolchain.localaws import here

        with here.connected(HERE):
            return command(checkout=HERE.at_home, **arguments)

    return placed


@click.group(name="local")
def local() -> None:
    """The embedded AWS as one server for many commands."""


@local.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On the loopback. [default: any free one]")
def start(*, port: int) -> None:
    """Start it; print what a shell needs to use it with any client of AWS."""
    from toolchain.localaws import here

    there = here.start(HERE, port)
    console.note(f"the embedded AWS runs (process {there.pid}); its files are in {HERE.local}")
    click.echo(here.told(there))


@local.command()
def stop() -> None:
    """Stop it, and its jobs with it. Files stay; stacks, runs and logs are gone."""
    from toolchain.localaws import here

    there = here.stop(HERE)
    console.note("no embedded AWS was running" if there is None else f"stopped the embedded AWS (process {there.pid})")


@local.command()
def status() -> int:
    """Say whether it runs, and where: exit code 0, or 1 if it does not."""
    from toolchain.localaws import here

    there = here.running(HERE)
    if there is None or not there.answers:
        console.note("no embedded AWS runs. Type: python build.py local start")
        return 1
    console.note(f"the embedded AWS runs (process {there.pid}); its files are in {HERE.local}")
    click.echo(here.told(there))
    return 0


COMMANDS = (local,)
