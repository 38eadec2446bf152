"""The command line: `python build.py COMMAND`.

`main` catches and prints; everything below it only raises. What a command makes for other programs goes to
stdout, what it says to people goes to stderr.
"""

import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolchain import console, files
from toolchain.cli import doctor, runs
from toolchain.cli import images as cloud
from toolchain.cli import stacks as deployment
from toolchain.cli.local import COMMANDS as LOCAL
from toolchain.cli.local import as_typed, hinted
from toolchain.cli.options import ALIGNER, ORPHANS, PLOIDY, SKIP
from toolchain.errors import CannotCreateError, SeveralFailedError, ToolchainError, WrongUsageError
from toolchain.images import catalog
from toolchain.paths import HERE
from toolchain.workflow.aligners import Wanted
from toolchain.workflow.samples import in_order

if TYPE_CHECKING:
    from toolchain.images.build import ImageBuilder
    from toolchain.workflow.samples import Skip

EXIT_CODES = """
Exit codes: 0 done, 64 wrong usage, 65 bad data, 66 missing input, 69 a service does not answer, 70 a build, a
step or a stack failed, 73 a result cannot be written, 75 something is in the way: try again, 78 a file of this
repository is wrong, 130 Ctrl-C, SIGTERM or SIGHUP; of verify, 1 where cloud and checkout differ; of doctor, 1
where something is red.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: The words after `build.py`.

    Returns:
        The exit code, as listed in `--help`.
    """
    typed = shlex.join(("python", "build.py", *(word for word in arguments if word != "--local")))
    with console.said_as(_in_local_mode) if _is_local(arguments) else nullcontext(), _ending_as_by_ctrl_c():
        return _run(arguments, typed)


@contextmanager
def _ending_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, and the SIGHUP of a terminal that is closed, end a command as Ctrl-C does: its jobs end with it."""

    def interrupt(_number: int, _frame: object) -> None:
        # Closing a session sends both: the second must not end what the first began to clear away.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        both = (signal.SIGTERM, signal.SIGHUP)
        # Under nohup, say, one is ignored, and is to be.
        before = {number: signal.SIG_DFL for number in both if signal.getsignal(number) is signal.SIG_DFL}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_local(arguments: Sequence[str]) -> bool:
    return "--local" in arguments or list(arguments[:1]) in (["demo"], ["local"])


def _in_local_mode(text: str) -> str:
    names = [name for name, command in cli.commands.items() if any(word.name == "local" for word in command.params)]
    return hinted(text, names)


def _run(arguments: Sequence[str], typed: str) -> int:
    try:
        result = _called(arguments, typed)
    except ToolchainError as error:
        for one in error.errors if isinstance(error, SeveralFailedError) else (error,):
            if one.details:
                console.note(one.details.rstrip())
            console.note(f"error: {one}")
        return error.exit_code
    except click.exceptions.Abort:
        console.note("stopped")
        return 130
    except click.ClickException as error:
        error.show()
        return WrongUsageError.exit_code
    except KeyboardInterrupt:
        console.note("stopped")
        return 130
    except SystemExit:
        # How click says that whoever read our output has gone: no fault of ours, and there is nobody to tell.
        return 0
    return result if isinstance(result, int) else 0


def _called(arguments: Sequence[str], typed: str) -> object:
    try:
        return cli.main(args=list(arguments), prog_name="build.py", standalone_mode=False, obj=typed)
    except PermissionError as error:
        if error.filename is None:
            raise
        # Whatever a command reads and writes may be another user's.
        reason = files.unwritable(Path(error.filename), error)
        raise CannotCreateError(f"no access to {error.filename}", why=reason.why, fix=reason.fix) from error


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """FASTQ to VCF on AWS Batch, Step Functions and FSx for Lustre: images, job definitions, runs."""


def _builder() -> "ImageBuilder":
    from toolchain.images.build import ImageBuilder

    return ImageBuilder.open(HERE)


@cli.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the README's table, which needs no engine.")
def list_images(*, as_json: bool, as_markdown: bool) -> None:
    """List the images: version, tag, whether built, compressed size."""
    from toolchain.images.listing import inventory, markdown, show

    if as_markdown:
        click.echo(markdown(catalog.load(HERE.images).tools.values()), nl=False)
        return
    found = inventory(_builder())
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        show(found)


@cli.command()
@click.argument("images", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def build(images: tuple[str, ...], *, as_json: bool) -> None:
    """Build the IMAGES whose content has no image yet; all of them if none is named."""
    from toolchain.images import build as builds

    builder = _builder()
    built = builds.build(builder, builder.catalog.choose(images))
    if as_json:
        click.echo(
            json.dumps(
                [{"name": b.image.name, "reference": b.reference, "id": b.image_id, "new": b.new} for b in built],
                indent=2,
            )
        )
    elif not any(b.new for b in built):
        console.note("nothing to build: every image is there with this content")


@cli.command()
@click.argument("images", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="List the tests and run none.")
def test(images: tuple[str, ...], *, only_list: bool) -> int:
    """Run the smoke tests of IMAGES; of all of them if none is named."""
    import subprocess

    names = ",".join(image.name for image in catalog.load(HERE.images).choose(images))
    command = [sys.executable, "-m", "pytest", "tests/images", f"--images={names}"]
    if only_list:
        command += ["--collect-only", "--quiet"]
    return subprocess.run(command, cwd=HERE.root, check=False).returncode


@cli.command()
@click.option("--local", is_flag=True, help="For this machine: local image ids, and plain directories for /scratch.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --local: the directory that stands for /scratch.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if what is in dist/ is not what would be written.")
def render(*, local: bool, scratch: Path | None, check: bool) -> None:
    """Render the job definitions into dist/jobdefs (dist/local/jobdefs with --local)."""
    from toolchain.jobdefs import render as rendering

    if scratch is not None and not local:
        raise WrongUsageError(
            "--scratch without --local",
            why="in the cloud /scratch is where the hosts mount it",
            fix="Add --local, or leave --scratch out.",
        )
    request = rendering.local(_builder(), scratch or HERE.cache / "scratch") if local else rendering.cloud(HERE)
    rendering.write(request, HERE.dist / ("local/jobdefs" if local else "jobdefs"), check=check)


@cli.command()
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
def demo(  # noqa: PLR0913  # one an option
    *,
    reference: Path | None,
    reads: tuple[Path, Path] | None,
    sample: str | None,
    shards: int,
    ploidy: int,
    aligner: Wanted | None,
    skip: "tuple[Skip, ...]",
    count_orphans: bool,
    results: Path | None,
) -> None:
    """Build the images and take reads to variants on this machine: simulated ones, or your own."""
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
    demonstration.run(HERE, own, options, results, command=as_typed())


for command in (*cloud.COMMANDS, *deployment.COMMANDS, *runs.COMMANDS, *LOCAL, *doctor.COMMANDS):
    cli.add_command(command)
