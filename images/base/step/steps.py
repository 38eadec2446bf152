"""The life of a step: its work directory, what it publishes, and the record by which it is known to be done.

A step works under a temporary name beside the runs, checks what it made, and renames it. Killed, it leaves nothing that
looks finished; two attempts cannot spoil each other. The record is written last: with it the step is done.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from step import ending
from step.errors import CannotCreateError, ToolFailedError, cannot_read, cannot_write, tell
from step.job import Job
from step.pipeline import Cost, Feed, Pipeline, Program, run_together

RECORDS = "steps"
DESK = ".work"  # below /scratch/working, on the file system of the results, so that a rename publishes
_DIGESTED = 16 << 20  # bytes of a file that is read once more for its digest
_SECOND = 1_000_000_000  # nanoseconds
_HASH_BYTES = 1 << 20


def say(text: str) -> None:
    """Narrates on stderr."""
    tell(f"step: {text}\n".encode(errors="backslashreplace"))


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as records name it.

    Attributes:
        path: Where it is.
        size: In bytes.
        mtime_ns: When it was last written, in nanoseconds since the epoch.
        sha256: Of its content; None where nobody has computed it.
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

    @property
    def stands(self) -> tuple[str, int, int]:
        """What tells, without a look into it, whether it is still the same."""
        return self.path, self.size, self.mtime_ns

    @property
    def copied(self) -> tuple[str, int, int]:
        """The same of a copy that was put in its place and kept whole seconds only, as some archives do."""
        return self.path, self.size, self.mtime_ns // _SECOND * _SECOND

    @property
    def content(self) -> tuple[str, object]:
        """What stands for its content: the digest, or size and time where there is none."""
        return self.path, self.sha256 or (self.size, self.mtime_ns)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a step that is done left of itself.

    Attributes:
        command: The step's command.
        key: Of what its result depends on.
        reference: The digest of its reference's FASTA; None where the step needs none.
        inputs: The files that it read.
        outputs: Those that it published.
    """

    command: tuple[str, ...]
    key: str
    reference: str | None
    inputs: tuple[File, ...]
    outputs: tuple[File, ...]

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """A record, if there is one and it can be read."""
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                command=tuple(data["command"]),
                key=data["key"],
                reference=(data.get("reference") or {}).get("sha256"),
                inputs=tuple(_file(entry) for entry in data["inputs"]),
                outputs=tuple(_file(entry) for entry in data["outputs"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def is_true(self) -> bool:
        """Whether every output is still as it was left."""
        return all(is_as(entry) for entry in self.outputs)


def _file(entry: Mapping[str, Any]) -> File:
    return File(
        path=str(entry["path"]), size=int(entry["size"]), mtime_ns=int(entry["mtime_ns"]), sha256=entry["sha256"]
    )


def is_as(entry: File) -> bool:
    """Whether a file is still as a record says."""
    try:
        return File.of(Path(entry.path)).stands in (entry.stands, entry.copied)
    except OSError:
        return False


def recorded(folder: Path, *patterns: str) -> dict[tuple[str, int, int], str | None]:
    """What steps of a sample wrote, with the digests that they recorded.

    Args:
        folder: The sample's.
        patterns: Names of records, without `.json`.
    """
    found = {}
    for pattern in patterns:
        for file in sorted((folder / RECORDS).glob(f"{pattern}.json")):
            if record := Record.read(file):
                found.update({entry.copied: entry.sha256 for entry in record.outputs})
                found.update({entry.stands: entry.sha256 for entry in record.outputs})
    return found


def sha256(file: Path) -> str:
    """The digest of a file. Raises StepError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as stream:
            while chunk := stream.read(_HASH_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise cannot_read(file, error) from error
    return digest.hexdigest()


def make_folder(folder: Path) -> Path:
    """A directory, made if need be. Raises StepError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def beside(file: Path) -> Path:
    """A name that no other attempt takes, for what is to be renamed: in containers, process ids are alike."""
    return file.with_name(f".{file.name}.{os.urandom(6).hex()}")


def write_text(file: Path, text: str) -> None:
    """Writes a file in one piece: it is there as a whole or not at all. Raises StepError."""
    make_folder(file.parent)
    place = beside(file)
    try:
        place.write_text(text, encoding="utf-8")
        place.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            place.unlink()
        raise cannot_write(file, error) from error


@dataclass(kw_only=True)
class Step:
    """One attempt of a step.

    Attributes:
        job: What it runs in.
        name: Of its record.
        folder: The sample's, in which results and records stand.
        command: The command line, as the record has it.
        inputs: The files that it reads.
        known: Digests of these, where an earlier step recorded them; see `recorded`.
        reference: Name and digest of the reference, as the record has it.
        key: Of what the result depends on: image, arguments, reference, and the content of every input.
        work: Its work directory, once it has begun.
        notes: What the user should know of the result, for the record and the log.
    """

    job: Job
    name: str
    folder: Path
    command: Sequence[str]
    inputs: Sequence[Path] = ()
    known: Mapping[tuple[str, int, int], str | None] = field(default_factory=dict)
    reference: Mapping[str, str] | None = None
    key: str = ""
    work: Path = Path()
    costs: list[Cost] = field(default_factory=list)
    outputs: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _files: tuple[File, ...] = ()
    _digests: dict[str, str] = field(default_factory=dict)
    _started: float = 0.0
    _clock: float = 0.0
    _locks: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _results: list[tuple[Path, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look at the inputs as they are now."""
        files = []
        for path in self.inputs:
            try:
                entry = File.of(path)
            except OSError as error:
                raise cannot_read(path, error) from error
            files.append(replace(entry, sha256=self.known.get(entry.stands)))
        self._files = tuple(files)
        parts = [self.job.image, list(self.command), self.reference, [entry.content for entry in files]]
        self.key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def record(self) -> Path:
        """Where the record stands."""
        return self.folder / RECORDS / f"{self.name}.json"

    def is_done(self) -> bool:
        """Whether the record says so and every output is still as it says."""
        record = Record.read(self.record)
        if record is None or record.key != self.key or not record.is_true:
            return False
        say(f"{self.name} is done already ({self.record}): nothing to do")
        return True

    def __enter__(self) -> Self:
        """Makes the work directory."""
        make_folder(self.record.parent)
        desk = make_folder(self.job.root / "working" / DESK / self.folder.relative_to(self.job.root / "working"))
        try:
            # One attempt at a time looks for what the dead left and makes its own directory; the second lock is held
            # for as long as this process lives, and tells the living from the dead.
            with (desk / ".lock").open("w") as door:
                fcntl.flock(door, fcntl.LOCK_EX)
                _sweep(desk, f"tmp.{self.name}.")
                with ending.held_back():
                    self.work = desk / f"tmp.{self.name}.{os.urandom(6).hex()}"
                    self.work.mkdir(mode=0o700)
                fcntl.flock(self._locks.enter_context((self.work / ".lock").open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._leave()
            raise cannot_write(desk, error) from error
        except BaseException:
            self._leave()
            raise
        self._started, self._clock = time.time(), time.monotonic()
        say(f"{self.name}: {self.job.threads} threads, {self.job.memory_mib} MiB")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the work directory."""
        self._leave()

    def _leave(self) -> None:
        with ending.held_back():
            if self.work != Path():
                shutil.rmtree(self.work, ignore_errors=True)
            self._locks.close()

    # ---- programs ----------------------------------------------------------------------------------------------------

    def pipeline(self, *programs: Program, feed: Feed | None = None, sink: str = "") -> Pipeline:
        """Programs that run in the work directory; see Pipeline."""
        return Pipeline(
            programs=programs,
            work=self.work,
            environment={**self.job.environment, "LC_ALL": "C"},
            memory_mib=self.job.memory_mib,
            feed=feed,
            sink=sink,
        )

    def run(self, *programs: Program, feed: Feed | None = None, sink: str = "") -> None:
        """Runs a pipeline to its end, and keeps what it cost. Raises StepError."""
        self.run_together(self.pipeline(*programs, feed=feed, sink=sink))

    def run_together(self, *pipelines: Pipeline) -> None:
        """Runs pipelines side by side, and keeps what they cost. Raises StepError."""
        run_together(pipelines)
        for pipeline in pipelines:
            self.costs += pipeline.costs
            if pipeline.sink:
                self._digests[pipeline.sink] = pipeline.sha256

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the work directory. Raises StepError."""
        file = self.work / name
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise cannot_write(file, error) from error
        return file

    # ---- results -----------------------------------------------------------------------------------------------------

    def read_digest(self, path: Path, digest: str) -> None:
        """Notes the digest of an input, where the pass that read it computed one."""
        self._files = tuple(
            replace(entry, sha256=digest) if entry.path == str(path) else entry for entry in self._files
        )

    def publish(self, name: str, target: Path) -> None:
        """Hands over a finished file of the work directory, for `finish` to rename it to its final name.

        Raises:
            StepError: It cannot be, or is not there.
        """
        make_folder(target.parent)
        source = self.work / name
        try:
            entry = File.of(source, self._digests.get(name))
        except FileNotFoundError:
            entry = None
        except OSError as error:
            raise cannot_read(source, error) from error
        if entry is None or not entry.size:
            raise ToolFailedError(
                f"no {target.name}", why=f"the programs wrote nothing to {name}", fix="Run the step again."
            )
        if target.is_dir():
            raise CannotCreateError(
                f"cannot write {target}", why="it is a directory", fix="Remove it, and run the step again."
            )
        if entry.sha256 is None and entry.size <= _DIGESTED:
            entry = replace(entry, sha256=sha256(source))
        self.outputs.append(replace(entry, path=str(target)))
        self._results.append((source, target))

    def finish(self) -> None:
        """Renames the results, at which moment they come to be, and then the record. Raises StepError.

        The record is written before: a disk that is full by then leaves all of an earlier attempt, and nothing of this
        one.
        """
        ended, wall = time.time(), time.monotonic() - self._clock
        times = os.times()
        moved = _bytes_moved()
        record = {
            "step": self.name,
            "image": self.job.image,
            "command": list(self.command),
            "key": self.key,
            "reference": dict(self.reference) if self.reference else None,
            "start": _timestamp(self._started),
            "end": _timestamp(ended),
            "wall_seconds": round(wall, 2),
            "user_seconds": round(times.user + times.children_user, 2),
            "system_seconds": round(times.system + times.children_system, 2),
            "read_bytes": moved.get("read_bytes", 0),
            "written_bytes": moved.get("write_bytes", 0),
            "peak_memory_bytes": sum(cost.peak_memory_bytes for cost in self.costs),
            "threads": self.job.threads,
            "memory_mib": self.job.memory_mib,
            "notes": self.notes,
            "stages": [asdict(cost) for cost in self.costs],
            "inputs": [asdict(entry) for entry in self._files],
            "outputs": [asdict(entry) for entry in self.outputs],
        }
        for note in self.notes:
            say(f"note: {note}")
        self._results.append((self.write(".record", json.dumps(record, indent=2) + "\n"), self.record))
        for source, target in self._results:
            try:
                source.replace(target)
            except OSError as error:
                raise cannot_write(target, error) from error
        say(f"{self.name}: done in {wall:.2f} s")


def _sweep(desk: Path, prefix: str) -> None:
    """Removes what killed attempts of a step left. An attempt that lives holds its lock; one that was killed does not.

    Lustre must be mounted with `flock` for this to hold between hosts, and it is.
    """
    for folder in desk.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _bytes_moved() -> dict[str, int]:
    """What this process and its children read from and wrote to file systems, as the kernel counts."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def _timestamp(seconds: float) -> str:
    """RFC 3339, to the millisecond."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
