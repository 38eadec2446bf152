"""The Batch job that a step runs in: its run, mounts, threads and memory."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from step import landlock, machine
from step.arguments import check_variable
from step.errors import InputOutputError, MissingInputError, UsageError, printable

Mount = Literal["reference", "data", "working"]
REFERENCES = "reference"  # the directory of prepared references, beside the runs of a workflow


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job that every step gets.

    Attributes:
        root: The directory of the three mounts, `/scratch`.
        mounts: The kernel's table of mounts (proc_pid_mountinfo(5)).
        hold_writes_to: Holds this process to writing below directories; returns why it cannot. A job of a test, which
            is one process with others, is not held.
    """

    environment: Mapping[str, str]
    root: Path
    mounts: Path
    threads: int
    memory_mib: int
    hold_writes_to: Callable[[Iterable[Path]], str | None] = lambda _: None

    @classmethod
    def current(cls) -> "Job":
        """The job of this process."""
        return cls(
            environment=os.environ,
            root=Path("/scratch"),
            mounts=Path("/proc/self/mountinfo"),
            threads=machine.threads(os.environ),
            memory_mib=machine.memory_mib(),
            hold_writes_to=landlock.hold_writes_to,
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
        """Checks that directories of /scratch are mounts; raises InputOutputError.

        With SCRATCH=lustre, the default, each must be a Lustre file system; with SCRATCH=local, which only local
        renderings of job definitions set, it must be any mount. Docker silently creates a missing host directory, and
        a host that failed to mount Lustre would fill its root disk with results.
        """
        mode = self.environment.get("SCRATCH") or "lustre"
        if mode not in ("lustre", "local"):
            raise UsageError(
                f"bad SCRATCH '{printable(mode)}'",
                why="it is neither 'lustre' nor 'local'",
                fix="Correct the job definition.",
            )
        types = self._mount_types()
        for name in names:
            path = self.root / name
            if mode == "lustre" and types.get(str(path)) != "lustre":
                raise InputOutputError(
                    f"{path} is not a Lustre file system",
                    why="the host did not mount it, or this job runs outside its compute environment",
                    fix="Check the host's mounts; on one machine, use a local rendering (SCRATCH=local).",
                )
            if str(path) not in types:
                raise InputOutputError(
                    f"{path} is not mounted",
                    why="nothing of the host stands at this path",
                    fix=f"Mount a directory there (docker run --volume DIRECTORY:{path}).",
                )

    def _mount_types(self) -> dict[str, str]:
        """Mount point to file system type; of several mounts at one path, the last is visible."""
        types = {}
        for line in self.mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            left, _, right = line.partition(" - ")
            types[re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), left.split(" ")[4])] = right.split(" ")[0]
        return types


def check_input(file: Path, *, step_before: bool = False) -> Path:
    """Checks that a step's input is a readable file; raises MissingInputError.

    Args:
        file: Its path.
        step_before: Whether an earlier step of the same run writes it.
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
        raise no_permission(file) from None
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
        raise no_permission(file)
    return file


def no_permission(file: Path) -> MissingInputError:
    """The error for a file that this user may not read, or whose directory it may not enter."""
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


def file_exists(file: Path) -> bool:
    """Whether a file exists. Raises StepError if a directory above it may not be entered."""
    try:
        return file.exists()
    except PermissionError as error:
        raise no_permission(file) from error
