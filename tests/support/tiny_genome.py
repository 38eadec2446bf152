"""Reads of a small random genome, made here: the same each time, and with nothing to fetch."""

import gzip
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.demo import simulate
from toolchain.workflow.samples import Lane, Sample

LENGTH = 100
INSERT = (250, 350)  # as libraries have it: without a spread, a pair across a deletion would be no proper pair
COMPLEMENT = str.maketrans("ACGT", "TGCA")
SEQUENCES: Mapping[str, int] = {"chrA": 12_000, "chrB": 8_000}


@dataclass(frozen=True, kw_only=True)
class Read:
    """One FASTQ record."""

    name: str
    bases: str
    quality: str

    @property
    def fastq(self) -> str:
        return f"@{self.name}\n{self.bases}\n+\n{self.quality}\n"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A variant to plant: 0-based position of the first reference base."""

    sequence: str
    position: int
    reference: str
    alternative: str


def planted(genome: Mapping[str, str], variations: Sequence[Variation]) -> dict[str, str]:
    """A genome with these variants in it."""
    result = dict(genome)
    for one in sorted(variations, key=lambda v: -v.position):
        bases = result[one.sequence]
        assert bases[one.position : one.position + len(one.reference)] == one.reference
        result[one.sequence] = bases[: one.position] + one.alternative + bases[one.position + len(one.reference) :]
    return result


def pairs(genome: Mapping[str, str], depth: int, *, seed: int = 5, lane: int = 1) -> list[tuple[Read, Read]]:
    """Pairs of reads without errors, evenly over the genome, named as Illumina's machines name them."""
    source = random.Random(seed)  # noqa: S311  # the same reads each time
    made: list[tuple[Read, Read]] = []
    for sequence, bases in genome.items():
        for _ in range(depth * len(bases) // (2 * LENGTH)):
            size = source.randint(*INSERT)
            start = source.randrange(len(bases) - size)
            end = start + size
            name = f"M1:7:FLOW1:{lane}:{len(made)}:{start}:{sequence}"
            first = bases[start : start + LENGTH]
            second = bases[end - LENGTH : end].translate(COMPLEMENT)[::-1]
            made.append(
                (
                    Read(name=f"{name} 1:N:0:ACGT", bases=first, quality="I" * LENGTH),
                    Read(name=f"{name} 2:N:0:ACGT", bases=second, quality="I" * LENGTH),
                )
            )
    return made


def fastq(reads: Sequence[Read]) -> str:
    """Reads as FASTQ."""
    return "".join(read.fastq for read in reads)


def gzipped(text: str) -> bytes:
    """A text as gzip has it, the same bytes each time."""
    return gzip.compress(text.encode(), mtime=0)


@dataclass(frozen=True, kw_only=True)
class Small:
    """A small sample in a scratch: `small.fa`, and two gzipped FASTQ files a lane."""

    scratch: Path
    genome: Mapping[str, str]
    reads: Sequence[tuple[Read, Read]]
    sample: Sample
    reference: str = "small.fa"

    @property
    def r1(self) -> Path:
        return self.scratch / "data" / self.sample.lanes[0].r1

    @property
    def r2(self) -> Path:
        return self.scratch / "data" / self.sample.lanes[0].r2

    @classmethod
    def make(
        cls,
        scratch: Path,
        *,
        name: str = "NA1",
        depth: int = 20,
        lanes: int = 1,
        variations: Sequence[Variation] = (),
        sequences: Mapping[str, int] = SEQUENCES,
        covered: int | None = None,
    ) -> "Small":
        """Makes it; reads come from the first `covered` sequences, or from all."""
        genome = simulate.genome(sequences)
        (scratch / "reference" / "small.fa").write_text(simulate.fasta(genome), encoding="ascii")
        made: list[tuple[Read, Read]] = []
        entries = []
        for number in range(1, lanes + 1):
            sequenced = dict(list(planted(genome, variations).items())[:covered])
            reads = pairs(sequenced, depth // lanes, seed=number, lane=number)
            lane = Lane(name=f"L00{number}", r1=f"{name}_L00{number}_R1.fastq.gz", r2=f"{name}_L00{number}_R2.fastq.gz")
            (scratch / "data" / lane.r1).write_bytes(gzipped(fastq([first for first, _ in reads])))
            (scratch / "data" / lane.r2).write_bytes(gzipped(fastq([second for _, second in reads])))
            made += reads
            entries.append(lane)
        return cls(scratch=scratch, genome=genome, reads=made, sample=Sample(name=name, lanes=tuple(entries)))

    def mem(self, lane: int = 0) -> dict[str, Any]:
        """The parameters of a `mem` job."""
        chosen = self.sample.lanes[lane]
        return {
            "command": "mem",
            "reference": self.reference,
            "sample": self.sample.name,
            "lane": chosen.name,
            "r1": chosen.r1,
            "r2": chosen.r2,
        }

    def job(self, command: str, **parameters: str) -> dict[str, Any]:
        """The parameters of another step's job."""
        return {"command": command, "reference": self.reference, "sample": self.sample.name, **parameters}
