"""AWS::EC2: networks, security groups, launch templates."""

from collections.abc import Mapping
from typing import Any

from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Unchanging, Work, document


def _ec2(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("ec2")


def _specified(work: Work, kind: str) -> dict[str, Json]:
    tags = [one for one in work.tag_list() if not one["Key"].startswith("aws:")]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def _retag(work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
    old = {one["Key"]: one["Value"] for one in before.get("Tags") or ()}
    new = {one["Key"]: one["Value"] for one in work.get("Tags") or ()}
    if gone := [{"Key": key} for key in old if key not in new]:
        _ec2(work).delete_tags(Resources=[physical_id], Tags=gone)
    if new:
        _ec2(work).create_tags(
            Resources=[physical_id], Tags=[{"Key": key, "Value": value} for key, value in new.items()]
        )


class Vpc(Kind):
    """A network."""

    type_name = "AWS::EC2::VPC"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_vpc(**work.only("CidrBlock", "InstanceTenancy"), **_specified(work, "vpc"))
        return str(made["Vpc"]["VpcId"])

    def settle(self, work: Work, physical_id: str) -> None:
        # One attribute a call, as the service wants it.
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):
            if name in work.properties:
                _ec2(work).modify_vpc_attribute(VpcId=physical_id, **{name: {"Value": work.get(name)}})

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        groups = _ec2(work).describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [physical_id]}, {"Name": "group-name", "Values": ["default"]}]
        )["SecurityGroups"]
        lists = _ec2(work).describe_network_acls(
            Filters=[{"Name": "vpc-id", "Values": [physical_id]}, {"Name": "default", "Values": ["true"]}]
        )["NetworkAcls"]
        return {
            "VpcId": physical_id,
            "DefaultSecurityGroup": groups[0]["GroupId"],
            "DefaultNetworkAcl": lists[0]["NetworkAclId"],
        }

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        self.settle(work, physical_id)
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_vpc(VpcId=physical_id)


class Subnet(Kind):
    """A subnet."""

    type_name = "AWS::EC2::Subnet"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_subnet(
            **work.only("VpcId", "CidrBlock", "AvailabilityZone"), **_specified(work, "subnet")
        )
        return str(made["Subnet"]["SubnetId"])

    def settle(self, work: Work, physical_id: str) -> None:
        if "MapPublicIpOnLaunch" in work.properties:
            _ec2(work).modify_subnet_attribute(
                SubnetId=physical_id, MapPublicIpOnLaunch={"Value": work.get("MapPublicIpOnLaunch")}
            )

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        subnet = _ec2(work).describe_subnets(SubnetIds=[physical_id])["Subnets"][0]
        return {"SubnetId": physical_id, **{name: subnet[name] for name in ("VpcId", "CidrBlock", "AvailabilityZone")}}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        self.settle(work, physical_id)
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_subnet(SubnetId=physical_id)


class RouteTable(Kind):
    """A route table."""

    type_name = "AWS::EC2::RouteTable"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_route_table(**work.only("VpcId"), **_specified(work, "route-table"))
        return str(made["RouteTable"]["RouteTableId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"RouteTableId": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_route_table(RouteTableId=physical_id)


class Route(Kind):
    """A route of a table."""

    type_name = "AWS::EC2::Route"
    _TARGETS = ("GatewayId", "NatGatewayId", "InstanceId", "NetworkInterfaceId", "TransitGatewayId", "VpcEndpointId")

    def create(self, work: Work) -> str:
        _ec2(work).create_route(**work.only("RouteTableId", "DestinationCidrBlock", *self._TARGETS))
        return f"{work.get('RouteTableId')}|{work.get('DestinationCidrBlock')}"

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"CidrBlock": work.get("DestinationCidrBlock")}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _ec2(work).replace_route(**work.only("RouteTableId", "DestinationCidrBlock", *self._TARGETS))

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_route(**work.only("RouteTableId", "DestinationCidrBlock"))


class SubnetRouteTableAssociation(Unchanging):
    """A subnet's route table."""

    type_name = "AWS::EC2::SubnetRouteTableAssociation"

    def create(self, work: Work) -> str:
        return str(_ec2(work).associate_route_table(**work.only("SubnetId", "RouteTableId"))["AssociationId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Id": physical_id}

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).disassociate_route_table(AssociationId=physical_id)


class InternetGateway(Kind):
    """A way to the Internet."""

    type_name = "AWS::EC2::InternetGateway"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_internet_gateway(**_specified(work, "internet-gateway"))
        return str(made["InternetGateway"]["InternetGatewayId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"InternetGatewayId": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_internet_gateway(InternetGatewayId=physical_id)


class GatewayAttachment(Unchanging):
    """What ties a gateway to a network."""

    type_name = "AWS::EC2::VPCGatewayAttachment"

    def create(self, work: Work) -> str:
        _ec2(work).attach_internet_gateway(**work.only("VpcId", "InternetGatewayId"))
        return f"IGW|{work.get('VpcId')}"

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).detach_internet_gateway(**work.only("VpcId", "InternetGatewayId"))


class Address(Kind):
    """An address of one's own."""

    type_name = "AWS::EC2::EIP"

    def create(self, work: Work) -> str:
        return str(_ec2(work).allocate_address(**work.only("Domain"), **_specified(work, "elastic-ip"))["PublicIp"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"PublicIp": physical_id, "AllocationId": self._allocation(work, physical_id)}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _retag(work, self._allocation(work, physical_id), before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).release_address(AllocationId=self._allocation(work, physical_id))

    @staticmethod
    def _allocation(work: Work, physical_id: str) -> str:
        return str(_ec2(work).describe_addresses(PublicIps=[physical_id])["Addresses"][0]["AllocationId"])


class NatGateway(Kind):
    """A way out for those without an address of their own."""

    type_name = "AWS::EC2::NatGateway"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_nat_gateway(
            **work.only("SubnetId", "AllocationId", "ConnectivityType"), **_specified(work, "natgateway")
        )
        return str(made["NatGateway"]["NatGatewayId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"NatGatewayId": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_nat_gateway(NatGatewayId=physical_id)


class Endpoint(Kind):
    """A way to a service of AWS without the Internet."""

    type_name = "AWS::EC2::VPCEndpoint"

    def create(self, work: Work) -> str:
        arguments = work.only(
            "VpcId",
            "ServiceName",
            "VpcEndpointType",
            "RouteTableIds",
            "SubnetIds",
            "SecurityGroupIds",
            "PrivateDnsEnabled",
        )
        if "PolicyDocument" in work.properties:
            arguments["PolicyDocument"] = document(work.get("PolicyDocument"))
        made = _ec2(work).create_vpc_endpoint(**arguments, **_specified(work, "vpc-endpoint"))
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Id": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        arguments: dict[str, Json] = {}
        for name, call in (
            ("RouteTableIds", "RouteTableIds"),
            ("SubnetIds", "SubnetIds"),
            ("SecurityGroupIds", "SecurityGroupIds"),
        ):
            old, new = before.get(name) or [], work.get(name) or []
            if added := [one for one in new if one not in old]:
                arguments[f"Add{call}"] = added
            if gone := [one for one in old if one not in new]:
                arguments[f"Remove{call}"] = gone
        if work.get("PolicyDocument") != before.get("PolicyDocument"):
            if "PolicyDocument" in work.properties:
                arguments["PolicyDocument"] = document(work.get("PolicyDocument"))
            else:
                arguments["ResetPolicy"] = True
        if arguments:
            _ec2(work).modify_vpc_endpoint(VpcEndpointId=physical_id, **arguments)
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_vpc_endpoints(VpcEndpointIds=[physical_id])


class FlowLog(Kind):
    """A record of a network's traffic."""

    type_name = "AWS::EC2::FlowLog"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_flow_logs(
            ResourceIds=[work.get("ResourceId")],
            **work.only(
                "ResourceType",
                "TrafficType",
                "LogDestinationType",
                "LogDestination",
                "LogGroupName",
                "DeliverLogsPermissionArn",
                "LogFormat",
                "MaxAggregationInterval",
            ),
            **_specified(work, "vpc-flow-log"),
        )
        return str(made["FlowLogIds"][0])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Id": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_flow_logs(FlowLogIds=[physical_id])


# What a rule without a destination allows: EC2 gives it to every group that names no rule of its own.
_EVERYTHING = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}


def _permission(rule: Mapping[str, Json], peer: str) -> dict[str, Json]:
    permission: dict[str, Json] = {"IpProtocol": str(rule["IpProtocol"])}
    for name in ("FromPort", "ToPort"):
        if name in rule:
            permission[name] = int(rule[name])
    told = {"Description": rule["Description"]} if "Description" in rule else {}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **told}]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **told}]
    if f"{peer}SecurityGroupId" in rule:
        permission["UserIdGroupPairs"] = [{"GroupId": rule[f"{peer}SecurityGroupId"], **told}]
    if f"{peer}PrefixListId" in rule:
        permission["PrefixListIds"] = [{"PrefixListId": rule[f"{peer}PrefixListId"], **told}]
    return permission


class SecurityGroup(Kind):
    """A security group, with the rules that stand in it."""

    type_name = "AWS::EC2::SecurityGroup"
    name_property = "GroupName"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_security_group(
            GroupName=work.get("GroupName") or work.unique(),
            Description=work.get("GroupDescription"),
            **work.only("VpcId"),
            **_specified(work, "security-group"),
        )
        return str(made["GroupId"])

    def settle(self, work: Work, physical_id: str) -> None:
        if work.get("SecurityGroupEgress"):
            self._rules(work, physical_id, "Egress", [_EVERYTHING], "revoke")
        self._rules(work, physical_id, "Ingress", work.get("SecurityGroupIngress"), "authorize")
        self._rules(work, physical_id, "Egress", work.get("SecurityGroupEgress"), "authorize")

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        group = _ec2(work).describe_security_groups(GroupIds=[physical_id])["SecurityGroups"][0]
        return {"Id": physical_id, "GroupId": physical_id, "VpcId": group["VpcId"]}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for direction in ("Ingress", "Egress"):
            name = f"SecurityGroup{direction}"
            usual = [_EVERYTHING] if direction == "Egress" else []
            old, new = before.get(name) or usual, work.get(name) or usual
            self._rules(work, physical_id, direction, [one for one in old if one not in new], "revoke")
            self._rules(work, physical_id, direction, [one for one in new if one not in old], "authorize")
        _retag(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_security_group(GroupId=physical_id)

    @staticmethod
    def _rules(work: Work, physical_id: str, direction: str, rules: Json, verb: str) -> None:
        if rules:
            peer = "Source" if direction == "Ingress" else "Destination"
            getattr(_ec2(work), f"{verb}_security_group_{direction.lower()}")(
                GroupId=physical_id, IpPermissions=[_permission(one, peer) for one in rules]
            )


class _Rule(Kind):
    """A rule that stands beside its group."""

    _direction: str
    _peer: str

    def create(self, work: Work) -> str:
        call = getattr(_ec2(work), f"authorize_security_group_{self._direction}")
        made = call(GroupId=work.get("GroupId"), IpPermissions=[_permission(work.properties, self._peer)])
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Id": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        told = {} if work.get("Description") is None else {"Description": work.get("Description")}
        getattr(_ec2(work), f"update_security_group_rule_descriptions_{self._direction}")(
            GroupId=work.get("GroupId"), IpPermissions=[_permission({**work.properties, **told}, self._peer)]
        )

    def delete(self, work: Work, physical_id: str) -> None:
        getattr(_ec2(work), f"revoke_security_group_{self._direction}")(
            GroupId=work.get("GroupId"), IpPermissions=[_permission(work.properties, self._peer)]
        )


class IngressRule(_Rule):
    """What may come in."""

    type_name = "AWS::EC2::SecurityGroupIngress"
    _direction = "ingress"
    _peer = "Source"


class EgressRule(_Rule):
    """What may go out."""

    type_name = "AWS::EC2::SecurityGroupEgress"
    _direction = "egress"
    _peer = "Destination"


class LaunchTemplate(Kind):
    """What a host is started with; a change is another version of it."""

    type_name = "AWS::EC2::LaunchTemplate"
    name_property = "LaunchTemplateName"

    def create(self, work: Work) -> str:
        made = _ec2(work).create_launch_template(
            LaunchTemplateName=work.get("LaunchTemplateName") or work.unique(),
            LaunchTemplateData=work.get("LaunchTemplateData"),
            **work.only("VersionDescription", "TagSpecifications"),
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        template = _ec2(work).describe_launch_templates(LaunchTemplateIds=[physical_id])["LaunchTemplates"][0]
        return {
            "LaunchTemplateId": physical_id,
            "LatestVersionNumber": str(template["LatestVersionNumber"]),
            "DefaultVersionNumber": str(template["DefaultVersionNumber"]),
        }

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        if work.get("LaunchTemplateData") != before.get("LaunchTemplateData"):
            _ec2(work).create_launch_template_version(
                LaunchTemplateId=physical_id,
                LaunchTemplateData=work.get("LaunchTemplateData"),
                **work.only("VersionDescription"),
            )

    def delete(self, work: Work, physical_id: str) -> None:
        _ec2(work).delete_launch_template(LaunchTemplateId=physical_id)


KINDS = (
    Vpc,
    Subnet,
    RouteTable,
    Route,
    SubnetRouteTableAssociation,
    InternetGateway,
    GatewayAttachment,
    Address,
    NatGateway,
    Endpoint,
    FlowLog,
    SecurityGroup,
    IngressRule,
    EgressRule,
    LaunchTemplate,
)
