"""The command `samplesheet`."""

import os
from pathlib import Path

import click

from toolchain import aws, console, settings
from toolchain.aws import Account
from toolchain.cli.local import with_running_target
from toolchain.errors import MissingInputError, WrongUsageError
from toolchain.jobdefs.target import Target
from toolchain.workflow import data_link
from toolchain.workflow import samplesheet as sheets
from toolchain.workflow.data_link import DataLink


@click.command()
@click.argument("folder", metavar="FOLDER|s3://BUCKET/PREFIX")
@with_running_target
def samplesheet(*, target: Target, folder: str) -> None:
    """Print a sample sheet of the FASTQ files in a folder, for you to check: `samplesheet FOLDER > samples.csv`.

    Pairs are told by their names, as bcl2fastq, BCL Convert and the SRA toolkit give them. Folders below it are looked
    through, too. Paths are those below /scratch/data where the folder is linked there, else those below the folder.
    """
    if folder.startswith("s3://"):
        files = _in_bucket(data_link.of(settings.load(target.checkout.settings)), folder.rstrip("/"))
    else:
        files = _in_folder(Path(folder), target.checkout.local / "scratch" / "data")
    sheet = sheets.make(files, folder)
    click.echo(sheet.text(), nl=False)
    for file in sheet.left_out:
        console.note(f"left out: {file}: index reads, reads of no sample, or a name without R1 or R2")
    folders: dict[str, set[str]] = {}
    for sample, _, r1, _ in sheet.rows:
        folders.setdefault(sample, set()).add(str(Path(r1).parent))
    for sample, places in folders.items():
        if len(places) > 1:
            console.note(f"sample {sample} has lanes in {', '.join(sorted(places))}: give it two names if it is two")
    console.note(f"{console.counted(len(folders), 'sample')}, {console.counted(len(sheet.rows), 'lane')}")


def _in_folder(folder: Path, data: Path) -> list[str]:
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is no folder", why="there is none", fix="Correct its name.")
    top = data if folder.resolve().is_relative_to(data.resolve()) else folder
    walked = os.walk(folder.resolve(), followlinks=True)
    return [str(Path(path, name).relative_to(top.resolve())) for path, _, names in walked for name in names]


def _in_bucket(link: DataLink, folder: str) -> list[str]:
    if link.path(f"{folder}/") is None:
        raise WrongUsageError(
            f"{folder} is not linked to /scratch/data",
            why=f"that is {link.uri}",
            fix="Copy the reads there, or link their bucket: DataPath in genomics.toml.",
        )
    bucket, _, prefix = f"{folder}/".removeprefix("s3://").partition("/")
    with aws.doing(f"listing {folder}"):
        pages = Account().s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    paths = [link.path(f"s3://{bucket}/{key}") for key in keys]
    return [path for path in paths if path]
