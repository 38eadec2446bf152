"""The commands that deal with what runs in AWS, of `python build.py`; cli.py adds them to its own."""

import json
from typing import TYPE_CHECKING

import click

from toolchain import console
from toolchain.cli.local import place
from toolchain.paths import HERE, Checkout

if TYPE_CHECKING:
    from toolchain.images.push import Pusher


def _pusher(checkout: Checkout) -> "Pusher":
    from toolchain.aws import Account
    from toolchain.images.build import ImageBuilder
    from toolchain.images.ecr import Registry
    from toolchain.images.push import Pusher

    return Pusher(checkout=checkout, registry=Registry(Account()), builder=lambda: ImageBuilder.open(checkout))


@click.command()
@click.argument("images", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be built and pushed, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@place
def push(images: tuple[str, ...], *, checkout: Checkout, dry_run: bool, as_json: bool) -> None:
    """Build and push the IMAGES whose content ECR lacks; all of them if none is named."""
    if dry_run:
        _push_dry(checkout, images, as_json=as_json)
        return
    done = _pusher(checkout).push(images)
    if as_json:
        click.echo(json.dumps({"images": [{**one.as_json(), "new": one.new} for one in done]}, indent=2))
    elif not any(one.new for one in done):
        console.note("nothing to push: ECR holds every image with this content")


def _push_dry(checkout: Checkout, names: tuple[str, ...], *, as_json: bool) -> None:
    from toolchain.errors import SeveralFailedError
    from toolchain.images import catalog

    pusher = _pusher(checkout)
    known = catalog.load(checkout.images)
    look = pusher.look(known.choose(names), known)
    actions = {one.target.image.name: (one.target.address, f"is there, {one.stored.digest}") for one in look.present}
    if look.absent:
        builder = pusher.builder()
        for target in look.absent:
            action = "would be pushed" if builder.built(target.image) else "would be built and pushed"
            actions[target.image.name] = (target.address, action)
    if as_json:
        entries = [{"name": name, "address": where, "action": what} for name, (where, what) in sorted(actions.items())]
        click.echo(json.dumps({"images": entries}, indent=2))
    else:
        for name, (where, what) in sorted(actions.items()):
            click.echo(f"{name}: {where} {what}")
    if look.errors:
        raise SeveralFailedError.of(look.errors)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print what would change, and do nothing.")
@place
def register(names: tuple[str, ...], *, checkout: Checkout, dry_run: bool) -> None:
    """Register the job definitions that differ from what is active; of all tools if none is named."""
    from toolchain.aws import Account
    from toolchain.jobdefs import register as registration

    if not dry_run:
        registration.run(checkout, Account(), names, lambda registered: click.echo(str(registered)))
        return
    for change in registration.changes(Account().batch(), registration.wanted(checkout, names)):
        click.echo(str(change))
        console.difference(change.lines)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--keep", type=click.IntRange(min=1), required=True, help="How many active revisions stay, the latest.")
@click.option("--dry-run", is_flag=True, help="Say what would be deregistered, and do nothing.")
@place
def prune(names: tuple[str, ...], *, checkout: Checkout, keep: int, dry_run: bool) -> None:
    """Deregister old revisions of job definitions that no state machine names."""
    from toolchain import settings
    from toolchain.aws import Account
    from toolchain.jobdefs import prune as pruning
    from toolchain.jobdefs import register as registration

    account = Account()
    batch = account.batch()
    project = settings.load(checkout.settings).project
    tools = registration.chosen(checkout, names)
    planned = pruning.plan(batch, account.step_functions(), {tool: f"{project}-{tool}" for tool in tools}, keep=keep)
    if not dry_run:
        pruning.prune(batch, planned)
    for one in planned:
        click.echo(one.describe(done=not dry_run))
    if not planned:
        console.note(f"nothing to prune: no job definition has more than {keep} active")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(*, as_json: bool) -> int:
    """Say whether the active job definitions and ECR agree with this checkout: exit code 0, or 1 if not."""
    from toolchain.aws import Account
    from toolchain.jobdefs import verify as verification

    verdict = verification.verify(HERE, Account())
    if as_json:
        found = [finding.as_json() for finding in verdict.findings]
        click.echo(json.dumps({"agreeing": list(verdict.agreeing), "findings": found}, indent=2))
    else:
        for name in verdict.agreeing:
            click.echo(f"{name} agrees")
        for finding in verdict.findings:
            click.echo(f"{finding.name} {finding.what}")
            console.difference(finding.lines)
    return 1 if verdict.findings else 0


@click.command()
@click.argument("images", nargs=-1)
def sbom(images: tuple[str, ...]) -> None:
    """Write a software bill of materials (CycloneDX) for IMAGES into dist/sbom; for all of them if none is named."""
    from toolchain.images import build as builds
    from toolchain.images import sbom as bills

    builder = builds.ImageBuilder.open(HERE)
    for built in builds.build(builder, builder.catalog.choose(images)):
        click.echo(bills.write(builder, built, HERE.dist / "sbom"))


COMMANDS = (push, register, prune, verify, sbom)
