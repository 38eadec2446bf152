"""A sample's BAM, as made by `step mem` from an only lane and by `step finish` from several lanes."""

import os
from collections.abc import Collection
from pathlib import Path

from step.bam import BrokenIndexError, Header, check_complete, index_suffix, read_index
from step.errors import BadDataError, ToolFailedError, cannot_write, printable
from step.pipeline import Program
from step.steps import Step

OUTPUT = "out.bam"
# Compression of the final BAM. One level more takes half as much time again and saves less than 1 % of the size.
LEVEL = 5
WRITERS = ("mem.*", "finish")  # records of the steps that write it


def index_name(lengths: Collection[int]) -> str:
    """The name of the index of `OUTPUT` in the work directory."""
    return OUTPUT + index_suffix(lengths)


def indexed_stdout(lengths: Collection[int]) -> str:
    """An output argument for SAMtools: write to stdout and index on the fly."""
    return f"/dev/stdout##idx##{index_name(lengths)}"


def markdup(threads: int, lengths: Collection[int]) -> Program:
    """Marks duplicates of a BAM from stdin to stdout and indexes it on the fly."""
    level = ("--output-fmt-option", f"level={LEVEL}")
    command = ("samtools", "markdup", "-@", str(threads - 1), "-T", "markdup", "-f", "markdup.txt", *level)
    return Program(name="markdup", command=(*command, "--write-index", "-", indexed_stdout(lengths)))


def check_sample(file: Path, sample: str) -> Header:
    """Checks that a BAM is complete and of this sample only, and returns its header. Raises BadDataError."""
    header = check_complete(file)
    if header.samples != [sample]:
        raise BadDataError(
            f"{file.name} is not of sample {sample}",
            why=f"its read groups say '{printable(' '.join(header.samples))}'",
            fix="Check which lanes belong to which sample.",
        )
    return header


def index_fault(file: Path, index: Path, header: Header) -> str:
    """What is wrong with a BAM's index, "" if nothing. Raises StepError if it cannot be read."""
    try:
        contents = read_index(index)
    except BrokenIndexError as error:
        return str(error)
    if len(contents.spans) > len(header.sequences):
        return "it is of another reference"
    if contents.end > file.stat().st_size:
        return "it reaches beyond the end of the BAM"
    return ""


def publish(step: Step, sample: str, lengths: Collection[int], *, marks_duplicates: bool) -> None:
    """Checks and publishes the BAM, its index and the figures of markdup. Raises StepError."""
    index = step.work / index_name(lengths)
    header = step.check_output(OUTPUT, check_complete)
    if fault := index_fault(step.work / OUTPUT, index, header) if index.exists() else "it is not there":
        raise ToolFailedError("the index came out broken", why=fault, fix="Run the step again.")
    # SAMtools saves the index before the last block of the BAM, and readers warn of an index older than its BAM.
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
    step.publish(OUTPUT, step.folder / f"{sample}.bam")


def remove(file: Path) -> None:
    """Removes a file that an earlier attempt with other arguments left. Raises StepError."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(file, error) from error
