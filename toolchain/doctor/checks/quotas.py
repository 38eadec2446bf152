"""What AWS lets the account have, against what the parameters ask for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.aws import code, doing
from toolchain.doctor.result import Finding, green, red, yellow

if TYPE_CHECKING:
    from types_boto3_service_quotas import ServiceQuotasClient

    from toolchain.doctor.context import DoctorContext

# EC2 counts families of these letters each by themselves; what is left out here is standard:
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
CODES = {
    ("SPOT", "standard"): "L-34B43A08",
    ("EC2", "standard"): "L-1216C47A",
    ("SPOT", "X"): "L-E3A00192",
    ("EC2", "X"): "L-7295265B",
}
# By name: Service Quotas lists few for FSx, and a name says what it is. GiB, over all file systems of the kind.
CAPACITIES = {
    "SCRATCH": "Lustre Scratch storage capacity",
    "PERSISTENT_1": "Lustre Persistent_1 storage capacity",
    "PERSISTENT_2": "Lustre Persistent_2 storage capacity",
}


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A quota of the account.

    Attributes:
        name: Its name, as the console has it.
        service: Whose.
        code: Its code.
        value: What the account may have.
    """

    name: str
    service: str
    code: str
    value: float

    def raise_to(self, value: float) -> str:
        """What to type for more."""
        return (
            f"aws service-quotas request-service-quota-increase --service-code {self.service} "
            f"--quota-code {self.code} --desired-value {value:.0f}"
        )


def _by_code(client: "ServiceQuotasClient", service: str, quota: str) -> Quota:
    """A quota; AWS's default where the account has none of its own."""
    from botocore.exceptions import ClientError

    with doing(f"looking at quota {quota} of {service}"):
        try:
            found = client.get_service_quota(ServiceCode=service, QuotaCode=quota)["Quota"]
        except ClientError as error:
            if code(error) != "NoSuchResourceException":
                raise
            found = client.get_aws_default_service_quota(ServiceCode=service, QuotaCode=quota)["Quota"]
    return Quota(name=found["QuotaName"], service=service, code=quota, value=found["Value"])


def _by_name(client: "ServiceQuotasClient", service: str, name: str) -> Quota | None:
    """A quota of this name; AWS's default where the account has none of its own, and none where there is neither."""
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        with doing(f"listing quotas of {service}"):
            for page in client.get_paginator(operation).paginate(ServiceCode=service):
                for one in page["Quotas"]:
                    if one["QuotaName"].casefold() == name.casefold():
                        return Quota(name=one["QuotaName"], service=service, code=one["QuotaCode"], value=one["Value"])
    return None


def vcpus(case: "DoctorContext") -> Iterator[Finding]:
    """Whether EC2 gives as many vCPUs as the environments may take."""
    types = case.texts("compute", "InstanceTypes")
    counted = sorted({"X" if one.startswith("x") else "standard" for one in types})
    client = case.service_quotas
    for kind, parameter in (("SPOT", "SpotMaxvCpus"), ("EC2", "OnDemandMaxvCpus")):
        wanted = case.number("compute", parameter)
        for family in counted:
            quota = _by_code(client, "ec2", CODES[kind, family])
            said = f"{quota.name}: {quota.value:.0f} vCPUs, and {parameter} is {wanted}"
            if quota.value < wanted:
                lower = f"{quota.raise_to(wanted)}; or lower stack.compute.{parameter} in genomics.toml"
                yield red("quota of vCPUs", said, f"Type: {lower}.")
            else:
                yield green("quota of vCPUs", said)


def lustre(case: "DoctorContext") -> Iterator[Finding]:
    """Whether FSx gives as much capacity as the file systems need, beside those that others have."""
    name = "quota of Lustre"
    deployment = str(case.parameter("storage", "DeploymentType"))
    kind = _kind(deployment)
    if kind not in CAPACITIES:
        yield yellow(name, f"could not look: there is no deployment type {deployment}", "Mend genomics.toml.")
        return
    quota = _by_name(case.service_quotas, "fsx", CAPACITIES[kind])
    if quota is None:
        yield yellow(name, f"could not look: Service Quotas lists no '{CAPACITIES[kind]}'", "Look in the console.")
        return
    one = case.parameter("storage", "FileSystems") == "one"
    names = ("ScratchCapacity",) if one else ("ReferenceCapacity", "DataCapacity", "WorkingCapacity")
    wanted = sum(case.number("storage", parameter) for parameter in names)
    others = _taken(case, kind)
    said = f"{quota.name}: {quota.value:.0f} GiB; the parameters ask for {wanted}, and others have {others}"
    if quota.value < wanted + others:
        yield red(
            name,
            said,
            f"Type: {quota.raise_to(wanted + others)}; or lower {', '.join(names)} in genomics.toml.",
        )
    else:
        yield green(name, said)


def _kind(deployment: str) -> str:
    """How Service Quotas counts a deployment type: both scratches together."""
    return "SCRATCH" if deployment.startswith("SCRATCH") else deployment


def _taken(case: "DoctorContext", kind: str) -> int:
    """GiB of the account's file systems of a kind, less this project's own."""
    own = {value for name, value in case.outputs.items() if name.endswith("FileSystemId")}
    with doing("listing file systems"):
        pages = case.fsx.get_paginator("describe_file_systems").paginate()
        return sum(
            one["StorageCapacity"]
            for page in pages
            for one in page["FileSystems"]
            if one["FileSystemId"] not in own
            and _kind(one.get("LustreConfiguration", {}).get("DeploymentType", "")) == kind
        )
