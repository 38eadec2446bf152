"""Aligns the pairs of a lane by bwa-mem3: the records of `bwa mem -K 10000000`.

    python3 -I aligner --index PREFIX --threads N --read-group LINE

Reads interleaved FASTQ from stdin, whole records that were checked before, and writes BAM to stdout. Batches are
aligned side by side, as many as there are threads, and written in the order of the reads: neither the number of threads
nor that of the batches in flight shows in the result. What bwa-mem3 itself says goes to stderr.
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
from batches import LINES, Batch, batches

TOOL_FAILED = 70
PIPE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Aligner:
    """An index, and how to align to it.

    Attributes:
        module: bwa_mem3.
        index: Its BwaIndex.
        options: Its MemOpts.
        group: The tag RG, as a record holds it.
        alternative: Which sequences are ALT contigs.
    """

    module: Any
    index: Any
    options: Any
    group: bytes
    alternative: frozenset[str]

    @classmethod
    def load(cls, prefix: str, group: str) -> "Aligner":
        """Reads an index. Raises RuntimeError if it is not one."""
        import bwa_mem3

        options = bwa_mem3.MemOpts()
        options.set_pe(True)
        options.set_read_group_id(group)
        tag = b"RGZ" + group.encode() + b"\0"
        return cls(
            module=bwa_mem3,
            index=bwa_mem3.BwaIndex(prefix),
            options=options,
            group=tag,
            alternative=bam.alternatives(Path(f"{prefix}.alt")),
        )

    def align(self, batch: Batch) -> bytes:
        """The records of a batch, as BAM holds them."""
        pairs, empty = self._pairs(batch)
        batch.lines = []
        records, _ = self.module.align_batch(self.index, self.options, pairs)
        if not empty and not self.alternative:
            return b"".join([bam.without_hits(record.bytes, self.group) for record in records])
        return b"".join([self._restored(record, empty) for record in records])

    def _pairs(self, batch: Batch) -> tuple[list[Any], set[tuple[int, bool]]]:
        """The pairs of a batch, and which reads of them have no base: pair, and whether it is the second."""
        pair = self.module.ReadPair
        heads, one, two = (batch.lines[number::LINES] for number in (0, 1, 3))
        mates, mate_qualities = batch.lines[5::LINES], batch.lines[7::LINES]
        empty = {
            (number, second)
            for second, lines in ((False, one), (True, mates))
            if b"\n" in lines
            for number, line in enumerate(lines)
            if line == b"\n"
        }
        for number, second in empty:
            bases, qualities = (mates, mate_qualities) if second else (one, two)
            bases[number], qualities[number] = b"N\n", b"!\n"
        columns = zip(map(name_of, heads), one, two, mates, mate_qualities, strict=True)
        return [pair(name, a[:-1], name, c[:-1], b[:-1], d[:-1]) for name, a, b, c, d in columns], empty

    def _restored(self, record: Any, empty: set[tuple[int, bool]]) -> bytes:  # noqa: ANN401  # the wheel's own
        whole = bam.with_short_shares(bam.without_hits(record.bytes, self.group))
        return bam.without_bases(whole) if (record.pair_idx, bam.is_second(whole)) in empty else whole


def name_of(head: bytes) -> bytes:
    """A read's name as bwa takes it: the first word, without a mate's number."""
    name = head.split(None, 1)[0][1:]
    return name[:-2] if name[-2:-1] == b"/" and name[-1:].isdigit() and len(name) > len(b"/1") else name


def in_order(aligner: Aligner, work: Iterable[Batch], threads: int) -> Iterator[bytes]:
    """The records of each batch in turn. One more batch than there are threads is read ahead."""
    flying: deque[Future[bytes]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for batch in work:
            flying.append(pool.submit(aligner.align, batch))
            if len(flying) > threads:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def own_stdout() -> BinaryIO:
    """Stdout for the BAM alone: whatever else writes there goes to stderr."""
    mine = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return mine


def main() -> int:
    """Align, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="the index's files less their suffixes")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--read-group", required=True, help=r"an @RG line, with \t for tabs")
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as any tool in a pipeline
    out = own_stdout()
    read_group = options.read_group.replace(r"\t", "\t")
    group = re.search(r"\tID:([^\t]+)", read_group)
    program = f"@PG\tID:bwa-mem3\tPN:bwa-mem3\tVN:{version('bwa-mem3')}\tCL:bwa-mem3 {options.index}"
    try:
        aligner = Aligner.load(options.index, group[1] if group else "")
        write(out, bam.header(aligner.index.contigs(), aligner.alternative, read_group, program))
        reads = open(0, "rb", buffering=PIPE_BYTES, closefd=False)  # noqa: SIM115  # stdin, in large pieces
        for records in in_order(aligner, batches(reads), options.threads):
            write(out, records)
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"bwa-mem3: {error}\n")
        return TOOL_FAILED
    return 0


def write(out: BinaryIO, data: bytes) -> None:
    """Write all of it: a pipe takes what it can."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


if __name__ == "__main__":
    sys.exit(main())
