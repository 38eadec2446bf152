"""What FSx refuses when a file system, a link or a task is asked for."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

from toolchain.localaws.fsx.model import Association, FileSystem, Json, Place, bad
from toolchain.localaws.refusing import RefusalError

MOST_ASSOCIATIONS: Final = 8
_MOST_PATHS: Final = 100
_LONGEST_PATH: Final = 4096
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_EVENTS: Final = frozenset({"NEW", "CHANGED", "DELETED"})
_VERSIONS: Final = frozenset({"2.10", "2.12", "2.15"})
_DEPLOYMENTS: Final = frozenset({"SCRATCH_1", "SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2"})
# MB/s per TiB: https://docs.aws.amazon.com/fsx/latest/APIReference/API_CreateFileSystemLustreConfiguration.html
_THROUGHPUTS: Final = {"PERSISTENT_1": {12, 40, 50, 100, 200}, "PERSISTENT_2": {125, 250, 500, 1000}}
_SMALLEST: Final = 1200
_STEP: Final = 2400
_SCRATCH_1_STEP: Final = 3600
_LINKED: Final = ("ImportPath", "ExportPath", "AutoImportPolicy", "ImportedFileChunkSize")
KINDS: Final = frozenset({"EXPORT_TO_REPOSITORY", "IMPORT_METADATA_FROM_REPOSITORY"})


def check_file_system(given: Mapping[str, Json]) -> None:
    """Refuses a file system that FSx would not make.

    Raises:
        RefusalError: Why.
    """
    if given.get("FileSystemType") != "LUSTRE":
        raise bad("The embedded AWS has file systems of the type LUSTRE only.")
    lustre = given.get("LustreConfiguration") or {}
    deployment = lustre.get("DeploymentType", "SCRATCH_1")
    if deployment not in _DEPLOYMENTS:
        raise bad(f"DeploymentType {deployment} is not valid.")
    if len(given.get("SubnetIds") or ()) != 1:
        raise bad("Lustre file systems take exactly one subnet.")
    version = given.get("FileSystemTypeVersion", "2.10")
    if version not in _VERSIONS or (deployment == "PERSISTENT_2" and version == "2.10"):
        raise bad(f"FileSystemTypeVersion {version} is not valid for {deployment}.")
    _check_capacity(int(given.get("StorageCapacity") or 0), deployment)
    throughput = lustre.get("PerUnitStorageThroughput")
    if (throughput is not None or deployment in _THROUGHPUTS) and throughput not in _THROUGHPUTS.get(deployment, ()):
        raise RefusalError(
            "InvalidPerUnitStorageThroughput", f"PerUnitStorageThroughput {throughput} is not valid for {deployment}."
        )
    if given.get("KmsKeyId") and deployment not in _THROUGHPUTS:
        raise bad(f"KmsKeyId cannot be given for {deployment}.")
    _check_legacy(lustre, deployment)


def _check_capacity(capacity: int, deployment: str) -> None:
    step = _SCRATCH_1_STEP if deployment == "SCRATCH_1" else _STEP
    if capacity != _SMALLEST and (capacity <= 0 or capacity % step):
        raise bad(
            f"StorageCapacity {capacity} is not valid for {deployment}: {_SMALLEST}, or a multiple of {step} GiB."
        )


def _check_legacy(lustre: Mapping[str, Json], deployment: str) -> None:
    if deployment == "PERSISTENT_2" and any(name in lustre for name in _LINKED):
        raise bad("PERSISTENT_2 takes no import or export path: link it by a data repository association.")
    if "ImportPath" not in lustre:
        if any(name in lustre for name in _LINKED):
            raise bad("ExportPath, AutoImportPolicy and ImportedFileChunkSize go with an ImportPath only.")
        return
    place = Place.parse(lustre["ImportPath"])
    if "ExportPath" in lustre and Place.parse(lustre["ExportPath"]).bucket != place.bucket:
        raise RefusalError("InvalidExportPath", "ExportPath must be in the bucket of ImportPath.")


def check_association(given: Mapping[str, Json], file_system: FileSystem, others: Iterable[Association]) -> None:
    """Refuses a link that FSx would not make.

    Raises:
        RefusalError: Why.
    """
    if file_system.deployment == "SCRATCH_1":
        raise bad("Data repository associations are not supported on SCRATCH_1 file systems.")
    if file_system.given.get("FileSystemTypeVersion", "2.10") == "2.10":
        raise bad("Data repository associations need a file system of version 2.12 or 2.15.")
    if any(name in file_system.lustre for name in _LINKED):
        raise bad("A file system with an import path cannot have data repository associations.")
    text = str(given.get("FileSystemPath") or "")
    if not text.startswith("/") or text.startswith("//") or ".." in PurePosixPath(text).parts:
        raise bad(f"FileSystemPath {text} is not valid: it must begin with a slash.")
    path, place = PurePosixPath(text), Place.parse(str(given.get("DataRepositoryPath") or ""))
    linked = list(others)
    if len(linked) >= MOST_ASSOCIATIONS:
        raise RefusalError(
            "ServiceLimitExceeded", f"A file system can have at most {MOST_ASSOCIATIONS} data repository associations."
        )
    for other in linked:
        if path.is_relative_to(other.path) or other.path.is_relative_to(path):
            raise bad(f"FileSystemPath {path} overlaps with {other.path}, which {other.id} links.")
        if place == other.place:
            raise bad(f"DataRepositoryPath {given['DataRepositoryPath']} is linked already, by {other.id}.")
    check_events(given)


def check_events(given: Mapping[str, Json]) -> None:
    """Refuses policies for other events than there are.

    Raises:
        RefusalError: Which.
    """
    for name in ("AutoImportPolicy", "AutoExportPolicy"):
        events = ((given.get("S3") or {}).get(name) or {}).get("Events") or ()
        if unknown := sorted(set(events) - _EVENTS):
            raise bad(f"{name} has unknown events: {', '.join(unknown)}.")


def check_task(given: Mapping[str, Json], repositories: Iterable[Place]) -> None:
    """Refuses a task that FSx would not make.

    Args:
        given: What is asked.
        repositories: The places that the file system is linked to.

    Raises:
        RefusalError: Why.
    """
    if given.get("Type") not in KINDS:
        raise bad(f"The embedded AWS has no data repository tasks of the type {given.get('Type')}.")
    token = given.get("ClientRequestToken")
    if token is not None and not _TOKEN.fullmatch(token):
        raise bad(f"ClientRequestToken {token} is not valid.")
    paths = given.get("Paths") or ()
    if len(paths) > _MOST_PATHS or any(len(path) > _LONGEST_PATH for path in paths):
        raise bad(f"At most {_MOST_PATHS} paths of at most {_LONGEST_PATH} characters can be given.")
    linked = list(repositories)
    if not linked:
        raise RefusalError("UnsupportedOperation", "The file system is not linked to a data repository.")
    report = given.get("Report")
    if report is None:
        raise bad("Report must be given.")
    if report.get("Enabled"):
        if report.get("Format") != "REPORT_CSV_20191124" or report.get("Scope") != "FAILED_FILES_ONLY":
            raise bad("An enabled report needs the format REPORT_CSV_20191124 and the scope FAILED_FILES_ONLY.")
        place = Place.parse(str(report.get("Path") or ""))
        if not any(one.holds(place) for one in linked):
            raise bad(f"The report's path {report['Path']} is not within the file system's data repository.")
