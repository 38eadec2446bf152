"""The records that finished steps leave in steps/<step>.json, and whether the files in them have changed since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDS = "steps"
_SECOND = 1_000_000_000  # nanoseconds
Identity = tuple[str, int, int]  # path, size and mtime_ns: shows without reading a file whether it has changed


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as records name it.

    Attributes:
        size: In bytes.
        mtime_ns: In nanoseconds since 1970.
        sha256: None if nobody has computed it.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path, sha256: str | None = None) -> "File":
        """A file as it is now. Raises OSError."""
        status = path.stat()
        return cls(path=str(path), size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256)

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> "File":
        """Parses a file of a record. Raises ValueError, KeyError or TypeError."""
        return cls(
            path=str(entry["path"]), size=int(entry["size"]), mtime_ns=int(entry["mtime_ns"]), sha256=entry["sha256"]
        )

    @property
    def identity(self) -> Identity:
        """Path, size and time."""
        return self.path, self.size, self.mtime_ns

    @property
    def identities(self) -> tuple[Identity, Identity]:
        """The identity of the file, and of a copy restored with whole seconds only, as some archives do."""
        return self.identity, (self.path, self.size, self.mtime_ns // _SECOND * _SECOND)

    @property
    def content(self) -> tuple[str, object]:
        """Identifies the content: by its digest, or by size and time if there is none."""
        return self.path, self.sha256 or (self.size, self.mtime_ns)

    @property
    def is_unchanged(self) -> bool:
        """Whether the file on disk is still the recorded one."""
        try:
            return File.of(Path(self.path)).identity in self.identities
        except OSError:
            return False


@dataclass(frozen=True, kw_only=True)
class Record:
    """What resuming and checking need of a finished step's record.

    Attributes:
        key: A digest over everything that the step's result depends on.
        reference: The SHA-256 of the reference's FASTA; None if the step needs no reference.
    """

    command: tuple[str, ...]
    key: str
    reference: str | None
    inputs: tuple[File, ...]
    outputs: tuple[File, ...]

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """Reads a record; None if it is missing or broken."""
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                command=tuple(data["command"]),
                key=data["key"],
                reference=(data.get("reference") or {}).get("sha256"),
                inputs=tuple(File.parse(entry) for entry in data["inputs"]),
                outputs=tuple(File.parse(entry) for entry in data["outputs"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def outputs_are_unchanged(self) -> bool:
        """Whether every output is still as the step left it."""
        return all(file.is_unchanged for file in self.outputs)


def read_all(folder: Path, *names: str) -> dict[Path, Record]:
    """The records of a sample's steps that can be read.

    Args:
        folder: The sample's directory.
        names: Glob patterns for the names of steps.
    """
    files = (file for name in names for file in sorted((folder / RECORDS).glob(f"{name}.json")))
    return {file: record for file in files if (record := Record.read(file))}


def output_digests(folder: Path, *names: str) -> dict[Identity, str | None]:
    """The digests that steps recorded for their outputs; arguments as for `read_all`."""
    outputs = [file for record in read_all(folder, *names).values() for file in record.outputs]
    return {identity: file.sha256 for file in outputs for identity in reversed(file.identities)}
