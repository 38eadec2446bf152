"""What differs between the cloud and one machine, and that nothing else does."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.local_aws import LocalAws
from support.resolved_stacks import NAMES, deployed

from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.revisions import active, normalised
from toolchain.jobdefs.template import ImageReference, Rendering, Scratch
from toolchain.localaws.cloudformation.resource_types import definition
from toolchain.paths import HERE
from toolchain.stacks import template as templates

ACCOUNT, ELSEWHERE = "123456789012", "999999999999"
TOOLS = jobdefs.names(HERE.jobdefs)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # any JSON
    """Each value of a JSON document, with its path."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, f"{path}/{name}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, f"{path}/{number}")
    else:
        yield path, value


def in_the_cloud(here: Rendering) -> Rendering:
    """The same rendering as it is for AWS: images in a registry, /scratch mounted, another account's roles."""
    registry = f"{ELSEWHERE}.dkr.ecr.eu-west-1.amazonaws.com/genomics"
    images = {
        name: ImageReference(name=name, tag=one.tag, reference=f"{registry}/{name}@sha256:{'1' * 64}")
        for name, one in here.images.items()
    }
    outputs = {name: value.replace(ACCOUNT, ELSEWHERE) for name, value in here.outputs.items()}
    return replace(here, images=images, outputs=outputs, scratch=Scratch())


@pytest.mark.parametrize("tool", TOOLS)
def test_a_job_definition_differs_in_its_image_the_scratch_s_place_its_role_s_account_and_the_marker(
    local_aws: LocalAws, tool: str
) -> None:
    """The local one is what Batch has of it."""
    project = local_aws.project
    (registered,) = (
        one for one in active(local_aws.account.batch(), f"{project}-{tool}") if one.arn == local_aws.registered[tool]
    )
    rendered = jobdefs.render(HERE.jobdefs, in_the_cloud(local_aws.target.rendering()))[tool]
    local, cloud = dict(leaves(registered.content)), dict(leaves(normalised(rendered)))
    assert cloud.keys() == local.keys()
    (marker,) = (path for path, value in cloud.items() if path.endswith("/value") and value == "lustre")
    assert {path for path in cloud if cloud[path] != local[path]} == {
        "/containerProperties/image",
        "/containerProperties/jobRoleArn",
        marker,
        *(f"/containerProperties/volumes/{number}/host/sourcePath" for number in range(3)),
    }
    assert local[marker] == "local"
    role = "/containerProperties/jobRoleArn"
    assert cloud[role].replace(ELSEWHERE, ACCOUNT) == local[role]


# What AWS gives names to: a revision, a resource's ARN, a file system's id, a bucket.
GIVEN_BY_AWS = {"ExportPath", "FileSystem", "JobDefinitions", "JobMachine", "JobQueue"}
# What the hosts decide: how much memory there is.
GIVEN_BY_HOSTS = {"MaxJobMemory"}
# Substitutions that are outputs of stacks, and which.
OUTPUTS = {
    "ExportPath": "ExportPath",
    "FileSystem": "WorkingFileSystemId",
    "JobLogGroup": "JobLogGroup",
    "JobMachine": "JobMachineArn",
    "JobQueue": "JobQueueArn",
    "WorkingPath": "WorkingPath",
}


@pytest.mark.parametrize(("resource", "output"), [("Germline", "StateMachineArn"), ("Job", "JobMachineArn")])
def test_a_state_machine_differs_in_what_aws_gives_names_to_and_hosts_have_and_in_nothing_else(
    local_aws: LocalAws, resource: str, output: str
) -> None:
    own = templates.read(HERE.stacks / "workflow.yaml").resources[resource]["Properties"]["Definition"]
    given = deployed("workflow").resources[resource]["Properties"]["DefinitionSubstitutions"]
    outputs = {name: value for stack in NAMES for name, value in deployed(stack).outputs.items()}
    # A reference to a log group is its name, which the template gives.
    outputs["JobLogGroup"] = deployed("compute").of("AWS::Logs::LogGroup")["JobLogGroup"]["LogGroupName"]
    cloud = given | {name: outputs[OUTPUTS[name]] for name in given.keys() & OUTPUTS}
    local = given | {name: local_aws.outputs[OUTPUTS[name]] for name in given.keys() & OUTPUTS}
    if "JobDefinitions" in given:
        local["JobDefinitions"] = ",".join(local_aws.registered[tool] for tool in TOOLS)
    local |= {name: value for name, value in local_aws.target.stack_parameters().items() if name in given}
    text = definition({"Definition": own, "DefinitionSubstitutions": local})
    assert json.loads(local_aws.definition(local_aws.outputs[output])) == json.loads(text)
    assert {name for name in cloud if str(cloud[name]) != str(local[name])} <= GIVEN_BY_AWS | GIVEN_BY_HOSTS
