"""This machine as a Batch host: runs single jobs outside of the embedded AWS."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.docker.container import container_of
from toolchain.docker.engine import Engine, Result
from toolchain.errors import StepFailedError

_SIGNALS = 128
_SMALLEST_MIB = 256


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What there is for jobs: cores, and memory in MiB."""

    cores: int
    memory: int

    @classmethod
    def here(cls) -> "Machine":
        """This machine, less a fifth of its memory for everything else on it."""
        total = next(
            int(line.split()[1]) // 1024
            for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
            if line.startswith("MemTotal:")
        )
        return cls(cores=len(os.sched_getaffinity(0)), memory=max(_SMALLEST_MIB, total * 4 // 5))

    def fit(self, definition: Mapping[str, Any]) -> tuple[int, int]:
        """The vCPUs and MiB that a job definition asks for, cut to what this machine has."""
        resources = {
            entry["type"]: int(entry["value"]) for entry in definition["containerProperties"]["resourceRequirements"]
        }
        return min(resources["VCPU"], self.cores), min(resources["MEMORY"], self.memory)


@dataclass(frozen=True, kw_only=True)
class Host:
    """Runs jobs in containers, from the job definitions of this machine, by tool."""

    engine: Engine
    definitions: Mapping[str, Mapping[str, Any]]
    machine: Machine

    def run(
        self,
        name: str,
        tool: str,
        command: Sequence[str] = (),
        *,
        parameters: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs one job to its end.

        Args:
            name: What errors call it.
            tool: Whose job definition it uses.
            command: Instead of the definition's.
            parameters: Over the definition's.
            environment: Over the definition's.

        Raises:
            StepFailedError: The job ended with another exit code than 0.
        """
        definition = self.definitions[tool]
        vcpus, memory = self.machine.fit(definition)
        container = container_of(
            definition, parameters=parameters, command=command, environment=environment, vcpus=vcpus, memory=memory
        )
        result = self.engine.run(container)
        if result.exit_code:
            raise step_error(name, result)
        return result


def step_error(name: str, result: Result) -> StepFailedError:
    """The error of a step that failed: the last line that it wrote, and its exit code."""
    code = result.exit_code
    if result.out_of_memory:
        why, fix = "it needed more memory than its job has", "Raise the job's memory in genomics.toml."
    elif code > _SIGNALS:
        why, fix = f"signal {code - _SIGNALS} ended it", "Run it again; what is done is kept."
    else:
        why, fix = result.message.removeprefix("step: error: ").rstrip("."), "Its messages are above."
    return StepFailedError(f"step '{name}' failed ({code})", why=why, fix=fix, details=result.stderr, exit_code=code)
