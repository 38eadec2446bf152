"""The commands about job definitions: render, register, prune, verify."""

import json
from pathlib import Path

import click

from toolchain import console, settings
from toolchain.aws import Account
from toolchain.cli.local import with_target
from toolchain.errors import WrongUsageError
from toolchain.images.build import ImageBuilder
from toolchain.jobdefs import prune as pruning
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import verify as verification
from toolchain.jobdefs.target import Target
from toolchain.paths import HERE


@click.command()
@click.option("--local", is_flag=True, help="For this machine: local image ids, and plain directories for /scratch.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --local: the directory that stands for /scratch.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if what is in dist/ is not what would be written.")
def render(*, local: bool, scratch: Path | None, check: bool) -> None:
    """Render the job definitions into dist/jobdefs (dist/local/jobdefs with --local)."""
    if local:
        request = rendering.for_this_machine(ImageBuilder.open(HERE), scratch or HERE.cache / "scratch")
    elif scratch is None:
        from toolchain.runs.target import AwsTarget  # stacks and runs, which --local does without

        request = AwsTarget(checkout=HERE).rendering(Account())
    else:
        raise WrongUsageError(
            "--scratch without --local",
            why="in the cloud /scratch is where the hosts mount it",
            fix="Add --local, or leave --scratch out.",
        )
    rendering.write(request, HERE.dist / ("local/jobdefs" if local else "jobdefs"), HERE.jobdefs, check=check)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print what would change, and do nothing.")
@with_target
def register(names: tuple[str, ...], *, target: Target, dry_run: bool) -> None:
    """Register the job definitions that differ from what is active; of all tools if none is named."""
    account = Account()
    if not dry_run:
        registration.run(target, account, names, lambda registered: click.echo(str(registered)))
        return
    for change in registration.changes(account.batch(), registration.rendered(target, account, names)):
        click.echo(str(change))
        console.difference(change.diff)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--keep", type=click.IntRange(min=1), required=True, help="How many active revisions stay, the latest.")
@click.option("--dry-run", is_flag=True, help="Say what would be deregistered, and do nothing.")
@with_target
def prune(names: tuple[str, ...], *, target: Target, keep: int, dry_run: bool) -> None:
    """Deregister old revisions of job definitions that no state machine names."""
    account = Account()
    batch = account.batch()
    project = settings.load(target.checkout.settings).project
    tools = registration.choose(target.checkout, names)
    plan = pruning.plan(batch, account.step_functions(), {tool: f"{project}-{tool}" for tool in tools}, keep=keep)
    if not dry_run:
        pruning.prune(batch, plan)
    for tool in plan:
        click.echo(tool.describe(done=not dry_run))
    if not plan:
        console.note(f"nothing to prune: no job definition has more than {keep} active")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(*, as_json: bool) -> int:
    """Say whether the active job definitions and ECR agree with this checkout: exit code 0, or 1 if not."""
    from toolchain.stacks import outputs  # as above

    account = Account()
    verdict = verification.verify(HERE, account, outputs.read(account, HERE))
    if as_json:
        findings = [finding.as_json() for finding in verdict.findings]
        click.echo(json.dumps({"agreeing": list(verdict.agreeing), "findings": findings}, indent=2))
    else:
        for name in verdict.agreeing:
            click.echo(f"{name} agrees")
        for finding in verdict.findings:
            click.echo(f"{finding.name} {finding.what}")
            console.difference(finding.lines)
    return 1 if verdict.findings else 0
