"""The commands of the bwa image; see README.md."""

from collections.abc import Sequence
from pathlib import Path

from step import lanes, references
from step.arguments import check_path, positional
from step.job import Job

# How many bases BWA takes at a time, and learns insert sizes from: the records are those of one thread, whatever the
# number of threads. Small batches also let reading, aligning and sorting overlap from the first second.
BATCH = "10000000"
INDEXER = references.Indexer(
    aligner="bwa",
    command=lambda fasta, prefix: ("bwa", "index", "-p", str(prefix), str(fasta)),
    bytes_per_base=1,
    suffixes=(".amb", ".ann", ".bwt", ".pac", ".sa"),
)


def index(job: Job, arguments: Sequence[str]) -> None:
    """`step index REFERENCE`: prepares a reference once."""
    given = positional(arguments, "reference")
    references.prepare_reference(job, check_path("reference", given["reference"]), INDEXER)


def _index_bytes(prefix: Path) -> int:
    return sum(Path(f"{prefix}{suffix}").stat().st_size for suffix in (".bwt", ".sa", ".pac"))


def _command(job: Job, prefix: Path, group: str, _: lanes.Memory) -> tuple[str, ...]:
    return ("bwa", "mem", "-t", str(job.threads), "-K", BATCH, "-p", "-R", group, str(prefix), "-")


ALIGNER = lanes.Aligner(name="bwa", index_bytes=_index_bytes, command=_command)


def mem(job: Job, arguments: Sequence[str]) -> None:
    """`step mem REFERENCE SAMPLE LANE R1 R2 [LIBRARY [UNIT [LANES [SKIP]]]]`: aligns a lane's FASTQ pair."""
    lanes.mem(ALIGNER, job, arguments)


COMMANDS = {"index": index, "mem": mem}
