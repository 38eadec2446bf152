"""What differs between the cloud and one machine, and that nothing else does."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from deployed import deployed
from home import Home

from toolchain import jobdefs, rendering, templates
from toolchain.jobdefs import ImageReference, Rendering, Scratch
from toolchain.localaws.cloudformation.types.states import definition
from toolchain.paths import HERE

ELSEWHERE = "999999999999"
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
    outputs = {name: re.sub(r"\b123456789012\b", ELSEWHERE, value) for name, value in here.outputs.items()}
    return replace(here, images=images, outputs=outputs, scratch=Scratch())


@pytest.mark.parametrize("tool", TOOLS)
def test_a_job_definition_differs_in_its_image_the_scratch_s_place_its_role_s_account_and_the_marker(
    there: Home, tool: str
) -> None:
    """The local one is what Batch was given."""
    local = dict(leaves(there.registered_definition(tool)))
    cloud = dict(leaves(jobdefs.render(HERE.jobdefs, in_the_cloud(rendering.of(there.checkout)))[tool]))
    assert cloud.items() - local.items() <= set(cloud.items())
    different = {path for path in cloud if cloud[path] != local.get(path)}
    environment = there.registered_definition(tool)["containerProperties"]["environment"]
    (marker,) = (number for number, entry in enumerate(environment) if entry["name"] == "SCRATCH")
    assert different == {
        "/containerProperties/image",
        "/containerProperties/jobRoleArn",
        f"/containerProperties/environment/{marker}/value",
        *(f"/containerProperties/volumes/{number}/host/sourcePath" for number in range(3)),
    }
    assert re.sub(r"\d{12}", "ACCOUNT", cloud["/containerProperties/jobRoleArn"]) == re.sub(
        r"\d{12}", "ACCOUNT", local["/containerProperties/jobRoleArn"]
    )


@pytest.mark.parametrize(("resource", "output"), [("Germline", "StateMachineArn"), ("Job", "JobMachineArn")])
def test_a_state_machine_s_definition_differs_in_names_that_the_account_gives_and_in_nothing_else(
    there: Home, resource: str, output: str
) -> None:
    properties = deployed("workflow").resources[resource]["Properties"]
    cloud = dict(leaves(json.loads(definition(properties))))
    local = dict(leaves(json.loads(there.definition(there.outputs[output]))))
    assert cloud.keys() == local.keys()
    own = templates.read(HERE.stacks / "workflow.yaml").resources[resource]["Properties"]["Definition"]
    for path, text in leaves(own):
        if cloud[path] != local[path]:
            named = set(re.findall(r"\$\{(\w+)\}", text))
            # Of whichever kind: a revision, a resource's ARN, a file system's id, a bucket.
            assert named <= {
                "BwaJobDefinition",
                "SamtoolsJobDefinition",
                "BcftoolsJobDefinition",
                "FsxExportJobDefinition",
                "JobMachine",
                "JobQueue",
                "JobLogGroup",
                "FileSystem",
                "ExportPath",
            }, path
            assert named, path
