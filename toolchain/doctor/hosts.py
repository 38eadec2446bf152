"""What a job finds on a host of an instance type: less memory than the type is sold with."""

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
# A host registers what its kernel sees, less what the agent is told to leave. Of an m4.large's 8192 MiB the kernel
# sees 7985, which is 97.5 % (https://docs.aws.amazon.com/batch/latest/userguide/memory-management.html); of an
# r5d.xlarge's 32768, 31704, which is 96.8 % (github.com/ASFHyP3/hyp3/pull/582). Taken is a little less than either.
SEEN_PERCENT = 96
# ECS_RESERVED_MEMORY where a launch template's user data says nothing else.
RESERVED = 32
_RESERVED = re.compile(r"^\s*ECS_RESERVED_MEMORY=(\d+)", re.MULTILINE)
# How many values a filter takes.
_FILTERED = 200


@dataclass(frozen=True, kw_only=True)
class HostType:
    """An instance type.

    Attributes:
        name: Its name.
        vcpus: Its vCPUs.
        nominal: The MiB that it is sold with.
    """

    name: str
    vcpus: int
    nominal: int

    def registered(self, reserved: int) -> int:
        """The MiB that jobs can have of it, estimated from below.

        Args:
            reserved: What the agent is told to leave.
        """
        return self.nominal * SEEN_PERCENT // 100 - reserved


def reserved(user_data: str) -> int:
    """What a host's user data tells the agent to leave of its memory, in MiB."""
    found = _RESERVED.findall(user_data)
    return int(found[-1]) if found else RESERVED


def find(ec2: "EC2Client", wanted: Sequence[str], zones: Sequence[str]) -> list[HostType]:
    """The x86_64 types among types and families, as far as a zone has them, the smallest first.

    Args:
        ec2: EC2.
        wanted: Types, families, and groups of families.
        zones: The zones; none for the whole region.
    """
    patterns = sorted({pattern for one in wanted for pattern in _patterns(one)})
    found: dict[str, HostType] = {}
    with doing("looking at instance types"):
        pages = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[
                {"Name": "instance-type", "Values": patterns[:_FILTERED]},
                {"Name": "processor-info.supported-architecture", "Values": ["x86_64"]},
            ]
        )
        for page in pages:
            for one in page["InstanceTypes"]:
                name = str(one["InstanceType"])
                found[name] = HostType(
                    name=name, vcpus=one["VCpuInfo"]["DefaultVCpus"], nominal=one["MemoryInfo"]["SizeInMiB"]
                )
    if zones:
        offered = _offered(ec2, zones)
        found = {name: one for name, one in found.items() if name in offered}
    return sorted(found.values(), key=lambda one: (one.vcpus, one.nominal, one.name))


def _offered(ec2: "EC2Client", zones: Sequence[str]) -> set[str]:
    with doing("looking at which instance types the zone has"):
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "location", "Values": list(zones)}]
        )
        return {str(one["InstanceType"]) for page in pages for one in page["InstanceTypeOfferings"]}


def _patterns(one: str) -> tuple[str, ...]:
    """As EC2's filters take it: a family is `m6i.*`, which is not `m6id.*`."""
    if one in GROUPS:
        return tuple(f"{family}.*" for family in GROUPS[one])
    return (one,) if "." in one else (f"{one}.*",)
