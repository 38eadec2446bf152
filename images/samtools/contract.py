"""The output contract: which files a sample's steps must leave, and how they must fit together.

Reads records, headers and last blocks, but no large file completely.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from step import bgzf, sample_bam
from step.arguments import (
    ABSENT,
    COUNT_ORPHANS,
    Skip,
    check_lanes,
    check_name,
    check_path,
    check_sample,
    check_shards,
    check_skip,
    is_given,
    positional,
)
from step.bam import index_suffix, vcf_index_suffix
from step.errors import BadDataError, MissingInputError, StepError, printable
from step.job import Job, file_exists
from step.records import RECORDS, File, Record
from step.references import Reference, find_reference
from step.steps import Step
from step.vcf import read_samples

FIGURES = ("flagstat", "coverage", "idxstats", "stats")
AGAIN = "Remove it and run the sample again."
# Beyond these fractions of reads or pairs, the kind of library or reference is the likely reason.
MANY_DUPLICATES = 0.8
FEW_PROPER = 0.5


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a sample's run must leave.

    Attributes:
        further: The names of steps that a lab has added; their files are those that their records name.
    """

    folder: Path
    sample: str
    reference: Reference
    lanes: tuple[str, ...]
    skip: frozenset[Skip]
    shards: int
    further: tuple[str, ...]

    @property
    def bam(self) -> Path:
        """The sample's BAM."""
        return self.folder / f"{self.sample}.bam"

    @property
    def bam_index(self) -> Path:
        """Its index."""
        return Path(f"{self.bam}{index_suffix(self.reference.lengths.values())}")

    @property
    def vcf(self) -> Path:
        """The sample's VCF."""
        return self.folder / f"{self.sample}.vcf.gz"

    @property
    def vcf_index(self) -> Path:
        """Its index."""
        return Path(f"{self.vcf}{vcf_index_suffix(self.reference.lengths.values())}")

    @property
    def bam_step(self) -> str:
        """The step that wrote the BAM: `finish`, or `mem` of an only lane unless that wrote just the lane's BAM."""
        if len(self.lanes) > 1:
            return "finish"
        step = f"mem.{self.lanes[0]}"
        record = self.record(step)
        lane = str(self.folder / "lanes" / f"{self.lanes[0]}.bam")
        return "finish" if record and lane in {file.path for file in record.outputs} else step

    @property
    def calls(self) -> dict[str, Path]:
        """The calling steps with the shard that each writes."""
        names = [f"{shard}-of-{self.shards}" for shard in range(self.shards)]
        return {f"call.{name}": self.folder / "shards" / f"{name}.vcf.gz" for name in names}

    def record_path(self, step: str) -> Path:
        """The path of a step's record."""
        return self.folder / RECORDS / f"{step}.json"

    def record(self, step: str) -> Record | None:
        """A step's record, if there is one."""
        return Record.read(self.record_path(step))

    def files(self) -> Iterator[tuple[str, Path]]:
        """Pairs of a step and a file that it writes."""
        qc = self.folder / "qc"
        yield self.bam_step, self.bam
        yield self.bam_step, self.bam_index
        if "duplicates" not in self.skip:
            yield self.bam_step, qc / f"{self.sample}.markdup.txt"
        if "qc" not in self.skip:
            for figure in FIGURES:
                yield "qc", qc / f"{self.sample}.{figure}.txt"
        yield from self.calls.items()
        yield "gather", self.vcf
        yield "gather", self.vcf_index
        yield "gather", qc / f"{self.sample}.bcftools.txt"
        for step in self.further:
            if record := self.record(step):
                yield from ((step, Path(file.path)) for file in record.outputs)


def check(job: Job, arguments: Sequence[str]) -> None:
    """`step check REFERENCE SAMPLE LANE[,LANE...] SKIP SHARDS [STEP[,STEP...]]`: checks a sample's results.

    Raises:
        StepError: For the first breach.
    """
    given = positional(arguments, "reference", "sample", "lanes", "skip", "shards", "further")
    skip = check_skip(given["skip"])
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    job.check_mounts("reference", "data", "working")
    lanes = check_lanes(given["lanes"])
    shards = check_shards(given["shards"])
    words = given["further"].split(",") if is_given(given["further"]) else []
    further = tuple(check_name("step", word) for word in words)
    contract = Contract(
        folder=folder,
        sample=sample,
        reference=find_reference(job, name),
        lanes=lanes,
        skip=skip,
        shards=shards,
        further=further,
    )
    writers = dict.fromkeys([*(writer for writer, _ in contract.files()), *contract.further])
    mems = [f"mem.{lane}" for lane in lanes if contract.bam_step == "finish"]
    record_paths = [contract.record_path(writer) for writer in (*mems, *writers)]
    inputs = [contract.bam, contract.bam_index, contract.vcf, contract.vcf_index, *record_paths]
    step = Step(
        job=job,
        name="check",
        folder=folder,
        command=("step", "check", name, sample, given["lanes"], given["skip"] or ABSENT, given["shards"], *words),
        inputs=[file for file in inputs if file_exists(file)],
        reference=contract.reference.record,
    )
    if step.is_done():
        return
    with step:
        sample_bam.remove(step.record_path)  # a run that breaks the contract must have no record of this step
        records = _check_records(contract, given)
        for writer, file in contract.files():
            _check_file(contract, writer, file)
        _check_alignments(contract)
        _check_variants(contract)
        for writer, file in contract.files():
            step.outputs.append(_recorded_file(contract, records[writer], writer, file))
        _check_origins(contract, records)
        step.notes += _notes(contract, records)
        step.finish()


def _breach(error: type[StepError], what: str, why: str, step: str) -> StepError:
    """The error for a breach that running the sample again repairs, because that step does its work again."""
    return error(what, why=why, fix=f"Run the sample again: {step} does its work anew, and what is whole is kept.")


def _check_records(contract: Contract, given: dict[str, str]) -> dict[str, Record]:
    """The record of each step, if it is one of this command, sample and reference."""
    shards = given["shards"]
    expected: dict[str, tuple[str, ...]] = {contract.bam_step: (contract.bam_step.partition(".")[0],)}
    if contract.bam_step == "finish":
        expected |= {f"mem.{lane}": ("mem",) for lane in contract.lanes}
    if "qc" not in contract.skip:
        expected["qc"] = ("qc",)
    for name in contract.calls:
        expected[name] = ("call", shards, name.removeprefix("call.").partition("-")[0])
    expected["gather"] = ("gather", shards)
    expected |= {step: (step.partition(".")[0],) for step in contract.further}
    records = {}
    for writer, (command, *rest) in expected.items():
        record = contract.record(writer)
        if record is None:
            why = f"{contract.record_path(writer)} is not there, or cannot be read"
            raise _breach(MissingInputError, f"no record of {writer}", why, writer)
        words = ("step", command, given["reference"], contract.sample, *rest)
        if record.command[: len(words)] != words:
            raise _breach(
                BadDataError,
                f"steps/{writer}.json is the record of another step",
                f"its command is '{printable(' '.join(record.command))}'",
                writer,
            )
        if record.reference != contract.reference.sha256:
            raise _breach(
                BadDataError,
                f"{writer} was done with another reference",
                f"its record says {printable(str(record.reference))}, and the run's is {contract.reference.sha256}",
                writer,
            )
        records[writer] = record
    return records


def _relative(contract: Contract, file: Path) -> str:
    return str(file.relative_to(contract.folder))


def _check_file(contract: Contract, writer: str, file: Path) -> None:
    if not file.is_file():
        raise _breach(MissingInputError, f"no {_relative(contract, file)}", f"{file} is not there", writer)
    if not file.stat().st_size:
        raise _breach(BadDataError, f"{_relative(contract, file)} is empty", f"{writer} leaves none that is", writer)


def _recorded_file(contract: Contract, record: Record, writer: str, file: Path) -> File:
    """A file's entry in the record of its step, if the file is unchanged."""
    entry = next((output for output in record.outputs if output.path == str(file)), None)
    what = f"{_relative(contract, file)} is not what {writer} wrote"
    if entry is None:
        raise _breach(BadDataError, what, f"steps/{writer}.json does not name it", writer)
    if not entry.is_unchanged:
        states = [f"size {state.size}, mtime {state.mtime_ns}" for state in (File.of(file), entry)]
        why = f"it has {states[0]}, and steps/{writer}.json says {states[1]}"
        raise _breach(BadDataError, what, why, writer)
    return entry


def _check_age(file: Path, index: Path) -> None:
    if index.stat().st_mtime_ns < file.stat().st_mtime_ns:
        raise BadDataError(f"{index.name} is older than {file.name}", why="it is the index of another file", fix=AGAIN)


def _check_alignments(contract: Contract) -> None:
    header = sample_bam.check_sample(contract.bam, contract.sample)
    groups = sorted(group.get("ID", "") for group in header.read_groups)
    if groups != sorted(f"{contract.sample}.{lane}" for lane in contract.lanes):
        raise _breach(
            BadDataError,
            f"{contract.bam.name} is not of the lanes {printable(','.join(contract.lanes))}",
            f"its read groups are '{printable(' '.join(groups))}'",
            contract.bam_step,
        )
    if header.sequences != contract.reference.lengths:
        raise _breach(
            BadDataError,
            f"{contract.bam.name} is of another reference",
            "its header has other sequences",
            contract.bam_step,
        )
    _check_age(contract.bam, contract.bam_index)
    if fault := sample_bam.index_fault(contract.bam, contract.bam_index, header):
        raise BadDataError(f"{contract.bam_index.name} is broken", why=fault, fix=AGAIN)


def _check_variants(contract: Contract) -> None:
    for file in (contract.vcf, contract.vcf_index, *contract.calls.values()):
        if not bgzf.has_eof_marker(file):
            raise BadDataError(
                f"{_relative(contract, file)} is broken", why="it was cut off: its last block is missing", fix=AGAIN
            )
    samples = read_samples(contract.vcf)
    if samples != [contract.sample]:
        raise BadDataError(
            f"{contract.vcf.name} is not of sample {contract.sample}",
            why=f"it holds '{printable(' '.join(samples))}'",
            fix=AGAIN,
        )
    _check_age(contract.vcf, contract.vcf_index)


def _check_origins(contract: Contract, records: dict[str, Record]) -> None:
    """Checks that QC, every shard and what else reads the BAM were made from it, and the VCF from these shards."""
    bam = next(file.content for file in records[contract.bam_step].outputs if file.path == str(contract.bam))
    readers = [step for step in contract.further if str(contract.bam) in {file.path for file in records[step].inputs}]
    for name in [*(["qc"] if "qc" in records else []), *contract.calls, *readers]:
        if bam not in {file.content for file in records[name].inputs}:
            raise _breach(
                BadDataError,
                f"{name} was not made from {contract.bam.name}",
                f"steps/{name}.json names an earlier one",
                name,
            )
    gathered = {file.content for file in records["gather"].inputs}
    for name, shard in contract.calls.items():
        if not {file.content for file in records[name].outputs if file.path == str(shard)} <= gathered:
            raise _breach(
                BadDataError,
                f"{contract.vcf.name} was not made from {_relative(contract, shard)}",
                "steps/gather.json does not name it, or an earlier one",
                "gather",
            )


def _notes(contract: Contract, records: dict[str, Record]) -> list[str]:
    """What the user should know about the figures, and do about it."""
    if "qc" in contract.skip:
        return []
    counts = flagstat((contract.folder / "qc" / f"{contract.sample}.flagstat.txt").read_text(encoding="ascii"))
    notes = []
    primary, duplicates = counts.get("primary", 0), counts.get("primary duplicates", 0)
    if primary and duplicates > MANY_DUPLICATES * primary:
        notes.append(
            f"{duplicates / primary:.0%} of the reads of {contract.sample} are marked as duplicates, and not called. "
            "If they are amplicons, run it with --skip duplicates."
        )
    pairs, proper = counts.get("with itself and mate mapped", 0), counts.get("properly paired", 0)
    are_called = all(records[name].command[-1] == COUNT_ORPHANS for name in contract.calls)
    if pairs and proper < FEW_PROPER * pairs and not are_called:
        notes.append(
            f"{1 - proper / pairs:.0%} of the mapped pairs of {contract.sample} are not proper pairs, and not called. "
            "If the reference is of short scaffolds, run it with --count-orphans."
        )
    return notes


def flagstat(text: str) -> dict[str, int]:
    """Parses the counts of `samtools flagstat` for reads that passed quality control."""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        count, _, rest = line.partition(" + ")
        name = rest.partition(" ")[2].partition(" (")[0]
        if count.isdigit() and name:
            counts.setdefault(name, int(count))
    return counts
