"""The file systems: available, in the hosts' zone, linked to S3, and what hosts mount."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.context import FILE_SYSTEMS, DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red

if TYPE_CHECKING:
    from types_boto3_fsx.type_defs import DataRepositoryAssociationTypeDef, FileSystemTypeDef, FilterTypeDef

# The version of the hosts' client, which cannot mount a file system of 2.10.
VERSION = "2.15"
_USABLE = frozenset({"AVAILABLE", "UPDATING"})
_DEPLOY = f"{DEPLOY} storage"


def file_systems(context: DoctorContext) -> Iterator[CheckResult]:
    """Each file system can be mounted by the hosts' client."""
    directories: dict[str, list[str]] = {}
    for directory, output in FILE_SYSTEMS.items():
        directories.setdefault(context.outputs[output], []).append(f"/scratch/{directory}")
    for identifier, mounted in directories.items():
        label = f"{identifier} of {', '.join(mounted)}"
        file_system = context.file_systems.get(identifier)
        if file_system is None:
            yield red(f"{label} is gone: somebody deleted it", _DEPLOY)
        elif file_system["Lifecycle"] not in _USABLE:
            details = f"aws fsx describe-file-systems --file-system-ids {identifier}"
            yield red(f"{label} is {_lifecycle(file_system)}", f"Wait if it is new; see {details}")
        elif (version := file_system.get("FileSystemTypeVersion", "unknown")) != VERSION:
            yield red(f"{label} is Lustre {version}, and hosts speak {VERSION}", _DEPLOY)
        else:
            capacity = file_system["StorageCapacity"]
            yield green(f"{label} is {file_system['Lifecycle']}, Lustre {version}, {capacity} GiB")


def zones(context: DoctorContext) -> Iterator[CheckResult]:
    """Hosts and file systems are in the same zone: traffic between zones is slow, and paid for."""
    host_zones = context.zones(context.host_subnets)
    elsewhere = False
    for identifier, file_system in context.file_systems.items():
        own_zones = context.zones(file_system.get("SubnetIds", ()))
        if own_zones != host_zones:
            elsewhere = True
            yield red(
                f"{identifier} is in {', '.join(own_zones)}, and hosts are in {', '.join(host_zones)}",
                f"{DEPLOY} network storage compute",
            )
    if not elsewhere:
        yield green(f"hosts and file systems are in {', '.join(host_zones)}")


def mounts(context: DoctorContext) -> Iterator[CheckResult]:
    """What hosts read that they are to mount are the file systems' real addresses."""
    ssm = context.account.ssm()
    for directory, file_system in _existing(context):
        name = f"/{context.settings.project}/scratch/{directory}"
        actual = _address(context, directory, file_system)
        with doing(f"reading parameter {name}"):
            try:
                mounted = ssm.get_parameter(Name=name)["Parameter"]["Value"]
            except ssm.exceptions.ParameterNotFound:
                mounted = "nothing"
        if mounted != actual:
            yield red(f"hosts mount {mounted} at /scratch/{directory}, and the file system is {actual}", _DEPLOY)
        else:
            yield green(f"/scratch/{directory} is {mounted}")


def links(context: DoctorContext) -> Iterator[CheckResult]:
    """Each directory is linked to S3, and the link works."""
    associations = {identifier: _associations(context, identifier) for identifier in context.file_systems}
    for directory, file_system in _existing(context):
        identifier = file_system["FileSystemId"]
        path = f"/{directory}" if _is_shared(context) else ""
        association = next(
            (link for link in associations[identifier] if link.get("FileSystemPath", "").rstrip("/") == path), None
        )
        imported = file_system.get("LustreConfiguration", {}).get("DataRepositoryConfiguration", {})
        if association is not None:
            yield _link(context, directory, association)
        elif directory != "working" and imported.get("ImportPath"):
            yield green(f"/scratch/{directory} was imported from {imported['ImportPath']}")
        else:
            yield red(f"/scratch/{directory} ({identifier}) is linked to nothing", _DEPLOY)


def _link(context: DoctorContext, directory: str, association: "DataRepositoryAssociationTypeDef") -> CheckResult:
    repository = association.get("DataRepositoryPath", "")
    label = f"/scratch/{directory} and {repository}"
    if association.get("Lifecycle") not in _USABLE:
        identifier = association.get("AssociationId", "")
        return red(
            f"{label}: {identifier} is {_lifecycle(association)}",
            f"Correct what it says; see aws fsx describe-data-repository-associations --association-ids {identifier}",
        )
    if directory == "working" and repository.rstrip("/") != context.outputs["ExportPath"].rstrip("/"):
        return red(f"{label}, and results are to go to {context.outputs['ExportPath']}", _DEPLOY)
    return green(f"{label}: {association.get('Lifecycle')}")


def _associations(context: DoctorContext, file_system: str) -> "list[DataRepositoryAssociationTypeDef]":
    filters: list[FilterTypeDef] = [{"Name": "file-system-id", "Values": [file_system]}]
    with doing(f"looking at the links of file system {file_system}"):
        page = context.fsx.describe_data_repository_associations(Filters=filters)
        associations = [*page["Associations"]]
        while token := page.get("NextToken"):
            page = context.fsx.describe_data_repository_associations(Filters=filters, NextToken=token)
            associations += page["Associations"]
    return associations


def _existing(context: DoctorContext) -> "Iterator[tuple[str, FileSystemTypeDef]]":
    """Directory and file system; the check of file systems reports those that are gone."""
    for directory, output in FILE_SYSTEMS.items():
        if context.outputs[output] in context.file_systems:
            yield directory, context.file_systems[context.outputs[output]]


def _lifecycle(resource: "FileSystemTypeDef | DataRepositoryAssociationTypeDef") -> str:
    reason = resource.get("FailureDetails", {}).get("Message", "")
    return f"{resource.get('Lifecycle')}" + (f": {reason}" if reason else "")


def _is_shared(context: DoctorContext) -> bool:
    """Whether one file system holds all three directories."""
    return context.outputs["WorkingPath"] != "-"


def _address(context: DoctorContext, directory: str, file_system: "FileSystemTypeDef") -> str:
    """What a host mounts for a directory."""
    name = file_system.get("LustreConfiguration", {}).get("MountName", "")
    root = f"{file_system.get('DNSName', '')}@tcp:/{name}"
    return f"{root}/{directory}" if _is_shared(context) else root
