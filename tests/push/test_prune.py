"""`prune` deregisters old revisions, and none that something still names."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from moto.core.responses import ActionResult
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.responses import StepFunctionResponse
from support.fault_proxy import FaultProxy
from support.push_env import Project

from toolchain.aws import Account
from toolchain.errors import UnavailableError
from toolchain.jobdefs import prune as pruning
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import revisions

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_stepfunctions import SFNClient

ROLE = "arn:aws:iam::123456789012:role/x"
ARN = "arn:aws:batch:eu-central-1:123456789012:job-definition/{}"


@pytest.fixture
def machines(aws: FaultProxy) -> Iterator["SFNClient"]:
    """Step Functions; moto 5.2.5 keeps published versions, and does not list them."""
    del aws

    def list_state_machine_versions(self: StepFunctionResponse) -> ActionResult:
        machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
        assert isinstance(machine, StateMachine)
        versions = [{"stateMachineVersionArn": version.arn} for version in machine.versions.values()]
        return ActionResult({"stateMachineVersions": versions})

    with patch.object(StepFunctionResponse, "list_state_machine_versions", list_state_machine_versions, create=True):
        yield Account().step_functions()


@pytest.fixture
def batch(aws: FaultProxy, project: Project) -> "BatchClient":
    """Five revisions of alpha, one of beta."""
    del aws
    batch = Account().batch()
    registration.register(batch, registration.rendered(project.target, Account(), ("beta",)))
    for memory in range(500, 505):
        project.settings(f"[jobs.alpha]\nmemory = {memory}\n")
        registration.register(batch, registration.rendered(project.target, Account(), ("alpha",)))
    return batch


def definition(job_definition: str) -> str:
    """A state machine with a state that runs this job definition."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {"JobDefinition": job_definition, "JobQueue": "q", "JobName": "n"},
        "End": True,
    }
    return json.dumps({"StartAt": "Job", "States": {"Job": task}})


def make_machine(machines: "SFNClient", job_definition: str, name: str = "germline", *, publish: bool = False) -> str:
    """Makes a state machine, and returns its ARN."""
    text = definition(job_definition)
    made = machines.create_state_machine(name=name, definition=text, roleArn=ROLE, publish=publish)
    return made["stateMachineArn"]


def prune(batch: "BatchClient", machines: "SFNClient", project: Project, *, keep: int) -> list[str]:
    names = {name: f"{project.prefix}-{name}" for name in ("alpha", "beta")}
    old_revisions = pruning.plan(batch, machines, names, keep=keep)
    pruning.prune(batch, old_revisions)
    return [old.describe(done=True) for old in old_revisions]


def active(batch: "BatchClient", project: Project, name: str = "alpha") -> list[int]:
    return [revision.number for revision in revisions.active(batch, f"{project.prefix}-{name}")]


def test_all_but_the_latest_are_deregistered(batch: "BatchClient", machines: "SFNClient", project: Project) -> None:
    lines = prune(batch, machines, project, keep=2)
    assert lines == ["alpha:3 deregistered", "alpha:2 deregistered", "alpha:1 deregistered"]
    assert active(batch, project) == [5, 4]
    assert active(batch, project, "beta") == [1]


def test_without_old_revisions_step_functions_is_not_even_asked(
    batch: "BatchClient", machines: "SFNClient", project: Project, aws: FaultProxy
) -> None:
    aws.seen.clear()
    assert prune(batch, machines, project, keep=5) == []
    assert {request.path for request in aws.seen} == {"/v1/describejobdefinitions"}


@pytest.mark.parametrize(
    ("job_definition", "kept"),
    [
        ("{}-alpha:2", [5, 2]),
        (ARN.format("{}-alpha:2"), [5, 2]),
        ("{}-alpha:22", [5]),
        ("my-{}-alpha:2", [5]),
    ],
)
def test_a_revision_that_a_state_machine_names_is_kept(
    batch: "BatchClient", machines: "SFNClient", project: Project, job_definition: str, kept: list[int]
) -> None:
    make_machine(machines, job_definition.format(project.prefix))
    lines = prune(batch, machines, project, keep=1)
    assert ("alpha:2 kept: state machine germline names it" in lines) == (2 in kept)
    assert active(batch, project) == kept


def test_a_revision_that_a_published_version_names_is_kept(
    batch: "BatchClient", machines: "SFNClient", project: Project
) -> None:
    arn = make_machine(machines, f"{project.prefix}-alpha:1", publish=True)
    machines.update_state_machine(stateMachineArn=arn, definition=definition(f"{project.prefix}-alpha:5"))
    lines = prune(batch, machines, project, keep=1)
    assert "alpha:1 kept: version 1 of state machine germline names it" in lines
    assert active(batch, project) == [5, 1]


def test_a_revision_that_an_execution_was_started_with_is_kept_while_it_runs(
    batch: "BatchClient", machines: "SFNClient", project: Project
) -> None:
    """Moto gives an execution its state machine's definition of today; the service, that of its start."""
    arn = make_machine(machines, f"{project.prefix}-alpha:5")
    machines.start_execution(stateMachineArn=arn, name="run1")

    def describe_state_machine_for_execution(self: StepFunctionResponse) -> ActionResult:
        assert self._get_param("executionArn").endswith(":run1")
        return ActionResult({"definition": definition(f"{project.prefix}-alpha:3"), "name": "germline"})

    with patch.object(
        StepFunctionResponse, "describe_state_machine_for_execution", describe_state_machine_for_execution
    ):
        lines = prune(batch, machines, project, keep=1)
    assert "alpha:3 kept: execution run1 of germline names it" in lines
    assert active(batch, project) == [5, 3]


def test_where_state_machines_cannot_be_read_nothing_is_deregistered(
    batch: "BatchClient", machines: "SFNClient", project: Project, aws: FaultProxy
) -> None:
    refusal = b'{"__type":"AccessDeniedException","message":"no states:ListStateMachines"}'
    aws.fails(body="ListStateMachines", status=400, answer=refusal, times=100)
    with pytest.raises(UnavailableError, match="AccessDeniedException"):
        prune(batch, machines, project, keep=1)
    assert active(batch, project) == [5, 4, 3, 2, 1]


@pytest.mark.usefixtures("machines")
def test_a_dry_run_deregisters_nothing(batch: "BatchClient", project: Project) -> None:
    for words, line, left in (
        (("--dry-run",), "alpha:1 would be deregistered\n", [5, 4, 3, 2, 1]),
        (("alpha",), "alpha:1 deregistered\n", [5, 4, 3, 2]),
    ):
        result = project.run("prune", "--keep", "4", *words)
        assert (result.code, result.out) == (0, line), result.err
        assert active(batch, project) == left
