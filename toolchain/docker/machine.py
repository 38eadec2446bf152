"""What this machine has to give to jobs."""

import os
from dataclasses import dataclass
from pathlib import Path

from toolchain.jobdefs.template import Definition

_SMALLEST_MIB = 256


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Cores, and memory in MiB."""

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

    def fit(self, definition: Definition) -> tuple[int, int]:
        """The vCPUs and MiB of a job definition, as far as this machine has them."""
        wanted = {
            entry["type"]: int(entry["value"]) for entry in definition["containerProperties"]["resourceRequirements"]
        }
        return min(wanted["VCPU"], self.cores), min(wanted["MEMORY"], self.memory)
