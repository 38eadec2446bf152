"""Whether hosts and file systems may speak Lustre to each other: both ways, and servers among themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Literal, get_args

from toolchain.aws import doing
from toolchain.doctor.result import DEPLOY, Finding, green, red

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import IpPermissionOutputTypeDef, SecurityGroupTypeDef

    from toolchain.doctor.context import DoctorContext

# https://docs.aws.amazon.com/fsx/latest/LustreGuide/limit-access-security-groups.html
PORTS = ((988, 988), (1018, 1023))
_NAME = "Lustre ports"
Direction = Literal["IpPermissions", "IpPermissionsEgress"]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One direction of what must be let through, as one side's rules have it.

    Attributes:
        side: Whose rules.
        direction: Which of them.
        peer: Who is at the other end.
    """

    side: str
    direction: Direction
    peer: str

    @property
    def preposition(self) -> str:
        """As people say it."""
        return "from" if self.direction == "IpPermissions" else "to"


# Both ends have rules. Hosts do not speak Lustre to each other.
_WAYS = tuple(
    Way(side=side, direction=direction, peer=peer)
    for side, peer in (("hosts", "file systems"), ("file systems", "hosts"), ("file systems", "file systems"))
    for direction in get_args(Direction)
)


def opened(case: "DoctorContext") -> Iterator[Finding]:
    """Whether the security groups let Lustre through."""
    ec2 = case.ec2
    client = case.outputs["LustreClientSecurityGroupId"]
    held = (one.id for one in case.held("storage") if one.kind == "AWS::EC2::SecurityGroup")
    servers = sorted(one for one in held if one != client)
    clients = sorted({group for one in case.environments for group in one.groups})
    with doing("looking at security groups"):
        answer = ec2.describe_security_groups(GroupIds=sorted({*servers, *clients}))
    groups = {one["GroupId"]: one for one in answer["SecurityGroups"]}
    subnets = {subnet for one in case.environments for subnet in one.subnets}
    subnets |= {subnet for one in case.file_systems.values() for subnet in one.get("SubnetIds", ())}
    network = [one["CidrBlock"] for one in case.subnets(subnets).values()]
    sides = {"hosts": clients, "file systems": servers}
    closed = [
        f"{way.preposition} {way.peer}, on {way.side}, TCP {_shown(ports)}"
        for way in _WAYS
        for ports in PORTS
        if not _lets([groups[one] for one in sides[way.side]], way.direction, sides[way.peer], network, ports)
    ]
    if closed:
        yield red(
            _NAME,
            f"closed: {'; '.join(closed)}",
            f"Somebody changed a rule by hand. {DEPLOY} storage; or add it again.",
        )
    else:
        ports = " and ".join(map(_shown, PORTS))
        yield green(_NAME, f"TCP {ports} are open between {', '.join(clients)} and {', '.join(servers)}")


def _lets(
    groups: "Sequence[SecurityGroupTypeDef]",
    key: Direction,
    peers: Sequence[str],
    network: Sequence[str],
    ports: tuple[int, int],
) -> bool:
    """Whether a rule of one of the groups lets these ports through, from or to one of the peers."""
    rules = [rule for one in groups for rule in one.get(key, ())]
    return any(_covers(rule, ports) and _concerns(rule, peers, network) for rule in rules)


def _covers(rule: "IpPermissionOutputTypeDef", ports: tuple[int, int]) -> bool:
    if rule.get("IpProtocol") == "-1":
        return True
    first, last = ports
    return rule.get("IpProtocol") == "tcp" and rule.get("FromPort", 0) <= first and rule.get("ToPort", -1) >= last


def _concerns(rule: "IpPermissionOutputTypeDef", peers: Sequence[str], network: Sequence[str]) -> bool:
    if {pair.get("GroupId") for pair in rule.get("UserIdGroupPairs", ())} & set(peers):
        return True
    # An address range counts where it takes in every subnet that hosts and file systems are in.
    ranges = [IPv4Network(one["CidrIp"]) for one in rule.get("IpRanges", ()) if "CidrIp" in one]
    return bool(network) and all(any(IPv4Network(one).subnet_of(wide) for wide in ranges) for one in network)


def _shown(ports: tuple[int, int]) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"
