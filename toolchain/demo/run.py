"""`build.py demo`: images built, the whole workflow run, a VCF and a report at the end.

Without arguments it makes a small genome with planted variants and reads of it, so that it can say how many
of them were found. With a user's own reads it says what it found.
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
from toolchain.docker.host import Host, failure
from toolchain.docker.machine import Machine
from toolchain.errors import CannotCreateError, MissingInputError
from toolchain.files import locked, open_folder
from toolchain.images.build import ImageBuilder
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws import lifecycle
from toolchain.localaws.beneath import Beneath
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.file_copy import copy_file
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
    """A user's own reads.

    Attributes:
        reference: FASTA, plain or compressed by bgzip.
        r1: First reads.
        r2: Second reads.
        sample: The sample's name.
    """

    reference: Path
    r1: Path
    r2: Path
    sample: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the demo's run is done.

    Attributes:
        aligner: Which one to use; as genomics.toml says if none.
        shards: Parts of the genome to call side by side.
        ploidy: 1 or 2.
        skip: What is done without.
        count_orphans: Whether reads whose pair is not a proper one are called from, too.
    """

    aligner: aligners.Wanted | None
    shards: int
    ploidy: int
    skip: tuple[Skip, ...] = ()
    count_orphans: bool = False


def run(checkout: Checkout, own: Reads | None, options: Options, results: Path | None, command: str) -> None:
    """Runs the demo, and prints its table to stdout.

    Args:
        checkout: Where things are.
        own: A user's own reads; simulated ones if none.
        options: How the run is done.
        results: The directory for the results; one of its own below results/ if none.
        command: What the user typed, to be typed again.

    Raises:
        MissingInputError: A file that was named is not there.
        CannotCreateError: The results' directory exists already.
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

    # Whether it can be made is seen now; it is made when there are results.
    with _folder(folder, keep=False):
        pass
    with lifecycle.connected(checkout) as connected:
        target = LocalTarget(checkout=checkout, is_persistent=connected.is_persistent)
        target.prepare(Account(), command)
        _run(target, connected.config, own, options, execution=execution, results=folder)


def _run(
    target: LocalTarget, config: LocalConfig, own: Reads | None, options: Options, *, execution: str, results: Path
) -> None:
    """The demo in an embedded AWS where all is ready: the workflow run, through its API."""
    account = Account()
    known = settings.load(target.checkout.settings)
    host = Host(
        engine=ImageBuilder.open(target.checkout).engine,
        definitions=jobdefs.render(target.checkout.jobdefs, target.rendering()),
        machine=Machine.here(),
    )
    inputs = _simulated(host, config.scratch, known.workflow) if own is None else _linked(own, config.scratch)
    resources = target.job_resources()
    choice = target.choose_aligner(known, inputs.reference, options.aligner, resources)
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
    comparison = None if inputs.known is None else _compare(host, config.scratch, known.workflow, inputs, execution)
    with _folder(results):
        _keep(_exported(config, ended.vcfs[inputs.sample]), results)
        summary = report.summarise(results, inputs.sample, comparison)
        report.write_page(summary, results / "report.html")
    report.show(summary, results)


def _exported(config: LocalConfig, vcf: str) -> Path:
    """The directory that stands for where a sample was exported to."""
    bucket, _, key = vcf.removeprefix("s3://").partition("/")
    return (config.buckets / bucket / key).parent


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What a run takes: paths below /scratch/reference and /scratch/data, and the variants planted, if any."""

    sample: str
    reference: str
    r1: str
    r2: str
    known: str | None = None


def _check(own: Reads) -> None:
    check_sample(own.sample)
    for file in (own.reference, own.r1, own.r2):
        if not file.is_file():
            raise MissingInputError(f"no file {file}", why="it is not there, or a directory", fix="Check the path.")


def _linked(own: Reads, scratch: Path) -> _Inputs:
    """A user's files where steps look for them: hard links where that can be, else copies."""
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
    """An empty directory for results; what was made of it is gone if the block fails, or if it is not to be kept.

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
    """Puts a file in a second place unless it is there already; whoever reads what was there reads on."""
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
    """A hard link; or a copy, where there can be none, or where the file is not for steps to read as it is."""
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
    with locked(data):  # of two demos at once, the second finds the first one's files, which are the same
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
    result = host.run(
        "samtools", {}, environment={}, command=["sh", "-c", 'mkdir -p "$0" && exec "$@"', inside, *words]
    )
    if result.exit_code:
        raise failure("wgsim", result)
    for name in ("R1.fastq", "R2.fastq"):
        # A job wrote it: a link in its place leads nowhere.
        copy_file(Beneath(scratch, made / name), Beneath(data, PurePosixPath(name)))
    truth = data / "planted.vcf"
    _write(truth, simulate.planted_vcf(result.stdout.splitlines(), sequences))
    return _Inputs(
        sample=SIMULATED,
        reference=reference.name,
        r1=f"{SIMULATED}/R1.fastq",
        r2=f"{SIMULATED}/R2.fastq",
        known=f"{SIMULATED}/{truth.name}",
    )


def _write(file: Path, text: str) -> None:
    """Writes a file unless it holds this already: an index of it is made once, and whoever reads it reads on."""
    if not file.is_file() or file.read_text(encoding="ascii") != text:
        files.write(file, text)


def _keep(folder: Path, target: Path) -> None:
    """Results out of the scratch: the BAM, the VCF, their indexes, figures and step records."""
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
        accuracy.variants(at(f"/scratch/data/{inputs.known}")),
        accuracy.variants(at(found), lowest_quality=LOWEST_QUALITY),
    )


def normalised(host: Host, fasta: str, vcf: str, *regions: str) -> list[str]:
    """A VCF's lines after `bcftools norm`: one allele a record, left-aligned and trimmed.

    Args:
        host: Where to run it.
        fasta: The prepared reference's path in a container.
        vcf: Its path in a container.
        *regions: `-T FILE` and the like, for `bcftools view`, after normalisation.
    """
    script = 'norm=$1 vcf=$2; shift 2; bcftools norm -f "$norm" -m -any -Ou "$vcf" | bcftools view "$@"'
    command = ["sh", "-euo", "pipefail", "-c", script, "sh", fasta, vcf, *regions]
    result = host.run("bcftools", {}, environment={}, command=command)
    if result.exit_code:
        raise failure("norm", result)
    return result.stdout.splitlines()
