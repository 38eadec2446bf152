"""FASTQ to VCF in the original's shape, in the best script's, and in ours, on the same reads, in turn."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from data import Given
from figures import Cost, Data, Step
from meter import metered
from place import Place

from toolchain import settings
from toolchain.console import note
from toolchain.errors import BadDataError, StepFailedError
from toolchain.runs.executions import Runs
from toolchain.stacks.template import state_machine
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Skip

ALIGNER: Final = "bwa-mem3"
_LOOK: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a run left.

    Attributes:
        written: Bytes.
        vcf: As a path in a container of stock tools.
        steps: Its steps; none of a script.
    """

    written: int
    vcf: str
    steps: tuple[Step, ...] = ()


class Shape(Protocol):
    """A way from FASTQ to VCF."""

    @property
    def name(self) -> str:
        """As the tables call it."""

    def go(self, place: Place, given: Given, execution: str) -> None:
        """What is measured."""

    def left(self, place: Place, given: Given, execution: str) -> Left:
        """What it left."""

    def clear(self, place: Place, execution: str) -> None:
        """Removes that."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script of the stock image; it leaves every file that it writes."""

    name: str
    vcf: str

    def go(self, place: Place, given: Given, execution: str) -> None:
        """In one container, with the whole machine."""
        lane = given.sample.lanes[0]
        files = (f"/stock/{given.reference}", f"/scratch/data/{lane.r1}", f"/scratch/data/{lane.r2}")
        place.with_stock(f"{self.name}.sh", *files, f"/stock/{execution}", str(place.host.machine.cores))

    def left(self, place: Place, given: Given, execution: str) -> Left:  # noqa: ARG002  # as every shape's
        """Its folder's files."""
        return Left(written=_size(place.beside / execution), vcf=f"/stock/{execution}/{self.vcf}")

    def clear(self, place: Place, execution: str) -> None:
        """Its folder."""
        place.with_stock("rm", "-rf", f"/stock/{execution}")


@dataclass(frozen=True, kw_only=True)
class Ours:
    """The state machine in the embedded AWS, from StartExecution until it succeeded."""

    name: str
    skip: tuple[Skip, ...] = ()

    def go(self, place: Place, given: Given, execution: str) -> None:
        """As `run --local` does it."""
        order = RunInput(
            reference=given.reference,
            samples=(given.sample,),
            shards=place.shards,
            ploidy=2,
            aligner=ALIGNER,
            resources=place.resources,
            skip=self.skip,
        )
        runs = Runs(place.account, settings.load(place.checkout.settings).project, state_machine(place.checkout.stacks))
        one = runs.start(execution, order)
        try:
            while (one := runs.find(execution)).status == "RUNNING":
                time.sleep(_LOOK)
        except BaseException:
            runs.stop(one, "the benchmark was stopped")
            raise
        if one.status != "SUCCEEDED":
            raise StepFailedError(f"run {execution}", why=one.cause or one.status, fix="See its records and logs.")

    def left(self, place: Place, given: Given, execution: str) -> Left:
        """What its steps say that they wrote; no less than what stands there."""
        run = _runs_folder(place) / execution
        found = [json.loads(file.read_text(encoding="utf-8")) for file in run.glob("*/steps/*.json")]
        sample = given.sample.name
        return Left(
            written=max(_size(run), sum(record.get("written_bytes") or 0 for record in found)),
            vcf=f"/scratch/working/{run.parent.name}/{execution}/{sample}/{sample}.vcf.gz",
            steps=steps(found),
        )

    def clear(self, place: Place, execution: str) -> None:
        """Its directories on the scratch, and what it exported."""
        workflow = _runs_folder(place).name
        inside = f"/scratch/working/{workflow}/{execution}"
        place.step("samtools", "rm", "-rf", inside, f"/scratch/working/.work/{workflow}/{execution}")
        for folder in place.world.buckets.glob(f"*/**/{execution}"):
            shutil.rmtree(folder)


LINEAR = Script(name="linear", vcf="out.vcf")
PIPELINE = Script(name="pipeline", vcf="out.vcf.gz")
SAME_WORK = Ours(name="ours, same work", skip=("duplicates", "qc"))
OURS = Ours(name="ours")
SHAPES: tuple[Shape, ...] = (LINEAR, PIPELINE, SAME_WORK, OURS)
# The least share of records that a shape must have in common with the original's. Of places that a read fits equally
# well, bwa-mem3 may take another one than bwa.
AGREEMENT = {PIPELINE.name: 1.0, SAME_WORK.name: 0.99}


def measure(place: Place, given: Given, rounds: int) -> Data:
    """Every shape in each round, in an order that moves on by one from round to round.

    Raises:
        BadDataError: Two shapes that should call the same variants do not.
    """
    costs: dict[str, list[Cost]] = {shape.name: [] for shape in SHAPES}
    records: dict[str, frozenset[str]] = {}
    taken: dict[str, tuple[Step, ...]] = {}
    agreement: dict[str, float] = {}
    for number in range(rounds):
        first = number % len(SHAPES)
        for shape in SHAPES[first:] + SHAPES[:first]:
            cost, left, found = _round(place, given, shape, number)
            note(f"round {number + 1} of {rounds}, {given.name}, {shape.name}: {cost.wall:.1f} s")
            costs[shape.name].append(cost)
            records[shape.name] = found
            if left.steps:
                taken[shape.name] = left.steps
        agreement = _agreeing(given, records)
    return Data(
        name=given.name,
        title=given.title,
        targets=given.targets,
        costs={name: tuple(rows) for name, rows in costs.items()},
        agreement=agreement,
        steps=taken,
    )


def _agreeing(given: Given, records: Mapping[str, frozenset[str]]) -> dict[str, float]:
    agreement = agreements(records)
    for name, least in AGREEMENT.items():
        if agreement[name] < least:
            raise BadDataError(
                f"{name} and {LINEAR.name} disagree on {given.name}",
                why=f"they share {agreement[name]:.4f} of their records, and at least {least} was expected",
                fix="Compare their VCFs.",
            )
    return agreement


def warm_up(place: Place, given: Given) -> None:
    """One run of each that does not count: images and programs are in the page cache afterwards."""
    for shape in SHAPES:
        note(f"warm-up, {given.name}, {shape.name}: {_round(place, given, shape, -1)[0].wall:.1f} s")


def _round(place: Place, given: Given, shape: Shape, number: int) -> tuple[Cost, Left, frozenset[str]]:
    execution = f"{shape.name.replace(', ', '-').replace(' ', '-')}-{given.name}-{number + 1}"
    os.sync()  # what the one before wrote is on disk
    with metered() as meter:
        shape.go(place, given, execution)
    left = shape.left(place, given, execution)
    found = _records(place, given, left.vcf)
    shape.clear(place, execution)
    cost = Cost(wall=meter.wall, user=meter.user, peak=meter.peak, written=left.written)
    return cost, left, found


def agreements(records: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """Shape to the share of its records and the original's that both have."""
    original = records[LINEAR.name]
    return {
        name: len(found & original) / max(1, len(found | original))
        for name, found in records.items()
        if name != LINEAR.name
    }


def steps(records: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Steps by the first word of their names (`call.3-of-8` is one of `call`), in the order in which they began."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in sorted(records, key=lambda record: str(record["start"])):
        groups.setdefault(str(record["step"]).split(".")[0], []).append(record)
    if not groups:
        return ()
    zero = min(_time(record["start"]) for group in groups.values() for record in group)
    return tuple(
        Step(
            name=name,
            jobs=len(group),
            begin=min(_time(record["start"]) for record in group) - zero,
            end=max(_time(record["end"]) for record in group) - zero,
            user=sum(record["user_seconds"] for record in group),
            system=sum(record["system_seconds"] for record in group),
            peak=max(record["peak_memory_bytes"] for record in group),
            read=_sum(group, "read_bytes"),
            written=_sum(group, "written_bytes"),
        )
        for name, group in groups.items()
    )


def _sum(group: Sequence[Mapping[str, Any]], name: str) -> int | None:
    known = [record[name] for record in group if record.get(name) is not None]
    return sum(known) if len(known) == len(group) else None


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _runs_folder(place: Place) -> Path:
    return place.world.scratch / "working" / settings.load(place.checkout.settings).workflow


def _records(place: Place, given: Given, vcf: str) -> frozenset[str]:
    """A VCF's records after normalisation: place, alleles and genotype."""
    script = 'bcftools norm -f "$1" -m -any -Ou "$2" 2> /dev/null | bcftools query -f "%CHROM %POS %REF %ALT [%GT]\n"'
    result = place.with_stock("bash", "-euo", "pipefail", "-c", script, "-", f"/stock/{given.reference}", vcf)
    return frozenset(result.stdout.splitlines())


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
