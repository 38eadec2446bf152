"""Chooses the aligner: bwa, or bwa-mem3, which needs less CPU time and more memory for its index."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from toolchain.settings import AlignerChoice

Aligner = Literal["bwa", "bwa-mem3"]
ALIGNERS: tuple[Aligner, ...] = get_args(Aligner)

MIB = 1024 * 1024
# Memory of bwa-mem3 in bytes for each byte of its index files: .pac counts packed, and unpacked for both strands.
INDEX = {".bwt.2bit.64": 1, ".pac": 9}
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
    """The aligner, and the reason for it."""

    aligner: Aligner
    reason: str


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


def look(references: Path, workflow: Path, name: str) -> Reference:
    """Estimates the memory that bwa-mem3 needs for a reference.

    Args:
        references: The host's directory for /scratch/reference.
        workflow: The workflow's directory below /scratch/working.
        name: The FASTA's path below /scratch/reference.
    """
    fasta = references / name
    making = _bases(fasta) * MAKING if fasta.is_file() else None
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


def _bases(fasta: Path) -> int:
    return fasta.stat().st_size * (_PACKED if fasta.suffix == ".gz" else 1)
