"""stack/network.yaml: nothing comes in, and what goes out is known."""

import pytest
from support.resolved_stacks import Stack, deployed

ENDPOINTS, NAT = deployed("network"), deployed("network", Egress="nat")
EXISTING = {"ExistingVpcId": "vpc-01234567", "ExistingSubnetId": "subnet-01234567"}
either = pytest.mark.parametrize("stack", [ENDPOINTS, NAT], ids=["endpoints", "nat"])
SERVICE = "com.amazonaws.us-east-1."
PORTS = {(988, 988), (1018, 1023)}
SERVER, CLIENT = "LustreServerSecurityGroup", "LustreClientSecurityGroup"


def test_an_existing_network_is_used_whole_and_only_security_groups_are_made() -> None:
    stack = deployed("network", **EXISTING)
    kinds = {resource["Type"].removesuffix("Ingress").removesuffix("Egress") for resource in stack.resources.values()}
    assert (stack.refusals, kinds) == ([], {"AWS::EC2::SecurityGroup"})
    assert {group["VpcId"] for group in stack.of("AWS::EC2::SecurityGroup").values()} == {"vpc-01234567"}
    assert stack.outputs | {"VpcId": "vpc-01234567", "SubnetId": "subnet-01234567"} == stack.outputs
    for name, value in EXISTING.items():
        assert "go together" in deployed("network", **{name: value}).refusals[0]


@either
def test_hosts_and_file_systems_share_a_private_subnet_in_one_zone(stack: Stack) -> None:
    assert (stack.outputs["VpcId"], stack.outputs["SubnetId"]) == ("Vpc", "PrivateSubnet")
    subnets = stack.of("AWS::EC2::Subnet").values()
    assert {subnet["AvailabilityZone"] for subnet in subnets} <= {"us-east-1a", "PrivateSubnet.AvailabilityZone"}
    assert {subnet["MapPublicIpOnLaunch"] for subnet in subnets} == {False}
    private = [route for route in stack.of("AWS::EC2::Route").values() if route["RouteTableId"] == "PrivateRoutes"]
    assert [route for route in private if "GatewayId" in route] == []


def test_the_zone_can_be_chosen() -> None:
    stack = deployed("network", AvailabilityZone="us-east-1c")
    assert stack.of("AWS::EC2::Subnet")["PrivateSubnet"]["AvailabilityZone"] == "us-east-1c"


def test_with_endpoints_a_host_reaches_the_services_that_it_needs_and_not_the_internet() -> None:
    assert ENDPOINTS.of("AWS::EC2::Route") == ENDPOINTS.of("AWS::EC2::InternetGateway") == {}
    endpoints = ENDPOINTS.of("AWS::EC2::VPCEndpoint").values()
    services = "ecr.api ecr.dkr s3 ecs ecs-agent ecs-telemetry logs fsx ssm"
    assert {endpoint["ServiceName"].removeprefix(SERVICE) for endpoint in endpoints} == set(services.split())


def test_the_endpoint_of_session_manager_stands_with_session_manager_only() -> None:
    def services(on: str) -> set[str]:
        endpoints = deployed("network", SessionManagerEndpoint=on).of("AWS::EC2::VPCEndpoint").values()
        return {endpoint["ServiceName"].removeprefix(SERVICE) for endpoint in endpoints}

    assert services("true") - services("false") == {"ssmmessages"}


def test_with_nat_s3_still_has_its_endpoint() -> None:
    (endpoint,) = NAT.of("AWS::EC2::VPCEndpoint").values()
    assert (endpoint["ServiceName"], endpoint["VpcEndpointType"]) == (f"{SERVICE}s3", "Gateway")
    assert NAT.of("AWS::EC2::Route")["PrivateRoute"]["NatGatewayId"] == "NatGateway"


@either
def test_from_s3_a_host_gets_image_layers_and_packages_and_can_write_nothing(stack: Stack) -> None:
    policy = stack.of("AWS::EC2::VPCEndpoint")["S3Endpoint"]["PolicyDocument"]
    assert [(statement["Action"], statement["Resource"]) for statement in policy["Statement"]] == [
        ("s3:GetObject", "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*"),
        ("s3:GetObject", "arn:aws:s3:::al2023-repos-us-east-1-de612dc2/*"),
    ]


def test_an_endpoint_answers_the_vpc_and_serves_this_account_alone() -> None:
    (rule,) = ENDPOINTS.of("AWS::EC2::SecurityGroup")["EndpointSecurityGroup"]["SecurityGroupIngress"]
    assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("10.20.0.0/16", 443, 443)
    for name, endpoint in ENDPOINTS.of("AWS::EC2::VPCEndpoint").items():
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["SecurityGroupIds"] == ["EndpointSecurityGroup"]
            assert endpoint["SubnetIds"] == ["PrivateSubnet"]
            # These two take no policy.
            if name not in {"Endpointecsagent", "Endpointecstelemetry"}:
                (statement,) = endpoint["PolicyDocument"]["Statement"]
                assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}


@either
def test_all_traffic_is_logged_and_the_logs_outlive_the_network(stack: Stack) -> None:
    (log,) = stack.of("AWS::EC2::FlowLog").values()
    assert (log["ResourceId"], log["TrafficType"]) == ("Vpc", "ALL")
    group = stack.resources[log["LogGroupName"]]
    assert group["Properties"]["RetentionInDays"] == "365"
    assert group["DeletionPolicy"] == group["UpdateReplacePolicy"] == "Retain"


def test_lustre_s_ports_are_open_both_ways_and_nothing_else_is() -> None:
    stack = deployed("network", **EXISTING)
    rules = set()
    for kind, way in (("Ingress", "in"), ("Egress", "out")):
        inline = [
            {**rule, "GroupId": name}
            for name, group in stack.of("AWS::EC2::SecurityGroup").items()
            for rule in group.get(f"SecurityGroup{kind}", [])
        ]
        for rule in (*inline, *stack.of(f"AWS::EC2::SecurityGroup{kind}").values()):
            assert rule["IpProtocol"] == "tcp"
            peer = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId") or rule["CidrIp"]
            rules.add((rule["GroupId"], way, peer, (rule["FromPort"], rule["ToPort"])))
    pairs = [(SERVER, SERVER), (SERVER, CLIENT), (CLIENT, SERVER)]
    lustre = {(group, way, peer, ports) for group, peer in pairs for way in ("in", "out") for ports in PORTS}
    assert rules == lustre | {(CLIENT, "out", "0.0.0.0/0", (443, 443))}
