"""Which aligner a run uses: bwa, or bwa-mem3, which takes less CPU time and a larger index."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Aligner = Literal["bwa", "bwa-mem3"]
Wanted = Literal["bwa", "bwa-mem3", "auto"]
ALIGNERS: tuple[Aligner, ...] = get_args(Aligner)
WANTED: tuple[Wanted, ...] = get_args(Wanted)

MIB = 1024 * 1024
# By bwa-mem3's index, in bytes: what it holds of the index files' own, times each.
INDEX = {".bwt.2bit.64": 1, ".pac": 9}  # the packed bases, and those of both strands unpacked
MAKING = 25  # bytes a base, while the index is made
WORK_MIB = 1024  # a batch, sorting, and the pipes, at the least
_PACKED = 4  # bases a byte of a compressed FASTA, about


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What is known of a reference, in bytes.

    Attributes:
        index: What bwa-mem3 holds in memory of its index; none if that does not stand.
        making: What making it takes; none where a run does not prepare its reference.
    """

    index: int | None
    making: int | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The aligner, and why that one."""

    aligner: Aligner
    reason: str


def choose(wanted: Wanted, reference: Reference, *, memory: int) -> Choice:
    """Chooses the aligner of a run.

    Args:
        wanted: What was asked for.
        reference: What there is.
        memory: What the job that aligns gets, in MiB.
    """
    if wanted != "auto":
        return Choice(aligner=wanted, reason="as asked for")
    if reference.index is not None:
        held, doing = reference.index, "its index stands, and with a batch"
    elif reference.making is not None:
        held, doing = reference.making, "making its index"
    else:
        return Choice(aligner="bwa", reason="bwa-mem3 has no index of this reference; its 'step index' makes one")
    needed = held // MIB + WORK_MIB
    if needed > memory:
        return Choice(aligner="bwa", reason=f"for bwa-mem3 {doing} takes {needed} MiB, and a job of it has {memory}")
    return Choice(aligner="bwa-mem3", reason=f"{doing} takes {needed} of {memory} MiB")


def look(references: Path, workflow: Path, name: str) -> Reference:
    """What is known of a reference, for a run that prepares what is missing.

    Args:
        references: What /scratch/reference is.
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
    """The directory of the reference that `step index` prepared last under a name, if it did; see images/base.

    Args:
        workflow: The workflow's directory below /scratch/working.
        name: The FASTA's path below /scratch/reference.
    """
    try:
        known = json.loads((workflow / "reference" / "names" / f"{name}.json").read_text(encoding="utf-8"))
        return workflow / "reference" / str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _bases(fasta: Path) -> int:
    return fasta.stat().st_size * (_PACKED if fasta.suffix == ".gz" else 1)
