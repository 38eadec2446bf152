"""File systems, data repository associations and data repository tasks of one account and region."""

import csv
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final, TypeVar

from moto.core.base_backend import BackendDict, BaseBackend

from toolchain.localaws.config import LocalConfig
from toolchain.localaws.fsx.tree import FsxError, Link, S3Path, Tree

# The tag that says where hosts mount a file system; here, which directory below scratch it is.
MOUNT_TAG: Final = "scratch-mount"
# No deeper: jobs may change what is within a file system.
_MOUNT: Final = re.compile(r"/scratch(/(?P<name>[A-Za-z0-9_-]+))?")
# The directory below scratch that steps write to.
_WORKING: Final = "working"
_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})
_TASK_END_SECONDS: Final = 30

Json = dict[str, Any]
_T = TypeVar("_T")


@dataclass(kw_only=True)
class Resource:
    """A file system, an association or a task.

    Attributes:
        description: As the API describes it: the request, and what was made of it.
    """

    description: Json

    @property
    def file_system_id(self) -> str:
        """The file system that it is, or belongs to."""
        return str(self.description["FileSystemId"])


@dataclass(kw_only=True)
class FileSystem(Resource):
    """A Lustre file system."""

    tree: Tree


@dataclass(kw_only=True)
class Association(Resource):
    """A data repository association."""

    link: Link

    @property
    def auto_import_events(self) -> list[str]:
        """The changes of objects that files follow."""
        events: list[str] = self.description["S3"].get("AutoImportPolicy", {}).get("Events", [])
        return events


@dataclass(kw_only=True)
class Task(Resource):
    """A data repository task."""

    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.description["Lifecycle"] in _ENDED


class _Resources(dict[str, _T]):
    """Resources by their ids; to look up one that does not exist is an error of the API."""

    def __init__(self, noun: str, error_code: str) -> None:
        super().__init__()
        self._noun = noun
        self._error_code = error_code

    def __missing__(self, resource_id: str) -> _T:
        raise FsxError(self._error_code, f"{self._noun} '{resource_id}' does not exist.")


def _once(create: "Callable[[LocalFsxBackend, Json], _T]") -> "Callable[[LocalFsxBackend, Json], _T]":
    """Lets a request that is repeated with its ClientRequestToken return what it created before."""

    @wraps(create)
    def create_once(self: "LocalFsxBackend", request: Json) -> _T:
        with self.lock:
            token = request.get("ClientRequestToken", secrets.token_hex())
            earlier, resource = self.created.get(token) or (request, create(self, request))
            if earlier != request:
                message = "The client request token was used with other parameters."
                raise FsxError("IncompatibleParameterError", message)
            self.created[token] = (request, resource)
            return resource

    return create_once


class LocalFsxBackend(BaseBackend):
    """FSx of one account and region. A request is that of the API: members by their names there."""

    config: ClassVar[LocalConfig]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.file_systems: _Resources[FileSystem] = _Resources("File system", "FileSystemNotFound")
        self.associations: _Resources[Association] = _Resources(
            "Data repository association", "DataRepositoryAssociationNotFound"
        )
        self.tasks: _Resources[Task] = _Resources("Data repository task", "DataRepositoryTaskNotFound")
        self.created: dict[str, tuple[Json, Any]] = {}
        self._threads: list[threading.Thread] = []
        self.lock = threading.RLock()

    def reset(self) -> None:
        """Ends the tasks, and forgets everything."""
        for task in self.tasks.values():
            task.cancelled.set()
        for thread in self._threads:
            thread.join(_TASK_END_SECONDS)
        super().reset()

    def _new(self, id_name: str, prefix: str, arn: str, request: Json) -> tuple[str, Json]:
        """The id and the description of a new resource, as far as all kinds have it in common."""
        resource_id = f"{prefix}-0{secrets.token_hex(8)}"
        return resource_id, {
            "Tags": [],
            **request,
            id_name: resource_id,
            "ResourceARN": f"arn:aws:fsx:{self.region_name}:{self.account_id}:{arn}/{resource_id}",
            "CreationTime": datetime.now(UTC),
            "Lifecycle": "AVAILABLE",
        }

    # ---- file systems -----------------------------------------------------------------------------------------------

    @_once
    def create_file_system(self, request: Json) -> FileSystem:
        """Makes a file system's directory, and imports what is beneath its import path."""
        if request.get("FileSystemType") != "LUSTRE":
            raise _bad_request("The embedded AWS has file systems of the type LUSTRE only.")
        given = request.get("LustreConfiguration") or {}
        configuration = {"DeploymentType": "SCRATCH_1", "DataCompressionType": "NONE", **given}
        configuration["MountName"] = "fsx" if configuration["DeploymentType"] == "SCRATCH_1" else secrets.token_hex(4)
        imported = None
        if "ImportPath" in given:
            repository = self._repository(given["ImportPath"], error_code="InvalidImportPath")
            # Files keep their whole keys as paths.
            imported = Link(PurePosixPath("/", repository.prefix), repository)
            configuration["DataRepositoryConfiguration"] = {
                "AutoImportPolicy": "NONE",
                **given,
                "Lifecycle": "AVAILABLE",
            }
        file_system_id, description = self._new("FileSystemId", "fs", "file-system", request)
        description |= {
            "OwnerId": self.account_id,
            "DNSName": f"{file_system_id}.fsx.{self.region_name}.amazonaws.com",
            "FileSystemTypeVersion": request.get("FileSystemTypeVersion", "2.10"),
            "StorageType": request.get("StorageType", "SSD"),
            "LustreConfiguration": configuration,
        }
        tree = Tree(root=self._root(file_system_id, description["Tags"]), buckets=self.config.buckets)
        self._make_directory(tree, PurePosixPath("/"))
        self.file_systems[file_system_id] = FileSystem(description=description, tree=tree)
        if imported:
            tree.import_objects(imported)
        return self.file_systems[file_system_id]

    def update_file_system(self, request: Json) -> FileSystem:
        """Changes the capacity and the Lustre configuration."""
        with self.lock:
            file_system = self.file_systems[request["FileSystemId"]]
            file_system.description["LustreConfiguration"].update(request.get("LustreConfiguration") or {})
            if "StorageCapacity" in request:
                file_system.description["StorageCapacity"] = request["StorageCapacity"]
            return file_system

    def delete_file_system(self, file_system_id: str) -> None:
        """Deletes a file system with its files and associations.

        Raises:
            FsxError: A task of it has not ended.
        """
        with self.lock:
            tree = self.file_systems[file_system_id].tree
            if self._has_task(file_system_id):
                raise _bad_request("The file system has a data repository task that is pending or executing.")
            del self.file_systems[file_system_id]
            for association in self._associations_of(file_system_id):
                del self.associations[association.description["AssociationId"]]
            # CloudFormation makes a file system's successor first, in the same directory.
            roots = [other.tree.root for other in self.file_systems.values()]
            if not any(root.is_relative_to(tree.root) for root in roots):
                tree.remove(self.config.root / "removed" / file_system_id)

    def _root(self, file_system_id: str, tags: list[dict[str, str]]) -> Path:
        """A file system's directory: below scratch if its tag says so, otherwise one that nothing mounts."""
        for tag in tags:
            if tag["Key"] == MOUNT_TAG and (mount := _MOUNT.fullmatch(tag["Value"])):
                return self.config.scratch / (mount["name"] or "")
        return self.config.root / "lustre" / file_system_id

    def _make_directory(self, tree: Tree, path: PurePosixPath) -> None:
        is_working = (tree.root / path.relative_to("/")).is_relative_to(self.config.scratch / _WORKING)
        try:
            tree.make_directory(path, for_steps=is_working)
        except OSError as error:
            raise _bad_request(f"The directory {path} cannot be made: {error.strerror}.") from error

    # ---- data repository associations -------------------------------------------------------------------------------

    @_once
    def create_association(self, request: Json) -> Association:
        """Links a directory to S3, and imports what is there if BatchImportMetaDataOnCreate says so."""
        file_system = self.file_systems[request["FileSystemId"]]
        path = PurePosixPath(request.get("FileSystemPath") or "/")
        if path.root != "/" or ".." in path.parts:
            raise _bad_request(f"FileSystemPath {path} is not valid: it must begin with one slash.")
        link = Link(path, self._repository(request["DataRepositoryPath"]))
        for other in self._associations_of(file_system.file_system_id):
            if path.is_relative_to(other.link.path) or other.link.path.is_relative_to(path):
                raise _bad_request(f"FileSystemPath {path} overlaps with that of another association.")
        arn = f"association/{file_system.file_system_id}"
        association_id, description = self._new("AssociationId", "dra", arn, {"S3": {}, **request})
        self._make_directory(file_system.tree, path)
        self.associations[association_id] = Association(description=description, link=link)
        if request.get("BatchImportMetaDataOnCreate"):
            file_system.tree.import_objects(link)
        return self.associations[association_id]

    def update_association(self, request: Json) -> Association:
        """Changes an association's policies."""
        with self.lock:
            association = self.associations[request["AssociationId"]]
            association.description.update(request)
            return association

    def delete_association(self, association_id: str) -> None:
        """Deletes an association; the files stay."""
        with self.lock:
            del self.associations[self.associations[association_id].description["AssociationId"]]

    def object_changed(self, bucket: str, key: str, *, exists: bool) -> None:
        """Updates the file of an object that was put or deleted, where an association's events include it."""
        event, changed = "NEW" if exists else "DELETED", S3Path(bucket, key)
        with self.lock:
            for association in self.associations.values():
                if event in association.auto_import_events and association.link.repository.contains(changed):
                    tree = self.file_systems[association.file_system_id].tree
                    tree.object_changed(association.link, key, exists=exists)

    def _associations_of(self, file_system_id: str) -> list[Association]:
        return [
            association for association in self.associations.values() if association.file_system_id == file_system_id
        ]

    def _repository(self, url: str, error_code: str = "BadRequest") -> S3Path:
        repository = S3Path.parse(url)
        if not repository.bucket_exists(self.config.buckets):
            message = f"Amazon FSx is unable to access the S3 bucket {repository.bucket}: it does not exist."
            raise FsxError(error_code, message)
        return repository

    # ---- data repository tasks --------------------------------------------------------------------------------------

    @_once
    def create_task(self, request: Json) -> Task:
        """Starts a task, unless another one runs on the file system."""
        file_system = self.file_systems[request["FileSystemId"]]
        work = {"EXPORT_TO_REPOSITORY": _export, "IMPORT_METADATA_FROM_REPOSITORY": _import}.get(request["Type"])
        if work is None:
            raise _bad_request(f"The embedded AWS has no data repository tasks of the type {request['Type']}.")
        links = [association.link for association in self._associations_of(file_system.file_system_id)]
        if not links:
            raise FsxError("UnsupportedOperation", "The file system is not linked to a data repository.")
        if request["Report"]["Enabled"]:
            path = request["Report"].get("Path", "")
            if not any(link.repository.contains(S3Path.parse(path)) for link in links):
                raise _bad_request(f"The report's path {path} is not within the file system's data repository.")
        if self._has_task(file_system.file_system_id):
            message = "An existing data repository task is currently executing on the file system."
            raise FsxError("DataRepositoryTaskExecuting", message)
        task_id, description = self._new("TaskId", "task", "task", request)
        counts = {"TotalCount": 0, "SucceededCount": 0, "FailedCount": 0}
        task = self.tasks[task_id] = Task(description={**description, "Lifecycle": "PENDING", "Status": counts})
        thread = threading.Thread(target=self._run, args=(task, file_system.tree, links, work), daemon=True)
        self._threads = [*(earlier for earlier in self._threads if earlier.is_alive()), thread]
        thread.start()
        return task

    def cancel_task(self, task_id: str) -> Task:
        """Stops a task after the file that it is at."""
        with self.lock:
            task = self.tasks[task_id]
            if task.has_ended:
                raise FsxError("DataRepositoryTaskEnded", "The data repository task has ended.")
            task.description["Lifecycle"] = "CANCELING"
            task.cancelled.set()
            return task

    def _has_task(self, file_system_id: str) -> bool:
        return any(task.file_system_id == file_system_id and not task.has_ended for task in self.tasks.values())

    def _run(self, task: Task, tree: Tree, links: list[Link], work: Callable[[Task, Tree, list[Link]], None]) -> None:
        description, counts = task.description, task.description["Status"]
        with self.lock:
            description["StartTime"] = datetime.now(UTC)
            if description["Lifecycle"] == "PENDING":
                description["Lifecycle"] = "EXECUTING"
        failure = ""
        try:
            work(task, tree, links)
        except (OSError, FsxError) as error:
            failure = str(getattr(error, "message", error))
        if counts["FailedCount"]:
            failure = failure or f"{counts['FailedCount']} of {counts['TotalCount']} files failed"
        with self.lock:
            lifecycle = "CANCELED" if task.cancelled.is_set() else "SUCCEEDED"
            description["EndTime"] = counts["LastUpdatedTime"] = datetime.now(UTC)
            if failure:
                description["FailureDetails"] = {"Message": failure}
            description["Lifecycle"] = "FAILED" if failure else lifecycle


def _import(task: Task, tree: Tree, links: list[Link]) -> None:
    imported = sum(tree.import_objects(link) for link in links)
    task.description["Status"].update(TotalCount=imported, SucceededCount=imported)


def _export(task: Task, tree: Tree, links: list[Link]) -> None:
    paths, counts = task.description.get("Paths") or [str(link.path) for link in links], task.description["Status"]
    changed = [file for path in paths for file in _changed_files(tree, path, links)]
    counts["TotalCount"] = len(changed)
    failures = []
    for file, link in changed:
        if task.cancelled.is_set():
            break
        if code := tree.export(file, link):
            failures.append((str(file.relative_to("/")), "failed", code))
        counts["FailedCount" if code else "SucceededCount"] += 1
    report = task.description["Report"]
    if report["Enabled"]:
        # Without a header line: https://docs.aws.amazon.com/fsx/latest/LustreGuide/task-completion-report.html
        text = StringIO(newline="")
        csv.writer(text).writerows(failures)
        place = S3Path.parse(report["Path"]).file(tree.buckets, f"{task.description['TaskId']}/failures.csv")
        with place.replacing() as out:
            out.write(text.getvalue().encode())


def _changed_files(tree: Tree, path: str, links: list[Link]) -> Iterator[tuple[PurePosixPath, Link]]:
    full = PurePosixPath("/", path.lstrip("/"))
    link = next((link for link in links if full.is_relative_to(link.path)), None)
    try:
        if link is None or ".." in full.parts:
            raise FileNotFoundError  # noqa: TRY301  # to the service it is the same mistake
        for file in tree.changed_files(full):
            yield file, link
    except FileNotFoundError:
        raise _bad_request(f"The path {path} is not valid: it is not in the file system's data repository.") from None


def _bad_request(message: str) -> FsxError:
    return FsxError("BadRequest", message)


fsx_backends: Final = BackendDict(LocalFsxBackend, "fsx")
