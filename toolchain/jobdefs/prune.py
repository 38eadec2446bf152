"""`prune`: deregisters old revisions of job definitions that nothing names any more."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.jobdefs.revisions import Revision, active

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_stepfunctions import SFNClient
    from types_boto3_stepfunctions.literals import ExecutionStatusType

# How long a failed execution can be redriven, with the definition that it was started with:
# https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
REDRIVABLE = timedelta(days=14)
_UNFINISHED: "tuple[ExecutionStatusType, ...]" = ("RUNNING", "PENDING_REDRIVE", "FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True, kw_only=True)
class OldRevision:
    """An old revision of a tool's job definition, and what still names it, if anything does."""

    tool: str
    revision: Revision
    named_by: str | None

    def describe(self, *, done: bool) -> str:
        """The line that `prune` prints; `done` is false in a dry run."""
        name = f"{self.tool}:{self.revision.number}"
        if self.named_by is not None:
            return f"{name} kept: {self.named_by} names it"
        return f"{name} {'deregistered' if done else 'would be deregistered'}"


def plan(
    batch: "BatchClient", step_functions: "SFNClient", names: Mapping[str, str], *, keep: int
) -> list[OldRevision]:
    """Finds the old revisions.

    Args:
        batch: Batch.
        step_functions: Step Functions.
        names: Tool to job definition name.
        keep: How many active revisions of each are not old.
    """
    old = {tool: active(batch, name)[keep:] for tool, name in names.items()}
    if not any(old.values()):
        return []
    users = named_revisions(step_functions, names.values())
    return [
        OldRevision(tool=tool, revision=revision, named_by=users.get((revision.name, revision.number)))
        for tool, revisions in old.items()
        for revision in revisions
    ]


def prune(batch: "BatchClient", old_revisions: list[OldRevision]) -> None:
    """Deregisters those that nothing names."""
    for old in old_revisions:
        if old.named_by is None:
            with doing(f"deregistering {old.revision.name}:{old.revision.number}"):
                batch.deregister_job_definition(jobDefinition=old.revision.arn)


def named_revisions(step_functions: "SFNClient", names: Collection[str]) -> dict[tuple[str, int], str]:
    """Name and number of each revision that a state machine names, and that state machine.

    Searched are all state machines, their published versions, and the definitions of executions that run or can still
    be redriven.
    """
    # As an ARN or in short, wherever in a definition.
    pattern = re.compile(rf"(?<![A-Za-z0-9_-])({'|'.join(map(re.escape, names))}):(\d+)")
    users: dict[tuple[str, int], str] = {}
    with doing("looking which job definitions state machines name"):
        for user, definition in _definitions(step_functions):
            for match in pattern.finditer(definition):
                users.setdefault((match[1], int(match[2])), user)
    return users


def _definitions(step_functions: "SFNClient") -> Iterator[tuple[str, str]]:
    for page in step_functions.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            arn, name = machine["stateMachineArn"], machine["name"]
            yield f"state machine {name}", step_functions.describe_state_machine(stateMachineArn=arn)["definition"]
            for version in _versions(step_functions, arn):
                definition = step_functions.describe_state_machine(stateMachineArn=version)["definition"]
                yield f"version {version.rpartition(':')[2]} of state machine {name}", definition
            # Express workflows have no executions to list, and end within five minutes.
            if machine["type"] == "STANDARD":
                for execution in _executions(step_functions, arn):
                    described = step_functions.describe_state_machine_for_execution(executionArn=execution)
                    yield f"execution {execution.rpartition(':')[2]} of {name}", described["definition"]


def _versions(step_functions: "SFNClient", arn: str) -> Iterator[str]:
    page = step_functions.list_state_machine_versions(stateMachineArn=arn)
    while True:
        yield from (version["stateMachineVersionArn"] for version in page["stateMachineVersions"])
        if not (token := page.get("nextToken")):
            return
        page = step_functions.list_state_machine_versions(stateMachineArn=arn, nextToken=token)


def _executions(step_functions: "SFNClient", arn: str) -> Iterator[str]:
    oldest = datetime.now(UTC) - REDRIVABLE
    for status in _UNFINISHED:
        for page in step_functions.get_paginator("list_executions").paginate(stateMachineArn=arn, statusFilter=status):
            for execution in page["executions"]:
                if execution.get("stopDate", datetime.now(UTC)) >= oldest:
                    yield execution["executionArn"]
