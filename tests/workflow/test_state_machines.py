"""The state machines differ between AWS and one machine in names and memory, and in nothing else."""

import json

import pytest
from support.local_aws import LocalAws
from support.resolved_stacks import NAMES, deployed

from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.cloudformation.resources import definition
from toolchain.paths import HERE
from toolchain.stacks import template as templates

TOOLS = jobdefs.names(HERE.jobdefs)
# What AWS gives names to: a revision, a resource's ARN, a bucket.
GIVEN_BY_AWS = {"ExportPath", "JobDefinitions", "JobMachine", "JobQueue", "OnDemandJobQueue"}
# What the hosts decide: how much memory there is.
GIVEN_BY_HOSTS = {"MaxJobMemory"}
# Substitutions that are outputs of stacks, and which.
OUTPUTS = {
    "ExportPath": "ExportPath",
    "JobLogGroup": "JobLogGroup",
    "JobMachine": "JobMachineArn",
    "JobQueue": "JobQueueArn",
    "OnDemandJobQueue": "OnDemandJobQueueArn",
}


@pytest.mark.parametrize(("resource", "output"), [("Germline", "StateMachineArn"), ("Job", "JobMachineArn")])
def test_a_state_machine_differs_in_names_that_aws_gives_and_the_memory_of_hosts(
    local_aws: LocalAws, resource: str, output: str
) -> None:
    own = templates.read(HERE.stacks / "workflow.yaml").resources[resource]["Properties"]["Definition"]
    substitutions = deployed("workflow").resources[resource]["Properties"]["DefinitionSubstitutions"]
    outputs = {name: value for stack in NAMES for name, value in deployed(stack).outputs.items()}
    # A reference to a log group is its name, which the template gives.
    outputs["JobLogGroup"] = deployed("results").of("AWS::Logs::LogGroup")["JobLogGroup"]["LogGroupName"]
    cloud = substitutions | {name: outputs[OUTPUTS[name]] for name in substitutions.keys() & OUTPUTS}
    local = substitutions | {name: local_aws.outputs[OUTPUTS[name]] for name in substitutions.keys() & OUTPUTS}
    if "JobDefinitions" in substitutions:
        local["JobDefinitions"] = ",".join(local_aws.registered[tool] for tool in TOOLS)
    local |= {name: value for name, value in local_aws.target.stack_parameters().items() if name in substitutions}
    text = definition({"Definition": own, "DefinitionSubstitutions": local})
    assert json.loads(local_aws.definition(local_aws.outputs[output])) == json.loads(text)
    assert {name for name in cloud if str(cloud[name]) != str(local[name])} <= GIVEN_BY_AWS | GIVEN_BY_HOSTS
