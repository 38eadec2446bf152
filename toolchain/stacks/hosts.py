"""Instance types, and the memory that jobs find on them, which is less than their nominal memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.aws import doing

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

# What `default_x86_64` and, since November 2025, `optimal` stand for:
# https://docs.aws.amazon.com/batch/latest/userguide/instance-type-compute-table.html
GROUPS = dict.fromkeys(("default_x86_64", "optimal"), ("m6i", "c6i", "r6i", "c7i"))
# A host registers what its kernel sees, less what the agent reserves. Of an m4.large's 8192 MiB the kernel sees 7985,
# which is 97.5 % (https://docs.aws.amazon.com/batch/latest/userguide/memory-management.html); of an r5d.xlarge's
# 32768, 31704, which is 96.8 % (github.com/ASFHyP3/hyp3/pull/582). A little less than either is taken.
VISIBLE_PERCENT = 96
# ECS_RESERVED_MEMORY where the user data does not set it, in MiB.
DEFAULT_RESERVED = 32
_RESERVED = re.compile(r"^\s*ECS_RESERVED_MEMORY=(\d+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class HostType:
    """An instance type; its nominal memory is in MiB."""

    name: str
    vcpus: int
    nominal: int

    def registered(self, reserved: int) -> int:
        """The MiB that jobs can have, estimated from below; `reserved` is what the agent keeps."""
        return self.nominal * VISIBLE_PERCENT // 100 - reserved


def reserved_memory(user_data: str) -> int:
    """The MiB that the agent of a host with this user data reserves."""
    values = _RESERVED.findall(user_data)
    return int(values[-1]) if values else DEFAULT_RESERVED


def find(ec2: "EC2Client", names: Sequence[str], zones: Sequence[str]) -> list[HostType]:
    """The x86_64 instance types that Batch may choose, the smallest first.

    Args:
        ec2: EC2.
        names: Types, families, and groups of families.
        zones: The zones that must offer them; none for the whole region.
    """
    patterns = sorted({pattern for name in names for pattern in _patterns(name)})
    with doing("looking at instance types"):
        pages = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[
                {"Name": "instance-type", "Values": patterns},
                {"Name": "processor-info.supported-architecture", "Values": ["x86_64"]},
            ]
        )
        hosts = [
            HostType(
                name=str(described["InstanceType"]),
                vcpus=described["VCpuInfo"]["DefaultVCpus"],
                nominal=described["MemoryInfo"]["SizeInMiB"],
            )
            for page in pages
            for described in page["InstanceTypes"]
        ]
    if zones:
        offered = _offered(ec2, zones)
        hosts = [host for host in hosts if host.name in offered]
    return sorted(hosts, key=lambda host: (host.vcpus, host.nominal, host.name))


def _offered(ec2: "EC2Client", zones: Sequence[str]) -> set[str]:
    with doing("looking at which instance types the zone has"):
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "location", "Values": list(zones)}]
        )
        return {str(offering["InstanceType"]) for page in pages for offering in page["InstanceTypeOfferings"]}


def _patterns(name: str) -> tuple[str, ...]:
    """A name as EC2's filters take it: a family is `m6i.*`, which does not match m6id."""
    if name in GROUPS:
        return tuple(f"{family}.*" for family in GROUPS[name])
    return (name,) if "." in name else (f"{name}.*",)
