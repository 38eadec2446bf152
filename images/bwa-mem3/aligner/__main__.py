"""Aligns the pairs of a lane with bwa-mem3, giving the records of `bwa mem -K 10000000`.

    python3 -I aligner --index PREFIX --threads N --read-group LINE

Reads checked, interleaved FASTQ from stdin and writes BAM to stdout. Each thread aligns a batch, and the batches are
written in the order of the reads, so the result does not depend on the number of threads. bwa-mem3's own messages go to
stderr.
"""

import argparse
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import bam
from batches import LINES, batches

TOOL_FAILED = 70
PIPE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Aligner:
    """A loaded index and the options to align with.

    Attributes:
        module: The module bwa_mem3.
        index: A BwaIndex.
        options: A MemOpts.
        rg_tag: The encoded RG tag of all records.
        alt_contigs: The names of the ALT contigs.
    """

    module: Any
    index: Any
    options: Any
    rg_tag: bytes
    alt_contigs: frozenset[str]

    @classmethod
    def load(cls, prefix: str, read_group_id: str) -> "Aligner":
        """Loads an index. Raises RuntimeError if it cannot be."""
        import bwa_mem3  # a large wheel, which only the image has

        options = bwa_mem3.MemOpts()
        options.set_pe(True)
        options.set_read_group_id(read_group_id)
        return cls(
            module=bwa_mem3,
            index=bwa_mem3.BwaIndex(prefix),
            options=options,
            rg_tag=b"RGZ" + read_group_id.encode() + b"\0",
            alt_contigs=bam.read_alt(Path(f"{prefix}.alt")),
        )

    def align(self, lines: list[bytes]) -> bytes:
        """The BAM records of a batch, whose lines are freed."""
        pairs, empty = self._pairs(lines)
        lines.clear()
        records, _ = self.module.align_batch(self.index, self.options, pairs)
        if not empty and not self.alt_contigs:
            return b"".join([bam.strip_hits(record.bytes, self.rg_tag) for record in records])
        return b"".join([self._normalise(record, empty) for record in records])

    def _pairs(self, lines: list[bytes]) -> tuple[list[Any], set[tuple[int, bool]]]:
        """The pairs of a batch, and its reads without bases: number of the pair, and whether it is the second read."""
        pair = self.module.ReadPair
        headers, bases, qualities = (lines[line::LINES] for line in (0, 1, 3))
        mate_bases, mate_qualities = lines[5::LINES], lines[7::LINES]
        empty = {
            (number, second)
            for second, column in ((False, bases), (True, mate_bases))
            if b"\n" in column
            for number, line in enumerate(column)
            if line == b"\n"
        }
        for number, second in empty:
            (mate_bases if second else bases)[number] = b"N\n"
            (mate_qualities if second else qualities)[number] = b"!\n"
        columns = zip(map(read_name, headers), bases, qualities, mate_bases, mate_qualities, strict=True)
        return [pair(name, a[:-1], name, c[:-1], b[:-1], d[:-1]) for name, a, b, c, d in columns], empty

    def _normalise(self, record: Any, empty: set[tuple[int, bool]]) -> bytes:  # noqa: ANN401  # of the untyped wheel
        data = bam.round_alt_score(bam.strip_hits(record.bytes, self.rg_tag))
        return bam.strip_base(data) if (record.pair_idx, bam.is_second(data)) in empty else data


def read_name(header: bytes) -> bytes:
    """The read's name as bwa takes it: the first word, without a mate's number."""
    name = header.split(None, 1)[0][1:]
    return name[:-2] if name[-2:-1] == b"/" and name[-1:].isdigit() and len(name) > len(b"/1") else name


def align_in_order(aligner: Aligner, work: Iterable[list[bytes]], threads: int) -> Iterator[bytes]:
    """The records of each batch in order. Reads one batch more ahead than there are threads."""
    pending: deque[Future[bytes]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for batch in work:
            pending.append(pool.submit(aligner.align, batch))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def reserve_stdout() -> BinaryIO:
    """Returns stdout for the BAM alone, and redirects everything else that is printed there to stderr."""
    stdout = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return stdout


def main() -> int:
    """Aligns stdin and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="the index's files less their suffixes")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--read-group", required=True, help=r"an @RG line, with \t for tabs")
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # like other tools in a pipeline
    out = reserve_stdout()
    read_group = options.read_group.replace(r"\t", "\t")
    match = re.search(r"\tID:([^\t]+)", read_group)
    program = f"@PG\tID:bwa-mem3\tPN:bwa-mem3\tVN:{version('bwa-mem3')}\tCL:bwa-mem3 {options.index}"
    try:
        aligner = Aligner.load(options.index, match[1] if match else "")
        write(out, bam.header(aligner.index.contigs(), aligner.alt_contigs, read_group, program))
        reads = open(0, "rb", buffering=PIPE_BYTES, closefd=False)  # noqa: SIM115  # stdin, in large pieces
        for records in align_in_order(aligner, batches(reads), options.threads):
            write(out, records)
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"bwa-mem3: {error}\n")
        return TOOL_FAILED
    return 0


def write(out: BinaryIO, data: bytes) -> None:
    """Writes all data to a pipe, which may take only a part at a time."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


if __name__ == "__main__":
    sys.exit(main())
