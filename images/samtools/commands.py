"""The commands of the samtools image; see README.md."""

from collections.abc import Sequence
from pathlib import Path

from contract import FIGURES, check

from step import sample_bam
from step.arguments import check_lanes, check_path, check_sample, check_skip, positional
from step.bam import index_suffix
from step.errors import BadDataError, cannot_write, printable
from step.files import make_folder
from step.job import Job, check_input
from step.pipeline import Program
from step.records import output_digests
from step.references import check_origin, find_reference
from step.steps import Step

LINKS = "in"


def link_input(step: Step, file: Path) -> str:
    """Links an input into a directory of the work directory, and returns the relative path.

    SAMtools writes its command line into its output. Relative paths make that the same in every run.
    """
    link = make_folder(step.work / LINKS) / file.name
    try:
        link.symlink_to(file)
    except OSError as error:
        raise cannot_write(link, error) from error
    return f"{LINKS}/{file.name}"


def finish(job: Job, arguments: Sequence[str]) -> None:
    """`step finish REFERENCE SAMPLE LANE[,LANE...] [SKIP]`: merges lanes, marks duplicates, indexes: SAMPLE.bam."""
    given = positional(arguments, "reference", "sample", "lanes", "skip")
    marks = "duplicates" not in check_skip(given["skip"])
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    job.check_mounts("reference", "data", "working")
    bams = [check_input(folder / "lanes" / f"{lane}.bam", step_before=True) for lane in check_lanes(given["lanes"])]
    reference = find_reference(job, name)
    step = Step(
        job=job,
        name="finish",
        folder=folder,
        command=("step", "finish", name, sample, given["lanes"], "-" if marks else "duplicates"),
        inputs=bams,
        input_digests=output_digests(folder, "mem.*"),
        reference=reference.record,
    )
    if step.is_done():
        return
    with step:
        check_origin(reference, folder, bams, "mem.*")
        for bam in bams:
            _check_lane(bam, sample)
        lengths = reference.lengths.values()
        links = [link_input(step, bam) for bam in bams]
        merge = ("samtools", "merge", "-@", str(job.threads - 1))
        if marks:
            programs = [
                Program(name="merge", command=(*merge, "-u", "-", *links)),
                sample_bam.markdup(job.threads, lengths),
            ]
        else:
            options = ("-f", "-l", str(sample_bam.LEVEL), "--write-index", sample_bam.indexed_stdout(lengths))
            programs = [Program(name="merge", command=(*merge, *options, *links))]
        step.run(*programs, sink=sample_bam.OUTPUT)
        sample_bam.publish(step, sample, lengths, marks_duplicates=marks)
        step.finish()


def _check_lane(bam: Path, sample: str) -> None:
    """Checks that a lane's BAM is of this sample and of the lane in its name. Raises BadDataError."""
    header = sample_bam.check_sample(bam, sample)
    groups = [group.get("ID", "") for group in header.read_groups]
    if f"{sample}.{bam.stem}" not in groups:
        raise BadDataError(
            f"{bam.name} is not of lane {bam.stem}",
            why=f"its read group is '{printable(' '.join(groups))}'",
            fix="Run the step 'mem' of that lane again.",
        )


def qc(job: Job, arguments: Sequence[str]) -> None:
    """`step qc REFERENCE SAMPLE`: computes figures of SAMPLE.bam for MultiQC: qc/SAMPLE.*."""
    given = positional(arguments, "reference", "sample")
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    job.check_mounts("reference", "data", "working")
    bam = check_input(folder / f"{sample}.bam", step_before=True)
    reference = find_reference(job, name)
    index = check_input(folder / f"{sample}.bam{index_suffix(reference.lengths.values())}", step_before=True)
    step = Step(
        job=job,
        name="qc",
        folder=folder,
        command=("step", "qc", name, sample),
        inputs=(bam, index),
        input_digests=output_digests(folder, *sample_bam.WRITERS),
        reference=reference.record,
    )
    if step.is_done():
        return
    with step:
        check_origin(reference, folder, [bam], *sample_bam.WRITERS)
        sample_bam.check_sample(bam, sample)
        link_input(step, index)
        link = link_input(step, bam)
        options = {"stats": ("-@", str(job.threads - 1))}
        # Concurrently, as each reads the whole BAM by itself, except for idxstats, which reads only the index.
        programs = (
            Program(name=figure, command=("samtools", figure, *options.get(figure, ()), link)) for figure in FIGURES
        )
        step.run_together(*(step.pipeline(program, sink=f"{program.name}.txt") for program in programs))
        for figure in FIGURES:
            step.publish(f"{figure}.txt", folder / "qc" / f"{sample}.{figure}.txt")
        step.finish()


COMMANDS = {"finish": finish, "qc": qc, "check": check}
