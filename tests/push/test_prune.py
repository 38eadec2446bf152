"""`prune`: old revisions go, and none that something still names."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from moto.core.responses import ActionResult
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.responses import StepFunctionResponse
from support.fault_proxy import FaultProxy
from support.push_env import Desk

from toolchain.aws import Account
from toolchain.errors import UnavailableError
from toolchain.jobdefs import prune as pruning
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import revisions
from toolchain.runs.target import AwsTarget

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_stepfunctions import SFNClient

ROLE = "arn:aws:iam::123456789012:role/x"


@pytest.fixture
def machines(aws: FaultProxy) -> Iterator["SFNClient"]:
    """Step Functions; moto 5.2.5 keeps published versions, and does not list them."""
    del aws

    def list_state_machine_versions(self: StepFunctionResponse) -> ActionResult:
        machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
        assert isinstance(machine, StateMachine)
        return ActionResult(
            {"stateMachineVersions": [{"stateMachineVersionArn": one.arn} for one in machine.versions.values()]}
        )

    with patch.object(StepFunctionResponse, "list_state_machine_versions", list_state_machine_versions, create=True):
        yield Account().step_functions()


@pytest.fixture
def batch(aws: FaultProxy, plain: Desk) -> "BatchClient":
    """Five revisions of alpha, one of beta."""
    del aws
    batch = Account().batch()
    registration.register(batch, registration.rendered(AwsTarget(checkout=plain.checkout), ("beta",)))
    for memory in range(500, 505):
        plain.settings(f"[jobs.alpha]\nmemory = {memory}\n")
        registration.register(batch, registration.rendered(AwsTarget(checkout=plain.checkout), ("alpha",)))
    return batch


def definition(job_definition: str) -> str:
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {"JobDefinition": job_definition, "JobQueue": "q", "JobName": "n"},
        "End": True,
    }
    return json.dumps({"StartAt": "Job", "States": {"Job": task}})


def prune(batch: "BatchClient", machines: "SFNClient", plain: Desk, *, keep: int) -> list[str]:
    names = {name: f"{plain.project}-{name}" for name in ("alpha", "beta")}
    planned = pruning.plan(batch, machines, names, keep=keep)
    pruning.prune(batch, planned)
    return [one.describe(done=True) for one in planned]


def active(batch: "BatchClient", plain: Desk, name: str = "alpha") -> list[int]:
    return [one.number for one in revisions.active(batch, f"{plain.project}-{name}")]


def test_all_but_the_latest_are_deregistered(batch: "BatchClient", machines: "SFNClient", plain: Desk) -> None:
    said = prune(batch, machines, plain, keep=2)
    assert said == ["alpha:3 deregistered", "alpha:2 deregistered", "alpha:1 deregistered"]
    assert active(batch, plain) == [5, 4]
    assert active(batch, plain, "beta") == [1]


def test_where_nothing_is_old_step_functions_is_not_even_asked(
    batch: "BatchClient", machines: "SFNClient", plain: Desk, aws: FaultProxy
) -> None:
    aws.seen.clear()
    assert prune(batch, machines, plain, keep=5) == []
    assert {one.path for one in aws.seen} == {"/v1/describejobdefinitions"}


@pytest.mark.parametrize(
    "named", ["{project}-alpha:2", "arn:aws:batch:eu-central-1:123456789012:job-definition/{project}-alpha:2"]
)
def test_one_that_a_state_machine_names_is_kept(
    batch: "BatchClient", machines: "SFNClient", plain: Desk, named: str
) -> None:
    text = definition(named.format(project=plain.project))
    machines.create_state_machine(name="germline", definition=text, roleArn=ROLE)
    said = prune(batch, machines, plain, keep=1)
    assert "alpha:2 kept: state machine germline names it" in said
    assert active(batch, plain) == [5, 2]


def test_a_number_or_a_name_that_only_begins_alike_keeps_nothing(
    batch: "BatchClient", machines: "SFNClient", plain: Desk
) -> None:
    for number, name in enumerate((f"{plain.project}-alpha:22", f"my-{plain.project}-alpha:2")):
        machines.create_state_machine(name=f"other{number}", definition=definition(name), roleArn=ROLE)
    prune(batch, machines, plain, keep=1)
    assert active(batch, plain) == [5]


def test_one_that_a_published_version_names_is_kept(batch: "BatchClient", machines: "SFNClient", plain: Desk) -> None:
    made = machines.create_state_machine(
        name="germline", definition=definition(f"{plain.project}-alpha:1"), roleArn=ROLE, publish=True
    )
    machines.update_state_machine(
        stateMachineArn=made["stateMachineArn"], definition=definition(f"{plain.project}-alpha:5")
    )
    said = prune(batch, machines, plain, keep=1)
    assert "alpha:1 kept: version 1 of state machine germline names it" in said
    assert active(batch, plain) == [5, 1]


def test_one_that_an_execution_was_started_with_is_kept_while_it_runs(
    batch: "BatchClient", machines: "SFNClient", plain: Desk
) -> None:
    """Moto gives an execution its state machine's definition of today; the service, that of its start."""
    made = machines.create_state_machine(
        name="germline", definition=definition(f"{plain.project}-alpha:5"), roleArn=ROLE
    )
    machines.start_execution(stateMachineArn=made["stateMachineArn"], name="run1")

    def describe_state_machine_for_execution(self: StepFunctionResponse) -> ActionResult:
        arn = self._get_param("executionArn")
        assert arn.endswith(":run1")
        return ActionResult({"definition": definition(f"{plain.project}-alpha:3"), "name": "germline"})

    with patch.object(
        StepFunctionResponse, "describe_state_machine_for_execution", describe_state_machine_for_execution
    ):
        said = prune(batch, machines, plain, keep=1)
    assert "alpha:3 kept: execution run1 of germline names it" in said
    assert active(batch, plain) == [5, 3]


def test_where_state_machines_cannot_be_looked_into_nothing_is_deregistered(
    batch: "BatchClient", machines: "SFNClient", plain: Desk, aws: FaultProxy
) -> None:
    refusal = b'{"__type":"AccessDeniedException","message":"no states:ListStateMachines"}'
    aws.fails(body="ListStateMachines", status=400, answer=refusal, times=100)
    with pytest.raises(UnavailableError, match="AccessDeniedException"):
        prune(batch, machines, plain, keep=1)
    assert active(batch, plain) == [5, 4, 3, 2, 1]


def test_a_dry_run_deregisters_nothing(
    batch: "BatchClient", machines: "SFNClient", plain: Desk, aws: FaultProxy
) -> None:
    del machines
    environment = {"AWS_ENDPOINT_URL": aws.url}
    result = plain.run("prune", "--keep", "4", "--dry-run", environment=environment)
    assert (result.returncode, result.stdout) == (0, "alpha:1 would be deregistered\n"), result.stderr
    assert active(batch, plain) == [5, 4, 3, 2, 1]
    result = plain.run("prune", "alpha", "--keep", "4", environment=environment)
    assert (result.returncode, result.stdout) == (0, "alpha:1 deregistered\n"), result.stderr
    assert active(batch, plain) == [5, 4, 3, 2]


@pytest.mark.parametrize("keep", ["0", "-1", "x"])
def test_keeping_none_is_refused(plain: Desk, keep: str) -> None:
    assert plain.run("prune", f"--keep={keep}", environment={}).returncode == 64
