"""The project's own templates: made, changed, made again with nothing to change, and deleted."""

from collections.abc import Iterator

import pytest
from support.embedded_services import Embedded, Stacks

from toolchain.paths import HERE

DEFINITION = "arn:aws:batch:us-east-1:123456789012:job-definition/p-x:1"
ORDER = ("registry", "network", "storage", "compute", "workflow")


def text(name: str) -> str:
    return (HERE.root / "stack" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parameters(embedded: Embedded) -> dict[str, dict[str, str]]:
    reference, data = embedded.bucket(), embedded.bucket()
    return {
        "registry": {"Images": "bwa,fsx-export"},
        "network": {},
        "storage": {"ReferencePath": f"s3://{reference}/ref", "DataPath": f"s3://{data}/reads"},
        "compute": {},
        "workflow": {"Workflow": "w", "JobDefinitions": DEFINITION},
    }


@pytest.fixture(scope="module")
def deployed(embedded: Embedded, parameters: dict[str, dict[str, str]]) -> Iterator[Stacks]:
    stacks = embedded.stacks
    for name in ORDER:
        stack = stacks.deploy(f"p-{name}", text(name), {"Project": "p", **parameters[name]})
        assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(f"p-{name}", "CREATE_FAILED")
    yield stacks
    for name in reversed(ORDER):
        stack = stacks.delete(f"p-{name}")
        assert stack["StackStatus"] == "DELETE_COMPLETE", stacks.reasons(stack["StackId"], "DELETE_FAILED")


@pytest.mark.usefixtures("deployed")
def test_the_queue_has_the_time_limits_of_its_template(embedded: Embedded) -> None:
    queues = embedded.client("batch").describe_job_queues()["jobQueues"]
    (queue,) = (queue for queue in queues if queue["jobQueueName"].startswith("p-"))
    assert {limit["reason"]: limit["maxTimeSeconds"] for limit in queue["jobStateTimeLimitActions"]} == {
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY": 21600,
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": 600,
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": 600,
    }


@pytest.mark.parametrize("name", ORDER)
def test_a_stack_deployed_again_has_nothing_to_change(
    name: str, deployed: Stacks, parameters: dict[str, dict[str, str]]
) -> None:
    found = deployed.change_set(f"p-{name}", text(name), {"Project": "p", **parameters[name]}, kind="UPDATE")
    assert found["Status"] == "FAILED"
    assert "didn't contain changes" in found["StatusReason"]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("registry", {"UntaggedDays": "7"}),
        ("network", {"FlowLogDays": "30"}),
        ("storage", {"WorkingCapacity": "4800"}),
        ("compute", {"RootVolumeSize": "60"}),
        ("workflow", {"LogRetention": "30"}),
    ],
)
def test_a_stack_takes_another_parameter(
    name: str, changed: dict[str, str], deployed: Stacks, parameters: dict[str, dict[str, str]]
) -> None:
    asked = {"Project": "p", **parameters[name], **changed}
    stack = deployed.deploy(f"p-{name}", text(name), asked, kind="UPDATE")
    assert stack["StackStatus"] == "UPDATE_COMPLETE", deployed.reasons(f"p-{name}", "UPDATE_FAILED")
    parameters[name].update(changed)


def test_what_a_resource_is_made_with_is_what_its_service_has(embedded: Embedded, deployed: Stacks) -> None:
    outputs = deployed.outputs("p-storage")
    systems = embedded.client("fsx").describe_file_systems(FileSystemIds=[outputs["WorkingFileSystemId"]])
    [system] = systems["FileSystems"]
    mount = system["LustreConfiguration"]["MountName"]
    assert outputs["WorkingMount"] == f"{system['DNSName']}@tcp:/{mount}"
    s3 = embedded.client("s3")
    assert s3.get_bucket_versioning(Bucket=outputs["ResultsBucket"])["Status"] == "Enabled"
    batch = embedded.client("batch")
    found = batch.describe_job_queues(jobQueues=[deployed.outputs("p-compute")["JobQueueArn"]])["jobQueues"]
    assert (found[0]["state"], found[0]["status"]) == ("ENABLED", "VALID")
    machine = deployed.outputs("p-workflow")["StateMachineArn"]
    assert embedded.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["status"] == "ACTIVE"
