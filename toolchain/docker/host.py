"""Takes one sample from FASTQ to VCF on this machine: the steps of the workflow, one container each.

Every container is started from a rendered job definition through container.py, as a Batch host would.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.console import Lines
from toolchain.docker.container import Job, Overrides, container_of
from toolchain.docker.engine import Engine, Result
from toolchain.docker.machine import Machine
from toolchain.errors import StepFailedError
from toolchain.jobdefs.template import Definition
from toolchain.workflow.aligners import Aligner
from toolchain.workflow.samples import Lane, Sample, Skip, skipping

_SIGNALS = 128


@dataclass(frozen=True, kw_only=True)
class Host:
    """What stands for a Batch host.

    Attributes:
        engine: The Docker engine.
        definitions: Tool to its local job definition.
        machine: What there is for jobs.
    """

    engine: Engine
    definitions: Mapping[str, Definition]
    machine: Machine

    def run(
        self,
        tool: str,
        parameters: Mapping[str, str],
        *,
        environment: Mapping[str, str],
        command: Sequence[str] = (),
        vcpus: int | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> Result:
        """Runs one job to its end.

        Args:
            tool: Whose job definition.
            parameters: The job's parameters.
            environment: Over the definition's.
            command: Instead of the definition's.
            vcpus: Instead of the definition's; as many as the machine has of those if none.
            **extra: Further arguments of docker-py's `containers.create`.
        """
        definition = self.definitions[tool]
        fitting_vcpus, memory = self.machine.fit(definition)
        overrides = Overrides(
            command=tuple(command) or None, environment=environment, vcpus=vcpus or fitting_vcpus, memory=memory
        )
        return self.engine.run(container_of(definition, parameters=parameters, overrides=overrides, job=Job()), **extra)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution on one reference.

    Attributes:
        host: Where steps run.
        workflow: WORKFLOW_NAME.
        execution: EXECUTION_ID.
        reference: The FASTA, as a path below /scratch/reference.
        working: The host's directory that is /scratch/working.
        lines: Is told what each step does.
        aligner: The tool that aligns, and whose index is prepared.
    """

    host: Host
    workflow: str
    execution: str
    reference: str
    working: Path
    lines: Lines
    aligner: Aligner = "bwa"

    def folder(self, sample: str) -> Path:
        """A sample's directory on the host."""
        return self.working / self.workflow / self.execution / sample

    def step(self, name: str, tool: str, parameters: Mapping[str, str], *, vcpus: int | None = None) -> Result:
        """Runs one step.

        Raises:
            StepFailedError: It ended with another exit code than 0.
        """
        self.lines.update(name, "running")
        result = self.host.run(
            tool,
            {"reference": self.reference, **parameters},
            environment={"WORKFLOW_NAME": self.workflow, "EXECUTION_ID": self.execution},
            vcpus=vcpus,
        )
        if result.exit_code:
            self.lines.done(name, f"failed with exit code {result.exit_code}")
            raise failure(name, result)
        self.lines.done(name, result.message.removeprefix("step: "))
        return result

    def index(self) -> None:
        """Prepares the reference; a prepared one is left as it is."""
        self.step("index", self.aligner, {"command": "index"})

    def germline(self, sample: Sample, *, shards: int, ploidy: int, skip: Collection[Skip] = ()) -> None:
        """Takes a sample from its lanes to its VCF: its lanes, then QC beside calling and gathering, then the check.

        Args:
            sample: The sample and its lanes.
            shards: Parts of the genome to call side by side.
            ploidy: 1 or 2.
            skip: What is done without.
        """
        cores = self.host.machine.cores
        common = {"sample": sample.name}
        lanes = {"lanes": ",".join(lane.name for lane in sample.lanes)}
        skipped = {"skip": skipping(skip)}

        def align(lane: Lane) -> None:
            self.step(
                f"mem {lane.name}",
                self.aligner,
                common
                | {"command": "mem", "lane": lane.name, "r1": lane.r1, "r2": lane.r2}
                | {"library": lane.library or "-", "unit": lane.unit or "-"}
                | lanes
                | skipped,
            )

        def call(shard: int) -> None:
            parameters = {"command": "call", "shards": str(shards), "shard": str(shard), "ploidy": str(ploidy)}
            self.step(f"call {shard}", "bcftools", common | parameters, vcpus=1)

        def vary() -> None:
            self._together([partial(call, shard) for shard in range(shards)], width=cores)
            self.step("gather", "bcftools", common | {"command": "gather", "shards": str(shards)})

        def judge() -> None:
            self.step("qc", "samtools", common | {"command": "qc"}, vcpus=1)

        # An aligner takes every core by itself; calling is one core a shard.
        self._together([partial(align, lane) for lane in sample.lanes], width=1)
        if not sample.is_finished_by_its_lane:
            self.step("finish", "samtools", common | {"command": "finish"} | lanes | skipped)
        self._together([vary] if "qc" in skip else [vary, judge], width=min(cores, 2))
        outputs = {"command": "check", "shards": str(shards)} | lanes | skipped
        self.step("check", "samtools", common | outputs, vcpus=1)

    def _together(self, work: Sequence[Callable[[], None]], *, width: int) -> None:
        """Runs work side by side; the first failure is raised once all that had started has ended."""
        with ThreadPoolExecutor(max_workers=width) as pool:
            futures: list[Future[None]] = [pool.submit(one) for one in work]
            try:
                for future in futures:
                    future.result()
            except BaseException as error:
                for future in futures:
                    future.cancel()
                if not isinstance(error, Exception):  # Ctrl-C: nobody waits for what runs
                    self.host.engine.kill_running()
                raise


def failure(name: str, result: Result) -> StepFailedError:
    """The error for a step that failed: its own last line, and its exit code."""
    code = result.exit_code
    if result.out_of_memory:
        why, fix = "it needed more memory than its job has", "Raise the job's memory in genomics.toml."
    elif code > _SIGNALS:
        why, fix = f"signal {code - _SIGNALS} ended it", "Run it again; what is done is kept."
    else:
        why, fix = result.message.removeprefix("step: error: ").rstrip("."), "Its messages stand above."
    return StepFailedError(f"step '{name}' failed ({code})", why=why, fix=fix, details=result.stderr, exit_code=code)
