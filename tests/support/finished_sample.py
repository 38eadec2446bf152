"""A tiny sample, and programs that stand in for the real ones: from FASTA and FASTQ to the contract in a moment."""

import functools
import gzip
import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from support.standins import Standins
from support.standins import commands as load

from step import bgzf
from step.job import Job
from toolchain.paths import HERE

REFERENCE, SAMPLE = "ref.fa", "NA1"
FASTA = ">chrA\nACGTACGTACGTACGT\n>chrB\nGGGGCCCCAAAATTTT\n"
LENGTHS = {"chrA": 16, "chrB": 16}
FIGURES = ("flagstat", "coverage", "idxstats", "stats")

# Each stand-in first does what a test has it do (`fault`), with the name of the command in `name`.
_START = r"""
from pathlib import Path
here = Path(__file__).parent
words = sys.argv[1:]
name = words[0]
def drain():
    while sys.stdin.buffer.read1(1 << 20):
        pass
fault = here / f"{name}.fault"
if fault.exists():
    exec(fault.read_text())
"""
_SAMTOOLS = (
    _START
    + r"""
if name == "faidx":
    lengths = {}
    for line in Path(words[1]).read_text().splitlines():
        if line.startswith(">"):
            lengths[line[1:].split()[0]] = 0
        else:
            lengths[list(lengths)[-1]] += len(line)
    known = here / "fai"
    text = known.read_text() if known.exists() else "".join(f"{n}\t{l}\t0\t60\t61\n" for n, l in lengths.items())
    Path(words[1] + ".fai").write_text(text)
    sys.exit()
if name in ("fixmate", "sort", "markdup") or (name == "merge" and "-" in words):
    drain() if name != "merge" else None
for word in words:
    if "##idx##" in word:
        Path(word.partition("##idx##")[2]).write_bytes((here / "index").read_bytes())
if name == "markdup":
    Path("markdup.txt").write_text("COMMAND: samtools markdup\n")
if name in ("flagstat", "coverage", "idxstats", "stats"):
    assert Path(words[-1]).is_file()
    print((here / "flagstat").read_text() if name == "flagstat" else f"# {name}")
    sys.exit()
sys.stdout.buffer.write((here / "bam").read_bytes())
"""
)
_BWA = (
    _START
    + r"""
if name == "index":
    for suffix in (".amb", ".ann", ".bwt", ".pac", ".sa", ".bwt.2bit.64", ".0123"):
        Path(words[2] + suffix).write_bytes(suffix.encode() + Path(words[3]).read_bytes())
    sys.exit()
drain()
sys.stdout.buffer.write(b"@HD\n")
"""
)
_BCFTOOLS = (
    _START
    + r"""
if name == "index":
    suffix = "csi" if "--csi" in words else "tbi"
    Path(f"{words[-1]}.{suffix}").write_bytes((here / "vcf").read_bytes())
    sys.exit()
if name in ("call", "norm", "annotate"):
    drain()
sys.stdout.buffer.write(b"# stats\n" if name == "stats" else (here / "vcf").read_bytes())
"""
)


def blocks(data: bytes) -> bytes:
    """Data as a BGZF file holds them: one block, and the one that ends it."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = compressor.compress(data) + compressor.flush()
    head = bytes.fromhex("1f8b08040000000000ff0600424302 00".replace(" ", "")) + struct.pack("<H", len(packed) + 25)
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data)) + bgzf.EOF_MARKER


def bam(sample: str, lanes: Sequence[str], lengths: Mapping[str, int]) -> bytes:
    """A BAM file without a read."""
    text = "".join(f"@RG\tID:{sample}.{lane}\tSM:{sample}\n" for lane in lanes).encode()
    data = b"BAM\1" + struct.pack("<i", len(text)) + text + struct.pack("<i", len(lengths))
    for name, length in lengths.items():
        data += struct.pack("<i", len(name) + 1) + name.encode() + b"\0" + struct.pack("<i", length)
    return blocks(data)


def bai(sequences: int) -> bytes:
    """The index of a BAM file without a read."""
    return b"BAI\1" + struct.pack("<i", sequences) + bytes(8 * sequences)


def csi(sequences: int) -> bytes:
    """The same, for long sequences."""
    return blocks(b"CSI\1" + struct.pack("<iiii", 14, 6, 0, sequences) + bytes(4 * sequences))


def vcf(sample: str) -> bytes:
    """A compressed VCF without a variant."""
    return blocks(f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{sample}\n".encode())


@functools.cache
def commands(image: str) -> ModuleType:
    """The commands of an image."""
    return load(image)


@dataclass(kw_only=True)
class Tiny:
    """A sample in a job's scratch, of as many lanes as are asked for.

    Attributes:
        job: What its steps run in.
        standins: The programs.
        kept: Where what ran before a step is kept for other tests, if their scratch has the same path.
        lengths: Of the reference's sequences; others than the FASTA has are told by its .fai.
    """

    job: Job
    standins: Standins
    kept: Path | None = None
    lengths: dict[str, int] = field(default_factory=lambda: dict(LENGTHS))

    def __post_init__(self) -> None:
        """Write the inputs and the programs."""
        self.standins.write("samtools", _SAMTOOLS)
        self.standins.write("bwa", _BWA)
        self.standins.write("bwa-mem2", _BWA)
        self.standins.write("bcftools", _BCFTOOLS)
        self.hold("flagstat", "9 + 0 in total (QC-passed reads + QC-failed reads)\n9 + 0 primary\n")
        self.hold("vcf", vcf(SAMPLE))
        if self.lengths != LENGTHS:
            self.hold("fai", "".join(f"{name}\t{length}\t0\t60\t61\n" for name, length in self.lengths.items()))
        self.fasta.write_text(FASTA, encoding="ascii")
        for lane in ("L001", "L002"):
            self.reads(lane)
        self.aligned(("L001",))

    @property
    def fasta(self) -> Path:
        return self.job.root / "reference" / REFERENCE

    @property
    def working(self) -> Path:
        return self.job.root / "working"

    @property
    def folder(self) -> Path:
        """The sample's results."""
        return self.job.run / SAMPLE

    def hold(self, name: str, content: str | bytes) -> None:
        """A file that the stand-ins read."""
        data = content.encode() if isinstance(content, str) else content
        (self.standins.folder / name).write_bytes(data)

    def aligned(self, lanes: Sequence[str], sample: str = SAMPLE) -> None:
        """What the aligner's BAM is to be."""
        self.hold("bam", bam(sample, lanes, self.lengths))
        long = max(self.lengths.values()) >= 1 << 29
        self.hold("index", csi(len(self.lengths)) if long else bai(len(self.lengths)))

    def fault(self, name: str, code: str) -> None:
        """Has a program do something first, by the name of its command."""
        self.hold(f"{name}.fault", code)

    def well(self) -> None:
        """Has all programs do their work again."""
        for file in self.standins.folder.glob("*.fault"):
            file.unlink()

    def reads(self, lane: str, pairs: int = 3) -> None:
        """Writes a lane's files."""
        for mate, bases in (("1", "ACGTTGCAAC" * 3), ("2", "TTGACCATGA" * 3)):
            records = "".join(f"@{lane}:{pair}/{mate}\n{bases}\n+\n{'I' * len(bases)}\n" for pair in range(pairs))
            (self.job.root / "data" / f"{lane}_{mate}.fq.gz").write_bytes(gzip.compress(records.encode(), 1, mtime=0))

    # ---- steps -------------------------------------------------------------------------------------------------------

    def step(self, image: str, command: str, *words: str, job: Job | None = None) -> None:
        """Runs a step in this process. Raises StepError."""
        run: Callable[..., None] = commands(image).COMMANDS[command]
        run(job or self.job, words)

    def index(self, job: Job | None = None) -> None:
        self.step("bwa", "index", REFERENCE, job=job)

    def mem(self, lane: str = "L001", lanes: str = "-", *, skip: str = "-", job: Job | None = None) -> None:
        self.step("bwa", "mem", *self.words("mem", lane, lanes, skip), job=job)

    def words(self, command: str, lane: str = "L001", lanes: str = "-", skip: str = "-") -> tuple[str, ...]:
        """The arguments of a step on this sample."""
        return {
            "index": (REFERENCE,),
            "mem": (REFERENCE, SAMPLE, lane, f"{lane}_1.fq.gz", f"{lane}_2.fq.gz", "-", "-", lanes, skip),
            "finish": (REFERENCE, SAMPLE, lanes, skip),
            "qc": (REFERENCE, SAMPLE),
            "call": (REFERENCE, SAMPLE, "1", "0"),
            "gather": (REFERENCE, SAMPLE, "1"),
            "check": (REFERENCE, SAMPLE, lanes, skip, "1"),
        }[command]

    def all(self, lanes: Sequence[str] = ("L001",), until: str = "") -> None:
        """Runs the steps of the whole sample, or those before one of them."""
        kept = self.kept / f"{len(lanes)} lanes until {until}" if self.kept else None
        if kept and kept.exists():
            self.aligned(lanes)
            shutil.rmtree(self.job.root)
            shutil.copytree(kept, self.job.root)
            return
        joined = ",".join(lanes)
        steps: list[tuple[str, Callable[[], None]]] = [("index", self.index)]
        steps += [("mem", functools.partial(self.mem, lane, joined)) for lane in lanes]
        if len(lanes) > 1:
            steps.append(("finish", lambda: self.step("samtools", "finish", *self.words("finish", lanes=joined))))
        steps.append(("qc", lambda: self.step("samtools", "qc", *self.words("qc"))))
        steps.append(("call", lambda: self.step("bcftools", "call", *self.words("call"))))
        steps.append(("gather", lambda: self.step("bcftools", "gather", *self.words("gather"))))
        steps.append(("check", lambda: self.step("samtools", "check", *self.words("check", lanes=joined))))
        for name, run in steps:
            if name == until:
                break
            if name == "mem" and len(lanes) > 1:
                self.aligned(lanes)
            run()
        if kept:
            shutil.copytree(self.job.root, kept)

    # ---- what is left ------------------------------------------------------------------------------------------------

    def record(self, step: str) -> dict[str, Any]:
        """A step's record."""
        found: dict[str, Any] = json.loads((self.folder / "steps" / f"{step}.json").read_text(encoding="utf-8"))
        return found

    def finished(self) -> list[str]:
        """Every file that looks finished, of the run and of prepared references."""
        return left(self.working)

    def left_over(self) -> list[str]:
        """Work directories that are still there."""
        return sorted(str(folder) for folder in (self.working / ".work").rglob("tmp.*") if folder.is_dir())


def left(working: Path) -> list[str]:
    """Every file below /scratch/working that looks finished."""
    files = (file for file in working.rglob("*") if file.is_file() and ".work" not in file.parts)
    return sorted(str(file.relative_to(working)) for file in files)


_PROCESS = """
import os, sys
from pathlib import Path
sys.path[:0] = {paths}
from commands import COMMANDS
from step.job import Job
from step.main import main
job = Job(environment=os.environ, root=Path({root}), mounts=Path({mounts}), threads=2, memory_mib=2048)
sys.exit(main(COMMANDS, sys.argv[1:], job))
"""


def process(job: Job, image: str, *words: str, before: Sequence[str] = ()) -> "subprocess.Popen[str]":
    """A step in a process of its own, with what it says in a pipe.

    Args:
        job: What it runs in.
        image: Of which image.
        words: The command and its arguments.
        before: A program that starts it, such as setpriv, with its options.
    """
    paths = [str(HERE.images / "base"), str(HERE.images / image)]
    code = _PROCESS.format(paths=paths, root=repr(str(job.root)), mounts=repr(str(job.mounts)))
    return subprocess.Popen(
        [*before, sys.executable, "-I", "-c", code, *words],
        env=dict(job.environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(running: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code of a step, and what it said."""
    with running:
        _, said = running.communicate(timeout=60)
    return running.returncode, said
