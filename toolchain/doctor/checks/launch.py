"""The hosts' launch template: the version that they start with, and its user data."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red

if TYPE_CHECKING:
    from types_boto3_batch.type_defs import ComputeResourceOutputTypeDef
    from types_boto3_ec2.type_defs import LaunchTemplateVersionTypeDef


def latest_version(context: DoctorContext) -> Iterator[CheckResult]:
    """Hosts start with the latest version of their launch template."""
    for environment in context.compute_environments:
        name = environment["computeEnvironmentName"]
        resources = environment["computeResources"]
        template = resources.get("launchTemplate", {}).get("launchTemplateId")
        if not template:
            yield red(f"{name} has none: its hosts mount nothing", f"{DEPLOY} compute")
            continue
        used = _version(context, resources)
        latest = _version(context, resources, "$Latest")
        if used is None or latest is None:
            yield red(f"{name} starts hosts with {template}, which is gone", f"{DEPLOY} compute")
        elif used["VersionNumber"] != latest["VersionNumber"]:
            yield red(
                f"{name} starts hosts with version {used['VersionNumber']} of {template}, "
                f"and the latest is {latest['VersionNumber']}",
                f"Somebody changed it by hand: delete that version, or change stack/compute.yaml. {DEPLOY} compute",
            )
        else:
            yield green(f"{name} starts hosts with the latest, {latest['VersionNumber']}, of {template}")


def user_data(context: DoctorContext, resources: "ComputeResourceOutputTypeDef") -> str:
    """The user data of a compute environment's new hosts; empty without a launch template."""
    version = _version(context, resources) or {}
    encoded = version.get("LaunchTemplateData", {}).get("UserData", "")
    return base64.b64decode(encoded).decode("utf-8", errors="replace")


def _version(
    context: DoctorContext, resources: "ComputeResourceOutputTypeDef", version: str = ""
) -> "LaunchTemplateVersionTypeDef | None":
    """A version of the launch template: by default the one that Batch uses."""
    template = resources.get("launchTemplate", {})
    if "launchTemplateId" not in template:
        return None
    with doing(f"looking at launch template {template['launchTemplateId']}"):
        answer = context.ec2.describe_launch_template_versions(
            LaunchTemplateId=template["launchTemplateId"],
            # Where a compute environment names none, Batch takes the default.
            Versions=[version or template.get("version") or "$Default"],
        )
    return next(iter(answer["LaunchTemplateVersions"]), None)
