"""`demo`: builds the images and runs the whole workflow on this machine, to a VCF and a report.

Without arguments it simulates a small genome with planted variants, and reports how many of them were called.
"""

import errno
import filecmp
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from toolchain import files, settings
from toolchain.aws import Account
from toolchain.console import note
from toolchain.demo import accuracy, report, simulate
from toolchain.docker.host import Host, Machine
from toolchain.errors import CannotCreateError, MissingInputError
from toolchain.files import locked, open_folder
from toolchain.images.build import ImageBuilder
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws import lifecycle
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.file_copy import copy_file
from toolchain.localaws.safe_path import SafePath
from toolchain.paths import Checkout
from toolchain.runs.executions import Runs
from toolchain.runs.follow import follow
from toolchain.runs.run_error import run_failure
from toolchain.runs.target import LocalTarget
from toolchain.stacks.template import state_machine
from toolchain.workflow import aligners
from toolchain.workflow.run_input import RunInput, new_name
from toolchain.workflow.samples import Lane, Sample, Skip, check_sample

SIMULATED = "simulated"
LANE = "L001"
LOWEST_QUALITY = 20


@dataclass(frozen=True, kw_only=True)
class Reads:
    """The user's own reads; the reference is a FASTA, plain or compressed by bgzip."""

    reference: Path
    r1: Path
    r2: Path
    sample: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the run, as in RunInput; the aligner is that of genomics.toml if none is given."""

    aligner: settings.AlignerChoice | None
    shards: int
    ploidy: int
    skip: tuple[Skip, ...] = ()
    count_orphans: bool = False


def run(checkout: Checkout, own: Reads | None, options: Options, results: Path | None, command: str) -> None:
    """Runs the demo, and prints a summary on stdout.

    Args:
        checkout: Where things are.
        own: The user's own reads; simulated ones if none.
        options: Options of the run.
        results: The directory for the results; a new one below results/ if none.
        command: What the user typed, for messages.

    Raises:
        MissingInputError: An input file does not exist.
        CannotCreateError: The directory for the results is not empty.
        StepFailedError: A step failed.
    """
    if own is not None:
        _check(own)
    execution = f"demo-{new_name()}"
    folder = results or checkout.root / "results" / execution
    if folder.is_dir() and any(folder.iterdir()):
        raise CannotCreateError(
            f"{folder} is not empty", why="results are never written over", fix="Name another directory."
        )

    # Fails early if it cannot be made; it is made once there are results.
    with _folder(folder, keep=False):
        pass
    with lifecycle.connect(checkout) as connected:
        target = LocalTarget(checkout=checkout, is_persistent=connected.is_persistent)
        target.prepare(Account(), command)
        _run(target, connected.config, own, options, execution=execution, results=folder)


def _run(
    target: LocalTarget, config: LocalConfig, own: Reads | None, options: Options, *, execution: str, results: Path
) -> None:
    """Runs the workflow in an embedded AWS where everything is deployed."""
    account = Account()
    known = settings.load(target.checkout.settings)
    host = Host(
        engine=ImageBuilder.open(target.checkout).engine,
        definitions=jobdefs.render(target.checkout.jobdefs, target.rendering(account)),
        machine=Machine.here(),
    )
    inputs = _simulated(host, config.scratch, known.workflow) if own is None else _linked(own, config.scratch)
    resources = target.job_resources()
    choice = target.choose_aligner(account, known, inputs.reference, options.aligner, resources)
    note(f"aligner: {choice.aligner}: {choice.reason}")
    run_input = RunInput(
        reference=inputs.reference,
        samples=(Sample(name=inputs.sample, lanes=(Lane(name=LANE, r1=inputs.r1, r2=inputs.r2),)),),
        shards=options.shards,
        ploidy=options.ploidy,
        aligner=choice.aligner,
        skip=options.skip,
        count_orphans=options.count_orphans,
        resources=resources,
    )
    target.check_inputs(run_input)
    runs = Runs(account, known.project, state_machine(target.checkout.stacks))
    ended = follow(runs, runs.start(execution, run_input))
    if ended.status != "SUCCEEDED":
        raise run_failure(ended, target)
    comparison = None if inputs.truth is None else _compare(host, config.scratch, known.workflow, inputs, execution)
    with _folder(results):
        _keep(_exported(config, ended.vcfs[inputs.sample]), results)
        summary = report.summarise(results, inputs.sample, comparison)
        report.write_page(summary, results / "report.html")
    report.show(summary, results)


def _exported(config: LocalConfig, vcf: str) -> Path:
    """The directory on this machine of an exported VCF."""
    bucket, _, key = vcf.removeprefix("s3://").partition("/")
    return (config.buckets / bucket / key).parent


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Inputs of the run, as paths below /scratch/reference and /scratch/data; `truth` is a VCF of planted variants."""

    sample: str
    reference: str
    r1: str
    r2: str
    truth: str | None = None


def _check(own: Reads) -> None:
    check_sample(own.sample)
    for file in (own.reference, own.r1, own.r2):
        if not file.is_file():
            raise MissingInputError(f"no file {file}", why="it is not there, or a directory", fix="Check the path.")


def _linked(own: Reads, scratch: Path) -> _Inputs:
    """Puts the user's files where steps look for them, as hard links or copies."""
    reference = own.reference.name
    suffix = ".gz" if reference.endswith(".gz") else ""
    names = {
        scratch / "reference" / own.sample / f"reference.fa{suffix}": own.reference,
        scratch / "data" / own.sample / "R1.fastq": own.r1,
        scratch / "data" / own.sample / "R2.fastq": own.r2,
    }
    for place, file in names.items():
        _place(file.resolve(), place)
    below = f"{own.sample}/"
    return _Inputs(
        sample=own.sample, reference=f"{below}reference.fa{suffix}", r1=f"{below}R1.fastq", r2=f"{below}R2.fastq"
    )


@contextmanager
def _folder(folder: Path, *, keep: bool = True) -> Iterator[None]:
    """Makes a directory for results, and removes it again if the block fails or if it is not to be kept.

    Raises:
        CannotCreateError: It cannot be made, or written to.
    """
    made = [level for level in (folder, *folder.parents) if not level.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        why = files.unwritable(folder, error).why
        raise CannotCreateError(f"cannot make {folder}", why=why, fix="Name another: --results DIRECTORY") from error
    before = set(folder.iterdir())
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed or not keep:
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for level in made:
                level.rmdir()


def _place(file: Path, place: Path) -> None:
    """Links or copies a file to a place, unless its content is there already."""
    open_folder(place.parent)
    if place.is_file() and (place.samefile(file) or filecmp.cmp(place, file, shallow=False)):
        return
    new = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        link_or_copy(file, new)
        new.replace(place)
    finally:
        new.unlink(missing_ok=True)


def link_or_copy(file: Path, place: Path) -> None:
    """Makes a hard link; a copy if that is not possible, or if steps could not read the file."""
    try:
        if not file.stat().st_mode & stat.S_IROTH:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)
        place.chmod(0o644)


def _simulated(host: Host, scratch: Path, workflow: str) -> _Inputs:
    data = scratch / "data" / SIMULATED
    open_folder(data)
    with locked(data):  # the second of two demos at once finds the files of the first
        return _simulate(host, scratch, data, workflow)


def _simulate(host: Host, scratch: Path, data: Path, workflow: str) -> _Inputs:
    sequences = simulate.genome()
    reference = scratch / "reference" / f"{SIMULATED}.fa"
    _write(reference, simulate.fasta(sequences))
    made = PurePosixPath("working", workflow, SIMULATED)
    length = sum(map(len, sequences.values()))
    note(f"simulating {length:,} bases at {simulate.DEPTH}x with wgsim")
    # The data mount is read-only for every job: wgsim writes to the working one, and the files are moved.
    inside = f"/scratch/working/{workflow}/{SIMULATED}"
    words = simulate.wgsim_command(
        f"/scratch/reference/{reference.name}", f"{inside}/R1.fastq", f"{inside}/R2.fastq", length=length
    )
    result = host.run("wgsim", "samtools", ["sh", "-c", 'mkdir -p "$0" && exec "$@"', inside, *words])
    for name in ("R1.fastq", "R2.fastq"):
        # A job wrote it, so it may be a symbolic link: none is followed.
        copy_file(SafePath(scratch, made / name), SafePath(data, PurePosixPath(name)))
    truth = data / "planted.vcf"
    _write(truth, simulate.planted_vcf(result.stdout.splitlines(), sequences))
    return _Inputs(
        sample=SIMULATED,
        reference=reference.name,
        r1=f"{SIMULATED}/R1.fastq",
        r2=f"{SIMULATED}/R2.fastq",
        truth=f"{SIMULATED}/{truth.name}",
    )


def _write(file: Path, text: str) -> None:
    """Writes a file unless it has this content already."""
    if not file.is_file() or file.read_text(encoding="ascii") != text:
        files.write(file, text)


def _keep(folder: Path, target: Path) -> None:
    """Copies the results: the BAM, the VCF, their indexes, figures and step records."""
    for file in sorted(folder.rglob("*")):
        place = target / file.relative_to(folder)
        if file.is_file() and not file.name.startswith(".") and place.parent.name not in ("lanes", "shards"):
            place.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, place)


def _compare(host: Host, scratch: Path, workflow: str, inputs: _Inputs, run: str) -> accuracy.Comparison:
    found = f"/scratch/working/{workflow}/{run}/{inputs.sample}/{inputs.sample}.vcf.gz"
    folder = aligners.prepared(scratch / "working" / workflow, inputs.reference)
    if folder is None:
        raise MissingInputError(
            f"no prepared reference '{inputs.reference}'",
            why="the run prepared it, and it is not there any more",
            fix="Run the demo again.",
        )
    at = partial(normalised, host, f"/scratch/working/{workflow}/reference/{folder.name}/fasta/reference.fa")
    return accuracy.compare(
        accuracy.variants(at(f"/scratch/data/{inputs.truth}")),
        accuracy.variants(at(found), lowest_quality=LOWEST_QUALITY),
    )


def normalised(host: Host, fasta: str, vcf: str, *regions: str) -> list[str]:
    """The lines of a VCF after `bcftools norm`: one allele a record, left-aligned and trimmed.

    Args:
        host: Runs it.
        fasta: The path of the prepared reference in the container.
        vcf: The path of the VCF in the container.
        *regions: `-T FILE` and the like, for `bcftools view` after normalisation.
    """
    script = 'norm=$1 vcf=$2; shift 2; bcftools norm -f "$norm" -m -any -Ou "$vcf" | bcftools view "$@"'
    command = ["sh", "-euo", "pipefail", "-c", script, "sh", fasta, vcf, *regions]
    return host.run("norm", "bcftools", command).stdout.splitlines()
