"""The job that a step runs in: its run, its scratch file systems, its threads and memory."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from step import machine
from step.arguments import check_variable
from step.errors import InputOutputError, MissingInputError, UsageError, printable

Mount = Literal["reference", "data", "working"]
REFERENCES = "reference"  # beside the runs of a workflow: its prepared references


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every step is handed.

    Attributes:
        environment: The job's environment.
        root: The directory of the three mounts, `/scratch`.
        mounts: The kernel's table of mounts (proc_pid_mountinfo(5)).
        threads: How many the job may use.
        memory_mib: How much memory the job may use.
    """

    environment: Mapping[str, str]
    root: Path
    mounts: Path
    threads: int
    memory_mib: int

    @classmethod
    def here(cls) -> "Job":
        """The job of this process."""
        return cls(
            environment=os.environ,
            root=Path("/scratch"),
            mounts=Path("/proc/self/mountinfo"),
            threads=machine.threads(os.environ),
            memory_mib=machine.memory_mib(),
        )

    @property
    def image(self) -> str:
        """Name and tag of the image, set by its Dockerfile."""
        return self.environment.get("STEP_IMAGE", "")

    @property
    def workflow(self) -> Path:
        """The workflow's directory below /scratch/working."""
        return self.root / "working" / check_variable(self.environment, "WORKFLOW_NAME")

    @property
    def run(self) -> Path:
        """The run's directory below the workflow's."""
        execution = check_variable(self.environment, "EXECUTION_ID")
        if execution == REFERENCES:
            raise UsageError(
                f"bad EXECUTION_ID '{REFERENCES}'",
                why="prepared references are kept under that name",
                fix="Choose another.",
            )
        return self.workflow / execution

    def check_mounts(self, *names: Mount) -> None:
        """Refuses to start on a directory that is not the mount it should be.

        With SCRATCH=lustre, the default, each must be a Lustre file system; with SCRATCH=local, which only local
        renderings of job definitions say, a mount of its own. Docker silently makes a missing host directory, and a
        host that failed to mount would take the results on its root disk.

        Raises:
            InputOutputError: One is not.
        """
        mode = self.environment.get("SCRATCH") or "lustre"
        if mode not in ("lustre", "local"):
            raise UsageError(
                f"bad SCRATCH '{printable(mode)}'",
                why="it is neither 'lustre' nor 'local'",
                fix="Correct the job definition.",
            )
        kinds = self._mounted()
        for name in names:
            place = self.root / name
            if mode == "lustre" and kinds.get(str(place)) != "lustre":
                raise InputOutputError(
                    f"{place} is not a Lustre file system",
                    why="the host did not mount it, or this job runs outside its compute environment",
                    fix="Check the host's mounts; on one machine, use a local rendering (SCRATCH=local).",
                )
            if str(place) not in kinds:
                raise InputOutputError(
                    f"{place} is not mounted",
                    why="nothing of the host stands at this path",
                    fix=f"Mount a directory there (docker run --volume DIRECTORY:{place}).",
                )

    def _mounted(self) -> dict[str, str]:
        """Mount point to file system type; the last mount at a place is the one that shows."""
        kinds = {}
        for line in self.mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            left, _, right = line.partition(" - ")
            kinds[re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), left.split(" ")[4])] = right.split(" ")[0]
        return kinds


def check_input(file: Path, *, step_before: bool = False) -> Path:
    """A file that a step reads: there, a file, readable.

    Args:
        file: Its path.
        step_before: Whether a step of the same run writes it.

    Raises:
        MissingInputError: It is not.
    """
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInputError(
            f"no {file.name}",
            why=f"{file} is not there",
            fix="Check that the step before this one has run." if step_before else "Check the name.",
        ) from None
    except PermissionError:
        raise cannot_enter(file) from None
    except OSError as error:
        raise InputOutputError(
            f"cannot read {file.name}",
            why=f"{file}: {error.strerror}",
            fix="Check the file system, and its import from S3.",
        ) from error
    if not is_file:
        raise MissingInputError(
            f"{file.name} is no file", why=f"{file} is a directory or a device", fix="Name the file itself."
        )
    if not os.access(file, os.R_OK, effective_ids=True):
        raise cannot_enter(file)
    return file


def cannot_enter(file: Path) -> MissingInputError:
    """The error for a file that this user may not get at."""
    user = f"user {os.geteuid()}"
    closed = (parent for parent in reversed(file.parents) if not os.access(parent, os.X_OK, effective_ids=True))
    if (folder := next(closed, None)) is None:
        return MissingInputError(
            f"cannot read {file.name}",
            why=f"{file} is not readable for {user}",
            fix="Make it readable (its mode in S3's x-amz-meta-file-permissions, or chmod).",
        )
    return MissingInputError(
        f"cannot read {file.name}",
        why=f"{user} may not enter the directory {folder}",
        fix=f"Let this user enter it (chmod o+x {folder}).",
    )


def is_there(file: Path) -> bool:
    """Whether there is such a file. Raises StepError where this user may not know."""
    try:
        return file.exists()
    except PermissionError as error:
        raise cannot_enter(file) from error
