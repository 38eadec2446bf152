"""What the embedded AWS adds: to jobs, between jobs, and before the first one."""

import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import place
from figures import Timed

from toolchain.aws import Account, Pace
from toolchain.console import note
from toolchain.demo import simulate
from toolchain.docker.container import Container, container_of
from toolchain.docker.engine import Engine
from toolchain.errors import StepFailedError
from toolchain.images.build import ImageBuilder
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import Definition
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve
from toolchain.paths import Checkout
from toolchain.runs.target import LocalTarget
from toolchain.stacks import outputs as stack_outputs

VCPUS = 2
MEMORY = 2048
JOBS = 3
SHORT_JOBS = 200
REFERENCE = "bench.fa"
TOOL = "bwa"
# Seconds.
ADDED_TO_A_JOB = 0.3
ADDED_BETWEEN_JOBS = 0.1
READY = 6.0
READY_AGAIN = 1.0
_LOOK = 0.005


@dataclass(frozen=True, kw_only=True)
class Home:
    """An embedded AWS in which everything is deployed, and what runs the same jobs without it."""

    checkout: Checkout
    account: Account
    engine: Engine
    definition: Definition
    outputs: Mapping[str, str]
    queue: str

    def container(self, *words: str) -> Container:
        """What a job is run as: these words, or a step that finds its work done."""
        return container_of(
            self.definition,
            parameters={"command": "index", "reference": REFERENCE},
            command=words,
            environment={"EXECUTION_ID": "bench"},
            vcpus=1,
            memory=MEMORY // 2,
        )

    def run(self) -> None:
        """Runs the step with the engine alone."""
        result = self.engine.run(self.container())
        if result.exit_code:
            raise StepFailedError("index", why=result.message, fix="See above.", details=result.stderr)


def measure(rounds: int) -> tuple[Timed, ...]:
    """Everything, in an embedded AWS of its own."""
    ready: list[float] = []
    again: list[float] = []
    jobs: list[float] = []
    between: list[float] = []
    for number in range(rounds):
        with place.folder() as checkout:
            began = time.perf_counter()
            with _home(checkout) as home:
                ready.append(time.perf_counter() - began)
                began = time.perf_counter()
                LocalTarget(checkout=checkout).prepare(home.account, "")
                again.append(time.perf_counter() - began)
                if number + 1 == rounds:
                    jobs = _jobs(home, rounds)
                    between = _between(home)
        note(f"round {number + 1} of {rounds}, what the embedded AWS adds: ready after {ready[-1]:.1f} s")
    figures = (
        (f"a job through the state machine, over `docker run` ({JOBS} in turn)", ADDED_TO_A_JOB, jobs),
        (f"between two of {SHORT_JOBS} short jobs, over Docker's create and start", ADDED_BETWEEN_JOBS, between),
        ("`run --local` until its run starts, nothing deployed", READY, ready),
        ("the same, all deployed", READY_AGAIN, again),
    )
    return tuple(Timed(what=what, budget=budget, seconds=tuple(seconds)) for what, budget, seconds in figures)


@contextmanager
def _home(checkout: Checkout) -> Iterator[Home]:
    world = LocalConfig(root=checkout.local, vcpus=VCPUS, memory=MEMORY)
    before = dict(os.environ)
    try:
        with serve(world) as server:
            os.environ.update(server.environment)
            account = Account()
            target = LocalTarget(checkout=checkout)
            target.prepare(account, "")
            outputs = stack_outputs.read(account, checkout)
            yield Home(
                checkout=checkout,
                account=account,
                engine=ImageBuilder.open(checkout).engine,
                definition=jobdefs.render(checkout.jobdefs, target.rendering(account))[TOOL],
                outputs=outputs,
                queue=outputs["JobQueueName"],
            )
    finally:
        os.environ.clear()
        os.environ.update(before)


def _jobs(home: Home, rounds: int) -> list[float]:
    """What each of three jobs in turn costs more through the state machine, round by round."""
    reference = home.checkout.local / "scratch" / "reference" / REFERENCE
    reference.write_text(simulate.fasta(simulate.genome({"chr1": 20_000})), encoding="ascii")
    machine = _machine(home)
    home.run()  # prepares the reference: each further one finds that done
    added = []
    for number in range(rounds + 1):
        with_aws = _taken(lambda: _execute(home, machine))
        alone = _taken(lambda: _run(home))
        if number:
            added.append((with_aws - alone) / JOBS)
    return added


def _taken(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _machine(home: Home) -> str:
    """A state machine that runs jobs in turn as the workflow's own states do: through the one that runs a job."""
    arguments = {
        "StateMachineArn": home.outputs["JobMachineArn"],
        "Input": {
            "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "{% $states.context.Execution.Id %}",
            "run": "{% $states.context.Execution.Name %}",
            "sample": "-",
            "step": "index",
            "tool": TOOL,
            "parameters": {"command": "index", "reference": REFERENCE},
            "resources": {TOOL: [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": str(MEMORY // 2)}]},
        },
    }
    names = [f"Job {number}" for number in range(JOBS)]
    states: dict[str, dict[str, Any]] = {
        name: {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Arguments": arguments,
            **({"End": True} if name == names[-1] else {"Next": names[number + 1]}),
        }
        for number, name in enumerate(names)
    }
    client = home.account.step_functions()
    role = client.describe_state_machine(stateMachineArn=home.outputs["StateMachineArn"])["roleArn"]
    definition = json.dumps({"QueryLanguage": "JSONata", "StartAt": names[0], "States": states})
    return client.create_state_machine(name="bench", roleArn=role, definition=definition)["stateMachineArn"]


def _run(home: Home) -> None:
    for _ in range(JOBS):
        home.run()


def _execute(home: Home, machine: str) -> None:
    client = home.account.step_functions()
    arn = client.start_execution(stateMachineArn=machine)["executionArn"]
    while (one := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(_LOOK)
    if one["status"] != "SUCCEEDED":
        raise StepFailedError("three jobs", why=one.get("cause", one["status"]), fix="See its jobs' logs.")


def _between(home: Home) -> list[float]:
    """From each end of a short job to the start of the next one, less what Docker takes by itself at the median.

    Docker's own figure is made by as many containers side by side, half of them before the jobs and half after.
    """
    alone = _docker(home, SHORT_JOBS // 2)
    gaps = _gaps(home)
    alone += _docker(home, SHORT_JOBS // 2)
    return [gap - statistics.median(alone) for gap in gaps]


def _docker(home: Home, number: int) -> list[float]:
    """How long Docker takes to make and start containers, two at a time."""
    container = home.container("true")
    taken: list[float] = []

    def work() -> None:
        for _ in range(number // VCPUS):
            began = time.perf_counter()
            made = home.engine.client.containers.create(
                container.image, list(container.command), **container.docker_arguments()
            )
            made.start()
            taken.append(time.perf_counter() - began)
            made.wait()
            made.remove(force=True)

    threads = [threading.Thread(target=work) for _ in range(VCPUS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def _gaps(home: Home) -> list[float]:
    batch = home.account.batch(Pace(per_second=1000))
    jobs = [
        batch.submit_job(
            jobName=f"short-{number}",
            jobQueue=home.queue,
            shareIdentifier="bench",
            schedulingPriorityOverride=1,
            jobDefinition=f"genomics-{TOOL}",
            containerOverrides={
                "command": ["true"],
                "resourceRequirements": [
                    {"type": "VCPU", "value": "1"},
                    {"type": "MEMORY", "value": str(MEMORY // 2)},
                ],
            },
        )["jobId"]
        for number in range(SHORT_JOBS)
    ]
    while True:
        described = [
            one for at in range(0, len(jobs), 100) for one in batch.describe_jobs(jobs=jobs[at : at + 100])["jobs"]
        ]
        if failed := [one for one in described if one["status"] == "FAILED"]:
            raise StepFailedError("a short job", why=failed[0].get("statusReason", ""), fix="See the engine's log.")
        if all(one["status"] == "SUCCEEDED" for one in described):
            break
        time.sleep(0.2)
    starts = sorted(one["startedAt"] / 1000 for one in described)
    stops = sorted(one["stoppedAt"] / 1000 for one in described)
    # With two places, each job but the first two begins in the place that the last end left.
    return [start - stop for start, stop in zip(starts[VCPUS:], stops, strict=False)]
