"""AWS::FSx: Lustre file systems and their links to S3."""

from collections.abc import Mapping
from typing import Any

from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work


def _fsx(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("fsx")


def _own(work: Work) -> list[dict[str, str]]:
    return [one for one in work.tag_list() if not one["Key"].startswith("aws:")]


def _tagged(work: Work) -> dict[str, Json]:
    # FSx takes no empty list.
    return {"Tags": _own(work)} if _own(work) else {}


class FileSystem(Kind):
    """A file system."""

    type_name = "AWS::FSx::FileSystem"
    _CHANGED_BY_UPDATE = (
        "AutoImportPolicy",
        "AutomaticBackupRetentionDays",
        "DailyAutomaticBackupStartTime",
        "DataCompressionType",
        "MetadataConfiguration",
        "PerUnitStorageThroughput",
        "ThroughputCapacity",
        "WeeklyMaintenanceStartTime",
    )

    def create(self, work: Work) -> str:
        made = _fsx(work).create_file_system(
            **work.only(
                "FileSystemType",
                "FileSystemTypeVersion",
                "StorageCapacity",
                "StorageType",
                "SubnetIds",
                "SecurityGroupIds",
                "KmsKeyId",
                "LustreConfiguration",
            ),
            **_tagged(work),
        )
        return str(made["FileSystem"]["FileSystemId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        system = _fsx(work).describe_file_systems(FileSystemIds=[physical_id])["FileSystems"][0]
        return {
            "Id": physical_id,
            "DNSName": system["DNSName"],
            "ResourceARN": system["ResourceARN"],
            "LustreMountName": system["LustreConfiguration"]["MountName"],
        }

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        new, old = work.get("LustreConfiguration") or {}, before.get("LustreConfiguration") or {}
        changed = {name: new[name] for name in self._CHANGED_BY_UPDATE if name in new and new[name] != old.get(name)}
        arguments: dict[str, Json] = {"LustreConfiguration": changed} if changed else {}
        if work.get("StorageCapacity") != before.get("StorageCapacity"):
            arguments["StorageCapacity"] = work.get("StorageCapacity")
        if arguments:
            _fsx(work).update_file_system(FileSystemId=physical_id, **arguments)
        arn = work.region.arn("fsx", f"file-system/{physical_id}")
        if gone := [one["Key"] for one in before.get("Tags") or () if one["Key"] not in work.tags]:
            _fsx(work).untag_resource(ResourceARN=arn, TagKeys=gone)
        if _own(work):
            _fsx(work).tag_resource(ResourceARN=arn, Tags=_own(work))

    def delete(self, work: Work, physical_id: str) -> None:
        _fsx(work).delete_file_system(FileSystemId=physical_id)


class Association(Kind):
    """A link between a directory and a place in S3."""

    type_name = "AWS::FSx::DataRepositoryAssociation"

    def create(self, work: Work) -> str:
        made = _fsx(work).create_data_repository_association(
            **work.only(
                "FileSystemId",
                "FileSystemPath",
                "DataRepositoryPath",
                "BatchImportMetaDataOnCreate",
                "ImportedFileChunkSize",
                "S3",
            ),
            **_tagged(work),
        )
        return str(made["Association"]["AssociationId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        found = _fsx(work).describe_data_repository_associations(AssociationIds=[physical_id])["Associations"][0]
        return {"AssociationId": physical_id, "ResourceARN": found["ResourceARN"]}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _fsx(work).update_data_repository_association(
            AssociationId=physical_id, **work.only("ImportedFileChunkSize", "S3")
        )

    def delete(self, work: Work, physical_id: str) -> None:
        _fsx(work).delete_data_repository_association(AssociationId=physical_id, DeleteDataInFileSystem=False)


KINDS = (FileSystem, Association)
