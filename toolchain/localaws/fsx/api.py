"""The API of FSx over HTTP, by moto's own reading of requests and writing of answers."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from moto.core.responses import ActionResult

from toolchain.localaws.answering import Api
from toolchain.localaws.fsx.model import ENDED, Association, FileSystem, Json, Task, bad
from toolchain.localaws.fsx.service import Service, Services
from toolchain.localaws.refusing import RefusalError

# What a call gives at most, unless it is told less.
_PAGE = 100


class FsxResponse(Api):
    """Each method is an operation of the API."""

    services: ClassVar[Services]

    def __init__(self) -> None:
        super().__init__(service_name="fsx")

    def _get_action(self) -> str:
        """The operation, by the header that names it to FSx, and that its caller may call.

        moto's own way takes it from a query, a form, or another header, if there is one.
        """
        return str(self.headers.get("X-Amz-Target", "")).rpartition(".")[2]

    @property
    def _service(self) -> Service:
        return self.services.of(self.current_account, self.region)

    @property
    def _given(self) -> dict[str, Json]:
        given: dict[str, Json] = json.loads(self.body or "{}")
        return given

    def create_file_system(self) -> ActionResult:
        made = self._service.create_file_system(self._given)
        return ActionResult({"FileSystem": {**_file_system(made), "Lifecycle": "CREATING"}})

    def update_file_system(self) -> ActionResult:
        return ActionResult(
            {"FileSystem": _file_system(self._service.update_file_system(self._given["FileSystemId"], self._given))}
        )

    def delete_file_system(self) -> ActionResult:
        gone = self._service.delete_file_system(self._given["FileSystemId"])
        return ActionResult({"FileSystemId": gone.id, "Lifecycle": "DELETING"})

    def describe_file_systems(self) -> ActionResult:
        ids = self._given.get("FileSystemIds")
        service = self._service
        found = [service.file_system(one) for one in ids] if ids else list(service.file_systems.values())
        return self._page("FileSystems", [_file_system(one) for one in found])

    def create_data_repository_association(self) -> ActionResult:
        made = self._service.associate(self._given)
        return ActionResult({"Association": {**_association(made), "Lifecycle": "CREATING"}})

    def update_data_repository_association(self) -> ActionResult:
        changed = self._service.update_association(self._given["AssociationId"], self._given)
        return ActionResult({"Association": _association(changed)})

    def delete_data_repository_association(self) -> ActionResult:
        gone = self._service.dissociate(self._given["AssociationId"])
        return ActionResult({"AssociationId": gone.id, "Lifecycle": "DELETING", "DeleteDataInFileSystem": False})

    def describe_data_repository_associations(self) -> ActionResult:
        ids, service = self._given.get("AssociationIds"), self._service
        found = [service.association(one) for one in ids] if ids else list(service.associations.values())
        systems = self._filter("file-system-id")
        return self._page(
            "Associations", [_association(one) for one in found if systems is None or one.file_system in systems]
        )

    def create_data_repository_task(self) -> ActionResult:
        return ActionResult({"DataRepositoryTask": _task(self._service.create_task(self._given))})

    def cancel_data_repository_task(self) -> ActionResult:
        task = self._service.cancel_task(self._given["TaskId"])
        return ActionResult({"TaskId": task.id, "Lifecycle": task.lifecycle})

    def describe_data_repository_tasks(self) -> ActionResult:
        ids, service = self._given.get("TaskIds"), self._service
        found = [service.task(one) for one in ids] if ids else list(service.tasks.values())
        systems, lifecycles = self._filter("file-system-id"), self._filter("task-lifecycle")
        chosen = [
            _task(one)
            for one in found
            if (systems is None or one.file_system in systems) and (lifecycles is None or one.lifecycle in lifecycles)
        ]
        return self._page("DataRepositoryTasks", chosen)

    def tag_resource(self) -> ActionResult:
        new = {one["Key"]: one["Value"] for one in self._given["Tags"]}
        self._tagged().update(new)
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        for key in self._given["TagKeys"]:
            self._tagged().pop(key, None)
        return ActionResult({})

    def list_tags_for_resource(self) -> ActionResult:
        return self._page("Tags", _tag_list(self._tagged()))

    def _tagged(self) -> dict[str, str]:
        arn, service = self._given["ResourceARN"], self._service
        holders: list[FileSystem | Association | Task] = [
            *service.file_systems.values(),
            *service.associations.values(),
            *service.tasks.values(),
        ]
        for one in holders:
            if one.arn == arn:
                return one.tags
        raise RefusalError("ResourceNotFound", f"Resource {arn} does not exist.")

    def _filter(self, name: str) -> set[str] | None:
        values = [one.get("Values") or () for one in self._given.get("Filters") or () if one.get("Name") == name]
        return {value for some in values for value in some} if values else None

    def _page(self, name: str, found: Iterable[Any]) -> ActionResult:
        every = list(found)
        try:
            first = int(self._given.get("NextToken") or 0)
        except ValueError:
            raise bad("NextToken is not valid.") from None
        last = first + min(_PAGE, int(self._given.get("MaxResults") or _PAGE))
        answer: dict[str, Any] = {name: every[first:last]}
        return ActionResult({**answer, "NextToken": str(last)} if last < len(every) else answer)


def response_class(services: Services) -> type[Any]:
    """The class that answers requests.

    Args:
        services: The service in every account and region.
    """
    return type("FsxResponse", (FsxResponse,), {"services": services})


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _file_system(one: FileSystem) -> dict[str, Json]:
    lustre = one.lustre
    configuration: dict[str, Json] = {
        "DeploymentType": one.deployment,
        "MountName": one.mount,
        "DataCompressionType": lustre.get("DataCompressionType", "NONE"),
        "WeeklyMaintenanceStartTime": lustre.get("WeeklyMaintenanceStartTime", "7:03:00"),
    }
    for name in ("PerUnitStorageThroughput", "DriveCacheType", "MetadataConfiguration", "AutomaticBackupRetentionDays"):
        if name in lustre:
            configuration[name] = lustre[name]
    if "ImportPath" in lustre:
        names = ("ImportPath", "ExportPath", "AutoImportPolicy", "ImportedFileChunkSize")
        linked = {name: lustre[name] for name in names if name in lustre}
        configuration["DataRepositoryConfiguration"] = {
            "Lifecycle": "AVAILABLE",
            "AutoImportPolicy": "NONE",
            "ImportedFileChunkSize": 1024,
            **linked,
        }
    answer: dict[str, Json] = {
        "FileSystemId": one.id,
        "OwnerId": one.arn.split(":")[4],
        "CreationTime": one.created,
        "FileSystemType": "LUSTRE",
        "FileSystemTypeVersion": one.given.get("FileSystemTypeVersion", "2.10"),
        "Lifecycle": "AVAILABLE",
        "StorageCapacity": one.given["StorageCapacity"],
        "StorageType": one.given.get("StorageType", "SSD"),
        "SubnetIds": one.given["SubnetIds"],
        "NetworkInterfaceIds": [],
        "DNSName": one.dns,
        "ResourceARN": one.arn,
        "Tags": _tag_list(one.tags),
        "LustreConfiguration": configuration,
    }
    if one.vpc is not None:
        answer["VpcId"] = one.vpc
    if "KmsKeyId" in one.given:
        answer["KmsKeyId"] = one.given["KmsKeyId"]
    return answer


def _association(one: Association) -> dict[str, Json]:
    return {
        "AssociationId": one.id,
        "ResourceARN": one.arn,
        "FileSystemId": one.file_system,
        "Lifecycle": "AVAILABLE",
        "FileSystemPath": one.given["FileSystemPath"],
        "DataRepositoryPath": one.given["DataRepositoryPath"],
        "BatchImportMetaDataOnCreate": bool(one.given.get("BatchImportMetaDataOnCreate")),
        "ImportedFileChunkSize": one.given.get("ImportedFileChunkSize", 1024),
        "S3": one.given.get("S3") or {},
        "Tags": _tag_list(one.tags),
        "CreationTime": one.created,
    }


def _task(one: Task) -> dict[str, Json]:
    answer: dict[str, Json] = {
        "TaskId": one.id,
        "Lifecycle": one.lifecycle,
        "Type": one.kind,
        "CreationTime": one.created,
        "ResourceARN": one.arn,
        "Tags": _tag_list(one.tags),
        "FileSystemId": one.file_system,
        "Paths": list(one.paths),
        "Report": dict(one.report),
        "Status": {
            "TotalCount": one.total,
            "SucceededCount": one.succeeded,
            "FailedCount": one.failed,
            "LastUpdatedTime": one.ended or one.started or one.created,
        },
    }
    if one.started is not None:
        answer["StartTime"] = one.started
    if one.lifecycle in ENDED:
        answer["EndTime"] = one.ended
        if one.failure is not None:
            answer["FailureDetails"] = {"Message": one.failure}
    return answer
