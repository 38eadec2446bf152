"""Single jobs on this machine."""

from dataclasses import replace
from typing import Any

import pytest

from toolchain.docker.container import Container
from toolchain.docker.engine import Result
from toolchain.docker.host import Host, Machine
from toolchain.errors import StepFailedError

DEFINITION = {
    "jobDefinitionName": "genomics-bwa",
    "parameters": {"command": "-"},
    "containerProperties": {
        "image": "i",
        "command": ["step", "Ref::command"],
        "resourceRequirements": [{"type": "VCPU", "value": "8"}, {"type": "MEMORY", "value": "512"}],
    },
}
GOOD = Result(exit_code=0, stdout="", stderr="", out_of_memory=False)


def failed(code: int) -> Result:
    said = "step: starts\nstep: error: no such thing.\n"
    return Result(exit_code=code, stdout="", stderr=said, out_of_memory=False)


def host(result: Result, containers: list[Container]) -> Host:
    """A machine of two cores whose engine ends every container like this."""

    class Engine:
        def run(self, container: Container) -> Result:
            containers.append(container)
            return result

    engine: Any = Engine()
    return Host(engine=engine, definitions={"bwa": DEFINITION}, machine=Machine(cores=2, memory=1024))


def test_a_job_gets_what_its_definition_asks_for_as_far_as_the_machine_has_it() -> None:
    containers: list[Container] = []
    assert host(GOOD, containers).run("index", "bwa", parameters={"command": "index"}, environment={"A": "1"}) == GOOD
    (container,) = containers
    assert (container.command, container.vcpus, container.memory) == (("step", "index"), 2, 512)
    assert container.environment["A"] == "1"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (failed(65), "(65): no such thing. Its messages are above."),
        (failed(137), "(137): signal 9 ended it. Run it again; what is done is kept."),
        (
            replace(failed(137), out_of_memory=True),
            "(137): it needed more memory than its job has. Raise the job's memory in genomics.toml.",
        ),
    ],
)
def test_a_job_that_fails_is_an_error_with_its_last_line_or_what_ended_it(result: Result, said: str) -> None:
    with pytest.raises(StepFailedError) as caught:
        host(result, []).run("index", "bwa", ["step", "index"])
    assert str(caught.value) == f"step 'index' failed {said}"
    assert (caught.value.exit_code, caught.value.details) == (result.exit_code, result.stderr)


def test_this_machine_has_cores_and_memory() -> None:
    machine = Machine.here()
    assert machine.cores >= 1
    assert machine.memory >= 256
