"""A sample's BAM: what the step that aligns its only lane and the step that merges several lanes have in common."""

import os
from collections.abc import Sequence
from pathlib import Path

from step.bam import BrokenIndexError, Header, check_whole, index_suffix, read_index
from step.errors import BadDataError, ToolFailedError, cannot_write, printable
from step.pipeline import Program
from step.steps import Step

OUT = "out.bam"
# Of the final BAM. A level more costs half as much again in time, and saves less than a hundredth of the size.
LEVEL = 5


def index_name(lengths: Sequence[int]) -> str:
    """What SAMtools is to call the index of `OUT`: beside the BAM that it writes, or for one that goes into a pipe."""
    return OUT + index_suffix(lengths)


def indexed(lengths: Sequence[int]) -> str:
    """Standard output, as an output of SAMtools that is indexed while it is written."""
    return f"/dev/stdout##idx##{index_name(lengths)}"


def markdup(source: str, threads: int, lengths: Sequence[int]) -> Program:
    """Marks duplicates and indexes, in one pass, to stdout."""
    further = str(threads - 1)
    level = ("--output-fmt-option", f"level={LEVEL}")
    command = ("samtools", "markdup", "-@", further, "-T", "markdup", "-f", "markdup.txt", *level)
    return Program(name="markdup", command=(*command, "--write-index", source, indexed(lengths)))


def check_sample(file: Path, sample: str) -> Header:
    """A BAM that must be whole, and of this sample and no other. Raises BadDataError."""
    header = check_whole(file)
    if header.samples != [sample]:
        raise BadDataError(
            f"{file.name} is not of sample {sample}",
            why=f"its read groups say '{printable(' '.join(header.samples))}'",
            fix="Check which lanes belong to which sample.",
        )
    return header


def check_index(file: Path, index: Path, header: Header) -> str:
    """What is wrong with a BAM's index; nothing if it can be read and fits. Raises StepError."""
    try:
        found = read_index(index)
    except BrokenIndexError as error:
        return str(error)
    if len(found.spans) > len(header.sequences):
        return "it is of another reference"
    if found.end > file.stat().st_size:
        return "it reaches beyond the end of the BAM"
    return ""


def made_whole(file: Path) -> Header:
    """The header of a BAM that this step made. Raises ToolFailedError if it came out broken."""
    try:
        return check_whole(file)
    except BadDataError as error:
        raise ToolFailedError(
            f"{file.name} came out broken", why=str(error).rstrip("."), fix="Run the step again."
        ) from error


def publish(step: Step, sample: str, lengths: Sequence[int], *, marks_duplicates: bool) -> None:
    """Publishes the BAM, its index, and what marking duplicates said, once they are found whole. Raises StepError."""
    bam, index = step.work / OUT, step.work / index_name(lengths)
    header = made_whole(bam)
    if wrong := check_index(bam, index, header) if index.exists() else "it is not there":
        raise ToolFailedError("the index came out broken", why=wrong, fix="Run the step again.")
    # The index is saved before the BAM's last block is out; readers warn of an index that is older.
    os.utime(index)
    figures = step.folder / "qc" / f"{sample}.markdup.txt"
    if marks_duplicates:
        step.publish("markdup.txt", figures)
    else:
        remove(figures)
    suffix = index_suffix(lengths)
    for other in {".bai", ".csi"} - {suffix}:
        remove(step.folder / f"{sample}.bam{other}")
    step.publish(index.name, step.folder / f"{sample}.bam{suffix}")
    step.publish(OUT, step.folder / f"{sample}.bam")


def remove(file: Path) -> None:
    """Removes what an earlier attempt with other arguments left. Raises StepError."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(file, error) from error
