"""stack/compute.yaml: what AWS demands of it, and the traps that it goes round."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from support.resolved_stacks import template

from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import ImageReference, Rendering
from toolchain.paths import HERE
from toolchain.settings import load

ENVIRONMENTS = ("SpotComputeEnvironment", "OnDemandComputeEnvironment")
COMPUTE = template("compute")
ROLES = ("InstanceRole", "JobRole", "ExportRole")


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPUTE.resources[name]["Properties"]
    return found


def host() -> dict[str, Any]:
    data: dict[str, Any] = properties("LaunchTemplate")["LaunchTemplateData"]
    return data


def imported(name: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"${{Project}}-{name}"}}


def policies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy with its role or, where it stands alone, its own name."""
    for name, resource in COMPUTE.resources.items():
        if resource["Type"] == "AWS::IAM::Policy":
            yield name, resource["Properties"]
        for policy in resource["Properties"].get("Policies", []):
            yield name, policy


def statements(name: str) -> Iterator[dict[str, Any]]:
    for owner, policy in policies():
        if owner == name:
            yield from policy["PolicyDocument"]["Statement"]


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def pattern(parameter: str) -> str:
    found = COMPUTE.parameters[parameter].pattern
    assert found is not None
    return found


# ---- parameters and outputs ---------------------------------------------------------------------------------


def test_job_definitions_find_their_log_and_their_roles_in_the_outputs() -> None:
    roles = {name: name for name in COMPUTE.body["Outputs"] if name.endswith("RoleArn")}
    images = {
        name: ImageReference(name=name, tag="1", reference="sha256:" + "0" * 64) for name in jobdefs.names(HERE.jobdefs)
    }
    rendering = Rendering(images=images, settings=load(HERE.settings), outputs=roles)
    log_group = properties("JobLogGroup")["LogGroupName"]["Fn::Sub"].replace("${Project}", rendering.settings.project)
    for tool, definition in jobdefs.render(HERE.jobdefs, rendering).items():
        job = definition["containerProperties"]
        assert job["jobRoleArn"] == ("ExportRoleArn" if tool == "fsx-export" else "JobRoleArn")
        assert job["logConfiguration"]["options"]["awslogs-group"] == log_group


@pytest.mark.parametrize(
    "kind",
    [
        *[
            "default_x86_64",
            "m5",
            "m5a",
            "m6i",
            "m6a",
            "m7i",
            "m7i-flex",
            "r6id",
            "c5n",
            "c6in",
            "x2iedn",
            "z1d",
            "i4i",
        ],
        *["m6i.large", "r6i.2xlarge", "c7i.xlarge", "m5.metal", "c7i.metal-48xl", "m7i-flex.large"],
    ],
)
def test_instances_of_the_images_architecture_are_taken(kind: str) -> None:
    assert re.fullmatch(pattern("InstanceTypes"), kind)


@pytest.mark.parametrize(
    "kind",
    [
        *["m6g", "m6gd", "c7gn", "r7g.large", "x2gd", "i4g", "im4gn", "is4gen", "a1", "a1.large", "default_arm64"],
        *["t3", "t3.micro", "m6i.nano", "m6i.medium", "optimal", "", "m6i ", "M6I"],
    ],
)
def test_instances_of_another_architecture_or_too_small_for_any_job_are_not(kind: str) -> None:
    assert not re.fullmatch(pattern("InstanceTypes"), kind)


# ---- hosts ------------------------------------------------------------------------------------------------


def test_a_host_that_shuts_itself_down_is_gone() -> None:
    assert host()["InstanceInitiatedShutdownBehavior"] == "terminate"


def test_metadata_takes_a_token_and_one_hop() -> None:
    options = host()["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)


def test_the_root_volume_is_encrypted_and_goes_with_its_host() -> None:
    [device] = host()["BlockDeviceMappings"]
    assert device["DeviceName"] == "/dev/xvda"
    assert device["Ebs"] == {
        "Encrypted": True,
        "VolumeType": "gp3",
        "VolumeSize": {"Ref": "RootVolumeSize"},
        "DeleteOnTermination": True,
    }


def test_the_launch_template_leaves_to_batch_what_batch_ignores_in_it() -> None:
    ignored = {"InstanceType", "IamInstanceProfile", "NetworkInterfaces", "InstanceMarketOptions"}
    assert not ignored & set(host())


def test_mounts_are_the_storage_stack_s() -> None:
    _, values = host()["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert values == {name: imported(name) for name in ("ReferenceMount", "DataMount", "WorkingMount")}


# ---- Batch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_can_be_updated_in_place(name: str) -> None:
    environment = properties(name)
    assert "ServiceRole" not in environment
    assert "ComputeEnvironmentName" not in environment
    assert environment["ReplaceComputeEnvironment"] is False
    assert environment["ComputeResources"]["LaunchTemplate"] == {
        "LaunchTemplateId": {"Ref": "LaunchTemplate"},
        "Version": {"Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]},
    }
    assert environment["UpdatePolicy"]["TerminateJobsOnUpdate"] is False


@pytest.mark.parametrize(
    ("name", "kind", "strategy"),
    [
        ("SpotComputeEnvironment", "SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED"),
        (ENVIRONMENTS[1], "EC2", "BEST_FIT_PROGRESSIVE"),
    ],
)
def test_an_environment_says_how_it_chooses_and_bids_nothing(name: str, kind: str, strategy: str) -> None:
    resources = properties(name)["ComputeResources"]
    assert (resources["Type"], resources["AllocationStrategy"]) == (kind, strategy)
    assert not {"BidPercentage", "SpotIamFleetRole"} & set(resources)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nothing_runs_while_there_are_no_jobs(name: str) -> None:
    resources = properties(name)["ComputeResources"]
    assert resources["MinvCpus"] == 0
    assert "DesiredvCpus" not in resources


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_host_is_amazon_linux_2023_in_the_file_systems_subnet_with_the_clients_group_and_no_key(name: str) -> None:
    resources = properties(name)["ComputeResources"]
    assert resources["Ec2Configuration"] == [{"ImageType": "ECS_AL2023"}]
    assert resources["Subnets"] == [imported("SubnetId")]
    assert resources["SecurityGroupIds"] == [imported("LustreClientSecurityGroupId")]
    assert "Ec2KeyPair" not in resources


def test_the_queue_tries_spot_first() -> None:
    order = properties("JobQueue")["ComputeEnvironmentOrder"]
    assert [(entry["Order"], entry["ComputeEnvironment"]["Ref"]) for entry in order] == list(enumerate(ENVIRONMENTS, 1))


def test_a_job_that_can_never_run_does_not_hold_the_queue() -> None:
    actions = properties("JobQueue")["JobStateTimeLimitActions"]
    assert [action["Reason"] for action in actions] == [
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    ]
    assert {(action["State"], action["Action"]) for action in actions} == {("RUNNABLE", "CANCEL")}
    for action in actions:
        limit = COMPUTE.parameters[action["MaxTimeSeconds"]["Ref"]]
        assert (limit.lowest, limit.highest) == (600, 86400)


# ---- roles ------------------------------------------------------------------------------------------------

# The actions that name no resource, or none that is known in time.
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
def test_a_policy_names_what_it_reaches(name: str) -> None:
    for statement in statements(name):
        actions = set(listed(statement["Action"]))
        assert not any("*" in action for action in actions)
        assert ("*" in listed(statement["Resource"])) == bool(actions & UNBOUND)
        assert actions <= UNBOUND or not actions & UNBOUND


@pytest.mark.parametrize("role", ROLES)
def test_no_role_takes_in_a_policy_of_somebody_else_s(role: str) -> None:
    assert "ManagedPolicyArns" not in properties(role)


def test_tools_have_no_permission_at_all() -> None:
    assert list(statements("JobRole")) == []


@pytest.mark.parametrize("role", ["JobRole", "ExportRole"])
def test_a_job_s_role_is_for_this_account_s_jobs_only(role: str) -> None:
    [trust] = properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_export_may_do_what_its_image_s_readme_says_and_only_on_the_working_file_system() -> None:
    asked = set(re.findall(r'"(fsx:\w+)"', (HERE.images / "fsx-export" / "README.md").read_text(encoding="utf-8")))
    create, describe = statements("ExportRole")
    assert {create["Action"], describe["Action"]} == asked
    assert create["Resource"][0] == imported("WorkingFileSystemArn")
    assert create["Resource"][1:] == [{"Fn::Sub": "arn:${AWS::Partition}:fsx:${AWS::Region}:${AWS::AccountId}:task/*"}]


def test_a_host_pulls_this_project_s_images_and_writes_this_project_s_log() -> None:
    reached: Mapping[str, str] = {
        action: statement["Resource"]["Fn::Sub"].partition("${AWS::AccountId}:")[2]
        for statement in statements("InstanceRole")
        if statement["Resource"] != "*"
        for action in listed(statement["Action"])
    }
    assert reached["ecr:BatchGetImage"] == "repository/${Project}/*"
    assert reached["logs:PutLogEvents"] == "log-group:/${Project}/jobs:*"
    assert reached["ecs:RegisterContainerInstance"] == "cluster/AWSBatch*"
    assert not {"logs:CreateLogGroup", "ecs:CreateCluster"} & set(reached)


def test_a_shell_on_a_host_is_off_by_default() -> None:
    assert COMPUTE.parameters["SessionManager"].default == "false"
    shell = COMPUTE.resources["ShellPolicy"]
    assert shell["Condition"] == "WithSessionManager"
    assert shell["Properties"]["Roles"] == [{"Ref": "InstanceRole"}]
    assert not [action for one in statements("InstanceRole") for action in listed(one["Action"]) if "ssm" in action]
