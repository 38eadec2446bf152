"""The commands about images: list, new, build, test, push, sbom."""

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from toolchain import console
from toolchain.aws import Account
from toolchain.cli.local import with_target
from toolchain.errors import SeveralFailedError
from toolchain.images import build as builds
from toolchain.images import catalog, listing
from toolchain.images.build import ImageBuilder
from toolchain.images.push import Pusher
from toolchain.paths import HERE

if TYPE_CHECKING:
    from toolchain.jobdefs.target import Target


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--write-readme", is_flag=True, help="Update the README's table of images, and list nothing.")
def list_images(*, as_json: bool, write_readme: bool) -> None:
    """List the images: version, tag, whether built, compressed size."""
    if write_readme:
        is_new = listing.write_readme(HERE.root / "README.md", catalog.load(HERE.images).tools.values())
        console.note("README.md: the table of images " + ("is written" if is_new else "is up to date"))
        return
    images = listing.list_images(ImageBuilder.open(HERE))
    if as_json:
        click.echo(json.dumps(listing.as_json(images), indent=2))
    else:
        listing.show(images)


@click.command()
@click.argument("name")
@click.option("--package", help="The Debian package that has the program. [default: NAME]")
def new(*, name: str, package: str | None) -> None:
    """Make the files of a new tool: image, job definition, test."""
    from toolchain.images import new as new_tool  # for jinja2, as below

    for file in new_tool.create(HERE, name, package or name):
        click.echo(file.relative_to(HERE.root))
    console.note(f"Its step prints the version of {name}; docs/guide.md goes on. Type: python build.py build {name}")


@click.command()
@click.argument("images", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def build(images: tuple[str, ...], *, as_json: bool) -> None:
    """Build the IMAGES whose content has no image yet; all of them if none is named."""
    builder = ImageBuilder.open(HERE)
    built = builds.build(builder, builder.catalog.choose(images))
    if as_json:
        entries = [{"name": b.image.name, "reference": b.reference, "id": b.image_id, "new": b.new} for b in built]
        click.echo(json.dumps(entries, indent=2))
    elif not any(b.new for b in built):
        console.note("nothing to build: every image is there with this content")


@click.command()
@click.argument("images", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="List the tests and run none.")
def test(images: tuple[str, ...], *, only_list: bool) -> int:
    """Run the smoke tests of IMAGES; of all of them if none is named."""
    names = ",".join(image.name for image in catalog.load(HERE.images).choose(images))
    command = [sys.executable, "-m", "pytest", "tests/images", f"--images={names}"]
    if only_list:
        command += ["--collect-only", "--quiet"]
    return subprocess.run(command, cwd=HERE.root, check=False).returncode


@click.command()
@click.argument("images", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be built and pushed, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_target
def push(images: tuple[str, ...], *, target: "Target", dry_run: bool, as_json: bool) -> None:
    """Build and push the IMAGES whose content ECR lacks; all of them if none is named."""
    pusher = Pusher.of(target.checkout, target.dist, Account())
    if dry_run:
        _push_dry(pusher, images, as_json=as_json)
        return
    pushed = pusher.push(images)
    if as_json:
        entries = [{**image.as_json(), "new": image.new} for image in pushed]
        click.echo(json.dumps({"images": entries}, indent=2))
    elif not any(image.new for image in pushed):
        console.note("nothing to push: ECR holds every image with this content")


def _push_dry(pusher: Pusher, names: tuple[str, ...], *, as_json: bool) -> None:
    images = catalog.load(pusher.checkout.images)
    plan = pusher.plan(images.choose(names), images)
    actions = {image.name: (image.tagged.address, f"is there, {image.stored.digest}") for image in plan.present}
    if plan.missing:
        builder = pusher.builder()
        for tagged in plan.missing:
            action = "would be pushed" if builder.built(tagged.image) else "would be built and pushed"
            actions[tagged.name] = (tagged.address, action)
    if as_json:
        entries = [
            {"name": name, "address": address, "action": action} for name, (address, action) in sorted(actions.items())
        ]
        click.echo(json.dumps({"images": entries}, indent=2))
    else:
        for name, (address, action) in sorted(actions.items()):
            click.echo(f"{name}: {address} {action}")
    if plan.errors:
        raise SeveralFailedError(plan.errors)


@click.command()
@click.argument("images", nargs=-1)
def sbom(images: tuple[str, ...]) -> None:
    """Write a software bill of materials (CycloneDX) for IMAGES into dist/sbom; for all of them if none is named."""
    from toolchain.images import sbom as bills  # CycloneDX takes long to import

    builder = ImageBuilder.open(HERE)
    for built in builds.build(builder, builder.catalog.choose(images)):
        click.echo(bills.write(builder, built, HERE.dist / "sbom"))
