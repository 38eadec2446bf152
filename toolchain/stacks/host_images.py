"""`update-hosts`: gives the compute environments' hosts the latest image, which Batch never does by itself."""

from collections.abc import Iterator

from toolchain.aws import Account, doing
from toolchain.stacks.outputs import Outputs

COMPUTE_ENVIRONMENTS = ("SpotComputeEnvironmentArn", "OnDemandComputeEnvironmentArn")


def update(account: Account, outputs: Outputs) -> Iterator[str]:
    """Has hosts replaced whose image is not the latest, and yields what is done to each environment.

    Without hosts Batch does not say how old the image is; such an environment is updated too, which costs nothing.
    """
    batch = account.batch()
    arns = [outputs[name] for name in COMPUTE_ENVIRONMENTS]
    with doing("looking at the compute environments"):
        environments = batch.describe_compute_environments(computeEnvironments=arns)["computeEnvironments"]
    for environment in environments:
        name = environment["computeEnvironmentName"]
        configurations = environment["computeResources"].get("ec2Configuration", ())
        if [configuration.get("batchImageStatus") for configuration in configurations] == ["LATEST"]:
            yield f"{name} unchanged"
            continue
        with doing(f"updating the image of {name}"):
            # Of itself an infrastructure update: it needs no other change, and jobs end by the environment's own
            # update policy. https://docs.aws.amazon.com/batch/latest/userguide/infrastructure-updates.html
            batch.update_compute_environment(
                computeEnvironment=environment["computeEnvironmentArn"],
                computeResources={"updateToLatestImageVersion": True},
            )
        yield f"{name} updating"
