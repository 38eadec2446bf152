"""Prepared references: immutable, and found by the digest of their FASTA.

    /scratch/working/<workflow>/reference/<sha256>/fasta/reference.fa, .fai
    /scratch/working/<workflow>/reference/<sha256>/<aligner>/...      the aligner's index
    /scratch/working/<workflow>/reference/names/<name>.json           the digest of the name when it was last prepared
    /scratch/working/<workflow>/<run>/steps/reference/<name>.json     the one that a run uses, from its first step on

Each directory is published by one rename. A reference that is replaced is prepared beside the old one, and a run that
has begun keeps the one that it began with.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from step.errors import (
    BadDataError,
    MissingInputError,
    ToolFailedError,
    TryAgainError,
    UsageError,
    cannot_read,
    cannot_write,
    printable,
)
from step.fasta import prepare
from step.job import REFERENCES, Job, cannot_enter, check_input, is_there
from step.pipeline import PIPE_BYTES, Program, write_all
from step.steps import RECORDS, Record, Step, beside, is_as, make_folder, say, sha256, write_text

FASTA = "reference.fa"
SEQUENCES = "fasta"  # the directory of the FASTA and its index
MANIFEST = "manifest.json"
ALTERNATIVE = ".alt"
BESIDE = ".prepared"  # a directory beside a FASTA, with what a prepared reference holds


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A prepared reference.

    Attributes:
        name: The FASTA's path below /scratch/reference.
        sha256: Of the FASTA as it was when it was prepared, and of a .alt file beside it.
        folder: Where it is.
    """

    name: str
    sha256: str
    folder: Path

    @property
    def fasta(self) -> Path:
        """The FASTA, uncompressed."""
        return self.folder / SEQUENCES / FASTA

    @cached_property
    def lengths(self) -> dict[str, int]:
        """The sequences' lengths in bases, in the order of the FASTA."""
        return read_fai(Path(f"{self.fasta}.fai"))

    def index(self, aligner: str) -> Path:
        """The prefix of an aligner's index.

        Raises:
            MissingInputError: It has not been made.
        """
        if not is_there(self.folder / aligner / MANIFEST):
            raise MissingInputError(
                f"reference '{self.name}' has no index of {aligner}",
                why=f"{self.folder / aligner} is not there",
                fix=f"Run 'step index {self.name}' once, with the {aligner} image.",
            )
        _check_sizes(self.folder, aligner, self.name)
        return self.folder / aligner / FASTA

    @property
    def record(self) -> dict[str, str]:
        """What records of steps hold of it."""
        return {"name": self.name, "sha256": self.sha256}


def read_fai(file: Path) -> dict[str, int]:
    """Name to length, out of a .fai. Raises StepError."""
    try:
        rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
        lengths = {row[0]: int(row[1]) for row in rows}
    except PermissionError as error:
        raise cannot_enter(file) from error
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


def find(job: Job, name: str) -> Reference:
    """The reference that a run uses: the one it began with, or else the one prepared last, which it then keeps.

    Raises:
        MissingInputError: None of that name has been prepared.
    """
    pin = job.run / RECORDS / "reference" / f"{name}.json"
    digest = _digest(pin)
    if digest is None:
        latest = _digest(_latest(job, name))
        if latest is None:
            source = job.root / "reference" / name
            check_input(source)
            raise MissingInputError(
                f"reference '{name}' is not prepared",
                why=f"{_latest(job, name)} is not there",
                fix=f"Run 'step index {name}' once, with the image of an aligner.",
            )
        if _is_replaced(job, name):
            raise MissingInputError(
                f"reference '{name}' is not prepared",
                why=f"{job.root / 'reference' / name} was replaced or changed since it was",
                fix=f"Run 'step index {name}' again, with the image of an aligner.",
            )
        digest = _keep(pin, name, latest)
    folder = job.workflow / REFERENCES / digest
    if not is_there(folder / SEQUENCES / MANIFEST):
        raise MissingInputError(
            f"reference '{name}' is not prepared",
            why=f"{folder} is not there",
            fix=f"Run 'step index {name}' again, with the image of an aligner.",
        )
    _check_sizes(folder, SEQUENCES, name)
    return Reference(name=name, sha256=digest, folder=folder)


def _check_sizes(folder: Path, part: str, name: str) -> None:
    """Refuses a part of a prepared reference of which a file is gone or was cut off. Raises BadDataError."""
    try:
        sizes: Mapping[str, int] = json.loads((folder / part / MANIFEST).read_text(encoding="utf-8"))["sizes"]
    except (OSError, ValueError, KeyError, TypeError):  # an earlier image noted none
        return
    for file, size in sizes.items():
        path = folder / part / file
        found = path.stat().st_size if is_there(path) else 0
        if found != size:
            raise BadDataError(
                f"reference '{name}' is damaged",
                why=f"{path} has {found} bytes, and 'step index' left {size}",
                fix=f"Remove {folder}, and run 'step index {name}' again.",
            )


def check_origin(reference: Reference, folder: Path, files: Sequence[Path], *patterns: str) -> None:
    """Refuses files of a run that were made with another reference than the run now uses.

    Args:
        reference: The one that the run uses.
        folder: The sample's.
        files: What a step is about to read.
        patterns: Names of the records, without `.json`, of the steps that write them.

    Raises:
        BadDataError: A record says so of a file that still is as it was left.
    """
    wanted = {str(file) for file in files}
    for pattern in patterns:
        for place in sorted((folder / RECORDS).glob(f"{pattern}.json")):
            record = Record.read(place)
            if record is None or record.reference in (None, reference.sha256):
                continue
            for entry in record.outputs:
                if entry.path in wanted and is_as(entry):
                    raise BadDataError(
                        f"{Path(entry.path).name} was made with another reference",
                        why=f"{place.name} says {printable(str(record.reference))}, and {reference.name} of this run "
                        f"is {reference.sha256}",
                        fix=f"Run {place.stem} again, and what follows it.",
                    )


def _is_replaced(job: Job, name: str) -> bool:
    """Whether a FASTA is another file than the one that was prepared, as far as can be told without reading it.

    That is no proof that it is the same; `step index` reads it.
    """
    try:
        then = json.loads(_latest(job, name).read_text(encoding="utf-8"))["file"]
        return bool(then != _file(job.root / "reference" / name))
    except (OSError, ValueError, KeyError, TypeError):  # gone, or noted by an earlier image
        return False


def _file(source: Path) -> list[int]:
    """What changes when a file is replaced by one of the same size and time, too: when its inode was changed."""
    status = source.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _latest(job: Job, name: str) -> Path:
    return job.workflow / REFERENCES / "names" / f"{name}.json"


def _digest(file: Path) -> str | None:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["sha256"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    except PermissionError as error:
        raise cannot_enter(file) from error
    except OSError as error:
        raise cannot_read(file, error) from error


def _named(name: str, digest: str, **further: object) -> str:
    return json.dumps({"name": name, "sha256": digest, **further}, indent=2) + "\n"


def _keep(pin: Path, name: str, digest: str) -> str:
    """Notes for a run which reference it uses. Of steps that do so at once, one wins, and its digest is returned."""
    mine = beside(pin)
    write_text(mine, _named(name, digest))
    try:
        os.link(mine, pin)
    except FileExistsError:
        pass
    except OSError as error:
        raise cannot_write(pin, error) from error
    finally:
        mine.unlink(missing_ok=True)
    return _digest(pin) or digest


# ---- preparing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """How an aligner's index is made.

    Attributes:
        aligner: Its image.
        command: What makes it, before the FASTA and the prefix.
        bytes_per_base: The memory that takes.
        suffixes: Those of the files to keep.
    """

    aligner: str
    command: Callable[[Path, Path], tuple[str, ...]]
    bytes_per_base: int
    suffixes: tuple[str, ...]


def prepare_reference(job: Job, name: str, indexer: Indexer) -> None:
    """`step index`: prepares a reference, or finds it prepared, and notes its digest for the workflow and the run.

    Raises:
        BadDataError: It is no FASTA of DNA, or a name in it cannot work.
        StepError: It cannot be read or written.
    """
    runs = [job.run] if job.environment.get("EXECUTION_ID") else []
    job.check_mounts("reference", "working")
    source = check_input(job.root / "reference" / name)
    fasta = sha256(source)
    file = _file(source)
    alternative = _alternative(source)
    digest = hashlib.sha256(f"{fasta}\n".encode() + alternative).hexdigest() if alternative else fasta
    folder = job.workflow / REFERENCES / digest
    command = ("step", "index", name)
    step = Step(
        job=job,
        name=f"index.{indexer.aligner}",
        folder=folder,
        command=command,
        reference={"name": name, "sha256": digest},
    )
    kept = folder / indexer.aligner / MANIFEST
    if kept.exists() and (folder / SEQUENCES / MANIFEST).exists():
        for part in (SEQUENCES, indexer.aligner):
            _check_sizes(folder, part, name)
        say(f"{step.name} is done already ({kept}): nothing to do")
    else:
        with step:
            if not (folder / SEQUENCES / MANIFEST).exists():
                _prepare_fasta(step, source, name, fasta)
                _publish(step, SEQUENCES, digest)
            if not kept.exists():
                _check_alternative(alternative, name, folder)
                needed = {FASTA + suffix for suffix in (*indexer.suffixes, *([ALTERNATIVE] if alternative else []))}
                if not _adopt(step, source, indexer.aligner, needed, digest):
                    _note_unproven(source, indexer)
                    _make_index(step, name, indexer, alternative)
                _publish(step, indexer.aligner, digest)
            step.finish()
    write_text(_latest(job, name), _named(name, digest, file=file))
    for run in runs:
        write_text(run / RECORDS / "reference" / f"{name}.json", _named(name, digest))


def _prepare_fasta(step: Step, source: Path, name: str, digest: str) -> None:
    place = make_folder(step.work / SEQUENCES)
    try:
        with (place / FASTA).open("wb", buffering=0) as out:
            read = prepare(source, name, lambda data: write_all(out, data))
    except OSError as error:
        raise cannot_write(place / FASTA, error) from error
    if read != digest:
        raise TryAgainError(
            f"{name} changed while it was read", why="its digest is another than before", fix="Run the step again."
        )
    step.run(Program(name="faidx", command=("samtools", "faidx", f"{SEQUENCES}/{FASTA}")))


def _alternative(source: Path) -> bytes:
    """What a .alt file beside a FASTA holds, by which aligners know ALT contigs; nothing if there is none."""
    file = source.with_name(f"{source.name}{ALTERNATIVE}")
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise cannot_enter(file) from error
    except OSError as error:
        raise cannot_read(file, error) from error


def _check_alternative(alternative: bytes, name: str, folder: Path) -> None:
    """Refuses a .alt file that is of another reference. Raises BadDataError."""
    lines = (line for line in alternative.decode("latin-1").splitlines() if line.strip() and not line.startswith("@"))
    known = read_fai(folder / SEQUENCES / f"{FASTA}.fai")
    for line in lines:
        if (sequence := line.split()[0]) not in known:
            raise BadDataError(
                f"cannot index {name}",
                why=f"{name}{ALTERNATIVE} names '{printable(sequence)}', which is no sequence of it",
                fix=f"Give the {ALTERNATIVE} file of this FASTA, or none.",
            )


def _note_unproven(source: Path, indexer: Indexer) -> None:
    """Says that an index is made anew though one lies beside the FASTA: nothing proves that it is of these bytes."""
    for suffix in indexer.suffixes:
        for file in (source.with_name(f"{source.name}{suffix}"), source.with_name(f"{source.name}.64{suffix}")):
            if file.exists():
                say(f"note: {file.name} is not used: nothing proves that it is of this FASTA")
                return


def _make_index(step: Step, name: str, indexer: Indexer, alternative: bytes) -> None:
    fasta = step.folder / SEQUENCES / FASTA
    needed = sum(read_fai(Path(f"{fasta}.fai")).values()) * indexer.bytes_per_base >> 20
    if needed >= step.job.memory_mib:
        raise UsageError(
            "too little memory",
            why=f"to index {name} takes {needed} MiB and this job has {step.job.memory_mib}",
            fix="Raise this job's memory.",
        )
    place = make_folder(step.work / indexer.aligner)
    command = indexer.command(fasta, place / FASTA)
    step.run(Program(name=Path(command[0]).name, command=command))
    for file in place.iterdir():
        if file.name.removeprefix(FASTA) not in indexer.suffixes:
            file.unlink()
    for suffix in indexer.suffixes:
        file = place / f"{FASTA}{suffix}"
        if not file.exists() or not file.stat().st_size:
            raise ToolFailedError(
                "the index came out broken", why=f"there is nothing in its {suffix}", fix="Run the step again."
            )
    if alternative:
        step.write(f"{indexer.aligner}/{FASTA}{ALTERNATIVE}", alternative.decode("latin-1"))


def _publish(step: Step, part: str, digest: str) -> None:
    """Renames a directory of the work directory into the prepared reference, with a list of what is in it."""
    place = step.work / part
    files = {file.name: sha256(file) for file in sorted(place.iterdir())}
    sizes = {name: (place / name).stat().st_size for name in files}
    manifest = {"fasta": digest, "files": files, "sizes": sizes}
    step.write(f"{part}/{MANIFEST}", json.dumps(manifest, indent=2) + "\n")
    target = step.folder / part
    try:
        place.rename(target)
    except OSError as error:
        if not (target / MANIFEST).exists():  # else another attempt was first, with the same content
            raise cannot_write(target, error) from error


def _adopt(step: Step, source: Path, aligner: str, needed: set[str], digest: str) -> bool:
    """Copies an index that came with the reference, if it provably belongs to these bytes. Raises StepError."""
    folder = source.with_name(source.name + BESIDE) / aligner
    place = make_folder(step.work / aligner)
    why = _copied(folder, place, needed, digest)
    if why is None:
        return True
    try:
        shutil.rmtree(place)
    except OSError as error:
        raise cannot_write(place, error) from error
    if why:
        say(f"note: {folder} is not used: {why}")
    return False


def _copied(folder: Path, place: Path, needed: set[str], digest: str) -> str | None:
    """Why an index could not be copied, with no word if there is none; nothing if it was. Raises StepError."""
    try:
        manifest: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        fasta, files = manifest["fasta"], dict(manifest["files"])
    except (FileNotFoundError, NotADirectoryError):
        return "" if not folder.is_dir() else f"it has no {MANIFEST}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"its {MANIFEST} cannot be read"
    if fasta != digest or set(files) != needed:
        return "it is the index of another FASTA"
    for name in sorted(needed):
        try:
            stream = (folder / name).open("rb", buffering=0)
        except OSError:
            return f"{name} cannot be read"
        with stream:
            if _copy(stream, place / name) != files[name]:
                return f"{name} is not what its {MANIFEST} says"
    return None


def _copy(stream: BinaryIO, target: Path) -> str | None:
    """Copies a file, and returns its digest; nothing if it cannot be read. Raises StepError if it cannot be written."""
    digest = hashlib.sha256()
    try:
        with target.open("wb", buffering=0) as out:
            while True:
                try:
                    chunk = stream.read(PIPE_BYTES)
                except OSError:
                    return None
                if not chunk:
                    return digest.hexdigest()
                digest.update(chunk)
                write_all(out, chunk)
    except OSError as error:
        raise cannot_write(target, error) from error
