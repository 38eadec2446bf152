"""A tiny sample and fake programs, with which all steps run in a moment."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support import hts_files
from support.fake_programs import FakePrograms, image_commands
from support.hts_files import Indexed, bgzipped

from step.job import Job
from toolchain.paths import HERE

REFERENCE, SAMPLE = "ref.fa", "NA1"
FASTA = ">chrA\nACGTACGTACGTACGT\n>chrB\nGGGGCCCCAAAATTTT\n"
LENGTHS = {"chrA": 16, "chrB": 16}
IMAGES = {
    "index": "bwa",
    "mem": "bwa",
    "finish": "samtools",
    "qc": "samtools",
    "call": "bcftools",
    "gather": "bcftools",
    "check": "samtools",
}

# Each fake program first runs what a test injects, which may use `name`, the name of its command. They import next to
# nothing, because a test run starts more than a thousand of them.
_START = r"""
here = __file__.rpartition("/")[0] + "/"
words = sys.argv[1:]
name = words[0]
def read(file):
    with open(file, "rb") as stream:
        return stream.read()
def write(file, data):
    with open(file, "wb") as stream:
        stream.write(data)
def drain():
    while sys.stdin.buffer.read1(1 << 20):
        pass
if os.path.exists(here + name + ".inject"):
    exec(read(here + name + ".inject"))
"""
_SAMTOOLS = r"""
if name == "faidx":
    lengths = {}
    for line in read(words[1]).decode().splitlines():
        if line.startswith(">"):
            lengths[line[1:].split()[0]] = 0
        else:
            lengths[list(lengths)[-1]] += len(line)
    text = "".join(f"{n}\t{l}\t0\t60\t61\n" for n, l in lengths.items()).encode()
    write(words[1] + ".fai", read(here + "fai") if os.path.exists(here + "fai") else text)
    sys.exit()
if name in ("fixmate", "sort", "markdup"):
    drain()
for word in words:
    if "##idx##" in word:
        write(word.partition("##idx##")[2], read(here + "index"))
if name == "markdup":
    write("markdup.txt", b"COMMAND: samtools markdup\n")
if name in ("flagstat", "coverage", "idxstats", "stats"):
    assert os.path.isfile(words[-1])
    sys.stdout.buffer.write(read(here + "flagstat") if name == "flagstat" else name.encode())
    sys.exit()
sys.stdout.buffer.write(read(here + "bam"))
"""
_BWA = r"""
if name == "index":
    for suffix in (".amb", ".ann", ".bwt", ".pac", ".sa", ".bwt.2bit.64", ".0123"):
        write(words[2] + suffix, suffix.encode() + read(words[3]))
    sys.exit()
drain()
sys.stdout.buffer.write(b"@HD\n")
"""
_BCFTOOLS = r"""
if name == "index":
    write(words[-1] + (".csi" if "--csi" in words else ".tbi"), read(here + "vcf"))
    sys.exit()
if name in ("call", "norm", "annotate"):
    drain()
sys.stdout.buffer.write(b"# stats\n" if name == "stats" else read(here + "vcf"))
"""
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


def bam(lanes: Sequence[str], *, sample: str = SAMPLE, lengths: Mapping[str, int] = LENGTHS) -> bytes:
    """A BAM file without reads."""
    return bgzipped(hts_files.bam(lengths, hts_files.read_groups(sample, lanes)))


def vcf(sample: str = SAMPLE) -> bytes:
    """A compressed VCF."""
    return bgzipped(hts_files.vcf(sample))


@dataclass(kw_only=True)
class TinySample:
    """A sample in a job's scratch.

    Attributes:
        log: Returns what steps have printed since the last call.
        cache: Where states before a step are kept for other tests, whose scratch must have the same path.
        lengths: The reference's sequence lengths; if they differ from those of the FASTA, its .fai says so.
    """

    job: Job
    programs: FakePrograms
    log: Callable[[], str] = str
    cache: Path | None = None
    lengths: dict[str, int] = field(default_factory=lambda: dict(LENGTHS))

    def __post_init__(self) -> None:
        """Writes the inputs and the programs."""
        for name, code in {"samtools": _SAMTOOLS, "bwa": _BWA, "bwa-mem2": _BWA, "bcftools": _BCFTOOLS}.items():
            self.programs.write(name, _START + code)
        self.provide("flagstat", "9 + 0 in total (QC-passed reads + QC-failed reads)\n9 + 0 primary\n")
        self.provide("vcf", vcf())
        if self.lengths != LENGTHS:
            self.provide("fai", "".join(f"{name}\t{length}\t0\t60\t61\n" for name, length in self.lengths.items()))
        self.fasta.write_text(FASTA, encoding="ascii")
        for lane in ("L001", "L002"):
            self.write_reads(lane)
        self.provide_alignment(["L001"])

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

    def write_reads(self, lane: str, pairs: int = 3) -> None:
        for mate, bases in (("1", "ACGTTGCAAC" * 3), ("2", "TTGACCATGA" * 3)):
            records = "".join(f"@{lane}:{pair}/{mate}\n{bases}\n+\n{'I' * len(bases)}\n" for pair in range(pairs))
            (self.job.root / "data" / f"{lane}_{mate}.fq.gz").write_bytes(gzip.compress(records.encode(), 1, mtime=0))

    # ---- programs ----------------------------------------------------------------------------------------------------

    def provide(self, name: str, content: str | bytes) -> None:
        """Writes a file that the programs use: bam, index, vcf, fai or flagstat."""
        data = content.encode() if isinstance(content, str) else content
        (self.programs.folder / name).write_bytes(data)

    def provide_alignment(self, lanes: Sequence[str]) -> None:
        """Sets the BAM, and its index, that SAMtools writes."""
        self.provide("bam", bam(lanes, lengths=self.lengths))
        indexed = [Indexed() for _ in self.lengths]
        is_long = max(self.lengths.values()) >= 1 << 29
        self.provide("index", bgzipped(hts_files.csi(indexed, depth=6)) if is_long else hts_files.bai(indexed))

    def inject(self, command: str, code: str) -> None:
        """Makes a command of a program run this code first."""
        self.provide(f"{command}.inject", code)

    def repair(self) -> None:
        """Removes all injected code."""
        for file in self.programs.folder.glob("*.inject"):
            file.unlink()

    # ---- steps -------------------------------------------------------------------------------------------------------

    @staticmethod
    def arguments(step: str, *, lane: str = "L001", lanes: str = "", skip: str = "-") -> tuple[str, ...]:
        """The arguments of a step on this sample."""
        return {
            "index": (REFERENCE,),
            "mem": (REFERENCE, SAMPLE, lane, f"{lane}_1.fq.gz", f"{lane}_2.fq.gz", "-", "-", lanes or "-", skip),
            "finish": (REFERENCE, SAMPLE, lanes or "L001", skip),
            "qc": (REFERENCE, SAMPLE),
            "call": (REFERENCE, SAMPLE, "1", "0"),
            "gather": (REFERENCE, SAMPLE, "1"),
            "check": (REFERENCE, SAMPLE, lanes or "L001", skip, "1"),
        }[step]

    def command(self, image: str, command: str, *words: str, job: Job | None = None) -> None:
        """Runs a command of an image in this process. Raises StepError."""
        image_commands(image).COMMANDS[command](job or self.job, words)

    def step(
        self, name: str, *further: str, lane: str = "L001", lanes: str = "", skip: str = "-", job: Job | None = None
    ) -> None:
        """Runs a step on this sample in this process. Raises StepError."""
        words = self.arguments(name, lane=lane, lanes=lanes, skip=skip)
        self.command(IMAGES[name], name, *words, *further, job=job)

    def run(self, lanes: Sequence[str] = ("L001",), *, before: str = "") -> None:
        """Runs all steps, or those before a step."""
        cached = self.cache / f"{len(lanes)} lanes before {before}" if self.cache else None
        if cached and cached.exists():
            self.provide_alignment(lanes)
            shutil.rmtree(self.job.root)
            shutil.copytree(cached, self.job.root)
            return
        for name in IMAGES:
            if name == before:
                break
            if name == "mem":
                self.provide_alignment(lanes)
                for lane in lanes:
                    self.step(name, lane=lane, lanes=",".join(lanes))
            elif name != "finish" or len(lanes) > 1:
                self.step(name, lanes=",".join(lanes))
        if cached:
            shutil.copytree(self.job.root, cached)

    def start(
        self, name: str, *, words: Sequence[str] = (), lanes: str = "", launcher: Sequence[str] = ()
    ) -> "subprocess.Popen[str]":
        """Starts a step in a process of its own; see `end`."""
        return start(self.job, IMAGES[name], name, *(words or self.arguments(name, lanes=lanes)), launcher=launcher)

    # ---- results -----------------------------------------------------------------------------------------------------

    def record(self, step: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "steps" / f"{step}.json").read_text(encoding="utf-8"))
        return data

    def finished(self) -> list[str]:
        """Every file below /scratch/working that looks finished."""
        files = (file for file in self.working.rglob("*") if file.is_file() and ".work" not in file.parts)
        return sorted(str(file.relative_to(self.working)) for file in files)

    def left_over(self) -> list[str]:
        """Work directories that steps left behind."""
        return sorted(str(folder) for folder in (self.working / ".work").rglob("tmp.*") if folder.is_dir())


def start(job: Job, image: str, *words: str, launcher: Sequence[str] = ()) -> "subprocess.Popen[str]":
    """Starts a command of an image in a process of its own, perhaps by a launcher such as setpriv."""
    paths = [str(HERE.images / "base"), str(HERE.images / image)]
    code = _PROCESS.format(paths=paths, root=repr(str(job.root)), mounts=repr(str(job.mounts)))
    return subprocess.Popen(
        [*launcher, sys.executable, "-I", "-c", code, *words],
        env=dict(job.environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Waits for a step's end, and returns its exit code and what it printed."""
    with process:
        _, printed = process.communicate(timeout=60)
    return process.returncode, printed


def with_variables(job: Job, **variables: str) -> Job:
    """The job with further environment variables."""
    return replace(job, environment={**job.environment, **variables})
