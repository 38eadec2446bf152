"""`build.py demo`: images built, the whole workflow run, a VCF and a report at the end.

Without arguments it makes a small genome with planted variants and reads of it, so that it can say how many
of them were found. With a user's own reads it says what it found.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from toolchain import accuracy, aligners, builds, jobdefs, rendering, report, settings, simulate
from toolchain.console import live_lines, note
from toolchain.direct import Host, Run, failure, step_names
from toolchain.errors import CannotCreateError, MissingInputError
from toolchain.machine import Machine
from toolchain.paths import Checkout
from toolchain.samples import Lane, Sample, check_name

SIMULATED = "simulated"
LANE = "L001"
LOWEST_QUALITY = 20
_OPEN = 0o1777


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


def run(
    checkout: Checkout,
    workshop: builds.Workshop,
    own: Reads | None,
    *,
    aligner: aligners.Wanted | None,
    shards: int,
    ploidy: int,
    results: Path | None,
) -> None:
    """Runs the demo, and prints its table to stdout.

    Args:
        checkout: Where things are.
        workshop: What builds need.
        own: A user's own reads; simulated ones if none.
        aligner: Which one to use; as genomics.toml says if none.
        shards: Parts of the genome to call side by side.
        ploidy: 1 or 2.
        results: The directory for the results; one of its own below results/ if none.

    Raises:
        MissingInputError: A file that was named is not there.
        CannotCreateError: The results' directory exists already.
        StepFailedError: A step failed.
    """
    if own is not None:
        _check(own)
    execution = time.strftime("demo-%Y%m%d-%H%M%S")
    target = results or checkout.root / "results" / execution
    if target.is_dir() and any(target.iterdir()):
        raise CannotCreateError(
            f"{target} is not empty", why="results are never written over", fix="Name another directory."
        )

    make_folder(target)

    builds.build(workshop, tuple(workshop.catalog.tools.values()))
    scratch = _scratch(checkout.cache / "scratch")
    host = Host(
        engine=workshop.engine,
        definitions=jobdefs.render(checkout.jobdefs, rendering.local(workshop, scratch)),
        machine=Machine.here(),
    )
    configured = settings.load(checkout.settings)
    workflow = configured.workflow
    inputs = _simulated(host, scratch, workflow) if own is None else _linked(own, scratch)
    sample = Sample(name=inputs.sample, lanes=(Lane(name=LANE, r1=inputs.r1, r2=inputs.r2),))
    _, memory = host.machine.fit(host.definitions["bwa-mem3"])
    folders = (scratch / "reference", scratch / "working" / workflow / "reference")
    choice = aligners.choose(aligner or configured.aligner, aligners.look(folders, inputs.reference), memory=memory)
    note(f"aligner: {choice.aligner}: {choice.reason}")
    with live_lines(step_names(sample, shards)) as lines:
        execution_run = Run(
            host=host,
            workflow=workflow,
            execution=execution,
            reference=inputs.reference,
            working=scratch / "working",
            aligner=choice.aligner,
            lines=lines,
        )
        execution_run.index()
        execution_run.germline(sample, shards=shards, ploidy=ploidy)

    folder = execution_run.folder(sample.name)
    _keep(folder, target)
    comparison = None if inputs.known is None else _compare(execution_run, sample.name, inputs.known)
    summary = report.summarise(target, sample.name, comparison)
    report.write_page(summary, target / "report.html")
    report.show(summary, target)


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What a run takes: paths below /scratch/reference and /scratch/data, and the variants planted, if any."""

    sample: str
    reference: str
    r1: str
    r2: str
    known: str | None = None


def _check(own: Reads) -> None:
    check_name("sample name", own.sample)
    for file in (own.reference, own.r1, own.r2):
        if not file.is_file():
            raise MissingInputError(f"no file {file}", why="it is not there, or a directory", fix="Check the path.")


def _scratch(folder: Path) -> Path:
    for name in ("reference", "data", "working"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    # Steps run as user 1000, whoever runs this.
    if (working := folder / "working").owner() and working.stat().st_mode & 0o7777 != _OPEN:
        working.chmod(_OPEN)
    return folder


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
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        link_or_copy(file.resolve(), place)
    below = f"{own.sample}/"
    return _Inputs(
        sample=own.sample, reference=f"{below}reference.fa{suffix}", r1=f"{below}R1.fastq", r2=f"{below}R2.fastq"
    )


def make_folder(folder: Path) -> None:
    """Makes a directory for results.

    Raises:
        CannotCreateError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"cannot make {folder}", why=str(error.strerror), fix="Name another directory."
        ) from error


def link_or_copy(file: Path, place: Path) -> None:
    """A hard link, or a copy where the two are on different file systems or the file is another user's."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)


def _simulated(host: Host, scratch: Path, workflow: str) -> _Inputs:
    sequences = simulate.genome()
    reference = scratch / "reference" / f"{SIMULATED}.fa"
    reference.write_text(simulate.fasta(sequences), encoding="ascii")
    os.utime(reference, (0, 0))  # the same content has the same time, so that its index is made once
    data = scratch / "data" / SIMULATED
    data.mkdir(parents=True, exist_ok=True)
    made = scratch / "working" / workflow / SIMULATED
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
        shutil.copyfile(made / name, data / name)
    truth = data / "planted.vcf"
    truth.write_text(simulate.planted_vcf(result.stdout.splitlines(), sequences), encoding="ascii")
    return _Inputs(
        sample=SIMULATED,
        reference=reference.name,
        r1=f"{SIMULATED}/R1.fastq",
        r2=f"{SIMULATED}/R2.fastq",
        known=f"{SIMULATED}/{truth.name}",
    )


def _keep(folder: Path, target: Path) -> None:
    """Results out of the scratch: the BAM, the VCF, their indexes, figures and step records."""
    for file in sorted(folder.rglob("*")):
        place = target / file.relative_to(folder)
        if file.is_file() and not file.name.startswith(".") and place.parent.name not in ("lanes", "shards"):
            place.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, place)


def _compare(run: Run, sample: str, known: str) -> accuracy.Comparison:
    found = normalised(run, f"/scratch/working/{run.workflow}/{run.execution}/{sample}/{sample}.vcf.gz")
    return accuracy.compare(
        accuracy.variants(normalised(run, f"/scratch/data/{known}")),
        accuracy.variants(found, lowest_quality=LOWEST_QUALITY),
    )


def normalised(run: Run, vcf: str, *regions: str) -> list[str]:
    """A VCF's lines after `bcftools norm`: one allele a record, left-aligned and trimmed.

    Args:
        run: Where it was made.
        vcf: Its path in a container.
        *regions: `-T FILE` and the like, for `bcftools view`, after normalisation.
    """
    reference = f"/scratch/working/{run.workflow}/reference/{run.reference}"
    script = 'norm=$1 vcf=$2; shift 2; bcftools norm -f "$norm" -m -any -Ou "$vcf" | bcftools view "$@"'
    result = run.host.run(
        "bcftools", {}, environment={}, command=["sh", "-euc", script, "sh", reference, vcf, *regions]
    )
    if result.exit_code:
        raise failure("norm", result)
    return result.stdout.splitlines()
