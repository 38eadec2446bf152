"""Options that several commands have."""

from typing import get_args

import click

from toolchain.settings import AlignerChoice
from toolchain.workflow.samples import SKIPS

PLOIDY = click.option("--ploidy", type=click.IntRange(1, 2), default=2, show_default=True, help="Of the organism.")
ALIGNER = click.option(
    "--aligner",
    type=click.Choice(get_args(AlignerChoice)),
    help="auto: bwa-mem3 where that can be. [default: as in genomics.toml]",
)
SKIP = click.option(
    "--skip",
    type=click.Choice(SKIPS),
    multiple=True,
    help="duplicates: mark none, as for amplicons; qc: no figures. May be given twice.",
)
ORPHANS = click.option(
    "--count-orphans",
    is_flag=True,
    help="Call from reads whose pair is not a proper one, too: for references of short scaffolds.",
)
