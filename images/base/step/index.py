"""`step index`: prepares a reference once, in a directory named by the digest of its FASTA.

Each part is published by one rename. A replaced reference is prepared beside the old one, and runs that have begun keep
the old one.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from step.arguments import check_path, positional
from step.errors import (
    BadDataError,
    ToolFailedError,
    TryAgainError,
    UsageError,
    cannot_read,
    cannot_write,
    printable,
)
from step.fasta import normalise
from step.files import make_folder, sha256
from step.job import REFERENCES, Job, check_input, no_permission
from step.pipeline import PIPE_BYTES, Program, write_all
from step.records import RECORDS
from step.references import (
    FASTA,
    MANIFEST,
    SEQUENCES,
    check_sizes,
    latest_file,
    read_fai,
    source_state,
    write_digest,
)
from step.steps import Step, log

ALT = ".alt"
DELIVERED = ".prepared"  # the suffix of a directory beside a FASTA that holds indexes in a prepared reference's layout


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """How an aligner's index is made.

    Attributes:
        aligner: The aligner's name.
        command: The indexing command for a FASTA and an index prefix.
        bytes_per_base: Memory that indexing takes.
        suffixes: Of the index files to keep.
    """

    aligner: str
    command: Callable[[Path, Path], tuple[str, ...]]
    bytes_per_base: int
    suffixes: tuple[str, ...]


def prepare(indexer: Indexer, job: Job, arguments: Sequence[str]) -> None:
    """`step index REFERENCE`: prepares a reference unless that is done, and pins workflow and run to its digest.

    Raises:
        BadDataError: It is no FASTA of DNA, or a name in it is not allowed.
        StepError: It cannot be read or written.
    """
    name = check_path("reference", positional(arguments, "reference")["reference"])
    run = job.run if job.environment.get("EXECUTION_ID") else None
    job.check_mounts("reference", "working")
    source = check_input(job.root / "reference" / name)
    fasta_digest = sha256(source)
    state = source_state(source)
    alt = _read_alt(source)
    digest = hashlib.sha256(f"{fasta_digest}\n".encode() + alt).hexdigest() if alt else fasta_digest
    folder = job.workflow / REFERENCES / digest
    step = Step(
        job=job,
        name=f"index.{indexer.aligner}",
        folder=folder,
        command=("step", "index", name),
        reference={"name": name, "sha256": digest},
        writable=(job.workflow / REFERENCES, *([run] if run else [])),
    )
    index_manifest = folder / indexer.aligner / MANIFEST
    if index_manifest.exists() and (folder / SEQUENCES / MANIFEST).exists():
        for part in (SEQUENCES, indexer.aligner):
            check_sizes(folder, part, name)
        log(f"{step.name} is done already ({index_manifest}): nothing to do")
    else:
        with step:
            if not (folder / SEQUENCES / MANIFEST).exists():
                _prepare_fasta(step, source, name, fasta_digest)
                _publish(step, SEQUENCES, digest)
            if not index_manifest.exists():
                _check_alt(alt, name, folder)
                files = {FASTA + suffix for suffix in (*indexer.suffixes, *([ALT] if alt else []))}
                if not _use_delivered_index(step, source, indexer.aligner, files, digest):
                    _log_unproven_index(source, indexer)
                    _make_index(step, name, indexer, alt)
                _publish(step, indexer.aligner, digest)
            step.finish()
    write_digest(latest_file(job, name), name, digest, file=state)
    if run:
        write_digest(run / RECORDS / "reference" / f"{name}.json", name, digest)


def _prepare_fasta(step: Step, source: Path, name: str, digest: str) -> None:
    folder = make_folder(step.work / SEQUENCES)
    try:
        with (folder / FASTA).open("wb", buffering=0) as out:
            digest_read = normalise(source, name, lambda data: write_all(out, data))
    except OSError as error:
        raise cannot_write(folder / FASTA, error) from error
    if digest_read != digest:
        raise TryAgainError(
            f"{name} changed while it was read", why="its digest is another than before", fix="Run the step again."
        )
    step.run(Program(name="faidx", command=("samtools", "faidx", f"{SEQUENCES}/{FASTA}")))


def _read_alt(source: Path) -> bytes:
    """The .alt file beside a FASTA, which tells aligners the ALT contigs; empty if there is none."""
    file = source.with_name(f"{source.name}{ALT}")
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise no_permission(file) from error
    except OSError as error:
        raise cannot_read(file, error) from error


def _check_alt(alt: bytes, name: str, folder: Path) -> None:
    """Checks that a .alt file names only sequences of the reference. Raises BadDataError."""
    lines = (line for line in alt.decode("latin-1").splitlines() if line.strip() and not line.startswith("@"))
    lengths = read_fai(folder / SEQUENCES / f"{FASTA}.fai")
    for line in lines:
        if (sequence := line.split()[0]) not in lengths:
            raise BadDataError(
                f"cannot index {name}",
                why=f"{name}{ALT} names '{printable(sequence)}', which is no sequence of it",
                fix=f"Give the {ALT} file of this FASTA, or none.",
            )


def _log_unproven_index(source: Path, indexer: Indexer) -> None:
    """Says that an index beside the FASTA is not used, since nothing proves that it belongs to it."""
    for suffix in indexer.suffixes:
        for file in (source.with_name(f"{source.name}{suffix}"), source.with_name(f"{source.name}.64{suffix}")):
            if file.exists():
                log(f"note: {file.name} is not used: nothing proves that it is of this FASTA")
                return


def _make_index(step: Step, name: str, indexer: Indexer, alt: bytes) -> None:
    fasta = step.folder / SEQUENCES / FASTA
    needed = sum(read_fai(Path(f"{fasta}.fai")).values()) * indexer.bytes_per_base >> 20
    if needed >= step.job.memory_mib:
        raise UsageError(
            "too little memory",
            why=f"to index {name} takes {needed} MiB and this job has {step.job.memory_mib}",
            fix="Raise this job's memory.",
        )
    folder = make_folder(step.work / indexer.aligner)
    command = indexer.command(fasta, folder / FASTA)
    step.run(Program(name=Path(command[0]).name, command=command))
    for file in folder.iterdir():
        if file.name.removeprefix(FASTA) not in indexer.suffixes:
            file.unlink()
    for suffix in indexer.suffixes:
        file = folder / f"{FASTA}{suffix}"
        if not file.exists() or not file.stat().st_size:
            raise ToolFailedError(
                "the index came out broken", why=f"there is nothing in its {suffix}", fix="Run the step again."
            )
    if alt:
        step.write(f"{indexer.aligner}/{FASTA}{ALT}", alt.decode("latin-1"))


def _publish(step: Step, part: str, digest: str) -> None:
    """Renames a directory of the work directory into the prepared reference, with a manifest of its files."""
    folder = step.work / part
    files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    sizes = {name: (folder / name).stat().st_size for name in files}
    manifest = {"fasta": digest, "files": files, "sizes": sizes}
    step.write(f"{part}/{MANIFEST}", json.dumps(manifest, indent=2) + "\n")
    target = step.folder / part
    try:
        folder.rename(target)
    except OSError as error:
        if not (target / MANIFEST).exists():  # otherwise another attempt published the same content first
            raise cannot_write(target, error) from error


def _use_delivered_index(step: Step, source: Path, aligner: str, files: set[str], digest: str) -> bool:
    """Copies an index that came with the reference, if it provably belongs to the FASTA. Raises StepError."""
    delivered = source.with_name(source.name + DELIVERED) / aligner
    folder = make_folder(step.work / aligner)
    fault = _copy_index(delivered, folder, files, digest)
    if fault is None:
        return True
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if fault:
        log(f"note: {delivered} is not used: {fault}")
    return False


def _copy_index(delivered: Path, folder: Path, files: set[str], digest: str) -> str | None:
    """Copies an index; returns None, or why it is not used, "" if there is none. Raises StepError."""
    try:
        manifest: Mapping[str, Any] = json.loads((delivered / MANIFEST).read_text(encoding="utf-8"))
        fasta_digest, digests = manifest["fasta"], dict(manifest["files"])
    except (FileNotFoundError, NotADirectoryError):
        return "" if not delivered.is_dir() else f"it has no {MANIFEST}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"its {MANIFEST} cannot be read"
    if fasta_digest != digest or set(digests) != files:
        return "it is the index of another FASTA"
    for name in sorted(files):
        try:
            stream = (delivered / name).open("rb", buffering=0)
        except OSError:
            return f"{name} cannot be read"
        with stream:
            if _copy(stream, folder / name) != digests[name]:
                return f"{name} is not what its {MANIFEST} says"
    return None


def _copy(stream: BinaryIO, target: Path) -> str | None:
    """Copies a file and returns its digest; None if it cannot be read. Raises StepError if it cannot be written."""
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
