"""Compute environments and the queue: valid, in use, in the right order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.result import DEPLOY, Finding, green, red

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext

_DEPLOY = f"{DEPLOY} compute"


def environments(case: "DoctorContext") -> Iterator[Finding]:
    """Whether each environment takes jobs, in the file systems' network."""
    name = "compute environment"
    there = {one.arn for one in case.environments}
    for output in ("SpotComputeEnvironmentArn", "OnDemandComputeEnvironmentArn"):
        if (arn := case.outputs[output]) not in there:
            yield red(name, f"{arn} is gone: somebody deleted it", _DEPLOY)
    for one in case.environments:
        if one.status != "VALID":
            yield red(
                name,
                f"{one.name} is {one.status}: {one.reason or 'Batch does not say why'}",
                f"Mend what it says. {_DEPLOY}",
            )
        elif one.state != "ENABLED":
            enable = f"aws batch update-compute-environment --compute-environment {one.name} --state ENABLED"
            yield red(name, f"{one.name} is {one.state}: it takes no jobs", f"Type: {enable}")
        elif wrong := [
            f"{what} are {', '.join(is_) or 'none'}, and not {wanted}"
            for what, is_, wanted in (
                ("subnets", one.subnets, case.outputs.get("SubnetId")),
                ("security groups", one.groups, case.outputs.get("LustreClientSecurityGroupId")),
            )
            if wanted is not None and wanted not in is_
        ]:
            yield red(name, f"{one.name} cannot mount: its {'; its '.join(wrong)}", _DEPLOY)
        else:
            yield green(name, f"{one.name} is VALID and ENABLED, {one.kind} with up to {one.most_vcpus} vCPUs")


def queue(case: "DoctorContext") -> Iterator[Finding]:
    """Whether the queue takes jobs, and tries Spot first."""
    name = "job queue"
    arn = case.outputs["JobQueueArn"]
    with doing("looking at the job queue"):
        found = case.batch.describe_job_queues(jobQueues=[arn])["jobQueues"]
    if not found:
        yield red(name, f"{arn} is gone: somebody deleted it", _DEPLOY)
        return
    [one] = found
    label = one["jobQueueName"]
    ordered = sorted(one["computeEnvironmentOrder"], key=lambda entry: entry["order"])
    kinds = {environment.arn: environment.kind for environment in case.environments}
    order = [kinds.get(entry["computeEnvironment"], "unknown") for entry in ordered]
    if one.get("status") != "VALID":
        why = one.get("statusReason") or "Batch does not say why"
        yield red(name, f"{label} is {one.get('status')}: {why}", f"Mend what it says. {_DEPLOY}")
    elif one["state"] != "ENABLED":
        enable = f"aws batch update-job-queue --job-queue {label} --state ENABLED"
        yield red(name, f"{label} is {one['state']}: it takes no jobs", f"Type: {enable}")
    elif order != ["SPOT", "EC2"]:
        yield red(name, f"{label} tries {', '.join(order) or 'nothing'}, and not SPOT, then EC2", _DEPLOY)
    else:
        yield green(name, f"{label} is VALID and ENABLED, Spot first, then on demand")
