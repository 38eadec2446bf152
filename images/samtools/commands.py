"""The commands of the samtools image; see README.md."""

from collections.abc import Sequence
from pathlib import Path

from contract import check

from step import references, sample_bam
from step.arguments import check_lanes, check_path, check_sample, check_skip, positional
from step.bam import index_suffix
from step.errors import BadDataError, cannot_write, printable
from step.job import Job, check_input
from step.pipeline import Program
from step.steps import Step, make_folder, recorded

LINKS = "in"
FIGURES = ("flagstat", "coverage", "idxstats", "stats")


def by_name(step: Step, file: Path) -> str:
    """A link of the file's own name below the work directory, in which no output can stand in its way.

    What SAMtools writes holds its command line, which then says nothing of the run's directory: the same reads give the
    same bytes in every run.
    """
    link = make_folder(step.work / LINKS) / file.name
    try:
        link.symlink_to(file)
    except OSError as error:
        raise cannot_write(link, error) from error
    return f"{LINKS}/{file.name}"


def finish(job: Job, arguments: Sequence[str]) -> None:
    """`step finish REFERENCE SAMPLE LANE[,LANE...] [SKIP]`: merges the lanes, marks duplicates, indexes: SAMPLE.bam."""
    given = positional(arguments, "reference", "sample", "lanes", "skip")
    marks = "duplicates" not in check_skip(given["skip"])
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    job.check_mounts("reference", "data", "working")
    bams = [check_input(folder / "lanes" / f"{lane}.bam", step_before=True) for lane in check_lanes(given["lanes"])]
    reference = references.find(job, name)
    step = Step(
        job=job,
        name="finish",
        folder=folder,
        command=("step", "finish", name, sample, given["lanes"], "-" if marks else "duplicates"),
        inputs=bams,
        known=recorded(folder, "mem.*"),
        reference=reference.record,
    )
    if step.is_done():
        return
    with step:
        references.check_origin(reference, folder, bams, "mem.*")
        for bam in bams:
            _check_lane(bam, sample)
        lengths = tuple(reference.lengths.values())
        names = [by_name(step, bam) for bam in bams]
        merge = ("samtools", "merge", "-@", str(job.threads - 1))
        if marks:
            programs = [Program(name="merge", command=(*merge, "-u", "-", *names))]
            programs.append(sample_bam.markdup("-", job.threads, lengths))
        else:
            options = ("-f", "-l", str(sample_bam.LEVEL), "--write-index", sample_bam.indexed(lengths))
            programs = [Program(name="merge", command=(*merge, *options, *names))]
        step.run(*programs, sink=sample_bam.OUT)
        sample_bam.publish(step, sample, lengths, marks_duplicates=marks)
        step.finish()


def _check_lane(bam: Path, sample: str) -> None:
    """A lane's BAM, of this sample and of the lane that its name says. Raises BadDataError."""
    header = sample_bam.check_sample(bam, sample)
    groups = [group.get("ID", "") for group in header.groups]
    if f"{sample}.{bam.stem}" not in groups:
        raise BadDataError(
            f"{bam.name} is not of lane {bam.stem}",
            why=f"its read group is '{printable(' '.join(groups))}'",
            fix="Run the step 'mem' of that lane again.",
        )


def qc(job: Job, arguments: Sequence[str]) -> None:
    """`step qc REFERENCE SAMPLE`: figures of SAMPLE.bam, in the formats that MultiQC reads: qc/SAMPLE.*."""
    given = positional(arguments, "reference", "sample")
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    job.check_mounts("reference", "data", "working")
    bam = check_input(folder / f"{sample}.bam", step_before=True)
    reference = references.find(job, name)
    index = check_input(folder / f"{sample}.bam{index_suffix(tuple(reference.lengths.values()))}", step_before=True)
    step = Step(
        job=job,
        name="qc",
        folder=folder,
        command=("step", "qc", name, sample),
        inputs=(bam, index),
        known=recorded(folder, "mem.*", "finish"),
        reference=reference.record,
    )
    if step.is_done():
        return
    with step:
        references.check_origin(reference, folder, [bam], "mem.*", "finish")
        sample_bam.check_sample(bam, sample)
        by_name(step, index)
        linked = by_name(step, bam)
        further = {"stats": ("-@", str(job.threads - 1))}
        # Side by side: each reads the whole BAM by itself, and idxstats only the index.
        step.run_together(
            *(
                step.pipeline(
                    Program(name=figure, command=("samtools", figure, *further.get(figure, ()), linked)),
                    sink=f"{figure}.txt",
                )
                for figure in FIGURES
            )
        )
        for figure in FIGURES:
            step.publish(f"{figure}.txt", folder / "qc" / f"{sample}.{figure}.txt")
        step.finish()


COMMANDS = {"finish": finish, "qc": qc, "check": check}
