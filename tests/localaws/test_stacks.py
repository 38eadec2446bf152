"""The project's own templates: every resource is made, changed and deleted by its service."""

import json
import time
from collections.abc import Iterator
from typing import Any

import jmespath
import pytest
from moto.batch.models import BatchBackend
from support.embedded_services import Embedded, Stacks

from toolchain.paths import HERE

DEFINITION = "arn:aws:batch:us-east-1:123456789012:job-definition/p-x:1"
ORDER = ("registry", "network", "results", "compute", "workflow", "watch", "storage")
# What tells of everything that stacks make: service, operation, and the names in its answer.
HELD = (
    ("batch", "describe_compute_environments", "computeEnvironments[].computeEnvironmentName"),
    ("batch", "describe_job_queues", "jobQueues[].jobQueueName"),
    ("batch", "list_scheduling_policies", "schedulingPolicies[].arn"),
    ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries[].DashboardName"),
    ("ec2", "describe_addresses", "Addresses[].PublicIp"),
    ("ec2", "describe_flow_logs", "FlowLogs[].FlowLogId"),
    ("ec2", "describe_internet_gateways", "InternetGateways[].InternetGatewayId"),
    ("ec2", "describe_launch_templates", "LaunchTemplates[].LaunchTemplateId"),
    ("ec2", "describe_nat_gateways", "NatGateways[?State!='deleted'].NatGatewayId"),
    ("ec2", "describe_route_tables", "RouteTables[].RouteTableId"),
    ("ec2", "describe_security_groups", "SecurityGroups[].GroupId"),
    ("ec2", "describe_subnets", "Subnets[].SubnetId"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints[?State!='deleted'].VpcEndpointId"),
    ("ec2", "describe_vpcs", "Vpcs[].VpcId"),
    ("events", "list_rules", "Rules[].Name"),
    ("fsx", "describe_data_repository_associations", "Associations[].AssociationId"),
    ("fsx", "describe_file_systems", "FileSystems[].FileSystemId"),
    ("iam", "list_instance_profiles", "InstanceProfiles[].InstanceProfileName"),
    ("iam", "list_roles", "Roles[?!starts_with(RoleName, 'AWSServiceRole')].RoleName"),
    ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    ("logs", "describe_metric_filters", "metricFilters[].filterName"),
    ("sns", "list_subscriptions", "Subscriptions[].Endpoint"),
    ("sns", "list_topics", "Topics[].TopicArn"),
    ("ssm", "describe_parameters", "Parameters[].Name"),
    ("stepfunctions", "list_state_machines", "stateMachines[].name"),
)


def text(name: str) -> str:
    return (HERE.root / "stack" / f"{name}.yaml").read_text(encoding="utf-8")


def held(embedded: Embedded) -> dict[str, list[str]]:
    found = {op: jmespath.search(names, getattr(embedded.client(service), op)()) for service, op, names in HELD}
    policies = embedded.client("iam").list_policies(Scope="Local")["Policies"]
    budgets = embedded.client("budgets").describe_budgets(AccountId="123456789012")["Budgets"]
    found["budgets"] = [budget["BudgetName"] for budget in budgets]
    return {**found, "policies": [policy["PolicyName"] for policy in policies]}


@pytest.fixture(scope="module")
def before(embedded: Embedded) -> dict[str, list[str]]:
    return held(embedded)


@pytest.fixture(scope="module")
def parameters(embedded: Embedded) -> dict[str, dict[str, str]]:
    """What makes every resource that depends on a condition, but for the endpoints and the one file system."""
    reference, data = embedded.bucket(), embedded.bucket()
    return {
        "registry": {"Images": "bwa,fsx-export"},
        "network": {"Egress": "nat"},
        "results": {},
        "storage": {"ReferencePath": f"s3://{reference}/ref", "DataPath": f"s3://{data}/reads"},
        "compute": {"SessionManager": "true"},
        "workflow": {"Workflow": "w", "JobDefinitions": DEFINITION},
        "watch": {"NotificationEmail": "lab@example.org", "BudgetAmount": "9"},
    }


@pytest.fixture(scope="module")
def deployed(
    embedded: Embedded, parameters: dict[str, dict[str, str]], before: dict[str, list[str]]
) -> Iterator[Stacks]:
    """All stacks; in the end nothing is left of them but what they retain."""
    stacks = embedded.stacks
    for name in ORDER:
        stack = stacks.deploy(f"p-{name}", text(name), {"Project": "p", **parameters[name]})
        assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(f"p-{name}", "CREATE_FAILED")
    yield stacks
    group = [name for name in held(embedded)["describe_log_groups"] if "FlowLogGroup" in name or name == "/p/jobs"]
    for name in reversed(ORDER):
        stack = stacks.delete(f"p-{name}")
        assert stack["StackStatus"] == "DELETE_COMPLETE", stacks.reasons(stack["StackId"], "DELETE_FAILED")
    assert held(embedded) == {**before, "describe_log_groups": group}
    assert [key["KeyState"] for key in keys(embedded)] == ["PendingDeletion"]
    assert len(embedded.client("ecr").describe_repositories()["repositories"]) == 2


def keys(embedded: Embedded) -> list[dict[str, Any]]:
    kms = embedded.client("kms")
    found = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    return [key for key in found if key["KeyManager"] == "CUSTOMER"]


def test_every_type_of_the_templates_is_made(embedded: Embedded, deployed: Stacks) -> None:
    found = held(embedded)
    assert [operation for operation, names in found.items() if not names] == []
    for name in ORDER:
        resources = deployed.client.list_stack_resources(StackName=f"p-{name}")["StackResourceSummaries"]
        assert all(resource["PhysicalResourceId"] for resource in resources)
    network = embedded.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["p"]}])["Vpcs"]
    assert [vpc["VpcId"] for vpc in network] == [deployed.outputs("p-network")["VpcId"]]


def test_resources_are_what_their_templates_say(embedded: Embedded, deployed: Stacks) -> None:
    """Of what moto's own classes leave out."""
    storage, compute = deployed.outputs("p-storage"), deployed.outputs("p-compute")
    network, results = deployed.outputs("p-network"), deployed.outputs("p-results")
    workflow, watch, s3 = deployed.outputs("p-workflow"), deployed.outputs("p-watch"), embedded.client("s3")
    [system] = embedded.client("fsx").describe_file_systems(FileSystemIds=[storage["WorkingFileSystemId"]])[
        "FileSystems"
    ]
    parameter = embedded.client("ssm").get_parameter(Name="/p/scratch/working")["Parameter"]
    assert parameter["Value"] == f"{system['DNSName']}@tcp:/{system['LustreConfiguration']['MountName']}"
    bucket = {"Bucket": results["ResultsBucket"]}
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    assert "TlsOnly" in s3.get_bucket_policy(**bucket)["Policy"]
    rules = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    assert rules[0]["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    [queue] = embedded.client("batch").describe_job_queues(jobQueues=[compute["JobQueueArn"]])["jobQueues"]
    assert (queue["state"], len(queue["computeEnvironmentOrder"]), len(queue["jobStateTimeLimitActions"])) == (
        "ENABLED",
        2,
        3,
    )
    assert queue["schedulingPolicyArn"].startswith("arn:aws:batch:")
    ec2 = embedded.client("ec2")
    [group] = ec2.describe_security_groups(GroupIds=[network["LustreClientSecurityGroupId"]])["SecurityGroups"]
    assert sorted(rule["FromPort"] for rule in group["IpPermissions"]) == [988, 1018]
    assert sorted(rule["FromPort"] for rule in group["IpPermissionsEgress"]) == [443, 988, 1018]
    iam, role = embedded.client("iam"), compute["InstanceRoleArn"].rpartition("/")[2]
    assert sorted(iam.list_role_policies(RoleName=role)["PolicyNames"]) == ["join", "log", "mount", "pull", "shell"]
    states = embedded.client("stepfunctions")
    machine = states.describe_state_machine(stateMachineArn=workflow["StateMachineArn"])
    assert (machine["loggingConfiguration"]["level"], machine["tracingConfiguration"]["enabled"]) == ("ERROR", True)
    assert "${JobMachine}" not in machine["definition"]
    attributes = embedded.client("sns").get_topic_attributes(TopicArn=watch["NotificationTopicArn"])["Attributes"]
    assert (attributes["DisplayName"], "aws:SourceAccount" in attributes["Policy"]) == ("Runs of p", True)
    [key] = keys(embedded)
    assert embedded.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    events = embedded.client("events")
    [rule] = [rule for rule in events.list_rules()["Rules"] if rule["Name"].startswith("p-watch-RunEnded")]
    assert [target["Arn"] for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]] == [
        watch["NotificationTopicArn"]
    ]


def output(embedded: Embedded, deployed: Stacks, machine: str) -> object:
    """What a state machine of the watch stack gives."""
    states = embedded.client("stepfunctions")
    run = states.start_execution(stateMachineArn=deployed.outputs("p-watch")[machine])["executionArn"]
    while (ended := states.describe_execution(executionArn=run))["status"] == "RUNNING":
        time.sleep(0.05)
    assert ended["status"] == "SUCCEEDED", ended
    return json.loads(ended["output"])


def test_an_environment_that_is_invalid_is_named(
    embedded: Embedded, deployed: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output(embedded, deployed, "EnvironmentCheckArn") == []
    stock = BatchBackend.describe_compute_environments
    invalid = {"status": "INVALID", "statusReason": "the role is gone"}
    monkeypatch.setattr(
        BatchBackend, "describe_compute_environments", lambda *words: [found | invalid for found in stock(*words)]
    )
    names = [deployed.outputs("p-compute")[f"{kind}ComputeEnvironmentArn"] for kind in ("OnDemand", "Spot")]
    told = output(embedded, deployed, "EnvironmentCheckArn")
    assert isinstance(told, list)
    assert set(told) == {f"{name.rpartition('/')[2]}: the role is gone" for name in names}


def test_the_breaker_disables_the_environments_and_tells_the_topic(embedded: Embedded, deployed: Stacks) -> None:
    batch = embedded.client("batch")
    arns = [deployed.outputs("p-compute")[f"{name}ComputeEnvironmentArn"] for name in ("Spot", "OnDemand")]
    assert output(embedded, deployed, "BreakerArn") == "are disabled, and no more hosts start"
    found = batch.describe_compute_environments(computeEnvironments=arns)["computeEnvironments"]
    assert [environment["state"] for environment in found] == ["DISABLED", "DISABLED"]
    for arn in arns:  # as doctor says
        batch.update_compute_environment(computeEnvironment=arn, state="ENABLED")


@pytest.mark.parametrize("name", ORDER)
def test_a_stack_deployed_again_has_nothing_to_change(
    name: str, deployed: Stacks, parameters: dict[str, dict[str, str]]
) -> None:
    change_set = deployed.change_set(f"p-{name}", text(name), {"Project": "p", **parameters[name]}, kind="UPDATE")
    assert change_set["Status"] == "FAILED"
    assert "didn't contain changes" in change_set["StatusReason"]


@pytest.mark.parametrize(
    ("name", "changed", "path", "value"),
    [
        ("registry", {"UntaggedDays": "7"}, ("ecr", "describe_repositories", "length(repositories)"), 2),
        (
            "network",
            {"FlowLogDays": "30"},
            ("logs", "describe_log_groups", "logGroups[?contains(logGroupName,'FlowLog')].retentionInDays"),
            [30],
        ),
        (
            "storage",
            {"WorkingCapacity": "4800"},
            ("fsx", "describe_file_systems", "sort(FileSystems[].StorageCapacity)"),
            [1200, 1200, 4800],
        ),
        (
            "storage",
            {"FreePercent": "20"},
            ("cloudwatch", "describe_alarms", "MetricAlarms[?Threshold != `5`].Threshold"),
            [20.0, 20.0, 20.0],
        ),
        (
            "compute",
            {"SpotMaxvCpus": "16"},
            ("batch", "describe_compute_environments", "sort(computeEnvironments[].computeResources.maxvCpus)"),
            [16, 64],
        ),
        ("compute", {"RootVolumeSize": "60"}, ("ec2", "describe_launch_templates", "length(LaunchTemplates)"), 1),
        (
            "workflow",
            {"LogRetention": "30"},
            ("logs", "describe_log_groups", "logGroups[?contains(logGroupName,'states')].retentionInDays"),
            [30],
        ),
    ],
)
def test_a_stack_takes_another_parameter(
    embedded: Embedded,
    name: str,
    changed: dict[str, str],
    path: tuple[str, str, str],
    value: Any,
    deployed: Stacks,
    parameters: dict[str, dict[str, str]],
) -> None:
    parameters[name].update(changed)
    stack = deployed.deploy(f"p-{name}", text(name), {"Project": "p", **parameters[name]}, kind="UPDATE")
    assert stack["StackStatus"] == "UPDATE_COMPLETE", deployed.reasons(f"p-{name}", "UPDATE_FAILED")
    service, operation, expression = path
    assert jmespath.search(expression, getattr(embedded.client(service), operation)()) == value
