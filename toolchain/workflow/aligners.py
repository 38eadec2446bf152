"""Chooses the aligner: bwa, or bwa-mem3, which needs less CPU time and more memory for its index."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from toolchain.settings import AlignerChoice

Aligner = Literal["bwa", "bwa-mem3"]
ALIGNERS: tuple[Aligner, ...] = get_args(Aligner)
FAST: Aligner = "bwa-mem3"

MIB = 1024 * 1024
# Memory of bwa-mem3 in bytes for each byte of its index files: .pac counts packed, and unpacked for both strands.
INDEX = {".bwt.2bit.64": 1, ".pac": 9}
INDEX_PER_BASE = 5.5  # bytes in memory for each base: 3.25 of .bwt.2bit.64, and a quarter of .pac, nine times
MAKING = 25  # bytes for each base, while the index is made
WORK_MIB = 1024  # for a batch of reads, sorting and pipes, at least
_PACKED = 4  # bases in a byte of a compressed FASTA, roughly


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The memory that bwa-mem3 needs for a reference, in bytes.

    Attributes:
        index: For its index; none if there is no index.
        making: To make the index; none if that is not known.
    """

    index: int | None
    making: int | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The aligner, and the reason for it.

    Attributes:
        memory: Command or tool to the MiB of its jobs, where its job definition has too little.
    """

    aligner: Aligner
    reason: str
    memory: Mapping[str, int] = field(default_factory=dict)


def choose(wanted: AlignerChoice, reference: Reference, *, memory: int) -> Choice:
    """Chooses the aligner of a run whose jobs that align get so much memory, in MiB."""
    if wanted != "auto":
        return Choice(aligner=wanted, reason="as asked for")
    if reference.index is not None:
        needed_bytes, doing = reference.index, "its index stands, and with a batch"
    elif reference.making is not None:
        needed_bytes, doing = reference.making, "making its index"
    else:
        return Choice(aligner="bwa", reason="bwa-mem3 has no index of this reference; its 'step index' makes one")
    needed = needed_bytes // MIB + WORK_MIB
    if needed > memory:
        return Choice(aligner="bwa", reason=f"for bwa-mem3 {doing} takes {needed} MiB, and a job of it has {memory}")
    return Choice(aligner="bwa-mem3", reason=f"{doing} takes {needed} of {memory} MiB")


def with_memory(wanted: AlignerChoice, reference: Reference, *, usual: int, most: int) -> Choice:
    """Chooses the aligner of a run whose jobs may have more memory than usual.

    Args:
        wanted: What the user asked for.
        reference: The memory that bwa-mem3 takes.
        usual: That of its job definition, in MiB.
        most: That of the largest host, in MiB.
    """
    needed = {FAST: reference.index or 0, "index": reference.making or 0}
    mib = {job: bytes_ // MIB + WORK_MIB for job, bytes_ in needed.items()}
    if wanted == "auto" and (largest := max(mib.values())) > most:
        return Choice(aligner="bwa", reason=f"bwa-mem3 takes {largest} MiB, and no host has more than {most} for jobs")
    reason = "as asked for" if wanted != "auto" else f"its index takes {mib[FAST]} MiB, making it {mib['index']}"
    memory = {job: needed for job, needed in mib.items() if needed > usual}
    return Choice(aligner=FAST, reason=reason, memory=memory)


def look(references: Path, workflow: Path, name: str) -> Reference:
    """Estimates the memory that bwa-mem3 needs for a reference.

    Args:
        references: The host's directory for /scratch/reference.
        workflow: The workflow's directory below /scratch/working.
        name: The FASTA's path below /scratch/reference.
    """
    fasta = references / name
    making = bases(name, fasta.stat().st_size) * MAKING if fasta.is_file() else None
    folder = prepared(workflow, name)
    files = {suffix: folder / "bwa-mem3" / f"reference.fa{suffix}" for suffix in INDEX} if folder else {}
    if not files or not all(file.is_file() for file in files.values()):
        return Reference(index=None, making=making)
    return Reference(index=sum(file.stat().st_size * INDEX[suffix] for suffix, file in files.items()), making=making)


def prepared(workflow: Path, name: str) -> Path | None:
    """The directory that `step index` prepared last for a FASTA of this name, if it did; see images/base."""
    try:
        record = json.loads((workflow / "reference" / "names" / f"{name}.json").read_text(encoding="utf-8"))
        return workflow / "reference" / str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def bases(name: str, size: int) -> int:
    """About how many bases a FASTA of a size in bytes has."""
    return size * (_PACKED if name.endswith(".gz") else 1)
