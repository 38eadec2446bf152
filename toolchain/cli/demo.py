"""The command `demo`."""

from pathlib import Path

import click

from toolchain.cli.local import typed_command
from toolchain.cli.options import ALIGNER, ORPHANS, PLOIDY, SKIP
from toolchain.errors import WrongUsageError
from toolchain.paths import HERE
from toolchain.settings import AlignerChoice
from toolchain.workflow.samples import Skip, in_order


@click.command()
@click.option(
    "--reference", type=click.Path(path_type=Path, dir_okay=False), help="A reference: FASTA, plain or bgzip."
)
@click.option(
    "--reads",
    type=click.Path(path_type=Path, dir_okay=False),
    nargs=2,
    help="The two FASTQ files of a lane: R1 and R2.",
)
@click.option("--sample", help="The sample's name.")
@click.option(
    "--shards",
    type=click.IntRange(1, 9999),
    default=4,
    show_default=True,
    help="Parts of the genome to call side by side.",
)
@PLOIDY
@ALIGNER
@SKIP
@ORPHANS
@click.option(
    "--results", type=click.Path(path_type=Path, file_okay=False), help="Where results go. [default: results/RUN]"
)
def demo(  # noqa: PLR0913  # an argument for each option
    *,
    reference: Path | None,
    reads: tuple[Path, Path] | None,
    sample: str | None,
    shards: int,
    ploidy: int,
    aligner: AlignerChoice | None,
    skip: tuple[Skip, ...],
    count_orphans: bool,
    results: Path | None,
) -> None:
    """Build the images and take reads to variants on this machine: simulated ones, or your own."""
    # It imports moto, for which no other command should wait.
    from toolchain.demo import run as demonstration

    given = [option is not None for option in (reference, reads, sample)]
    if any(given) and not all(given):
        raise WrongUsageError(
            "--reference, --reads and --sample go together",
            why="one of them is missing",
            fix="Give all three, or none for simulated reads.",
        )
    own = None
    if reference is not None and reads is not None and sample is not None:
        own = demonstration.Reads(reference=reference, r1=reads[0], r2=reads[1], sample=sample)
    options = demonstration.Options(
        aligner=aligner, shards=shards, ploidy=ploidy, skip=in_order(skip), count_orphans=count_orphans
    )
    demonstration.run(HERE, own, options, results, command=typed_command())
