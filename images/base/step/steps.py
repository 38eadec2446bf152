"""The life of a step: its work directory, its programs, the results that it publishes, and its record.

A step works below a temporary name beside the runs, checks what it made, and renames it. If it is killed, nothing looks
finished, and concurrent attempts cannot spoil each other. The record is renamed last and makes the step done.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from step import signals
from step.errors import BadDataError, CannotCreateError, ToolFailedError, cannot_read, cannot_write, write_stderr
from step.files import make_folder, sha256
from step.job import Job
from step.pipeline import Cost, Feed, Pipeline, Program, run_together
from step.records import RECORDS, File, Identity, Record

WORK = ".work"  # below /scratch/working: on the file system of the results, so that a rename can publish them
_REREAD_BYTES = 16 << 20  # outputs up to this size are read once more if no pipeline computed their digest
_Checked = TypeVar("_Checked")


def log(text: str) -> None:
    """Prints a line to stderr."""
    write_stderr(f"step: {text}\n".encode(errors="backslashreplace"))


@dataclass(kw_only=True)
class Step:
    """One attempt of a step.

    Attributes:
        name: The name of its record.
        folder: The sample's directory, with results and records.
        command: The command line for the record.
        inputs: The files that it reads.
        input_digests: Digests that earlier steps recorded for these; see `records.output_digests`.
        reference: Name and digest of the reference, for the record.
        key: A digest over what the result depends on: image, command, reference, and the content of every input.
        work: The work directory, once the step is entered.
        notes: What the user should know about the result, for the record and the log.
        writable: Directories that this step writes to, beside its folder and its work directory.
    """

    job: Job
    name: str
    folder: Path
    command: Sequence[str]
    inputs: Sequence[Path] = ()
    input_digests: Mapping[Identity, str | None] = field(default_factory=dict)
    reference: Mapping[str, str] | None = None
    key: str = ""
    work: Path = Path()
    costs: list[Cost] = field(default_factory=list)
    outputs: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    writable: Sequence[Path] = ()
    _input_files: tuple[File, ...] = ()
    _digests: dict[str, str] = field(default_factory=dict)
    _started: float = 0.0
    _clock: float = 0.0
    _locks: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _results: list[tuple[Path, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Looks at the inputs and computes the key. Raises StepError."""
        files = []
        for path in self.inputs:
            try:
                file = File.of(path)
            except OSError as error:
                raise cannot_read(path, error) from error
            files.append(replace(file, sha256=self.input_digests.get(file.identity)))
        self._input_files = tuple(files)
        parts = [self.job.image, list(self.command), self.reference, [file.content for file in files]]
        self.key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def record_path(self) -> Path:
        """The path of the record."""
        return self.folder / RECORDS / f"{self.name}.json"

    def is_done(self) -> bool:
        """Whether the record has this step's key and every output is unchanged."""
        record = Record.read(self.record_path)
        if record is None or record.key != self.key or not record.outputs_are_unchanged:
            return False
        log(f"{self.name} is done already ({self.record_path}): nothing to do")
        return True

    def __enter__(self) -> Self:
        """Creates the work directory, removes those of killed attempts, and gives up the right to write elsewhere."""
        make_folder(self.record_path.parent)
        parent = make_folder(self.job.root / "working" / WORK / self.folder.relative_to(self.job.root / "working"))
        try:
            # The first lock lets one attempt at a time remove abandoned directories and create its own. The second one
            # is held until this process ends, and distinguishes live attempts from killed ones.
            with (parent / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                _remove_abandoned(parent, f"tmp.{self.name}.")
                with signals.deferred():
                    self.work = parent / f"tmp.{self.name}.{os.urandom(6).hex()}"
                    self.work.mkdir(mode=0o700)
                fcntl.flock(self._locks.enter_context((self.work / ".lock").open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            why = self.job.hold_writes_to((self.folder, parent, *map(make_folder, self.writable)))
        except OSError as error:
            self._clean_up()
            raise cannot_write(parent, error) from error
        except BaseException:
            self._clean_up()
            raise
        if why:
            self.notes.append(f"this step may write all of {self.job.root / 'working'}: no Landlock here ({why})")
        self._started, self._clock = time.time(), time.monotonic()
        log(f"{self.name}: {self.job.threads} threads, {self.job.memory_mib} MiB")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the work directory."""
        self._clean_up()

    def _clean_up(self) -> None:
        with signals.deferred():
            if self.work != Path():
                shutil.rmtree(self.work, ignore_errors=True)
            self._locks.close()

    # ---- programs ----------------------------------------------------------------------------------------------------

    def pipeline(self, *programs: Program, feed: Feed | None = None, sink: str = "") -> Pipeline:
        """A pipeline that runs in the work directory."""
        return Pipeline(
            programs=programs,
            work=self.work,
            environment={**self.job.environment, "LC_ALL": "C"},
            memory_mib=self.job.memory_mib,
            feed=feed,
            sink=sink,
        )

    def run(self, *programs: Program, feed: Feed | None = None, sink: str = "") -> None:
        """Runs a pipeline and notes its cost. Raises StepError."""
        self.run_together(self.pipeline(*programs, feed=feed, sink=sink))

    def run_together(self, *pipelines: Pipeline) -> None:
        """Runs pipelines concurrently and notes their costs. Raises StepError."""
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

    def set_input_digest(self, path: Path, digest: str) -> None:
        """Notes the digest of an input that was computed while reading it."""
        self._input_files = tuple(
            replace(file, sha256=digest) if file.path == str(path) else file for file in self._input_files
        )

    def check_output(self, name: str, check: Callable[[Path], _Checked]) -> _Checked:
        """Checks a file that this step's programs wrote. Raises ToolFailedError if it is broken."""
        try:
            return check(self.work / name)
        except BadDataError as error:
            raise ToolFailedError(
                f"{name} came out broken", why=str(error).rstrip("."), fix="Run the step again."
            ) from error

    def publish(self, name: str, target: Path) -> None:
        """Registers a finished file of the work directory, for `finish` to rename to its final name.

        Raises:
            StepError: The file is missing or empty, or its target is a directory.
        """
        make_folder(target.parent)
        source = self.work / name
        try:
            file = File.of(source, self._digests.get(name))
        except FileNotFoundError:
            file = None
        except OSError as error:
            raise cannot_read(source, error) from error
        if file is None or not file.size:
            raise ToolFailedError(
                f"no {target.name}", why=f"the programs wrote nothing to {name}", fix="Run the step again."
            )
        if target.is_dir():
            raise CannotCreateError(
                f"cannot write {target}", why="it is a directory", fix="Remove it, and run the step again."
            )
        if file.sha256 is None and file.size <= _REREAD_BYTES:
            file = replace(file, sha256=sha256(source))
        self.outputs.append(replace(file, path=str(target)))
        self._results.append((source, target))

    def finish(self) -> None:
        """Writes the record, then renames the results and the record to their final names. Raises StepError.

        Since the record is written first, a disk that is full by then leaves all results of an earlier attempt, and
        none of this one.
        """
        ended, wall = time.time(), time.monotonic() - self._clock
        times = os.times()
        transfer = _bytes_transferred()
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
            "read_bytes": transfer.get("read_bytes", 0),
            "written_bytes": transfer.get("write_bytes", 0),
            "peak_memory_bytes": sum(cost.peak_memory_bytes for cost in self.costs),
            "threads": self.job.threads,
            "memory_mib": self.job.memory_mib,
            "notes": self.notes,
            "stages": [asdict(cost) for cost in self.costs],
            "inputs": [asdict(file) for file in self._input_files],
            "outputs": [asdict(file) for file in self.outputs],
        }
        for note in self.notes:
            log(f"note: {note}")
        self._results.append((self.write(".record", json.dumps(record, indent=2) + "\n"), self.record_path))
        for source, target in self._results:
            try:
                source.replace(target)
            except OSError as error:
                raise cannot_write(target, error) from error
        log(f"{self.name}: done in {wall:.2f} s")


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Removes the work directories of killed attempts, whose locks are free.

    Between hosts, this depends on Lustre being mounted with `flock`, and it is.
    """
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _bytes_transferred() -> dict[str, int]:
    """The I/O counters of this process and its ended children."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def _timestamp(seconds: float) -> str:
    """RFC 3339, to the millisecond."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
