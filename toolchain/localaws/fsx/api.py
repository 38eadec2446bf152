"""The operations of FSx over HTTP."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from moto.core.responses import ActionResult, BaseResponse

from toolchain.localaws.fsx.backend import Json, LocalFsxBackend, Resource, fsx_backends
from toolchain.localaws.fsx.tree import FsxError

_PAGE: Final = 100
# Filter to member of a description.
_FILTERS: Final = {"file-system-id": "FileSystemId", "task-lifecycle": "Lifecycle"}


class LocalFsxResponse(BaseResponse):
    """Answers the operations of FSx; moto writes of a description what the operation's model in botocore has."""

    def __init__(self) -> None:
        super().__init__(service_name="fsx")

    def _get_action(self) -> str:
        """Reads the operation from the header by which the caller was authorized, and nothing else."""
        return str(self.headers.get("X-Amz-Target", "")).rpartition(".")[2]

    @property
    def _backend(self) -> LocalFsxBackend:
        return fsx_backends[self.current_account][self.region]

    @property
    def _request(self) -> Json:
        request: Json = json.loads(self.body or "{}")
        return request

    def create_file_system(self) -> ActionResult:
        file_system = self._backend.create_file_system(self._request)
        return ActionResult({"FileSystem": {**file_system.description, "Lifecycle": "CREATING"}})

    def update_file_system(self) -> ActionResult:
        return ActionResult({"FileSystem": self._backend.update_file_system(self._request).description})

    def delete_file_system(self) -> ActionResult:
        self._backend.delete_file_system(self._request["FileSystemId"])
        return ActionResult({**self._request, "Lifecycle": "DELETING"})

    def describe_file_systems(self) -> ActionResult:
        return self._describe("FileSystems", "FileSystemIds", self._backend.file_systems)

    def create_data_repository_association(self) -> ActionResult:
        association = self._backend.create_association(self._request)
        return ActionResult({"Association": {**association.description, "Lifecycle": "CREATING"}})

    def update_data_repository_association(self) -> ActionResult:
        return ActionResult({"Association": self._backend.update_association(self._request).description})

    def delete_data_repository_association(self) -> ActionResult:
        self._backend.delete_association(self._request["AssociationId"])
        return ActionResult({**self._request, "Lifecycle": "DELETING", "DeleteDataInFileSystem": False})

    def describe_data_repository_associations(self) -> ActionResult:
        return self._describe("Associations", "AssociationIds", self._backend.associations)

    def create_data_repository_task(self) -> ActionResult:
        return ActionResult({"DataRepositoryTask": self._backend.create_task(self._request).description})

    def cancel_data_repository_task(self) -> ActionResult:
        return ActionResult(self._backend.cancel_task(self._request["TaskId"]).description)

    def describe_data_repository_tasks(self) -> ActionResult:
        return self._describe("DataRepositoryTasks", "TaskIds", self._backend.tasks)

    def tag_resource(self) -> ActionResult:
        description = self._tagged.description
        tags = {tag["Key"]: tag for tag in [*description["Tags"], *self._request["Tags"]]}
        description["Tags"] = list(tags.values())
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        description, keys = self._tagged.description, self._request["TagKeys"]
        description["Tags"] = [tag for tag in description["Tags"] if tag["Key"] not in keys]
        return ActionResult({})

    def list_tags_for_resource(self) -> ActionResult:
        return self._page("Tags", self._tagged.description["Tags"])

    @property
    def _tagged(self) -> Resource:
        backend, arn = self._backend, self._request["ResourceARN"]
        for resource in (*backend.file_systems.values(), *backend.associations.values(), *backend.tasks.values()):
            if resource.description["ResourceARN"] == arn:
                return resource
        raise FsxError("ResourceNotFound", f"Resource {arn} does not exist.")

    def _describe(self, member: str, ids_member: str, resources: Mapping[str, Resource]) -> ActionResult:
        request = self._request
        descriptions = [resources[name].description for name in request.get(ids_member) or list(resources)]
        for condition in request.get("Filters") or ():
            if name := _FILTERS.get(condition["Name"]):
                descriptions = [resource for resource in descriptions if resource[name] in condition["Values"]]
        return self._page(member, descriptions)

    def _page(self, member: str, items: Sequence[Any]) -> ActionResult:
        try:
            start = int(self._request.get("NextToken") or 0)
        except ValueError:
            raise FsxError("BadRequest", "NextToken is not valid.") from None
        end = start + min(_PAGE, int(self._request.get("MaxResults") or _PAGE))
        return ActionResult({member: items[start:end], "NextToken": str(end) if end < len(items) else None})
