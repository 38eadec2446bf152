"""The launch template of hosts: the version that they start with, and what its user data says."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.environment import Environment
from toolchain.doctor.result import DEPLOY, Finding, green, red

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import LaunchTemplateVersionTypeDef

    from toolchain.doctor.context import DoctorContext

_NAME = "launch template"


def _version(case: "DoctorContext", environment: Environment, version: str) -> "LaunchTemplateVersionTypeDef | None":
    with doing(f"looking at launch template {environment.template}"):
        answer = case.ec2.describe_launch_template_versions(LaunchTemplateId=environment.template, Versions=[version])
    return next(iter(answer["LaunchTemplateVersions"]), None)


def user_data(case: "DoctorContext", environment: Environment) -> str:
    """What a new host of an environment does first; empty if it has no launch template."""
    if not environment.template:
        return ""
    # Where none is given, Batch takes the default.
    used = _version(case, environment, environment.version or "$Default")
    encoded = (used or {}).get("LaunchTemplateData", {}).get("UserData", "")
    return base64.b64decode(encoded).decode("utf-8", errors="replace")


def latest(case: "DoctorContext") -> Iterator[Finding]:
    """Whether hosts start with the latest version of their launch template."""
    for one in case.environments:
        if not one.template:
            yield red(_NAME, f"{one.name} has none: its hosts mount nothing", f"{DEPLOY} compute")
            continue
        used = _version(case, one, one.version or "$Default")
        newest = _version(case, one, "$Latest")
        if used is None or newest is None:
            yield red(_NAME, f"{one.name} starts hosts with {one.template}, which is gone", f"{DEPLOY} compute")
        elif used["VersionNumber"] != newest["VersionNumber"]:
            yield red(
                _NAME,
                f"{one.name} starts hosts with version {used['VersionNumber']} of {one.template}, "
                f"and the latest is {newest['VersionNumber']}",
                f"Somebody changed it by hand: delete that version, or change stack/compute.yaml. {DEPLOY} compute",
            )
        else:
            yield green(_NAME, f"{one.name} starts hosts with the latest, {newest['VersionNumber']}, of {one.template}")
