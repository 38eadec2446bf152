"""The command `doctor`."""

import json
from collections.abc import Iterator

import click
from rich.text import Text

from toolchain import console
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import Finding, Status
from toolchain.doctor.run_checks import examine
from toolchain.paths import HERE

# A mark beside the colour, for logs and for whoever does not see colours.
_MARKS: dict[Status, str] = {"green": "✓", "yellow": "?", "red": "✗"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> int:
    """Look whether all is ready for a run, with the fix for what is not: exit code 0, or 1 if something is red."""
    findings = examine(DoctorContext(checkout=HERE))
    results = list(findings) if as_json else list(_shown(findings))
    red = sum(finding.status == "red" for finding in results)
    yellow = sum(finding.status == "yellow" for finding in results)
    if as_json:
        document = {"red": red, "yellow": yellow, "findings": [finding.as_json() for finding in results]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console.note(f"{len(results) - red - yellow} green, {red} red, {yellow} could not be looked at")
    return 1 if red else 0


def _shown(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Prints each finding as soon as its check is done, which may take seconds."""
    out = console.stdout()
    for finding in findings:
        line = Text(f"{_MARKS[finding.status]} {finding.status:<6} ", style=finding.status)
        line.append(f"{finding.check}: {finding.what}", style="default")
        if finding.fix:
            line.append(f". {finding.fix}", style="bold")
        out.print(line, soft_wrap=True)
        yield finding


COMMANDS = (doctor,)
