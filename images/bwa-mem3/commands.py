"""The commands of the bwa-mem3 image; see README.md."""

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from step import index, lanes
from step.errors import UsageError
from step.job import Job

BATCH_MIB = 320  # memory of a batch of 10 Mb while it is aligned
PAC_FACTOR = 9  # bytes in memory for each byte of .pac: itself, and the bases of both strands
INDEXER = index.Indexer(
    aligner="bwa-mem3",
    command=lambda fasta, prefix: ("bwa-mem2", "index", "-p", str(prefix), str(fasta)),
    bytes_per_base=25,
    suffixes=(".amb", ".ann", ".bwt.2bit.64", ".pac"),  # the aligner reads no .0123
)
PROGRAM = Path("/usr/local/lib/step/aligner")
CPUINFO = Path("/proc/cpuinfo")


def _index_bytes(prefix: Path) -> int:
    return Path(f"{prefix}.bwt.2bit.64").stat().st_size + PAC_FACTOR * Path(f"{prefix}.pac").stat().st_size


def _command(job: Job, prefix: Path, read_group: str, memory: lanes.Memory) -> tuple[str, ...]:
    batches = min(max(memory.spare_mib // BATCH_MIB, 1), job.threads)
    options = ("--index", str(prefix), "--threads", str(batches), "--read-group", read_group)
    return (sys.executable or "python3", "-I", str(PROGRAM), *options)


ALIGNER = lanes.Aligner(name="bwa-mem3", index_bytes=_index_bytes, command=_command, is_quiet=True)


def mem(job: Job, arguments: Sequence[str]) -> None:
    """`step mem`, on processors with AVX2 only."""
    if not re.search(r"\bavx2\b", CPUINFO.read_text(encoding="ascii", errors="replace")):
        raise UsageError(
            "this processor has no AVX2",
            why="bwa-mem3 is built for it",
            fix="Use instances that have it, or the bwa image.",
        )
    lanes.mem(ALIGNER, job, arguments)


COMMANDS = {"index": partial(index.prepare, INDEXER), "mem": mem}
