"""Runs steps as jobs do, and reads what they leave."""

import gzip
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testcontainers.core.container import DockerContainer

from toolchain.demo import accuracy
from toolchain.demo.run import normalised
from toolchain.docker.container import Container, container_of
from toolchain.docker.engine import Result
from toolchain.docker.host import Host, Machine
from toolchain.images import build as builds
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import Definition
from toolchain.paths import HERE
from toolchain.workflow import aligners
from toolchain.workflow.aligners import ALIGNERS, Aligner
from toolchain.workflow.samples import Lane, Sample, Skip, in_order

# For what must hold of each aligner's image.
each_aligner = pytest.mark.parametrize("aligner", ALIGNERS)
WORKFLOW = "test"
EXECUTION = "run1"
VCPUS = 2
MEMORY = 2048


@dataclass(frozen=True, kw_only=True)
class BuiltImages:
    """The built images."""

    builder: builds.ImageBuilder
    images: Mapping[str, builds.Built]


def under_testcontainers(container: Container, **extra: Any) -> DockerContainer:
    """The same container under testcontainers; see `Container`, and `extra` for docker-py's further arguments."""
    arguments = container.docker_arguments() | extra
    made = DockerContainer(container.image).with_command(list(container.command))
    # Two things that testcontainers passes on by itself.
    made.with_envs(**arguments.pop("environment"))
    for path, options in arguments.pop("tmpfs").items():
        made.with_tmpfs_mount(path, options)
    return made.with_kwargs(**arguments)


def passable(folder: Path) -> None:
    """Lets steps, which are another user than this test, pass through every directory above one."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o055)


@dataclass(frozen=True, kw_only=True)
class JobRunner:
    """A scratch, and job definitions that mount it."""

    built_images: BuiltImages
    scratch: Path
    definitions: Mapping[str, Definition]

    @property
    def host(self) -> Host:
        return Host(
            engine=self.built_images.builder.engine,
            definitions=self.definitions,
            machine=Machine(cores=VCPUS, memory=MEMORY),
        )

    @classmethod
    def make(cls, built_images: BuiltImages, scratch: Path) -> "JobRunner":
        for name in ("reference", "data", "working"):
            (scratch / name).mkdir(parents=True)
        (scratch / "working").chmod(0o1777)
        passable(scratch)
        definitions = jobdefs.render(HERE.jobdefs, rendering.for_this_machine(built_images.builder, scratch))
        return cls(built_images=built_images, scratch=scratch, definitions=definitions)

    def clear(self) -> None:
        """Removes what steps wrote: it is theirs, and only they or root can."""
        self.run("samtools", words=["sh", "-c", "rm -rf /scratch/working/*"])

    @property
    def working(self) -> Path:
        return self.scratch / "working"

    def container(
        self,
        tool: str,
        *,
        words: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        vcpus: int = VCPUS,
        memory: int = MEMORY,
        **parameters: str,
    ) -> Container:
        """The container of a job: of these words, or of the definition's own command with these parameters."""
        return container_of(
            self.definitions[tool],
            parameters=parameters,
            command=words,
            environment={"WORKFLOW_NAME": WORKFLOW, "EXECUTION_ID": EXECUTION, **(environment or {})},
            vcpus=vcpus,
            memory=memory,
        )

    def run(self, tool: str, **options: Any) -> Result:
        """Runs one job; see `container`, and `extra` for further arguments of docker-py."""
        extra = options.pop("extra", {})
        return self.built_images.builder.engine.run(self.container(tool, **options), **extra)

    def ok(self, tool: str, **options: Any) -> Result:
        """Runs a job that must succeed."""
        result = self.run(tool, **options)
        assert result.exit_code == 0, result.stderr
        return result

    def germline(
        self,
        sample: Sample,
        reference: str,
        *,
        shards: int = 2,
        ploidy: int = 2,
        cores: int = VCPUS,
        aligner: Aligner = "bwa",
        execution: str = EXECUTION,
        skip: Sequence[Skip] = (),
    ) -> None:
        """Takes a sample from FASTQ to VCF by the steps of stack/workflow.yaml in sequence, calls side by side."""
        skip_words = ",".join(in_order(skip)) or "-"
        lanes = ",".join(lane.name for lane in sample.lanes)
        environment = {"EXECUTION_ID": execution}

        def step(tool: str, command: str, threads: int = cores, **parameters: Any) -> None:
            parameters = {"command": command, "reference": reference, "sample": sample.name, **parameters}
            self.ok(tool, environment=environment, vcpus=threads, memory=2 * MEMORY, **parameters)

        def call(shard: int) -> None:
            step("bcftools", "call", 1, shards=str(shards), shard=str(shard), ploidy=str(ploidy))

        self.ok(aligner, environment=environment, command="index", reference=reference)
        for lane in sample.lanes:
            own: dict[str, Any] = {
                "r1": lane.r1,
                "r2": lane.r2,
                "library": lane.library or "-",
                "unit": lane.unit or "-",
            }
            step(aligner, "mem", lane=lane.name, **own, lanes=lanes, skip=skip_words)
        if len(sample.lanes) > 1:
            step("samtools", "finish", lanes=lanes, skip=skip_words)
        if "qc" not in skip:
            step("samtools", "qc", 1)
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(call, range(shards)))
        step("bcftools", "gather", shards=str(shards))
        step("samtools", "check", 1, shards=str(shards), lanes=lanes, skip=skip_words)

    def folder(self, sample: str, execution: str = EXECUTION) -> Path:
        return self.working / WORKFLOW / execution / sample

    def finished(self) -> list[str]:
        """Every file below /scratch/working that looks finished, what is of the reference aside."""
        root = self.working / WORKFLOW
        found = (path for path in root.rglob("*") if path.is_file())
        return sorted(
            path.relative_to(root).as_posix()
            for path in found
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
            and path.relative_to(root).parts[0] != "reference"
            and path.relative_to(root).parts[1:3] != ("steps", "reference")
        )

    def left_over(self) -> list[str]:
        """Work directories that a step left behind."""
        return sorted(path.name for path in (self.working / ".work").rglob("tmp.*"))

    def records(
        self, sample: str, bam: str, execution: str = EXECUTION, *, header: bool = False, workflow: str = WORKFLOW
    ) -> list[str]:
        """A BAM as SAM lines."""
        path = f"/scratch/working/{workflow}/{execution}/{sample}/{bam}"
        out = f"/scratch/working/{WORKFLOW}/records.sam"
        self.ok("samtools", words=["samtools", "view", *(["-h"] if header else []), "-o", out, path])
        return (self.working / WORKFLOW / "records.sam").read_text(encoding="ascii").splitlines()


def refused(result: Result, code: int, *said: str) -> None:
    """The step ended with this code and one error line that says all of this."""
    errors = [line for line in result.stderr.splitlines() if line.startswith("step: error: ")]
    assert result.exit_code == code, result.stderr
    assert len(errors) == 1, result.stderr
    for part in said:
        assert part in errors[0], f"{part!r} is not in {errors[0]!r}"
    assert errors[0] == result.stderr.rstrip().splitlines()[-1], "the error is not the last thing said"


def vcf_records(file: Path) -> list[str]:
    """A VCF's records, without its header."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines if not line.startswith("#")]


def step_record(job_runner: JobRunner, sample: str, step: str) -> dict[str, Any]:
    """A step's record."""
    data: dict[str, Any] = json.loads(
        (job_runner.folder(sample) / "steps" / f"{step}.json").read_text(encoding="ascii")
    )
    return data


def prepared_fasta(workflow: Path, name: str) -> str:
    """A prepared reference's path in a container.

    Args:
        workflow: The workflow's directory below /scratch/working, on this machine.
        name: The FASTA's path below /scratch/reference.
    """
    folder = aligners.prepared(workflow, name)
    assert folder is not None
    return f"/scratch/working/{workflow.name}/reference/{folder.name}/fasta/reference.fa"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Real reads with truth, as their dataset.env names them."""

    folder: Path
    sample: str
    reference: str
    r1: str
    r2: str
    truth: str
    ploidy: int

    @classmethod
    def read(cls, root: Path, name: str) -> "DataSet":
        folder = root / name
        if not folder.is_dir():
            pytest.skip(f"the real reads are not here: {folder} (set GENOMICS_TEST_DATA)")
        values = dict(
            line.split("=", 1) for line in (folder / "dataset.env").read_text(encoding="ascii").split() if "=" in line
        )
        return cls(
            folder=folder,
            sample=values["SAMPLE"],
            reference=values["REF"],
            r1=values["R1"],
            r2=values["R2"],
            truth=values["TRUTH"],
            ploidy=int(values["PLOIDY"]),
        )

    def place(self, job_runner: JobRunner) -> Sample:
        """Copies the files to where steps look for them, and names the sample."""
        shutil.copyfile(self.folder / self.reference, job_runner.scratch / "reference" / self.reference)
        for file in self.folder.iterdir():
            shutil.copyfile(file, job_runner.scratch / "data" / file.name)
        return Sample(name=self.sample, lanes=(Lane(name="L001", r1=self.r1, r2=self.r2),))

    def compare(self, job_runner: JobRunner, bed: str, *, workflow: str, execution: str) -> accuracy.Comparison:
        """What was called in a BED's regions against the truth in them: by alleles, QUAL at least 20."""
        regions = ("-T", f"/scratch/data/{bed}")
        called = f"/scratch/working/{workflow}/{execution}/{self.sample}/{self.sample}.vcf.gz"
        fasta = prepared_fasta(job_runner.working / workflow, self.reference)
        return accuracy.compare(
            accuracy.variants(normalised(job_runner.host, fasta, f"/scratch/data/{self.truth}", *regions)),
            accuracy.variants(normalised(job_runner.host, fasta, called, *regions), lowest_quality=20),
        )


def snps(found: frozenset[accuracy.Variant]) -> int:
    """How many of these are SNPs."""
    return sum(variant.is_snp for variant in found)
