"""Security groups: Lustre's ports are open between hosts and file systems, and among file systems."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from itertools import product
from typing import TYPE_CHECKING, Literal

from toolchain.aws import doing
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import IpPermissionOutputTypeDef

# https://docs.aws.amazon.com/fsx/latest/LustreGuide/limit-access-security-groups.html
PORTS = ((988, 988), (1018, 1023))
# Both ends have rules. Hosts do not speak Lustre to each other.
_SIDES = (("hosts", "file systems"), ("file systems", "hosts"), ("file systems", "file systems"))
_DIRECTIONS: tuple[tuple[Literal["IpPermissions", "IpPermissionsEgress"], str], ...] = (
    ("IpPermissions", "from"),
    ("IpPermissionsEgress", "to"),
)


def open_ports(context: DoctorContext) -> Iterator[CheckResult]:
    """The security groups let Lustre through."""
    groups = {
        "hosts": sorted(
            {
                group
                for environment in context.compute_environments
                for group in environment["computeResources"].get("securityGroupIds", ())
            }
        ),
        "file systems": [context.outputs["LustreServerSecurityGroupId"]],
    }
    with doing("looking at security groups"):
        answer = context.ec2.describe_security_groups(GroupIds=sorted({*groups["hosts"], *groups["file systems"]}))
    described = {group["GroupId"]: group for group in answer["SecurityGroups"]}
    subnets = {subnet for file_system in context.file_systems.values() for subnet in file_system.get("SubnetIds", ())}
    networks = [IPv4Network(subnet["CidrBlock"]) for subnet in context.subnets(subnets | context.host_subnets)]
    closed = []
    for (side, peer), (direction, preposition), ports in product(_SIDES, _DIRECTIONS, PORTS):
        rules = [rule for group in groups[side] for rule in described[group].get(direction, ())]
        if not any(_covers(rule, ports) and _concerns(rule, groups[peer], networks) for rule in rules):
            closed.append(f"{preposition} {peer}, on {side}, TCP {_shown(ports)}")
    if closed:
        yield red(
            f"closed: {'; '.join(closed)}", f"Somebody changed a rule by hand. {DEPLOY} network; or add it again."
        )
    else:
        ports_shown = " and ".join(map(_shown, PORTS))
        ends = " and ".join(", ".join(ids) for ids in groups.values())
        yield green(f"TCP {ports_shown} are open between {ends}")


def _covers(rule: "IpPermissionOutputTypeDef", ports: tuple[int, int]) -> bool:
    """Whether a rule is about these ports."""
    if rule.get("IpProtocol") == "-1":
        return True
    first, last = ports
    return rule.get("IpProtocol") == "tcp" and rule.get("FromPort", 0) <= first and rule.get("ToPort", -1) >= last


def _concerns(rule: "IpPermissionOutputTypeDef", peers: Iterable[str], networks: list[IPv4Network]) -> bool:
    """Whether a rule names one of the peers' groups, or addresses that take in every subnet."""
    if {pair.get("GroupId") for pair in rule.get("UserIdGroupPairs", ())} & set(peers):
        return True
    allowed = [IPv4Network(entry["CidrIp"]) for entry in rule.get("IpRanges", ()) if "CidrIp" in entry]
    return bool(networks) and all(any(network.subnet_of(entry) for entry in allowed) for network in networks)


def _shown(ports: tuple[int, int]) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"
