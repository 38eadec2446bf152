"""Chooses the aligner of a run in AWS, by the reference's size in S3 and the instance types that jobs may get."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from toolchain import aws
from toolchain.aws import Account
from toolchain.errors import MissingInputError, UnavailableError
from toolchain.jobdefs import template
from toolchain.paths import Checkout
from toolchain.settings import AlignerChoice, Settings
from toolchain.stacks import host_images, hosts, outputs
from toolchain.stacks import template as stack_template
from toolchain.workflow import aligners, data_link
from toolchain.workflow.aligners import Choice
from toolchain.workflow.data_link import DataLink

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def choose(account: Account, checkout: Checkout, settings: Settings, reference: str, wanted: AlignerChoice) -> Choice:
    """Chooses the aligner, and the memory of the jobs that hold or make its index.

    Raises:
        MissingInputError: The reference is not in the bucket.
    """
    if wanted == "bwa":
        return aligners.choose(wanted, aligners.Reference(index=None), memory=0)
    try:
        known = look(account.s3(), data_link.of(settings, "Reference"), reference)
        most = largest_host(account, checkout)
    except UnavailableError as error:
        unknown = aligners.choose(wanted, aligners.Reference(index=None), memory=0)
        return Choice(aligner=unknown.aligner, reason=f"{unknown.reason}; {error.what}: {error.why}")
    _, usual = template.figures(checkout.jobdefs, settings)[aligners.FAST]
    return aligners.with_memory(wanted, known, usual=usual, most=most)


def look(s3: "S3Client", link: DataLink, reference: str) -> aligners.Reference:
    """The memory that bwa-mem3 takes for a reference, by its size in the linked bucket."""
    size = _size(s3, link, reference)
    if size is None:
        raise MissingInputError(
            f"no reference '{reference}'",
            why=f"s3://{link.bucket}/{link.key(reference)} does not exist",
            fix="Correct its name, or put the file there.",
        )
    bases = aligners.bases(reference, size)
    delivered = _size(s3, link, f"{reference}.prepared/{aligners.FAST}/manifest.json")
    making = None if delivered else bases * aligners.MAKING
    return aligners.Reference(index=int(bases * aligners.INDEX_PER_BASE), making=making)


def _size(s3: "S3Client", link: DataLink, path: str) -> int | None:
    """The size of the object at a path below the linked directory; None if there is none."""
    with aws.doing(f"looking for s3://{link.bucket}/{link.key(path)}"):
        try:
            return s3.head_object(Bucket=link.bucket, Key=link.key(path))["ContentLength"]
        except ClientError as error:
            if aws.code(error) != "404":
                raise
            return None


def largest_host(account: Account, checkout: Checkout) -> int:
    """The MiB for jobs of the largest instance type that a compute environment may start in its zone."""
    deployed = outputs.read(account, checkout)
    with aws.doing("looking at the compute environments"):
        described = account.batch().describe_compute_environments(
            computeEnvironments=[deployed[name] for name in host_images.COMPUTE_ENVIRONMENTS]
        )
    found = {
        tuple(environment["computeResources"].get("instanceTypes", ())): tuple(
            environment["computeResources"]["subnets"]
        )
        for environment in described["computeEnvironments"]
    }
    reserved = hosts.reserved_memory(stack_template.read(checkout.stacks / "compute.yaml").text)
    ec2 = account.ec2()
    memory = [0]
    for types, subnets in found.items():
        with aws.doing("looking at subnets"):
            zones = {subnet["AvailabilityZone"] for subnet in ec2.describe_subnets(SubnetIds=list(subnets))["Subnets"]}
        memory += [host.registered(reserved) for host in hosts.find(ec2, types, sorted(zones))]
    return max(memory)
