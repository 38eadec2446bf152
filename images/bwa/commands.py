"""The commands of the bwa image; see README.md."""

from functools import partial
from pathlib import Path

from step import index, lanes
from step.job import Job

# Bases that BWA aligns at a time and learns insert sizes from. A fixed number makes the records independent of the
# number of threads, and small batches let reading, aligning and sorting overlap from the first second.
BATCH = "10000000"
INDEXER = index.Indexer(
    aligner="bwa",
    command=lambda fasta, prefix: ("bwa", "index", "-p", str(prefix), str(fasta)),
    bytes_per_base=1,
    suffixes=(".amb", ".ann", ".bwt", ".pac", ".sa"),
)


def _index_bytes(prefix: Path) -> int:
    return sum(Path(f"{prefix}{suffix}").stat().st_size for suffix in (".bwt", ".sa", ".pac"))


def _command(job: Job, prefix: Path, read_group: str, _: lanes.Memory) -> tuple[str, ...]:
    return ("bwa", "mem", "-t", str(job.threads), "-K", BATCH, "-p", "-R", read_group, str(prefix), "-")


ALIGNER = lanes.Aligner(name="bwa", index_bytes=_index_bytes, command=_command)
COMMANDS = {"index": partial(index.prepare, INDEXER), "mem": partial(lanes.mem, ALIGNER)}
