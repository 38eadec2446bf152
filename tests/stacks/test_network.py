"""stack/network.yaml: nothing comes in, and what goes out is known."""

import pytest
from support.resolved_stacks import Stack, deployed

ENDPOINTS, NAT = deployed("network"), deployed("network", Egress="nat")
THERE = {"ExistingVpcId": "vpc-01234567", "ExistingSubnetId": "subnet-01234567"}
made = pytest.mark.parametrize("stack", [ENDPOINTS, NAT], ids=["endpoints", "nat"])
SERVICE = "com.amazonaws.us-east-1."


def test_a_network_that_is_there_is_used_and_nothing_is_made() -> None:
    stack = deployed("network", **THERE)
    assert stack.refusals == []
    assert stack.resources == {}
    assert stack.outputs == {"VpcId": "vpc-01234567", "SubnetId": "subnet-01234567"}


@pytest.mark.parametrize("given", THERE)
def test_half_of_a_network_that_is_there_is_refused(given: str) -> None:
    assert "go together" in deployed("network", **{given: THERE[given]}).refusals[0]


@made
def test_hosts_and_file_systems_share_a_subnet(stack: Stack) -> None:
    assert stack.outputs == {"VpcId": "Vpc", "SubnetId": "PrivateSubnet"}
    zones = {subnet["AvailabilityZone"] for subnet in stack.of("AWS::EC2::Subnet").values()}
    assert zones <= {"us-east-1a", "PrivateSubnet.AvailabilityZone"}


def test_the_zone_can_be_chosen() -> None:
    stack = deployed("network", AvailabilityZone="us-east-1c")
    assert stack.of("AWS::EC2::Subnet")["PrivateSubnet"]["AvailabilityZone"] == "us-east-1c"


@made
def test_no_host_has_an_address_of_the_internet(stack: Stack) -> None:
    assert {subnet["MapPublicIpOnLaunch"] for subnet in stack.of("AWS::EC2::Subnet").values()} == {False}
    private = [route for route in stack.of("AWS::EC2::Route").values() if route["RouteTableId"] == "PrivateRoutes"]
    assert [route for route in private if "GatewayId" in route] == []


def test_with_endpoints_there_is_no_way_to_the_internet() -> None:
    assert ENDPOINTS.of("AWS::EC2::Route") == ENDPOINTS.of("AWS::EC2::InternetGateway") == {}


def test_with_endpoints_a_host_reaches_what_it_needs_and_no_more() -> None:
    endpoints = ENDPOINTS.of("AWS::EC2::VPCEndpoint").values()
    assert {endpoint["ServiceName"].removeprefix(SERVICE) for endpoint in endpoints} == {
        *("ecr.api", "ecr.dkr", "s3"),
        *("ecs", "ecs-agent", "ecs-telemetry"),
        *("logs", "fsx"),
        *("ssm", "ssmmessages"),
    }


def test_with_nat_s3_still_has_its_endpoint() -> None:
    (endpoint,) = NAT.of("AWS::EC2::VPCEndpoint").values()
    assert (endpoint["ServiceName"], endpoint["VpcEndpointType"]) == (f"{SERVICE}s3", "Gateway")
    assert NAT.of("AWS::EC2::Route")["PrivateRoute"]["NatGatewayId"] == "NatGateway"


@made
def test_from_s3_a_host_gets_image_layers_and_packages_and_can_write_nothing(stack: Stack) -> None:
    policy = stack.of("AWS::EC2::VPCEndpoint")["S3Endpoint"]["PolicyDocument"]
    assert {statement["Action"] for statement in policy["Statement"]} == {"s3:GetObject"}
    assert [statement["Resource"] for statement in policy["Statement"]] == [
        "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*",
        "arn:aws:s3:::al2023-repos-us-east-1-de612dc2/*",
    ]


def test_an_endpoint_answers_the_vpc_alone() -> None:
    group = ENDPOINTS.of("AWS::EC2::SecurityGroup")["EndpointSecurityGroup"]
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("10.20.0.0/16", 443, 443)
    interfaces = [e for e in ENDPOINTS.of("AWS::EC2::VPCEndpoint").values() if e["VpcEndpointType"] == "Interface"]
    assert {(*endpoint["SecurityGroupIds"], *endpoint["SubnetIds"]) for endpoint in interfaces} == {
        ("EndpointSecurityGroup", "PrivateSubnet")
    }


def test_an_endpoint_serves_this_account_alone() -> None:
    for name, endpoint in ENDPOINTS.of("AWS::EC2::VPCEndpoint").items():
        if endpoint["VpcEndpointType"] == "Interface" and name not in ("Endpointecsagent", "Endpointecstelemetry"):
            (statement,) = endpoint["PolicyDocument"]["Statement"]
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}


@made
def test_all_traffic_is_logged_and_the_logs_outlive_the_network(stack: Stack) -> None:
    (log,) = stack.of("AWS::EC2::FlowLog").values()
    assert (log["ResourceId"], log["TrafficType"]) == ("Vpc", "ALL")
    group = stack.resources[log["LogGroupName"]]
    assert group["Properties"]["RetentionInDays"] == "365"
    assert group["DeletionPolicy"] == group["UpdateReplacePolicy"] == "Retain"
