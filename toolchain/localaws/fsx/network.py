"""Whether a file system's security groups let Lustre through: FSx looks when it makes one, and so does this."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from toolchain.localaws.fsx.model import Json, RefusalError

_LUSTRE: Final = 988


def check_network(given: Mapping[str, Json], *, region: str, endpoint: str) -> str | None:
    """Refuses security groups that do not let servers speak to each other; returns the network that they are in.

    Args:
        given: What the file system is to be made with.
        region: Where.
        endpoint: Where EC2 answers.

    Raises:
        RefusalError: Why.
    """
    groups = given.get("SecurityGroupIds") or []
    if not groups:
        return None
    found = _described(groups, region, endpoint)
    own = {one["GroupId"] for one in found}
    for direction in ("IpPermissions", "IpPermissionsEgress"):
        if not any(_passes(rule, own) for one in found for rule in one[direction]):
            raise RefusalError(
                "InvalidNetworkSettings",
                "The file system cannot be created because the provided security groups do not permit Lustre LNET "
                f"network traffic on port {_LUSTRE}",
            )
    return str(found[0]["VpcId"])


def _described(groups: Iterable[str], region: str, endpoint: str) -> list[dict[str, Any]]:
    import boto3
    from botocore.exceptions import ClientError

    session: Any = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region)  # noqa: S106  # none
    client = session.client("ec2", endpoint_url=endpoint)
    try:
        found: list[dict[str, Any]] = client.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    except ClientError as error:
        raise RefusalError("InvalidNetworkSettings", error.response["Error"]["Message"]) from error
    finally:
        client.close()
    return found


def _passes(rule: Mapping[str, Any], own: set[str]) -> bool:
    """Whether a rule lets Lustre through between servers: to their own group, or to addresses."""
    if rule["IpProtocol"] not in {"-1", "tcp"}:
        return False
    if rule["IpProtocol"] == "tcp" and not rule["FromPort"] <= _LUSTRE <= rule["ToPort"]:
        return False
    peers = {one["GroupId"] for one in rule.get("UserIdGroupPairs", ())}
    return bool(own & peers or rule.get("IpRanges") or rule.get("Ipv6Ranges"))
