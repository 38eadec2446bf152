"""The command `doctor`, of `python build.py`; cli.py adds it to its own."""

import json
from typing import TYPE_CHECKING

import click

from toolchain import console
from toolchain.paths import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolchain.doctor.result import Finding, Status

# A colour alone is nothing to whoever cannot see it, nor to a log.
_MARKS: "dict[Status, str]" = {"green": "✓", "yellow": "?", "red": "✗"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> int:
    """Look whether all is ready for a run, with the fix for what is not: exit code 0, or 1 if something is red."""
    from toolchain.doctor.context import DoctorContext
    from toolchain.doctor.run_checks import examine

    findings = examine(DoctorContext(checkout=HERE))
    seen = list(findings) if as_json else list(_shown(findings))
    red = sum(one.status == "red" for one in seen)
    unseen = sum(one.status == "yellow" for one in seen)
    if as_json:
        document = {"red": red, "yellow": unseen, "findings": [one.as_json() for one in seen]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console.note(f"{len(seen) - red - unseen} green, {red} red, {unseen} could not be looked at")
    return 1 if red else 0


def _shown(findings: "Iterator[Finding]") -> "Iterator[Finding]":
    """Prints each finding when it is found: some take seconds."""
    from rich.text import Text

    out = console.stdout()
    for one in findings:
        line = Text(f"{_MARKS[one.status]} {one.status:<6} ", style=one.status)
        line.append(f"{one.check}: {one.what}", style="default")
        if one.fix:
            line.append(f". {one.fix}", style="bold")
        out.print(line, soft_wrap=True)
        yield one


COMMANDS = (doctor,)
