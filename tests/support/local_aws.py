"""The embedded AWS with the project's own stacks and job definitions, and runs in it."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pytest
from support.aws_clients import lead
from support.job_runner import BuiltImages, JobRunner, passable

from toolchain import settings
from toolchain.aws import Account
from toolchain.docker.host import Machine
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve
from toolchain.paths import HERE, Checkout
from toolchain.runs.executions import Runs
from toolchain.runs.target import LocalTarget
from toolchain.stacks import outputs
from toolchain.stacks.template import state_machine

VCPUS = 6
MEMORY = 8192
SECONDS = 240.0
_PAUSE = 0.2
# What a job may have here, where most of them are tiny.
RESOURCES: Mapping[str, Mapping[str, int]] = {
    tool: {"VCPU": 1, "MEMORY": 512}
    for tool in ("bwa", "bwa-mem3", "samtools", "bcftools", "fsx-export", "qc", "check")
}
# A job as its definition has it, unless the run's own script ends it before.
_SCRIPTED = 'script=/scratch/data/scripts/$EXECUTION_ID.sh; [ ! -e "$script" ] || . "$script"; exec step "$@"'

_T = TypeVar("_T")


def until(look: Callable[[], _T | None], seconds: float = SECONDS) -> _T:
    """Polls until `look` returns something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(_PAUSE)
    raise AssertionError(f"nothing came of it in {seconds} s")


@dataclass(frozen=True, kw_only=True)
class EndedExecution:
    """An execution that has ended."""

    arn: str
    status: str
    error: str
    cause: str
    output: Any


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Two state machines: the run's, and the one of each of its jobs."""

    germline: str
    job: str


@dataclass(frozen=True, kw_only=True)
class LocalAws:
    """An embedded AWS in which everything is deployed and registered.

    Attributes:
        checkout: The checkout that it was deployed from: this one's files, with a cache of its own.
        job_runner: Runs single steps on the same scratch.
    """

    target: LocalTarget
    checkout: Checkout
    world: LocalConfig
    account: Account
    job_runner: JobRunner
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def project(self) -> str:
        return settings.load(self.checkout.settings).project

    @cached_property
    def workflow(self) -> str:
        return settings.load(self.checkout.settings).workflow

    @cached_property
    def runs(self) -> Runs:
        return Runs(self.account, self.project, state_machine(self.checkout.stacks))

    @cached_property
    def outputs(self) -> dict[str, str]:
        return outputs.read(self.account, self.checkout)

    @cached_property
    def deployed(self) -> Machines:
        """The state machines as the stack made them."""
        return Machines(germline=self.outputs["StateMachineArn"], job=self.outputs["JobMachineArn"])

    @cached_property
    def registered(self) -> dict[str, str]:
        """Tool to the job definition that the deployed state machine uses."""
        arns: dict[str, str] = json.loads((self.target.dist / "jobdefs.json").read_text(encoding="utf-8"))
        return arns

    def definition(self, machine: str) -> str:
        """A state machine's definition."""
        return self.account.step_functions().describe_state_machine(stateMachineArn=machine)["definition"]

    def folder(self, run: str, sample: str) -> Path:
        """Where a run leaves a sample's files."""
        return self.world.scratch / "working" / self.workflow / run / sample

    # ---- other job definitions and state machines -------------------------------------------------------------------

    def scripted(self, tool: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> str:
        """Registers a revision of a tool's job definition whose jobs obey a run's script; returns its ARN.

        Args:
            tool: The tool.
            change: Changes more of it.
        """
        definition = json.loads(json.dumps(self.job_runner.definitions[tool]))
        properties = definition["containerProperties"]
        properties["command"] = ["sh", "-c", _SCRIPTED, *properties["command"]]
        change(definition)
        with self._guard:
            return self.account.batch().register_job_definition(**definition)["jobDefinitionArn"]

    def machines(
        self,
        name: str,
        jobs: Mapping[str, str],
        *,
        job_timeout: int | None = None,
        germline: Mapping[str, str] = MappingProxyType({}),
        most_memory: int | None = None,
    ) -> Machines:
        """Makes the workflow's two state machines again, with other substitutions.

        Args:
            name: Part of their names.
            jobs: Tool to a job definition's ARN, where it is another.
            job_timeout: Of one job, in seconds.
            germline: Parts of the run's definition to what stands in their places.
            most_memory: MaxJobMemory, in MiB.
        """
        text = self.definition(self.deployed.job)
        for tool, arn in jobs.items():
            text = replaced(text, self.registered[tool], arn)
        if job_timeout is not None:
            text = replaced(text, "345600", str(job_timeout))
        if most_memory is not None:
            text = replaced(text, str(Machine.here().memory), str(most_memory))
        job = self._made(f"{self.project}-job-{name}", text)
        text = replaced(self.definition(self.deployed.germline), self.deployed.job, job)
        for old, new in germline.items():
            text = replaced(text, old, new)
        return Machines(germline=self._made(f"{self.project}-germline-{name}", text), job=job)

    def _made(self, name: str, definition: str) -> str:
        made = self.account.step_functions().create_state_machine(
            name=name, roleArn="arn:aws:iam::123456789012:role/any", definition=definition
        )
        return made["stateMachineArn"]

    # ---- runs -------------------------------------------------------------------------------------------------------

    def script(self, run: str, text: str) -> None:
        """What the jobs of a run do first, with the arguments of `step`: `$1` is the command, `$2` the reference."""
        folder = self.world.scratch / "data" / "scripts"
        folder.mkdir(exist_ok=True)
        (folder / f"{run}.sh").write_text(text, encoding="utf-8")

    def runs_of(self, machines: Machines) -> Runs:
        """The runs in other state machines than the deployed ones."""
        runs = Runs(self.account, self.project, state_machine(self.checkout.stacks))
        runs.deployment = replace(runs.deployment, state_machine=machines.germline)
        return runs

    def begin(self, machine: str, name: str, run_input: Any) -> str:  # any JSON
        """Starts an execution and returns its ARN."""
        client = self.account.step_functions()
        started = client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(run_input))
        return started["executionArn"]

    def ended(self, arn: str) -> EndedExecution:
        """An execution, when it has ended."""
        client = self.account.step_functions()

        def look() -> EndedExecution | None:
            execution = client.describe_execution(executionArn=arn)
            if execution["status"] == "RUNNING":
                return None
            return EndedExecution(
                arn=arn,
                status=execution["status"],
                error=execution.get("error", ""),
                cause=execution.get("cause", ""),
                output=json.loads(execution.get("output") or "null"),
            )

        return until(look)


def replaced(text: str, old: str, new: str) -> str:
    """A text with another part in the place of one that must be there."""
    assert old in text, old
    return text.replace(old, new)


@contextmanager
def deployed_locally(built_images: BuiltImages, root: Path) -> Iterator[LocalAws]:
    """Deploys and registers everything in an embedded AWS of its own, below an empty directory."""
    checkout = Checkout(root=root)
    target = LocalTarget(checkout=checkout)
    for folder in (HERE.images, HERE.jobdefs, HERE.stacks):
        (root / folder.name).symlink_to(folder)
    shutil.copyfile(HERE.settings, checkout.settings)
    world = LocalConfig(root=checkout.local, vcpus=VCPUS, memory=MEMORY)
    world.scratch.mkdir(parents=True)
    passable(world.scratch)
    with pytest.MonkeyPatch.context() as patch, serve(world) as server:
        lead(patch, server.environment)
        target.prepare(Account(), "python build.py run SAMPLES.csv --reference NAME")
        definitions = jobdefs.render(checkout.jobdefs, target.rendering(Account()))
        job_runner = JobRunner(built_images=built_images, scratch=world.scratch, definitions=definitions)
        yield LocalAws(target=target, checkout=checkout, world=world, account=Account(), job_runner=job_runner)
    job_runner.clear()
