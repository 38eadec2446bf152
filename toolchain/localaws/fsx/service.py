"""FSx for Lustre of one region: file systems, their links to S3, and the tasks that export and import."""

import csv
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import PurePosixPath
from typing import Final

from toolchain.localaws.access import Access
from toolchain.localaws.beneath import Beneath
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.fsx import rules
from toolchain.localaws.fsx.model import (
    ENDED,
    Association,
    FileSystem,
    Json,
    Place,
    Task,
    bad,
    identifier,
    mount_name,
    now,
)
from toolchain.localaws.fsx.network import Network
from toolchain.localaws.fsx.tree import ExportError, Linked, Tree
from toolchain.localaws.refusing import RefusalError

# The tag that says where hosts mount a file system; here, which directory it is.
MOUNT_TAG: Final = "scratch-mount"
_SCRATCH: Final = PurePosixPath("/scratch")
# The directory that steps write to.
_WORKING: Final = "working"
_END_SECONDS: Final = 30


def _tags(given: Json) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in given or ()}


@dataclass(kw_only=True)
class Service:
    """The file systems of one region.

    Attributes:
        world: Where their files are.
        region: The region.
        account: The account's number.
        network: EC2, as it is asked.
    """

    world: LocalConfig
    region: str
    account: str
    network: Network
    file_systems: dict[str, FileSystem] = field(default_factory=dict)
    associations: dict[str, Association] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _trees: dict[str, Tree] = field(default_factory=dict)
    _asked: dict[str, tuple[Mapping[str, Json], str]] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    # ---- file systems -------------------------------------------------------------------------------------------

    def create_file_system(self, given: dict[str, Json]) -> FileSystem:
        """Makes a file system."""
        given = {name: value for name, value in given.items() if value is not None}
        token = given.pop("ClientRequestToken", None)
        with self.lock:
            known = self._known(token, given)
            if known is not None:
                return self.file_systems[known]
            rules.check_file_system(given)
            lustre = given.get("LustreConfiguration") or {}
            if "ImportPath" in lustre:
                self._check_bucket(Place.parse(lustre["ImportPath"]), "InvalidImportPath")
            vpc = self.network.check(given)
            new = identifier("fs")
            found = FileSystem(
                id=new,
                arn=self._arn(f"file-system/{new}"),
                dns=f"{new}.fsx.{self.region}.amazonaws.com",
                mount=mount_name(lustre.get("DeploymentType", "SCRATCH_1")),
                given=given,
                tags=_tags(given.get("Tags")),
                vpc=vpc,
            )
            self.file_systems[new] = found
            self._note(token, given, new)
            files = self.tree(found)
            self._prepare(files, PurePosixPath("/"))
        if "ImportPath" in lustre:
            files.bring(self._legacy(found, "ImportPath"), keep_keys=True)
        return found

    def update_file_system(self, file_system: str, given: Mapping[str, Json]) -> FileSystem:
        """Changes what can be changed."""
        with self.lock:
            found = self.file_system(file_system)
            new = {**found.given, "LustreConfiguration": {**found.lustre, **(given.get("LustreConfiguration") or {})}}
            if given.get("StorageCapacity"):
                if int(given["StorageCapacity"]) < int(found.given["StorageCapacity"]):
                    raise bad("StorageCapacity can only grow.")
                new["StorageCapacity"] = given["StorageCapacity"]
            rules.check_file_system(new)
            found.given = new
            return found

    def delete_file_system(self, file_system: str) -> FileSystem:
        """Deletes a file system, and with it what it holds."""
        with self.lock:
            found = self.file_system(file_system)
            if any(one.file_system == file_system and one.lifecycle not in ENDED for one in self.tasks.values()):
                raise bad("The file system has a data repository task that is pending or executing.")
            files = self._trees.pop(file_system)
            del self.file_systems[file_system]
            for one in [one for one in self.associations.values() if one.file_system == file_system]:
                del self.associations[one.id]
            if any(files.root in {other.root, *other.root.parents} for other in self._trees.values()):
                # Another one, that took its place, is there.
                return found
            files.remove(self.world.root / "removed" / file_system)
            return found

    def file_system(self, file_system: str) -> FileSystem:
        """A file system.

        Raises:
            RefusalError: There is none such.
        """
        if file_system not in self.file_systems:
            raise RefusalError("FileSystemNotFound", f"File system '{file_system}' does not exist.")
        return self.file_systems[file_system]

    def tree(self, file_system: FileSystem) -> Tree:
        """The files of a file system: below scratch, where its tag says; by itself without one."""
        if file_system.id not in self._trees:
            mount = PurePosixPath(file_system.tags.get(MOUNT_TAG, ""))
            root = self.world.root / "lustre" / file_system.id
            # None within a file system: what is there is for jobs to change.
            if mount.parent in {_SCRATCH, _SCRATCH.parent} and mount.is_relative_to(_SCRATCH) and mount.name != "..":
                root = self.world.scratch / mount.relative_to(_SCRATCH)
            self._trees[file_system.id] = Tree(root=root)
        return self._trees[file_system.id]

    # ---- links --------------------------------------------------------------------------------------------------

    def associate(self, given: dict[str, Json]) -> Association:
        """Links a directory to a place in S3."""
        given = {name: value for name, value in given.items() if value is not None}
        token = given.pop("ClientRequestToken", None)
        with self.lock:
            known = self._known(token, given)
            if known is not None:
                return self.associations[known]
            file_system = self.file_system(str(given.get("FileSystemId")))
            rules.check_association(given, file_system, self.linked(file_system.id))
            place = Place.parse(given["DataRepositoryPath"])
            self._check_bucket(place, "BadRequest")
            new = identifier("dra")
            found = Association(
                id=new,
                arn=self._arn(f"association/{file_system.id}/{new}"),
                file_system=file_system.id,
                path=PurePosixPath(given["FileSystemPath"]),
                place=place,
                given=given,
                tags=_tags(given.get("Tags")),
            )
            self.associations[new] = found
            self._note(token, given, new)
            files = self.tree(file_system)
            self._prepare(files, found.path)
        if given.get("BatchImportMetaDataOnCreate"):
            files.bring(self._mapping(found), keep_keys=False)
        return found

    def update_association(self, association: str, given: Mapping[str, Json]) -> Association:
        """Changes a link's policies."""
        with self.lock:
            found = self.association(association)
            rules.check_events(given)
            found.given.update(
                {name: given[name] for name in ("S3", "ImportedFileChunkSize") if given.get(name) is not None}
            )
            return found

    def dissociate(self, association: str) -> Association:
        """Takes a link away; the files stay."""
        with self.lock:
            found = self.association(association)
            del self.associations[association]
            return found

    def association(self, association: str) -> Association:
        """A link.

        Raises:
            RefusalError: There is none such.
        """
        if association not in self.associations:
            raise RefusalError(
                "DataRepositoryAssociationNotFound", f"Data repository association '{association}' does not exist."
            )
        return self.associations[association]

    def linked(self, file_system: str) -> list[Association]:
        """The links of a file system."""
        return [one for one in self.associations.values() if one.file_system == file_system]

    def heard(self, bucket: str, key: str, *, there: bool) -> None:
        """Follows an object that came or went, where a link's policy says so."""
        with self.lock:
            following = [
                (self.tree(self.file_systems[one.file_system]), self._mapping(one))
                for one in self.associations.values()
                if one.place.holds(Place(bucket=bucket, prefix=key)) and ("NEW" if there else "DELETED") in one.events
            ]
        for files, linked in following:
            files.follow(linked, key, there=there)

    # ---- tasks --------------------------------------------------------------------------------------------------

    def create_task(self, given: dict[str, Json]) -> Task:
        """Starts a task, unless another one runs on the file system."""
        given = {name: value for name, value in given.items() if value is not None}
        token = given.pop("ClientRequestToken", None)
        with self.lock:
            known = self._known(token, given)
            if known is not None:
                return self.tasks[known]
            file_system = self.file_system(str(given.get("FileSystemId")))
            mappings = self._mappings(file_system)
            rules.check_task({**given, "ClientRequestToken": token}, self._places(file_system))
            if any(one.file_system == file_system.id and one.lifecycle not in ENDED for one in self.tasks.values()):
                raise RefusalError(
                    "DataRepositoryTaskExecuting",
                    "An existing data repository task is currently executing on the file system.",
                )
            new = identifier("task")
            found = Task(
                id=new,
                arn=self._arn(f"task/{new}"),
                file_system=file_system.id,
                kind=given["Type"],
                paths=tuple(given.get("Paths") or ()),
                report=given["Report"],
                tags=_tags(given.get("Tags")),
            )
            self.tasks[new] = found
            self._note(token, given, new)
            files = self.tree(file_system)
            thread = threading.Thread(target=self._run, args=(found, files, mappings), name=new, daemon=True)
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()
            return found

    def cancel_task(self, task: str) -> Task:
        """Stops a task after the file that it is at."""
        with self.lock:
            found = self.task(task)
            if found.lifecycle in ENDED:
                raise RefusalError("DataRepositoryTaskEnded", "The data repository task has ended.")
            found.lifecycle = "CANCELING"
            found.cancelled.set()
            return found

    def task(self, task: str) -> Task:
        """A task.

        Raises:
            RefusalError: There is none such.
        """
        if task not in self.tasks:
            raise RefusalError("DataRepositoryTaskNotFound", f"Data repository task '{task}' does not exist.")
        return self.tasks[task]

    def close(self) -> None:
        """Ends what runs."""
        for one in self.tasks.values():
            one.cancelled.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self.network.close()

    def _run(self, task: Task, files: Tree, mappings: list[Linked]) -> None:
        with self.lock:
            if task.lifecycle == "PENDING":
                task.lifecycle = "EXECUTING"
            task.started = now()
        failures: list[tuple[str, str]] = []
        try:
            if task.kind == "EXPORT_TO_REPOSITORY":
                failures = self._export(task, files, mappings)
            else:
                task.total = task.succeeded = sum(
                    files.bring(one, keep_keys=self._keeps_keys(task)) for one in mappings
                )
            self._report(task, failures)
        except (OSError, RefusalError) as error:
            # At most 256 characters, as the service has it.
            task.failure = str(error)[:256]
        with self.lock:
            task.ended = now()
            if task.failure is not None or task.failed:
                task.lifecycle = "FAILED"
                task.failure = task.failure or f"{task.failed} of {task.total} files failed"
            else:
                task.lifecycle = "CANCELED" if task.cancelled.is_set() else "SUCCEEDED"

    def _export(self, task: Task, files: Tree, mappings: list[Linked]) -> list[tuple[str, str]]:
        wanted = []
        for path in task.paths or [str(one.path) for one in mappings]:
            full = PurePosixPath("/") / path.lstrip("/")
            mapping = _over(full, mappings)
            try:
                if mapping is None or ".." in full.parts:
                    raise FileNotFoundError  # noqa: TRY301  # to the service it is the same mistake
                wanted += [(one, mapping) for one in files.changed(full)]
            except FileNotFoundError:
                raise bad(f"The path {path} is not valid: it is not in the file system's data repository.") from None
        task.total = len(wanted)
        failures = []
        for path_, mapping in wanted:
            if task.cancelled.is_set():
                break
            try:
                files.export(path_, mapping)
            except ExportError as error:
                task.failed += 1
                failures.append((str(path_.relative_to("/")), str(error)))
            else:
                task.succeeded += 1
        return failures

    def _report(self, task: Task, failures: list[tuple[str, str]]) -> None:
        if not task.report.get("Enabled"):
            return
        place = Place.parse(task.report["Path"])
        name = "failures.csv" if task.kind == "EXPORT_TO_REPOSITORY" else "report.csv"
        file = self._beneath(place) / place.key(PurePosixPath(task.id) / name)
        # Path, status, code, and no line of headings: as in
        # https://docs.aws.amazon.com/fsx/latest/LustreGuide/task-completion-report.html
        text = StringIO(newline="")
        csv.writer(text).writerows((_quoted(path), "failed", code) for path, code in failures)
        with file.replacing() as out:
            out.write(text.getvalue().encode())

    # ---- parts of the above -------------------------------------------------------------------------------------

    def _arn(self, resource: str) -> str:
        return f"arn:aws:fsx:{self.region}:{self.account}:{resource}"

    def _known(self, token: str | None, given: Mapping[str, Json]) -> str | None:
        """What the same request made before."""
        if token is None or token not in self._asked:
            return None
        before, made = self._asked[token]
        if before != given:
            raise RefusalError("IncompatibleParameterError", "The client request token was used with other parameters.")
        return made

    def _note(self, token: str | None, given: Mapping[str, Json], made: str) -> None:
        if token is not None:
            self._asked[token] = (dict(given), made)

    def _beneath(self, place: Place) -> Beneath:
        return Beneath(self.world.buckets, PurePosixPath(place.bucket))

    def _prepare(self, files: Tree, path: PurePosixPath) -> None:
        working = self.world.scratch / _WORKING
        try:
            files.prepare(path, writable=(files.root / path.relative_to("/")).is_relative_to(working))
        except OSError as error:
            raise bad(f"The directory {path} cannot be made: {error.strerror}.") from error

    def _check_bucket(self, place: Place, code: str) -> None:
        try:
            found = self._beneath(place).is_folder
        except OSError:
            found = False
        if not found:
            raise RefusalError(code, f"Amazon FSx is unable to access the S3 bucket {place.bucket}: it does not exist.")

    def _mapping(self, association: Association) -> Linked:
        place = association.place
        return Linked(path=association.path, bucket=self._beneath(place), prefix=place.prefix)

    def _legacy(self, file_system: FileSystem, name: str) -> Linked:
        place = Place.parse(file_system.lustre[name])
        return Linked(path=PurePosixPath("/"), bucket=self._beneath(place), prefix=place.prefix)

    def _mappings(self, file_system: FileSystem) -> list[Linked]:
        if "ImportPath" in file_system.lustre:
            name = "ExportPath" if "ExportPath" in file_system.lustre else "ImportPath"
            return [self._legacy(file_system, name)]
        return [self._mapping(one) for one in self.linked(file_system.id)]

    def _places(self, file_system: FileSystem) -> Iterable[Place]:
        if "ImportPath" in file_system.lustre:
            return [Place.parse(file_system.lustre.get("ExportPath") or file_system.lustre["ImportPath"])]
        return [one.place for one in self.linked(file_system.id)]

    def _keeps_keys(self, task: Task) -> bool:
        return "ImportPath" in self.file_systems[task.file_system].lustre


class Services:
    """FSx in every account and region, each made when it is first asked for.

    Args:
        world: Where the files are.
        access: Where EC2 answers, and the key.
    """

    def __init__(self, world: LocalConfig, access: Access) -> None:
        self._world = world
        self._access = access
        self._made: dict[tuple[str, str], Service] = {}
        self._guard = threading.Lock()

    def of(self, account: str, region: str) -> Service:
        """That of one account and region."""
        with self._guard:
            if (account, region) not in self._made:
                self._made[account, region] = Service(
                    world=self._world,
                    region=region,
                    account=account,
                    network=Network(region=region, access=self._access),
                )
            return self._made[account, region]

    def heard(self, bucket: str, key: str, there: bool) -> None:  # noqa: FBT001  # a message, whose parts these are
        """Hears of an object that came or went."""
        for one in list(self._made.values()):
            one.heard(bucket, key, there=there)

    def close(self) -> None:
        """Ends what runs."""
        for one in self._made.values():
            one.close()


def _over(path: PurePosixPath, mappings: list[Linked]) -> Linked | None:
    """The mapping that a path is beneath."""
    return next((one for one in mappings if path.is_relative_to(one.path)), None)


def _quoted(path: str) -> str:
    return f'"{path}"' if path[:1] in {"@", "+", "-", "="} else path
