"""Where the embedded AWS keeps its files, and what of this machine its jobs may use."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolchain.docker.host import Machine

# The name of the socket in `LocalConfig.door`.
EXPORT_SOCKET: Final = "fsx.sock"


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """Where the embedded AWS keeps its files.

    Attributes:
        root: The directory of everything.
        vcpus: What this machine gives to jobs.
        memory: Likewise, in MiB.
    """

    root: Path
    vcpus: int
    memory: int

    @classmethod
    def of_this_machine(cls, root: Path) -> "LocalConfig":
        """One whose jobs get all that this machine has for them."""
        machine = Machine.here()
        return cls(root=root, vcpus=machine.cores, memory=machine.memory)

    @property
    def scratch(self) -> Path:
        """The Lustre file systems: reference, data and working."""
        return self.root / "scratch"

    @property
    def buckets(self) -> Path:
        """S3's objects: <bucket>/<key>."""
        return self.root / "s3"

    @property
    def door(self) -> Path:
        """Mounted into the containers of exports; holds the socket and nothing else."""
        return self.root / "door"


def chosen_region() -> str:
    """The region that clients of the embedded AWS use."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
