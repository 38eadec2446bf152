"""The account's quotas, against what the parameters ask for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.context import FILE_SYSTEMS, DoctorContext
from toolchain.doctor.result import CheckResult, green, red, yellow

if TYPE_CHECKING:
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_service_quotas.type_defs import ServiceQuotaTypeDef

# EC2 counts the families of some letters apart from the standard ones:
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
CODES = {
    ("SPOT", "standard"): "L-34B43A08",
    ("EC2", "standard"): "L-1216C47A",
    ("SPOT", "X"): "L-E3A00192",
    ("EC2", "X"): "L-7295265B",
}
# GiB over all file systems of a type. By name, since Service Quotas lists few quotas of FSx.
CAPACITIES = {
    "SCRATCH": "Lustre Scratch storage capacity",
    "PERSISTENT_1": "Lustre Persistent_1 storage capacity",
    "PERSISTENT_2": "Lustre Persistent_2 storage capacity",
}


def vcpus(context: DoctorContext) -> Iterator[CheckResult]:
    """EC2 gives as many vCPUs as the compute environments may take."""
    client = context.account.service_quotas()
    types = context.strings("compute", "InstanceTypes")
    families = sorted({"X" if name.startswith("x") else "standard" for name in types})
    for purchase, parameter in (("SPOT", "SpotMaxvCpus"), ("EC2", "OnDemandMaxvCpus")):
        needed = context.integer("compute", parameter)
        for family in families:
            quota = _by_code(client, "ec2", CODES[purchase, family])
            message = f"{quota['QuotaName']}: {quota['Value']:.0f} vCPUs, and {parameter} is {needed}"
            if quota["Value"] < needed:
                increase = _increase("ec2", quota, needed)
                yield red(message, f"Type: {increase}; or lower stack.compute.{parameter} in genomics.toml.")
            else:
                yield green(message)


def lustre(context: DoctorContext) -> Iterator[CheckResult]:
    """FSx gives as much capacity as the file systems need, beside the account's others."""
    deployment_type = str(context.parameter("storage", "DeploymentType"))
    quota_name = CAPACITIES.get(_counted_as(deployment_type))
    if quota_name is None:
        yield yellow(f"could not look: there is no deployment type {deployment_type}", "Mend genomics.toml.")
        return
    quota = _by_name(context.account.service_quotas(), "fsx", quota_name)
    if quota is None:
        yield yellow(f"could not look: Service Quotas lists no '{quota_name}'", "Look in the console.")
        return
    is_shared = context.parameter("storage", "FileSystems") == "one"
    names = ("ScratchCapacity",) if is_shared else ("ReferenceCapacity", "DataCapacity", "WorkingCapacity")
    needed = sum(context.integer("storage", name) for name in names)
    others = _other_capacity(context, _counted_as(deployment_type))
    message = (
        f"{quota['QuotaName']}: {quota['Value']:.0f} GiB; the parameters ask for {needed}, and others have {others}"
    )
    if quota["Value"] < needed + others:
        increase = _increase("fsx", quota, needed + others)
        yield red(message, f"Type: {increase}; or lower {', '.join(names)} in genomics.toml.")
    else:
        yield green(message)


def _counted_as(deployment_type: str) -> str:
    """The type under which Service Quotas counts; the two scratch types are one."""
    return "SCRATCH" if deployment_type.startswith("SCRATCH") else deployment_type


def _other_capacity(context: DoctorContext, counted_as: str) -> int:
    """GiB of the account's file systems of a type, without this project's own."""
    own = {context.outputs.get(output) for output in FILE_SYSTEMS.values()}
    with doing("listing file systems"):
        pages = context.fsx.get_paginator("describe_file_systems").paginate()
        return sum(
            file_system["StorageCapacity"]
            for page in pages
            for file_system in page["FileSystems"]
            if file_system["FileSystemId"] not in own
            and _counted_as(file_system.get("LustreConfiguration", {}).get("DeploymentType", "")) == counted_as
        )


def _by_code(client: "ServiceQuotasClient", service: str, code: str) -> "ServiceQuotaTypeDef":
    """A quota; AWS's default if the account has none of its own."""
    with doing(f"looking at quota {code} of {service}"):
        try:
            return client.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
        except client.exceptions.NoSuchResourceException:
            return client.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]


def _by_name(client: "ServiceQuotasClient", service: str, name: str) -> "ServiceQuotaTypeDef | None":
    """A quota; AWS's default if the account has none of its own; None if there is neither."""
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        with doing(f"listing quotas of {service}"):
            for page in client.get_paginator(operation).paginate(ServiceCode=service):
                for quota in page["Quotas"]:
                    if quota["QuotaName"].casefold() == name.casefold():
                        return quota
    return None


def _increase(service: str, quota: "ServiceQuotaTypeDef", value: float) -> str:
    """The command that asks for a higher quota."""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service} "
        f"--quota-code {quota['QuotaCode']} --desired-value {value:.0f}"
    )
