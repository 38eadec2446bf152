"""Prepared references, which are immutable and found by the digest of their FASTA.

    /scratch/working/<workflow>/reference/<sha256>/fasta/reference.fa, .fai
    /scratch/working/<workflow>/reference/<sha256>/<aligner>/...      the aligner's index
    /scratch/working/<workflow>/reference/names/<name>.json           the digest of the name when it was last prepared
    /scratch/working/<workflow>/<run>/steps/reference/<name>.json     the digest that a run uses from its first step on

`step index` (index.py) prepares them.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from step.errors import BadDataError, MissingInputError, cannot_read, cannot_write, printable
from step.files import temporary_name, write_text
from step.job import REFERENCES, Job, check_input, file_exists, no_permission
from step.records import RECORDS, read_all

FASTA = "reference.fa"
SEQUENCES = "fasta"  # the directory of the FASTA and its .fai
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A prepared reference.

    Attributes:
        name: The path of the FASTA below /scratch/reference.
        sha256: The digest of the FASTA, and of a .alt file beside it, when it was prepared.
        folder: The prepared reference's directory.
    """

    name: str
    sha256: str
    folder: Path

    @property
    def fasta(self) -> Path:
        """The uncompressed FASTA."""
        return self.folder / SEQUENCES / FASTA

    @cached_property
    def lengths(self) -> dict[str, int]:
        """Sequence lengths in bases, in the order of the FASTA."""
        return read_fai(Path(f"{self.fasta}.fai"))

    def index(self, aligner: str) -> Path:
        """The prefix of an aligner's index. Raises MissingInputError if it has not been made."""
        if not file_exists(self.folder / aligner / MANIFEST):
            raise MissingInputError(
                f"reference '{self.name}' has no index of {aligner}",
                why=f"{self.folder / aligner} is not there",
                fix=f"Run 'step index {self.name}' once, with the {aligner} image.",
            )
        check_sizes(self.folder, aligner, self.name)
        return self.folder / aligner / FASTA

    @property
    def record(self) -> dict[str, str]:
        """The reference's entry in records of steps."""
        return {"name": self.name, "sha256": self.sha256}


def read_fai(file: Path) -> dict[str, int]:
    """Reads sequence lengths from a .fai. Raises StepError."""
    try:
        rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
        lengths = {row[0]: int(row[1]) for row in rows}
    except PermissionError as error:
        raise no_permission(file) from error
    except OSError as error:
        raise cannot_read(file, error) from error
    except (ValueError, IndexError):
        lengths = {}
    if not lengths:
        raise BadDataError(
            f"{file.name} is broken",
            why=f"{file} is not what 'step index' left",
            fix=f"Remove {file.parent.parent}, and run 'step index' again.",
        )
    return lengths


def find_reference(job: Job, name: str) -> Reference:
    """The reference that the run began with, or else the one prepared last, to which the run is then pinned.

    Raises:
        MissingInputError: No reference of that name has been prepared, or its FASTA was replaced since.
    """
    pin = job.run / RECORDS / "reference" / f"{name}.json"
    digest = _read_digest(pin)
    if digest is None:
        latest = _read_digest(latest_file(job, name))
        if latest is None:
            check_input(job.root / "reference" / name)
            raise MissingInputError(
                f"reference '{name}' is not prepared",
                why=f"{latest_file(job, name)} is not there",
                fix=f"Run 'step index {name}' once, with the image of an aligner.",
            )
        if _is_replaced(job, name):
            raise MissingInputError(
                f"reference '{name}' is not prepared",
                why=f"{job.root / 'reference' / name} was replaced or changed since it was",
                fix=f"Run 'step index {name}' again, with the image of an aligner.",
            )
        digest = _pin(pin, name, latest)
    folder = job.workflow / REFERENCES / digest
    if not file_exists(folder / SEQUENCES / MANIFEST):
        raise MissingInputError(
            f"reference '{name}' is not prepared",
            why=f"{folder} is not there",
            fix=f"Run 'step index {name}' again, with the image of an aligner.",
        )
    check_sizes(folder, SEQUENCES, name)
    return Reference(name=name, sha256=digest, folder=folder)


def check_sizes(folder: Path, part: str, name: str) -> None:
    """Checks that no file of a prepared reference's part is missing or truncated. Raises BadDataError."""
    try:
        sizes: Mapping[str, int] = json.loads((folder / part / MANIFEST).read_text(encoding="utf-8"))["sizes"]
    except (OSError, ValueError, KeyError, TypeError):  # manifests of earlier images have no sizes
        return
    for file, expected in sizes.items():
        path = folder / part / file
        size = path.stat().st_size if file_exists(path) else 0
        if size != expected:
            raise BadDataError(
                f"reference '{name}' is damaged",
                why=f"{path} has {size} bytes, and 'step index' left {expected}",
                fix=f"Remove {folder}, and run 'step index {name}' again.",
            )


def check_origin(reference: Reference, folder: Path, files: Sequence[Path], *steps: str) -> None:
    """Checks that no file was made with another reference than the run now uses.

    Args:
        reference: The run's reference.
        folder: The sample's directory.
        files: The files that a step is about to read.
        steps: Glob patterns for the names of the steps that write them.

    Raises:
        BadDataError: According to its record, an unchanged file was made with another reference.
    """
    paths = {str(file) for file in files}
    for path, record in read_all(folder, *steps).items():
        if record.reference in (None, reference.sha256):
            continue
        for file in record.outputs:
            if file.path in paths and file.is_unchanged:
                raise BadDataError(
                    f"{Path(file.path).name} was made with another reference",
                    why=f"{path.name} says {printable(str(record.reference))}, and {reference.name} of this run "
                    f"is {reference.sha256}",
                    fix=f"Run {path.stem} again, and what follows it.",
                )


def latest_file(job: Job, name: str) -> Path:
    """The file with the digest that a name had when it was last prepared."""
    return job.workflow / REFERENCES / "names" / f"{name}.json"


def write_digest(path: Path, name: str, digest: str, **further: object) -> None:
    """Writes the digest of a name for the workflow or a run. Raises StepError."""
    write_text(path, json.dumps({"name": name, "sha256": digest, **further}, indent=2) + "\n")


def source_state(source: Path) -> list[int]:
    """Size, mtime and ctime: the ctime also changes if a FASTA is replaced by one of the same size and mtime."""
    status = source.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _is_replaced(job: Job, name: str) -> bool:
    """Whether a FASTA is visibly another file than the prepared one; only `step index` reads it to be certain."""
    try:
        state = json.loads(latest_file(job, name).read_text(encoding="utf-8"))["file"]
        return bool(state != source_state(job.root / "reference" / name))
    except (OSError, ValueError, KeyError, TypeError):  # removed, or prepared by an earlier image
        return False


def _read_digest(file: Path) -> str | None:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["sha256"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    except PermissionError as error:
        raise no_permission(file) from error
    except OSError as error:
        raise cannot_read(file, error) from error


def _pin(pin: Path, name: str, digest: str) -> str:
    """Pins a run to a reference. Of concurrent steps the first wins; returns the winner's digest."""
    temporary = temporary_name(pin)
    write_digest(temporary, name, digest)
    try:
        os.link(temporary, pin)
    except FileExistsError:
        pass
    except OSError as error:
        raise cannot_write(pin, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return _read_digest(pin) or digest
