"""Whether a file system's security groups let Lustre through: FSx looks when it makes one, and so does this."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from toolchain.localaws.access import Access
from toolchain.localaws.fsx.model import Json
from toolchain.localaws.refusing import RefusalError

_LUSTRE: Final = 988


class Network:
    """EC2 of one region, as FSx asks it.

    Args:
        region: Where.
        access: Where EC2 answers, and the key.
    """

    def __init__(self, *, region: str, access: Access) -> None:
        self._region = region
        self._access = access
        self._client: Any = None

    def check(self, given: Mapping[str, Json]) -> str | None:
        """Refuses security groups that do not let servers speak to each other; returns the network that they are in.

        Args:
            given: What the file system is to be made with.

        Raises:
            RefusalError: Why.
        """
        groups = given.get("SecurityGroupIds") or []
        if not groups:
            return None
        found = self._described(groups)
        own = {one["GroupId"] for one in found}
        for direction in ("IpPermissions", "IpPermissionsEgress"):
            if not any(_passes(rule, own) for one in found for rule in one[direction]):
                raise RefusalError(
                    "InvalidNetworkSettings",
                    "The file system cannot be created because the provided security groups do not permit Lustre LNET "
                    f"network traffic on port {_LUSTRE}",
                )
        return str(found[0]["VpcId"])

    def close(self) -> None:
        """Ends the connections."""
        if self._client is not None:
            self._client.close()

    def _described(self, groups: Iterable[str]) -> list[dict[str, Any]]:
        from botocore.exceptions import ClientError

        try:
            found: list[dict[str, Any]] = self._ec2().describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        except ClientError as error:
            raise RefusalError("InvalidNetworkSettings", error.response["Error"]["Message"]) from error
        return found

    def _ec2(self) -> Any:  # noqa: ANN401  # a client
        if self._client is None:
            self._client = self._access.client("ec2", self._region)
        return self._client


def _passes(rule: Mapping[str, Any], own: set[str]) -> bool:
    """Whether a rule lets Lustre through between servers: to their own group, or to addresses."""
    if rule["IpProtocol"] not in {"-1", "tcp"}:
        return False
    if rule["IpProtocol"] == "tcp" and not rule["FromPort"] <= _LUSTRE <= rule["ToPort"]:
        return False
    peers = {one["GroupId"] for one in rule.get("UserIdGroupPairs", ())}
    return bool(own & peers or rule.get("IpRanges") or rule.get("Ipv6Ranges"))
