"""The file systems: there, near the hosts, linked to S3, and what hosts mount."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.context import FILE_SYSTEMS
from toolchain.doctor.launch import user_data
from toolchain.doctor.result import DEPLOY, Finding, green, red

if TYPE_CHECKING:
    from types_boto3_fsx.type_defs import DataRepositoryAssociationTypeDef, FileSystemTypeDef, FilterTypeDef

    from toolchain.doctor.context import DoctorContext

# What the hosts' client speaks; a file system of 2.10 does not answer it.
VERSION = "2.15"
_STORAGE = f"{DEPLOY} storage"


def file_systems(case: "DoctorContext") -> Iterator[Finding]:
    """Whether each file system can be mounted by the hosts' client, and lies in the hosts' zone."""
    name = "file system"
    for one, mounts in _mounts(case).items():
        label = f"{one} of {', '.join(mounts)}"
        described = case.file_systems.get(one)
        if described is None:
            yield red(name, f"{label} is gone: somebody deleted it", _STORAGE)
            continue
        lifecycle = described["Lifecycle"]
        if lifecycle not in {"AVAILABLE", "UPDATING"}:
            why = described.get("FailureDetails", {}).get("Message", "")
            details = f"aws fsx describe-file-systems --file-system-ids {one}"
            yield red(
                name, f"{label} is {lifecycle}" + (f": {why}" if why else ""), f"Wait if it is new; see {details}"
            )
        elif (version := described.get("FileSystemTypeVersion", "unknown")) != VERSION:
            yield red(name, f"{label} is Lustre {version}, and hosts speak {VERSION}", _STORAGE)
        else:
            yield green(name, f"{label} is {lifecycle}, Lustre {version}, {described['StorageCapacity']} GiB")


def zones(case: "DoctorContext") -> Iterator[Finding]:
    """Whether hosts and file systems are in the same zone: traffic between zones is slow, and paid for."""
    name = "zone"
    hosts = case.zones(subnet for one in case.environments for subnet in one.subnets)
    placed = {one: case.zones(described.get("SubnetIds", ())) for one, described in case.file_systems.items()}
    far = {one: ", ".join(where) for one, where in placed.items() if where != hosts}
    for one, zone in far.items():
        yield red(name, f"{one} is in {zone}, and hosts are in {', '.join(hosts)}", f"{DEPLOY} network storage compute")
    if not far:
        yield green(name, f"hosts and file systems are in {', '.join(hosts)}")


def mounts(case: "DoctorContext") -> Iterator[Finding]:
    """Whether what hosts mount is what the file systems are called."""
    name = "mount"
    users = {one.name: user_data(case, one) for one in case.environments} if "compute" in case.standing else {}
    for what, output in FILE_SYSTEMS.items():
        described = case.file_systems.get(case.outputs[output])
        if described is None:
            continue  # said already
        said = case.outputs[f"{what.capitalize()}Mount"]
        is_ = _mount(case, what, described)
        unaware = [user for user, text in users.items() if f"{what}='{said}'" not in text]
        if said != is_:
            yield red(name, f"/scratch/{what} is to be {said}, and the file system is {is_}", f"{_STORAGE} compute")
        elif unaware:
            yield red(
                name, f"new hosts of {', '.join(unaware)} do not mount {said} at /scratch/{what}", f"{DEPLOY} compute"
            )
        else:
            yield green(name, f"/scratch/{what} is {said}")


def links(case: "DoctorContext") -> Iterator[Finding]:
    """Whether each directory is linked to S3, and the link works."""
    name = "link to S3"
    found = {one: _associations(case, one) for one in case.file_systems}
    for what, output in FILE_SYSTEMS.items():
        one = case.outputs[output]
        if one not in case.file_systems:
            continue  # said already
        path = f"/{what}" if _shared(case) else "/"
        association = next(
            (link for link in found[one] if link.get("FileSystemPath", "").rstrip("/") == path.rstrip("/")), None
        )
        imported = case.file_systems[one].get("LustreConfiguration", {}).get("DataRepositoryConfiguration", {})
        if association is not None:
            yield _linked(case, what, association)
        elif what != "working" and imported.get("ImportPath"):
            yield green(name, f"/scratch/{what} was imported from {imported['ImportPath']}")
        else:
            yield red(name, f"/scratch/{what} ({one}) is linked to nothing", _STORAGE)


def _linked(case: "DoctorContext", what: str, association: "DataRepositoryAssociationTypeDef") -> Finding:
    name = "link to S3"
    where = association.get("DataRepositoryPath", "")
    lifecycle = association.get("Lifecycle", "")
    said = f"/scratch/{what} and {where}"
    if lifecycle not in {"AVAILABLE", "UPDATING"}:
        why = association.get("FailureDetails", {}).get("Message", "")
        label = association.get("AssociationId", "")
        return red(
            name,
            f"{said}: {label} is {lifecycle}" + (f": {why}" if why else ""),
            f"Correct what it says; see aws fsx describe-data-repository-associations --association-ids {label}",
        )
    if what == "working" and where.rstrip("/") != case.outputs["ExportPath"].rstrip("/"):
        return red(name, f"{said}, and results are to go to {case.outputs['ExportPath']}", _STORAGE)
    return green(name, f"{said}: {lifecycle}")


def _associations(case: "DoctorContext", one: str) -> "list[DataRepositoryAssociationTypeDef]":
    client = case.fsx
    only: list[FilterTypeDef] = [{"Name": "file-system-id", "Values": [one]}]
    with doing(f"looking at the links of file system {one}"):
        answer = client.describe_data_repository_associations(Filters=only)
        found = [*answer["Associations"]]
        while token := answer.get("NextToken"):
            answer = client.describe_data_repository_associations(Filters=only, NextToken=token)
            found += answer["Associations"]
    return found


def _mounts(case: "DoctorContext") -> dict[str, list[str]]:
    """File system to the directories that are on it."""
    found: dict[str, list[str]] = {}
    for what, output in FILE_SYSTEMS.items():
        found.setdefault(case.outputs[output], []).append(f"/scratch/{what}")
    return found


def _shared(case: "DoctorContext") -> bool:
    """Whether one file system holds all three directories."""
    return case.outputs["WorkingPath"] != "-"


def _mount(case: "DoctorContext", what: str, described: "FileSystemTypeDef") -> str:
    root = f"{described.get('DNSName', '')}@tcp:/{described.get('LustreConfiguration', {}).get('MountName', '')}"
    return f"{root}/{what}" if _shared(case) else root
