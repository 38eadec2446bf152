"""Where the embedded AWS keeps what it holds, and what of this machine it may use."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolchain.docker.host import Machine

# The name of the socket in `World.door`.
EXPORT_SOCKET: Final = "fsx.sock"


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """Where the embedded AWS keeps what it holds on this machine.

    Attributes:
        root: Everything is below it.
        vcpus: What this machine gives to jobs.
        memory: Likewise, in MiB.
    """

    root: Path
    vcpus: int
    memory: int

    @classmethod
    def of_this_machine(cls, root: Path) -> "LocalConfig":
        """One that gives to jobs all that this machine has for them."""
        machine = Machine.here()
        return cls(root=root, vcpus=machine.cores, memory=machine.memory)

    @property
    def scratch(self) -> Path:
        """What stands for the Lustre file systems: reference, data and working."""
        return self.root / "scratch"

    @property
    def door(self) -> Path:
        """What is mounted into the containers of exports: a socket, and nothing else."""
        return self.root / "door"

    @property
    def buckets(self) -> Path:
        """What stands for S3: <bucket>/<key>."""
        return self.root / "s3"


def chosen_region() -> str:
    """The region that clients of the embedded AWS use."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
