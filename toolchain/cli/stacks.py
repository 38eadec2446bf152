"""The commands about stacks: deploy, destroy, storage."""

import json
import sys

import click
from rich.table import Table
from rich.text import Text

from toolchain import console, settings
from toolchain.aws import Account
from toolchain.cli.local import typed_command, with_target
from toolchain.errors import WrongUsageError
from toolchain.jobdefs.target import Target
from toolchain.paths import HERE, typed
from toolchain.runs import deploy_all
from toolchain.stacks import host_images, layout, operator_policy, outputs
from toolchain.stacks.deploy import Deployer, Planned
from toolchain.stacks.destroy import Destroyer
from toolchain.stacks.template import STORAGE
from toolchain.workflow import data_link


@click.command()
@click.argument("names", metavar="[STACK]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Images and job definitions too: all that a run needs.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@click.option(
    "--replace",
    metavar="LOGICALID",
    multiple=True,
    help="Let this file system, bucket or compute environment be replaced, with all that is in it. Can be repeated.",
)
@with_target
def deploy(
    names: tuple[str, ...], *, target: Target, everything: bool, dry_run: bool, replace: tuple[str, ...]
) -> None:
    """Deploy the STACKs that differ from this checkout; all of them, in order, if none is named."""
    if everything and names:
        raise WrongUsageError(
            "--all goes with no names", why="it deploys every stack", fix=f"Leave out --all, or {' '.join(names)}."
        )
    account = Account()
    deployer = Deployer(target=target, account=account, command=typed_command(), replace=frozenset(replace))
    if dry_run or everything:
        for planned in deployer.plan(names):
            _show(planned)
        if everything:
            for line in deploy_all.plan(target, account):
                console.note(line)
        for line in deployer.costs(names):
            console.note(line)
        if dry_run:
            return
    with target.deploy_lock():
        if everything:
            _deploy_all(target, account, deployer)
        else:
            _deploy(deployer, names)


def _deploy(deployer: Deployer, names: tuple[str, ...]) -> None:
    results = set()
    for deployed in deployer.deploy(names):
        click.echo(str(deployed))
        results.add(deployed.result)
    if "postponed" in results:
        console.note(f"no job definitions yet. Type: {typed('deploy', '--all')}, which pushes, registers and goes on")
    elif results == {"unchanged"}:
        console.note("nothing to deploy: every stack is as this checkout says")


def _deploy_all(target: Target, account: Account, deployer: Deployer) -> None:
    done = []
    for thing in deploy_all.deploy_all(target, account, deployer):
        click.echo(f"{thing.kind} {thing.text}")
        done.append(thing)
    console.note(deploy_all.summary(done))
    if target.is_persistent:
        console.note(f"next: {typed('run', 'SAMPLES.csv', '--reference', 'NAME')}")


def _show(planned: Planned) -> None:
    """Prints what would change in a stack, replacements in red."""
    if planned.because:
        console.note(f"{planned.stack}: {planned.because}: CloudFormation cannot be asked yet")
    if not planned.changes:
        if not planned.because:
            click.echo(f"{planned.stack}: nothing would change")
        return
    table = Table(title=planned.stack.full_name, title_justify="left")
    for heading in ("action", "logical id", "type", "replacement", "what causes it"):
        table.add_column(heading)
    for change in planned.changes:
        style = "red" if change.replacement != "no" or change.action == "Remove" else ""
        cells = (change.action, change.logical_id, change.type, change.replacement, ", ".join(change.causes))
        table.add_row(*(Text(cell, style=style) for cell in cells))
    console.stdout().print(table)


_DISCARD = click.option(
    "--discard", metavar="EXECUTION", multiple=True, help="Let the files of this run be lost. Can be repeated."
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("names", metavar="[STACK]...", nargs=-1)
@_DISCARD
@click.option(
    "--retain",
    metavar="LOGICALID",
    multiple=True,
    help="Leave this resource behind if it cannot be deleted. Can be repeated.",
)
@_YES
@with_target
def destroy(
    names: tuple[str, ...], *, target: Target, discard: tuple[str, ...], retain: tuple[str, ...], yes: bool
) -> None:
    """Destroy the STACKs; all of them if none is named. The results bucket stays."""
    destroyer = Destroyer(
        target=target,
        account=Account(),
        command=typed_command(),
        discard=frozenset(discard),
        retain=frozenset(retain),
    )
    _destroy(destroyer, names, when_idle=False, yes=yes)


@click.group()
def storage() -> None:
    """Bring the Lustre file systems up for a run or a night, and take them down."""


@storage.command()
@with_target
def up(*, target: Target) -> None:
    """Bring the file systems up, as this checkout describes them, and wait until they are."""
    deployer = Deployer(target=target, account=Account(), command=typed_command())
    for line in deployer.costs((STORAGE,)):
        console.note(line)
    with target.deploy_lock():
        for deployed in deployer.deploy((STORAGE,)):
            click.echo(str(deployed))


@storage.command()
@click.option("--when-idle", is_flag=True, help="Wait first until no run, export or host uses them.")
@_DISCARD
@_YES
@with_target
def down(*, target: Target, when_idle: bool, discard: tuple[str, ...], yes: bool) -> None:
    """Take the file systems down. Refuses if results that were not exported would be lost."""
    destroyer = Destroyer(target=target, account=Account(), command=typed_command(), discard=frozenset(discard))
    _destroy(destroyer, (STORAGE,), when_idle=when_idle, yes=yes)


def _destroy(destroyer: Destroyer, names: tuple[str, ...], *, when_idle: bool, yes: bool) -> None:
    plan = destroyer.plan(names)
    if not plan.deleted:
        console.note("nothing to destroy: none of these stacks is there")
        return
    for line in plan.lines():
        console.note(line)
    if not when_idle:
        plan.require_no_blockers()
    if not yes:
        _confirm()
    if when_idle:
        plan = destroyer.wait_until_idle(names)
    elif not yes:
        # The answer may have taken a while.
        plan = destroyer.plan(names)
    plan.require_no_blockers()
    for stack in destroyer.destroy(plan):
        click.echo(f"{stack} destroyed")
    for deployed in plan.deleted:
        for resource in deployed.retained:
            console.note(f"{resource} stays: it is no longer part of a stack")


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise WrongUsageError(
            "nothing was destroyed", why="there is no terminal to ask on", fix="Add --yes to the same command."
        )
    click.confirm("Destroy what goes?", abort=True, err=True)


@click.command("update-hosts")
@with_target
def update_hosts(*, target: Target) -> None:
    """Replace the hosts whose image is not the latest; running jobs may end first, for UpdateWaitMinutes."""
    account = Account()
    for line in host_images.update(account, outputs.read(account, target.checkout)):
        click.echo(line)


@click.command()
@click.option("--account", default="*", help="The account's number. [default: any]")
@click.option("--region", default="*", help="The region. [default: any]")
@click.option("--partition", default="aws", show_default=True, help="aws, aws-cn or aws-us-gov.")
def policy(*, account: str, region: str, partition: str) -> None:
    """Print the IAM policy that somebody needs who deploys, runs and destroys; without any call to AWS."""
    known = settings.load(HERE.settings)
    buckets = [data_link.of(known, directory).bucket for directory in data_link.DIRECTORIES]
    document = operator_policy.policy(
        layout.load(HERE, known.project), buckets, partition=partition, region=region, account=account
    )
    click.echo(json.dumps(document, indent=2))
