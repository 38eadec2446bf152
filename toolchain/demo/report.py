"""The report of a sample: its results and the time that its steps took, as a table and as a page."""

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from rich.table import Table

from toolchain.console import stdout
from toolchain.demo.accuracy import Comparison, Variant, variants

_TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True, kw_only=True)
class Step:
    """The record of a step.

    Attributes:
        name: The step's name.
        image: Image and tag.
        start: Seconds since the first step's start.
        wall: Wall seconds.
        cpu: User and system seconds of its processes.
        memory: Sum of the peak resident sizes of its stages, in bytes.
    """

    name: str
    image: str
    start: float
    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True, kw_only=True)
class Depth:
    """A sequence of the reference: its length in bases and its mean depth."""

    sequence: str
    length: int
    depth: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The results of a sample.

    Attributes:
        sample: Its name.
        reads: Primary reads; this and the next two are none if figures were skipped.
        mapped: Mapped primary reads.
        duplicates: Primary reads that are marked as duplicates.
        depths: The depth of each sequence.
        calls: The called variants, of any quality.
        comparison: With the planted variants, if there are any.
        notes: Remarks of the steps for the user.
        steps: In the order of their start.
    """

    sample: str
    reads: int | None
    mapped: int | None
    duplicates: int | None
    depths: tuple[Depth, ...]
    calls: frozenset[Variant]
    comparison: Comparison | None
    notes: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def depth(self) -> float:
        """The mean depth over all sequences."""
        length = sum(sequence.length for sequence in self.depths)
        return sum(sequence.depth * sequence.length for sequence in self.depths) / length if length else 0.0

    @property
    def seconds(self) -> float:
        """Seconds from the first step's start to the last step's end."""
        return max((step.start + step.wall for step in self.steps), default=0.0)


def summarise(folder: Path, sample: str, comparison: Comparison | None) -> Summary:
    """Reads a sample's results."""
    counts = {}
    for line in _text(folder / "qc" / f"{sample}.flagstat.txt").splitlines():
        # 60000 + 0 primary mapped (100.00% : N/A): those that passed quality control, and those that did not.
        if parts := re.fullmatch(r"(\d+) \+ \d+ ([^(]+?)(?: \(.*)?", line):
            counts[parts[2]] = int(parts[1])
    rows = [
        line.split("\t")
        for line in _text(folder / "qc" / f"{sample}.coverage.txt").splitlines()
        if not line.startswith("#")
    ]
    with gzip.open(folder / f"{sample}.vcf.gz", "rt", encoding="utf-8") as lines:
        calls = variants(lines)
    records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((folder / "steps").glob("*.json"))]
    return Summary(
        sample=sample,
        reads=counts.get("primary"),
        mapped=counts.get("primary mapped"),
        duplicates=counts.get("primary duplicates"),
        depths=tuple(Depth(sequence=row[0], length=int(row[2]), depth=float(row[6])) for row in rows),
        calls=calls,
        comparison=comparison,
        notes=tuple(text for record in records for text in record.get("notes", ())),
        steps=_steps(records),
    )


def _text(figures: Path) -> str:
    """The text of a file of figures; empty if figures were skipped."""
    return figures.read_text(encoding="ascii") if figures.exists() else ""


def _steps(records: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    starts = {record["step"]: datetime.fromisoformat(record["start"]).timestamp() for record in records}
    first = min(starts.values(), default=0.0)
    steps = [
        Step(
            name=record["step"],
            image=record["image"],
            start=starts[record["step"]] - first,
            wall=record["wall_seconds"],
            cpu=record["user_seconds"] + record["system_seconds"],
            memory=record["peak_memory_bytes"],
        )
        for record in records
    ]
    return tuple(sorted(steps, key=lambda step: (step.start, step.name)))


def show(summary: Summary, folder: Path) -> None:
    """Prints the summary and the paths of the files on stdout."""
    console = stdout()
    results = Table(title=f"sample {summary.sample}", show_header=False, title_justify="left")
    for name, value in figures(summary).items():
        results.add_row(name, value)
    console.print(results)
    for text in summary.notes:
        console.print(f"note: {text}", soft_wrap=True, markup=False, emoji=False)
    times = Table(title="steps", title_justify="left")
    for column in ("step", "image", "seconds", "CPU seconds", "MB"):
        times.add_column(column, justify="left" if column in ("step", "image") else "right")
    for step in summary.steps:
        times.add_row(step.name, step.image, f"{step.wall:.1f}", f"{step.cpu:.1f}", f"{step.memory / 1e6:.0f}")
    console.print(times)
    for file in (f"{summary.sample}.vcf.gz", f"{summary.sample}.bam", "report.html"):
        console.print(str(folder / file), soft_wrap=True, markup=False, emoji=False)


def figures(summary: Summary) -> dict[str, str]:
    """The figures of the summary, name to text."""
    rows = {}
    if summary.reads is not None and summary.mapped is not None and summary.duplicates is not None:
        rows["reads"] = f"{summary.reads:,}"
        rows["mapped"] = f"{_percent(summary.mapped, summary.reads)} ({summary.mapped:,})"
        rows["duplicates"] = f"{_percent(summary.duplicates, summary.reads)} ({summary.duplicates:,})"
        rows["mean depth"] = f"{summary.depth:.1f}x"
    rows["variants found"] = f"{len(summary.calls):,} ({sum(v.is_snp for v in summary.calls):,} SNPs)"
    if (comparison := summary.comparison) is not None:
        known = len(comparison.shared) + len(comparison.missed)
        rows["planted variants found"] = f"{len(comparison.shared):,} of {known:,}"
        rows["precision (QUAL 20)"] = f"{comparison.precision:.4f}"
        rows["recall (QUAL 20)"] = f"{comparison.recall:.4f}"
    return rows | {"seconds, first step to last": f"{summary.seconds:.1f}"}


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def write_page(summary: Summary, file: Path) -> None:
    """Writes the summary as a page that is complete in itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent), undefined=jinja2.StrictUndefined, autoescape=True
    )
    page = environment.get_template(_TEMPLATE.name).render(summary=summary, figures=figures(summary))
    file.write_text(page, encoding="utf-8")
