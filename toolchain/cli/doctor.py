"""The command `doctor`."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.text import Text

from toolchain import console
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult, Status
from toolchain.doctor.run_checks import run_all
from toolchain.paths import HERE

# A mark beside the colour, for logs and for whoever does not see colours.
_MARKS: dict[Status, str] = {"green": "✓", "yellow": "?", "red": "✗"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> int:
    """Look whether all is ready for a run, with the fix for what is not: exit code 0, or 1 if something is red."""
    found = run_all(DoctorContext(checkout=HERE))
    results = list(found if as_json else _shown(found))
    red = sum(result.status == "red" for result in results)
    yellow = sum(result.status == "yellow" for result in results)
    if as_json:
        document = {"red": red, "yellow": yellow, "findings": [asdict(result) for result in results]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console.note(f"{len(results) - red - yellow} green, {red} red, {yellow} could not be looked at")
    return 1 if red else 0


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
