"""The reads that every shape takes to variants: of a simulated genome, and real ones where they are at hand."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import genome
from place import Place

from toolchain.demo import simulate
from toolchain.paths import HERE
from toolchain.workflow.samples import Lane, Sample

DEPTH, READ_LENGTH, ERROR = 15, 150, 0.002
REAL = Path(os.environ.get("GENOMICS_TEST_DATA", HERE.root.parent / "shared" / "data")) / "human_hg001_chr20"


@dataclass(frozen=True, kw_only=True)
class Given:
    """Reads and their reference, where steps look for them; the reference is prepared for each shape.

    Attributes:
        name: Of the data set; a folder of this name below /scratch/data holds the reads.
        title: What it is.
        sample: Its one lane.
        reference: The FASTA, as a path below /scratch/reference and below /stock.
        targets: Whether the targets hold for it.
    """

    name: str
    title: str
    sample: Sample
    reference: str
    targets: bool


def simulated(place: Place, sequences: Mapping[str, int], *, targets: bool) -> Given:
    """Reads of a genome that is made for it: wgsim plants variants and reads it."""
    made = genome.genome(dict(sequences))
    bases = sum(sequences.values())
    pairs = f"{DEPTH * bases / (2 * READ_LENGTH) / 1e6:.1f} M pairs of {READ_LENGTH} bases"
    given = _given(
        "simulated",
        reference="simulated.fa",
        reads=("R1.fastq", "R2.fastq"),
        title=f"a simulated genome of {bases / 1e6:.0f} Mb at {DEPTH}x, {pairs}",
        targets=targets,
    )
    (place.world.scratch / "reference" / given.reference).write_text(simulate.fasta(made), encoding="ascii")
    # No job may write to the data: they are made beside it, and moved.
    inside = "/scratch/working/reads"
    place.step("samtools", "mkdir", "-p", inside)
    words = simulate.wgsim_command(
        f"/scratch/reference/{given.reference}",
        f"{inside}/R1.fastq",
        f"{inside}/R2.fastq",
        length=bases,
        depth=DEPTH,
        read_length=READ_LENGTH,
        error=ERROR,
    )
    place.step("samtools", *words)
    target = place.world.scratch / "data" / given.name
    target.mkdir()
    for file in (place.world.scratch / "working" / "reads").iterdir():
        shutil.copyfile(file, target / file.name)
    place.step("samtools", "rm", "-r", inside)
    _prepare(place, given)
    return given


def real(place: Place) -> Given:
    """Reads of NA12878 on 100 kb, as its folder's dataset.env names them."""
    words = (REAL / "dataset.env").read_text(encoding="ascii").split()
    named = dict(word.split("=", 1) for word in words if "=" in word)
    target = place.world.scratch / "data" / REAL.name
    target.mkdir()
    for name in (named["R1"], named["R2"]):
        shutil.copyfile(REAL / name, target / name)
    reference = f"{REAL.name}.fa.gz"
    shutil.copyfile(REAL / named["REF"], place.world.scratch / "reference" / reference)
    given = _given(
        REAL.name,
        reference=reference,
        reads=(named["R1"], named["R2"]),
        title="real reads: NA12878, 25,839 pairs of 101 bases on 100 kb",
        targets=False,
    )
    _prepare(place, given)
    return given


def _given(name: str, *, reference: str, reads: tuple[str, str], title: str, targets: bool) -> Given:
    lane = Lane(name="L001", r1=f"{name}/{reads[0]}", r2=f"{name}/{reads[1]}")
    sample = Sample(name="bench", lanes=(lane,))
    return Given(name=name, title=title, sample=sample, reference=reference, targets=targets)


def _prepare(place: Place, given: Given) -> None:
    """Every shape's index of the reference: it is made once for all runs, and not measured."""
    place.step("bwa-mem3", command="index", reference=given.reference)
    script = 'cp "$1" "$2" && samtools faidx "$2" && bwa index "$2"'
    place.with_stock("sh", "-c", script, "sh", f"/scratch/reference/{given.reference}", f"/stock/{given.reference}")
