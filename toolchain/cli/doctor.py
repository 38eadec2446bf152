"""The command `doctor`."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace

import click
from rich.text import Text

from toolchain import console
from toolchain.aws import Account
from toolchain.cli.local import connected_target, typed_command
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.deep import DeepCheck
from toolchain.doctor.result import CheckResult, Status, yellow
from toolchain.doctor.run_checks import run_all
from toolchain.errors import WrongUsageError
from toolchain.paths import HERE
from toolchain.runs.target import AwsTarget

# A mark beside the colour, for logs and for whoever does not see colours.
_MARKS: dict[Status, str] = {"green": "✓", "yellow": "?", "red": "✗"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--deep", is_flag=True, help="Then run a small job of each tool, and a tiny run; both cost some cents.")
@click.option("--local", is_flag=True, help="With --deep: only these, in the embedded AWS on this machine.")
def doctor(*, as_json: bool, deep: bool, local: bool) -> int:
    """Look whether all is ready for a run, with the fix for what is not: exit code 0, or 1 if something is red."""
    if local and not deep:
        raise WrongUsageError(
            "--local without --deep", why="the checks are of an account in AWS", fix="Add --deep, or leave --local out."
        )
    found = _found(deep=deep, local=local)
    results = list(found if as_json else _shown(found))
    red = sum(result.status == "red" for result in results)
    unknown = sum(result.status == "yellow" for result in results)
    if as_json:
        document = {"red": red, "yellow": unknown, "findings": [asdict(result) for result in results]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console.note(f"{len(results) - red - unknown} green, {red} red, {unknown} could not be looked at")
    return 1 if red else 0


def _found(*, deep: bool, local: bool) -> Iterator[CheckResult]:
    is_red = False
    for result in () if local else run_all(DoctorContext(checkout=HERE)):
        is_red = is_red or result.status == "red"
        yield result
    if deep and is_red:
        yield replace(yellow("not tried while something is red", "Mend that first."), check="deep")
    elif deep:
        with connected_target(HERE) if local else nullcontext(AwsTarget(checkout=HERE)) as target:
            yield from DeepCheck(target=target, account=Account(), command=typed_command()).run()


def _shown(results: Iterator[CheckResult]) -> Iterator[CheckResult]:
    """Prints each result as soon as its check is done, which may take seconds."""
    out = console.stdout()
    for result in results:
        line = Text(f"{_MARKS[result.status]} {result.status:<6} ", style=result.status)
        line.append(f"{result.check}: {result.what}", style="default")
        if result.fix:
            line.append(f". {result.fix}", style="bold")
        out.print(line, soft_wrap=True)
        yield result
