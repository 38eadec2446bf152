"""Compute environments and the queue: valid, enabled, in the right network and order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red
from toolchain.stacks.host_images import COMPUTE_ENVIRONMENTS

if TYPE_CHECKING:
    from types_boto3_batch.type_defs import ComputeEnvironmentDetailTypeDef, JobQueueDetailTypeDef

_DEPLOY = f"{DEPLOY} compute"


def compute_environments(context: DoctorContext) -> Iterator[CheckResult]:
    """Each compute environment takes jobs, in the file systems' network."""
    existing = {environment["computeEnvironmentArn"] for environment in context.compute_environments}
    for output in COMPUTE_ENVIRONMENTS:
        if context.outputs[output] not in existing:
            yield _gone(context.outputs[output])
    for environment in context.compute_environments:
        name = environment["computeEnvironmentName"]
        resources = environment["computeResources"]
        network = (
            ("subnets", resources["subnets"], context.outputs.get("SubnetId")),
            (
                "security groups",
                resources.get("securityGroupIds", []),
                context.outputs.get("LustreClientSecurityGroupId"),
            ),
        )
        wrong = [
            f"its {what} are {', '.join(ids) or 'none'}, and not {needed}"
            for what, ids, needed in network
            if needed is not None and needed not in ids
        ]
        if unusable := _unusable("compute-environment", name, environment):
            yield unusable
        elif wrong:
            yield red(f"{name} cannot mount: {'; '.join(wrong)}", _DEPLOY)
        else:
            yield green(f"{name} is VALID and ENABLED, {resources['type']} with up to {resources['maxvCpus']} vCPUs")


def host_images(context: DoctorContext) -> Iterator[CheckResult]:
    """Hosts start from the latest image, which Batch does not see to by itself."""
    for environment in context.compute_environments:
        name = environment["computeEnvironmentName"]
        configurations = environment["computeResources"].get("ec2Configuration", ())
        statuses = {configuration.get("batchImageStatus") for configuration in configurations}
        if "UPDATE_AVAILABLE" in statuses:
            yield red(
                f"hosts of {name} start from an old image, without the latest security patches",
                "Type: python build.py update-hosts",
            )
        elif "LATEST" in statuses:
            yield green(f"hosts of {name} start from the latest image")
        else:
            yield green(f"{name} has started no hosts yet, and so Batch does not say how old their image is")


def job_queue(context: DoctorContext) -> Iterator[CheckResult]:
    """The queues take jobs, one of them on Spot first and the other one only on demand."""
    wanted = {context.outputs["JobQueueArn"]: ["SPOT", "EC2"], context.outputs["OnDemandJobQueueArn"]: ["EC2"]}
    with doing("looking at the job queues"):
        answer = context.batch.describe_job_queues(jobQueues=list(wanted))["jobQueues"]
    queues = {queue["jobQueueArn"]: queue for queue in answer}
    for arn, environments in wanted.items():
        yield _checked(context, queues[arn], environments) if arn in queues else _gone(arn)


def _checked(context: DoctorContext, queue: "JobQueueDetailTypeDef", wanted: list[str]) -> CheckResult:
    name = queue["jobQueueName"]
    types = {
        environment["computeEnvironmentArn"]: environment["computeResources"]["type"]
        for environment in context.compute_environments
    }
    entries = sorted(queue["computeEnvironmentOrder"], key=lambda entry: entry["order"])
    order = [types.get(entry["computeEnvironment"], "unknown") for entry in entries]
    if unusable := _unusable("job-queue", name, queue):
        return unusable
    if order != wanted:
        return red(f"{name} tries {', '.join(order) or 'nothing'}, and not {', then '.join(wanted)}", _DEPLOY)
    return green(f"{name} is VALID and ENABLED, {'Spot first, then on' if 'SPOT' in wanted else 'on'} demand")


def _gone(arn: str) -> CheckResult:
    return red(f"{arn} is gone: somebody deleted it", _DEPLOY)


def _unusable(
    kind: str, name: str, described: "ComputeEnvironmentDetailTypeDef | JobQueueDetailTypeDef"
) -> CheckResult | None:
    """Why a compute environment or a queue takes no jobs; None if it does."""
    if described.get("status") != "VALID":
        why = described.get("statusReason") or "Batch does not say why"
        return red(f"{name} is {described.get('status')}: {why}", f"Mend what it says. {_DEPLOY}")
    if described.get("state") != "ENABLED":
        command = f"aws batch update-{kind} --{kind} {name} --state ENABLED"
        return red(f"{name} is {described.get('state')}: it takes no jobs", f"Type: {command}")
    return None
