"""stack/compute.yaml: what AWS demands of it, and the defaults that are traps."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.resolved_stacks import deployed, template
from support.subset import ABSENT, differences

from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import ImageReference, Rendering
from toolchain.paths import HERE
from toolchain.settings import load

COMPUTE = deployed("compute", SessionManager="true")
ARN = "arn:aws:{}:us-east-1:123456789012:{}"


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPUTE.resources[name]["Properties"]
    return found


def policies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy with its role."""
    for name, resource in COMPUTE.resources.items():
        for policy in resource["Properties"].get("Policies", []):
            yield name, policy


def statements(name: str) -> list[dict[str, Any]]:
    documents = (policy["PolicyDocument"] for owner, policy in policies() if owner == name)
    return [statement for document in documents for statement in document["Statement"]]


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_job_definitions_find_their_log_and_their_roles_in_the_outputs() -> None:
    roles = {name: name for name in COMPUTE.outputs if name.endswith("RoleArn")}
    image = ImageReference(name="image", tag="1", reference="sha256:" + "0" * 64)
    images = dict.fromkeys(jobdefs.names(HERE.jobdefs), image)
    rendering = Rendering(images=images, settings=load(HERE.settings), outputs=roles)
    for tool, definition in jobdefs.render(HERE.jobdefs, rendering).items():
        job = definition["containerProperties"]
        assert job["jobRoleArn"] == ("ExportRoleArn" if tool == "fsx-export" else "JobRoleArn")
        log = deployed("results").of("AWS::Logs::LogGroup")["JobLogGroup"]
        log_group = log["LogGroupName"].replace("genomics", rendering.settings.project)
        assert job["logConfiguration"]["options"]["awslogs-group"] == log_group


X86 = "default_x86_64 m5 m5a m6i m6a m7i m7i-flex r6id c5n c6in x2iedn z1d i4i m6i.large r6i.2xlarge m5.metal"
ARM = "m6g m6gd c7gn r7g.large x2gd i4g im4gn is4gen a1 a1.large default_arm64"
TOO_SMALL_OR_WRONG = [*["t3", "t3.micro", "m6i.nano", "m6i.medium", "optimal", "M6I"], "", "m6i "]


@pytest.mark.parametrize(
    ("name", "is_allowed"),
    [
        *((name, True) for name in (*X86.split(), "c7i.metal-48xl", "m7i-flex.large")),
        *((name, False) for name in (*ARM.split(), *TOO_SMALL_OR_WRONG)),
    ],
)
def test_instance_types_are_x86_64_and_large_enough_for_any_job(name: str, *, is_allowed: bool) -> None:
    pattern = str(template("compute").parameters["InstanceTypes"].pattern)
    assert bool(re.fullmatch(pattern, name)) == is_allowed


def test_the_launch_template() -> None:
    expected = {
        # A host that shuts itself down, as user data does without Lustre, must not come back.
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        # Batch ignores these in a launch template.
        **dict.fromkeys(("InstanceType", "IamInstanceProfile", "NetworkInterfaces", "InstanceMarketOptions"), ABSENT),
    }
    data = properties("LaunchTemplate")["LaunchTemplateData"]
    assert list(differences(data, expected)) == []
    [device] = data["BlockDeviceMappings"]
    volume = {"Encrypted": True, "VolumeType": "gp3", "VolumeSize": "30", "DeleteOnTermination": True}
    assert device == {"DeviceName": "/dev/xvda", "Ebs": volume}


def test_compute_environments_are_made_one_after_the_other() -> None:
    assert COMPUTE.template["Resources"]["OnDemandComputeEnvironment"]["DependsOn"] == "SpotComputeEnvironment"


@pytest.mark.parametrize(
    ("name", "kind", "strategy"),
    [
        ("SpotComputeEnvironment", "SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED"),
        ("OnDemandComputeEnvironment", "EC2", "BEST_FIT_PROGRESSIVE"),
    ],
)
def test_a_compute_environment(name: str, kind: str, strategy: str) -> None:
    expected = {
        # Updates in place need the service-linked role, no name, and this; BEST_FIT forbids them.
        "ServiceRole": ABSENT,
        "ComputeEnvironmentName": ABSENT,
        "ReplaceComputeEnvironment": False,
        "UpdatePolicy": {"TerminateJobsOnUpdate": False},
        # Custom metrics cost money.
        "EcsSettings": {"ContainerInsights": "DISABLED"},
        "ComputeResources": {
            "Type": kind,
            "AllocationStrategy": strategy,
            "BidPercentage": ABSENT,
            "SpotIamFleetRole": ABSENT,
            # Nothing runs while there are no jobs.
            "MinvCpus": 0,
            "DesiredvCpus": ABSENT,
            # They stay between the steps of a sample.
            "ScalingPolicy": {"MinScaleDownDelayMinutes": "20"},
            # A new version is seen only if it is named.
            "LaunchTemplate": {"LaunchTemplateId": "LaunchTemplate", "Version": "LaunchTemplate.LatestVersionNumber"},
            "Ec2Configuration": [{"ImageType": "ECS_AL2023"}],
            "Subnets": ["PrivateSubnet"],
            "SecurityGroupIds": ["LustreClientSecurityGroup.GroupId"],
            "Ec2KeyPair": ABSENT,
        },
    }
    assert list(differences(properties(name), expected)) == []


def test_the_queue_tries_spot_first_and_no_job_that_can_never_run_holds_it() -> None:
    queue = properties("JobQueue")
    environment = ARN.format("batch", "compute-environment/{}ComputeEnvironment")
    assert queue["ComputeEnvironmentOrder"] == [
        {"Order": 1, "ComputeEnvironment": environment.format("Spot")},
        {"Order": 2, "ComputeEnvironment": environment.format("OnDemand")},
    ]
    on_demand = properties("OnDemandJobQueue")
    assert on_demand["ComputeEnvironmentOrder"] == [{"Order": 1, "ComputeEnvironment": environment.format("OnDemand")}]
    for name in ("SchedulingPolicyArn", "JobStateTimeLimitActions"):
        assert on_demand[name] == queue[name]
    assert on_demand["Priority"] > queue["Priority"], "it is first, where both have room in an environment"
    # Or it could never be given one.
    assert queue["SchedulingPolicyArn"] == ARN.format("batch", "scheduling-policy/SchedulingPolicy")
    actions = queue["JobStateTimeLimitActions"]
    assert [action["Reason"] for action in actions] == [
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    ]
    assert {(action["State"], action["Action"]) for action in actions} == {("RUNNABLE", "CANCEL")}
    for action in template("compute").resources["JobQueue"]["Properties"]["JobStateTimeLimitActions"]:
        limit = template("compute").parameters[action["MaxTimeSeconds"]["Ref"]]
        assert (limit.lowest, limit.highest) == (600, 86400)


# ---- roles ----

# The actions that take no resource, or none that is known in time.
UNBOUND = {
    "ecr:GetAuthorizationToken",
    "ecs:DiscoverPollEndpoint",
    "fsx:DescribeDataRepositoryTasks",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}


@pytest.mark.parametrize("name", sorted({name for name, _ in policies()}))
def test_a_policy_names_its_actions_and_resources(name: str) -> None:
    for statement in statements(name):
        actions = set(listed(statement["Action"]))
        assert not any("*" in action for action in actions)
        assert ("*" in listed(statement["Resource"])) == bool(actions & UNBOUND)
        assert actions <= UNBOUND or not actions & UNBOUND


@pytest.mark.parametrize(
    ("role", "trust"),
    [
        ("InstanceRole", {"Principal": {"Service": "ec2.amazonaws.com"}}),
        *(
            (role, {"Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Condition": {"StringEquals": account}})
            for role in ("JobRole", "ExportRole")
            for account in [{"aws:SourceAccount": "123456789012"}]
        ),
    ],
)
def test_a_role_is_for_this_account_s_jobs_or_hosts_and_has_no_managed_policy(role: str, trust: dict[str, Any]) -> None:
    assert "ManagedPolicyArns" not in properties(role)
    [statement] = properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert list(differences(statement, trust)) == []


def test_tools_have_no_permission_and_the_export_what_its_image_s_readme_says_on_this_project_s_file_systems() -> None:
    assert statements("JobRole") == []
    readme = (HERE.images / "fsx-export" / "README.md").read_text(encoding="utf-8")
    create, task, describe = statements("ExportRole")
    assert {create["Action"], describe["Action"]} == set(re.findall(r'"(fsx:\w+)"', readme))
    assert create["Condition"] == {"StringEquals": {"aws:ResourceTag/project": "genomics"}}
    assert (create["Resource"], task["Resource"]) == (ARN.format("fsx", "file-system/*"), ARN.format("fsx", "task/*"))
    assert task["Action"] == create["Action"]


def test_a_host_reads_what_it_mounts_and_no_other_parameter() -> None:
    [statement] = [statement for statement in statements("InstanceRole") if "ssm:GetParameter" in str(statement)]
    assert statement["Action"] == "ssm:GetParameter"
    mounts = [ARN.format("ssm", f"parameter/genomics/scratch/{name}") for name in ("reference", "data", "working")]
    assert statement["Resource"] == mounts


def test_a_host_pulls_this_project_s_images_and_writes_this_project_s_log() -> None:
    resources = {
        action: listed(statement["Resource"])[0].rpartition("123456789012:")[2]
        for statement in statements("InstanceRole")
        for action in listed(statement["Action"])
    }
    expected = {
        "ecr:BatchGetImage": "repository/genomics/*",
        "logs:PutLogEvents": "log-group:/genomics/jobs:*",
        "ecs:RegisterContainerInstance": "cluster/AWSBatch*",
        "logs:CreateLogGroup": ABSENT,
        "ecs:CreateCluster": ABSENT,
    }
    assert list(differences(resources, expected)) == []


def test_a_shell_on_a_host_is_off_by_default() -> None:
    names = [
        [
            policy["PolicyName"]
            for policy in deployed("compute", SessionManager=on).resources["InstanceRole"]["Properties"]["Policies"]
        ]
        for on in ("false", "true")
    ]
    assert names == [["join", "pull", "log", "mount"], ["join", "pull", "log", "mount", "shell"]]
