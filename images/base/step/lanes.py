"""`step mem`: aligns a lane's FASTQ pair into a sorted BAM, and a sample's only lane into the finished BAM."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from step import fastq, sample_bam
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
from step.bam import check_complete
from step.errors import UsageError
from step.job import Job, check_input
from step.pipeline import Program
from step.references import Reference, find_reference
from step.steps import Step

MIB = 1024 * 1024
_SORT_MIB = (32, 2048)  # for each sorting thread, at least and at most
LANE_BAM = "lane.bam"


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The checked arguments of `step mem`.

    Attributes:
        reference: The path of the FASTA below /scratch/reference.
        sample: The sample's name.
        name: The lane's name.
        r1: The path of the first reads below /scratch/data.
        r2: The path of the second reads, likewise.
        library: LB of the read group.
        unit: PU of the read group; empty for FLOWCELL.LANE from the first read's name.
        is_only: Whether it is the sample's only lane, so that this step makes the sample's BAM.
        lanes: The argument LANES for the record.
        marks_duplicates: Whether to mark duplicates.
    """

    reference: str
    sample: str
    name: str
    r1: str
    r2: str
    library: str
    unit: str
    is_only: bool
    lanes: str
    marks_duplicates: bool

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Lane":
        """Parses REFERENCE SAMPLE LANE R1 R2 [LIBRARY [UNIT [LANES [SKIP]]]]. Raises UsageError."""
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
        is_only = lanes == (lane,)
        return cls(
            reference=check_path("reference", given["reference"]),
            sample=sample,
            name=lane,
            r1=check_path("R1", given["r1"]),
            r2=check_path("R2", given["r2"]),
            library=check_name("library", given["library"]) if is_given(given["library"]) else sample,
            unit=check_name("platform unit", given["unit"]) if is_given(given["unit"]) else "",
            is_only=is_only,
            lanes=lane if is_only else ABSENT,
            marks_duplicates="duplicates" not in skip,
        )

    @property
    def command(self) -> tuple[str, ...]:
        """The command line for the record, with only what the result depends on."""
        skipped = ABSENT if self.marks_duplicates else "duplicates"
        unit = self.unit or ABSENT
        names = (self.reference, self.sample, self.name, self.r1, self.r2, self.library, unit, self.lanes, skipped)
        return ("step", "mem", *names)

    def read_group(self, first_header: bytes) -> str:
        """The @RG line, with escaped tabs as aligners take it."""
        unit = self.unit or fastq.platform_unit(first_header) or self.name
        return f"@RG\\tID:{self.sample}.{self.name}\\tSM:{self.sample}\\tLB:{self.library}\\tPL:ILLUMINA\\tPU:{unit}"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How a job's memory is divided.

    Attributes:
        spare_mib: Half of what the index leaves; one half is for sorting, the other for batches and pipes.
        sort_mib: For each sorting thread.
    """

    spare_mib: int
    sort_mib: int

    @classmethod
    def share(cls, job: Job, index_bytes: int, reference: str) -> "Memory":
        """Divides a job's memory. Raises UsageError if the index takes all of it."""
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
        name: The name of the image and of the stage.
        index_bytes: The memory that an index takes, by its prefix.
        command: The program that aligns interleaved reads from stdin and writes SAM or BAM to stdout, for a job, an
            index prefix, a read group and the memory.
        is_quiet: Whether its stderr, a line for each batch, is kept out of the job's log.
    """

    name: str
    index_bytes: Callable[[Path], int]
    command: Callable[[Job, Path, str, Memory], tuple[str, ...]]
    is_quiet: bool = False


def mem(aligner: Aligner, job: Job, arguments: Sequence[str]) -> None:
    """`step mem REFERENCE SAMPLE LANE R1 R2 [LIBRARY [UNIT [LANES [SKIP]]]]`: aligns a lane. Raises StepError."""
    lane = Lane.parse(arguments)
    folder = job.run / lane.sample
    job.check_mounts("reference", "data", "working")
    r1, r2 = (check_input(job.root / "data" / path) for path in (lane.r1, lane.r2))
    if r1.samefile(r2):
        why = f"both are '{lane.r1}'" if lane.r1 == lane.r2 else f"'{lane.r1}' and '{lane.r2}' are one file"
        raise UsageError("R1 and R2 are the same file", why=why, fix="Name the lane's two files.")
    reference = find_reference(job, lane.reference)
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
        pairs = fastq.ReadPairs(r1=fastq.FastqFile(name=lane.r1, path=r1), r2=fastq.FastqFile(name=lane.r2, path=r2))
        group = lane.read_group(fastq.first_line(r1))
        align = Program(
            name=aligner.name, command=aligner.command(job, index, group, memory), is_quiet=aligner.is_quiet
        )
        sink = sample_bam.OUTPUT if lane.is_only else LANE_BAM
        step.run(align, *_sort(lane, job, reference, memory), feed=pairs, sink=sink)
        for file in (pairs.r1, pairs.r2):
            step.set_input_digest(file.path, file.sha256)
        if lane.is_only:
            sample_bam.publish(step, lane.sample, reference.lengths.values(), marks_duplicates=lane.marks_duplicates)
        else:
            step.check_output(LANE_BAM, check_complete)
            step.publish(LANE_BAM, folder / "lanes" / f"{lane.name}.bam")
        step.finish()


def _sort(lane: Lane, job: Job, reference: Reference, memory: Memory) -> list[Program]:
    """The programs that sort alignments into a BAM, with mate tags or marked duplicates."""
    lengths = reference.lengths.values()
    level: tuple[str, ...] = ("-l", "1")  # one of several lanes is read once by `finish`
    if lane.is_only:
        level = ("-u",)
    if lane.is_only and not lane.marks_duplicates:
        level = ("-l", str(sample_bam.LEVEL), "--write-index", "-o", sample_bam.indexed_stdout(lengths))
    sort = ("samtools", "sort", "-@", str(job.threads - 1), "-m", f"{memory.sort_mib}M", "-T", "sort", *level, "-")
    programs = [Program(name="sort", command=sort)]
    if lane.marks_duplicates:
        programs.insert(0, Program(name="fixmate", command=("samtools", "fixmate", "-m", "-u", "-", "-")))
        if lane.is_only:
            programs.append(sample_bam.markdup(job.threads, lengths))
    return programs
