"""FASTQ to VCF in the original's shape and in ours, on the same reads, in turn."""

import json
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolchain import builds, jobdefs, rendering, simulate
from toolchain.container import Container, Mount
from toolchain.direct import Host, Run
from toolchain.errors import StepFailedError
from toolchain.machine import Machine
from toolchain.paths import HERE
from toolchain.samples import Lane, Sample

HERE_FOLDER = Path(__file__).parent
SEQUENCES = {"chr1": 2_400_000, "chr2": 1_600_000}
DEPTH = 15
SAMPLE = "bench"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run took: wall and user-CPU seconds, and bytes left on the scratch."""

    wall: float
    user: float
    written: int


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Ours over the original's, round by round."""

    wall: tuple[float, ...]
    user: tuple[float, ...]
    written: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where both shapes run: an engine, a scratch with the reads, and the reference prepared."""

    workshop: builds.Workshop
    scratch: Path
    run: Run
    linear: str
    machine: Machine

    @property
    def sample(self) -> Sample:
        """The simulated reads, as one lane."""
        return Sample(name=SAMPLE, lanes=(Lane(name="L001", r1="R1.fastq", r2="R2.fastq"),))


@contextmanager
def place(pairs_depth: int = DEPTH) -> Iterator[Place]:
    """Builds the images, simulates the reads and prepares the reference: nothing of it is measured."""
    checkout = HERE
    workshop = builds.Workshop.open(checkout)
    builds.build(workshop, tuple(workshop.catalog.tools.values()))
    base = workshop.reference(workshop.catalog.base)
    linear = workshop.engine.build(
        {name: HERE_FOLDER / "linear" / name for name in ("Dockerfile", "linear.sh")},
        tag=f"{workshop.project}/bench-linear:latest",
        arguments={"BASE": base},
        labels={},
    )
    scratch = checkout.cache / "bench"
    for name in ("reference", "data", "working"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    (scratch / "working").chmod(0o1777)
    machine = Machine.here()
    host = Host(
        engine=workshop.engine,
        definitions=jobdefs.render(checkout.jobdefs, rendering.local(workshop, scratch)),
        machine=machine,
    )
    run = Run(
        host=host,
        workflow="bench",
        execution="ours",
        reference="bench.fa",
        working=scratch / "working",
        lines=_Quiet(),
    )
    made = Place(workshop=workshop, scratch=scratch, run=run, linear=linear, machine=machine)
    _simulate(made, pairs_depth)
    run.index()
    try:
        yield made
    finally:
        _clear(made, "/scratch/working/*", "/scratch/working/.work")
        shutil.rmtree(scratch, ignore_errors=True)


class _Quiet:
    def update(self, task: str, doing: str) -> None:
        """The benchmark prints its own lines."""

    def done(self, task: str, result: str) -> None:
        """Likewise."""


def _simulate(made: Place, depth: int) -> None:
    sequences = simulate.genome(SEQUENCES, seed=1)
    (made.scratch / "reference" / "bench.fa").write_text(simulate.fasta(sequences), encoding="ascii")
    inside = "/scratch/working/reads"
    length = sum(SEQUENCES.values())
    words = simulate.wgsim_command(
        "/scratch/reference/bench.fa", f"{inside}/R1.fastq", f"{inside}/R2.fastq", length=length, depth=depth
    )
    _inside(made, "samtools", "sh", "-c", 'mkdir -p "$0" && exec "$@"', inside, *words)
    for name in ("R1.fastq", "R2.fastq"):
        shutil.copyfile(made.scratch / "working" / "reads" / name, made.scratch / "data" / name)


def _inside(made: Place, tool: str, *words: str) -> None:
    result = made.run.host.run(tool, {}, environment={}, command=words)
    if result.exit_code:
        raise StepFailedError(words[0], why=result.message, fix="See above.", details=result.stderr)


def _clear(made: Place, *paths: str) -> None:
    _inside(made, "samtools", "sh", "-c", f"rm -rf {' '.join(paths)}")


def ours(made: Place) -> Cost:
    """Every step through its job definition, a container each: also marks duplicates and reports quality."""
    _clear(made, "/scratch/working/bench/ours")
    began = time.perf_counter()
    made.run.germline(made.sample, shards=2 * made.machine.cores, ploidy=2)
    wall = time.perf_counter() - began
    folder = made.run.folder(SAMPLE)
    records = [json.loads(file.read_text(encoding="ascii")) for file in (folder / "steps").glob("*.json")]
    return Cost(
        wall=wall,
        user=sum(record["user_seconds"] for record in records),
        written=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    )


def linear(made: Place) -> Cost:
    """The original's shape, in one container."""
    folder = made.scratch / "working" / "linear"
    _clear(made, "/scratch/working/linear")
    _inside(made, "samtools", "mkdir", "-p", "-m", "1777", "/scratch/working/linear")
    names = ("reference", "data", "working")
    container = Container(
        image=made.linear,
        command=(
            "linear.sh",
            "/scratch/working/bench/reference/bench.fa",
            "/scratch/data/R1.fastq",
            "/scratch/data/R2.fastq",
            f"/scratch/working/{folder.name}",
            str(made.machine.cores),
        ),
        mounts=tuple(
            Mount(source=str(made.scratch / name), target=f"/scratch/{name}", read_only=False) for name in names
        ),
        vcpus=made.machine.cores,
        memory=made.machine.memory,
        user="1000:1000",
    )
    began = time.perf_counter()
    result = made.workshop.engine.run(container)
    wall = time.perf_counter() - began
    if result.exit_code:
        raise StepFailedError("linear.sh", why=result.message, fix="See above.", details=result.stderr)
    said = dict(line.split() for line in result.stdout.splitlines() if line.startswith(("user ", "bytes ")))
    return Cost(wall=wall, user=float(said["user"]), written=int(said["bytes"]))


def measure(made: Place, rounds: int) -> Ratios:
    """Both shapes in turn, after one round that does not count."""
    pairs = []
    for number in range(rounds + 1):
        pair = (ours(made), linear(made))
        if number:
            pairs.append(pair)
    return Ratios(
        wall=tuple(a.wall / b.wall for a, b in pairs),
        user=tuple(a.user / b.user for a, b in pairs),
        written=tuple(a.written / b.written for a, b in pairs),
    )


def spread(values: tuple[float, ...]) -> str:
    """`median (least to most)`."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
