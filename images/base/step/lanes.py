"""A lane's FASTQ pair to a sorted BAM, or a sample's only lane to the sample's own BAM: `step mem`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from step import fastq, references, sample_bam
from step.arguments import (
    ABSENT,
    check_lanes,
    check_name,
    check_path,
    check_sample,
    check_skip,
    is_given,
    positional,
)
from step.errors import UsageError
from step.job import Job, check_input
from step.pipeline import Program
from step.references import Reference
from step.steps import Step

MIB = 1024 * 1024
_SORT_MIB = (32, 2048)  # for each thread, at least and at most
LANE_BAM = "lane.bam"


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The arguments of `step mem`, checked.

    Attributes:
        reference: The FASTA, as a path below /scratch/reference.
        sample: The sample's name.
        name: The lane's.
        r1: First reads, as a path below /scratch/data.
        r2: Second reads, likewise.
        library: LB of the read group.
        unit: PU of the read group; empty for FLOWCELL.LANE out of the first read's name.
        is_alone: Whether it is the sample's only lane, so that this step makes the sample's BAM.
        lanes: As the record has it.
        marks_duplicates: Whether duplicates are to be marked.
    """

    reference: str
    sample: str
    name: str
    r1: str
    r2: str
    library: str
    unit: str
    is_alone: bool
    lanes: str
    marks_duplicates: bool

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Lane":
        """REFERENCE SAMPLE LANE R1 R2 [LIBRARY [UNIT [LANES [SKIP]]]]. Raises UsageError."""
        given = positional(arguments, "reference", "sample", "lane", "r1", "r2", "library", "unit", "lanes", "skip")
        skip = check_skip(given["skip"])
        sample = check_sample(given["sample"])
        lane = check_name("lane", given["lane"])
        if not is_given(given["r2"]) and is_given(given["r1"]):
            raise UsageError("no R2", why="a lane is a pair of files", fix=fastq.SINGLE)
        lanes = check_lanes(given["lanes"]) if is_given(given["lanes"]) else ()
        if lanes and lane not in lanes:
            raise UsageError(
                f"lane '{lane}' is not among the sample's lanes",
                why=f"those are {given['lanes']}",
                fix="Name all lanes of the sample, or '-'.",
            )
        is_alone = lanes == (lane,)
        return cls(
            reference=check_path("reference", given["reference"]),
            sample=sample,
            name=lane,
            r1=check_path("R1", given["r1"]),
            r2=check_path("R2", given["r2"]),
            library=check_name("library", given["library"]) if is_given(given["library"]) else sample,
            unit=check_name("platform unit", given["unit"]) if is_given(given["unit"]) else "",
            is_alone=is_alone,
            lanes=lane if is_alone else ABSENT,
            marks_duplicates="duplicates" not in skip,
        )

    @property
    def command(self) -> tuple[str, ...]:
        """The command line, as the record has it: with what this step's result depends on."""
        skipped = ABSENT if self.marks_duplicates else "duplicates"
        unit = self.unit or ABSENT
        names = (self.reference, self.sample, self.name, self.r1, self.r2, self.library, unit, self.lanes, skipped)
        return ("step", "mem", *names)

    def read_group(self, first_read: bytes) -> str:
        """The read group's header line, with tabs escaped, as aligners take it."""
        unit = self.unit or fastq.platform_unit(first_read) or self.name
        return f"@RG\\tID:{self.sample}.{self.name}\\tSM:{self.sample}\\tLB:{self.library}\\tPL:ILLUMINA\\tPU:{unit}"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How a job's memory is shared: half of what the index leaves is for sorting, the rest for batches and pipes.

    Attributes:
        spare_mib: That half.
        sort_mib: For each thread that sorts.
    """

    spare_mib: int
    sort_mib: int

    @classmethod
    def share(cls, job: Job, index_bytes: int, reference: str) -> "Memory":
        """Raises UsageError if the index takes all of it."""
        index = index_bytes // MIB
        if job.memory_mib <= index:
            raise UsageError(
                "too little memory",
                why=f"the index of {reference} takes {index} MiB and this job has {job.memory_mib}",
                fix="Raise the job's memory.",
            )
        spare = (job.memory_mib - index) // 2
        low, high = _SORT_MIB
        return cls(spare_mib=spare, sort_mib=min(max(spare // job.threads, low), high))


@dataclass(frozen=True, kw_only=True)
class Aligner:
    """What differs between the aligners.

    Attributes:
        name: Of the image, and of the stage.
        index_bytes: What the index takes in memory, by its prefix.
        command: What aligns interleaved reads of stdin, writing SAM or BAM to stdout: of the index's prefix, the read
            group and the shares of memory.
        is_quiet: Whether it tells of every batch, which is no matter for the job's log.
    """

    name: str
    index_bytes: Callable[[Path], int]
    command: Callable[[Job, Path, str, Memory], tuple[str, ...]]
    is_quiet: bool = False


def mem(aligner: Aligner, job: Job, arguments: Sequence[str]) -> None:
    """Aligns a lane. Raises StepError."""
    lane = Lane.parse(arguments)
    folder = job.run / lane.sample
    job.check_mounts("reference", "data", "working")
    r1, r2 = (check_input(job.root / "data" / path) for path in (lane.r1, lane.r2))
    if r1.samefile(r2):
        why = f"both are '{lane.r1}'" if lane.r1 == lane.r2 else f"'{lane.r1}' and '{lane.r2}' are one file"
        raise UsageError("R1 and R2 are the same file", why=why, fix="Name the lane's two files.")
    reference = references.find(job, lane.reference)
    index = reference.index(aligner.name)
    step = Step(
        job=job,
        name=f"mem.{lane.name}",
        folder=folder,
        command=lane.command,
        inputs=(r1, r2),
        reference=reference.record,
    )
    if step.is_done():
        return
    memory = Memory.share(job, aligner.index_bytes(index), lane.reference)
    with step:
        mates = fastq.Mates(one=fastq.Source(name=lane.r1, file=r1), two=fastq.Source(name=lane.r2, file=r2))
        group = lane.read_group(fastq.first_line(r1))
        align = Program(
            name=aligner.name, command=aligner.command(job, index, group, memory), is_quiet=aligner.is_quiet
        )
        sink = sample_bam.OUT if lane.is_alone else LANE_BAM
        step.run(align, *_sorting(lane, job, reference, memory), feed=mates, sink=sink)
        for source, file in ((mates.one, r1), (mates.two, r2)):
            step.read_digest(file, source.sha256)
        if lane.is_alone:
            lengths = tuple(reference.lengths.values())
            sample_bam.publish(step, lane.sample, lengths, marks_duplicates=lane.marks_duplicates)
        else:
            sample_bam.made_whole(step.work / LANE_BAM)
            step.publish(LANE_BAM, folder / "lanes" / f"{lane.name}.bam")
        step.finish()


def _sorting(lane: Lane, job: Job, reference: Reference, memory: Memory) -> list[Program]:
    """What turns alignments into a BAM: with the tags by which duplicates are found, and of an only lane finished."""
    lengths = tuple(reference.lengths.values())
    level: tuple[str, ...] = ("-l", "1")  # of a lane that is read once, and removed with the run
    if lane.is_alone:
        level = ("-u",)
    if lane.is_alone and not lane.marks_duplicates:
        level = ("-l", str(sample_bam.LEVEL), "--write-index", "-o", sample_bam.indexed(lengths))
    sort = ("samtools", "sort", "-@", str(job.threads - 1), "-m", f"{memory.sort_mib}M", "-T", "sort", *level, "-")
    programs = [Program(name="sort", command=sort)]
    if lane.marks_duplicates:
        programs.insert(0, Program(name="fixmate", command=("samtools", "fixmate", "-m", "-u", "-", "-")))
        if lane.is_alone:
            programs.append(sample_bam.markdup("-", job.threads, lengths))
    return programs
