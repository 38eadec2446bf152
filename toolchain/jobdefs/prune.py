"""`prune`: deregisters old revisions of this checkout's job definitions, and none that something still names."""

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

# For so long a failed execution can be redriven, with the definition that it was started with:
# https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
REDRIVABLE = timedelta(days=14)
_UNFINISHED: "tuple[ExecutionStatusType, ...]" = ("RUNNING", "PENDING_REDRIVE", "FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What becomes of an old revision.

    Attributes:
        name: The tool's name.
        revision: Which.
        named_by: What still names it; none if nothing does, and it goes.
    """

    name: str
    revision: Revision
    named_by: str | None

    def describe(self, *, done: bool) -> str:
        """As `prune` prints it.

        Args:
            done: Whether it was done, or would be.
        """
        if self.named_by is not None:
            return f"{self.name}:{self.revision.number} kept: {self.named_by} names it"
        return f"{self.name}:{self.revision.number} {'deregistered' if done else 'would be deregistered'}"


def plan(batch: "BatchClient", machines: "SFNClient", names: Mapping[str, str], *, keep: int) -> list[Pruned]:
    """What `prune` would do.

    Args:
        batch: Batch.
        machines: Step Functions.
        names: Tool to job definition name.
        keep: How many active revisions stay of each, the latest.
    """
    old = {name: active(batch, full_name)[keep:] for name, full_name in names.items()}
    if not any(old.values()):
        return []
    users = named(machines, names.values())
    return [
        Pruned(name=name, revision=revision, named_by=users.get((revision.name, revision.number)))
        for name, revisions in old.items()
        for revision in revisions
    ]


def prune(batch: "BatchClient", planned: list[Pruned]) -> None:
    """Deregisters what a plan does not keep."""
    for one in planned:
        if one.named_by is None:
            with doing(f"deregistering {one.revision.name}:{one.revision.number}"):
                batch.deregister_job_definition(jobDefinition=one.revision.arn)


def named(machines: "SFNClient", names: Collection[str]) -> dict[tuple[str, int], str]:
    """The revisions that state machines name, and which names them.

    Looked into are every state machine, its published versions, and the definitions of executions that run or
    can still be redriven: those go on with the definition that they were started with.

    Returns:
        Name and number of a revision to the state machine or execution.
    """
    # As an ARN or in short, in whatever part of a definition it stands.
    pattern = re.compile(rf"(?<![A-Za-z0-9_-])({'|'.join(map(re.escape, names))}):(\d+)")
    found: dict[tuple[str, int], str] = {}
    with doing("looking which job definitions state machines name"):
        for who, text in _definitions(machines):
            for match in pattern.finditer(text):
                found.setdefault((match[1], int(match[2])), who)
    return found


def _definitions(machines: "SFNClient") -> Iterator[tuple[str, str]]:
    for page in machines.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            arn, name = machine["stateMachineArn"], machine["name"]
            yield f"state machine {name}", machines.describe_state_machine(stateMachineArn=arn)["definition"]
            for version in _versions(machines, arn):
                text = machines.describe_state_machine(stateMachineArn=version)["definition"]
                yield f"version {version.rpartition(':')[2]} of state machine {name}", text
            # Express workflows keep no executions to list, and end within five minutes.
            if machine["type"] == "STANDARD":
                for execution in _executions(machines, arn):
                    described = machines.describe_state_machine_for_execution(executionArn=execution)
                    yield f"execution {execution.rpartition(':')[2]} of {name}", described["definition"]


def _versions(machines: "SFNClient", arn: str) -> Iterator[str]:
    answer = machines.list_state_machine_versions(stateMachineArn=arn)
    while True:
        yield from (one["stateMachineVersionArn"] for one in answer["stateMachineVersions"])
        if not (token := answer.get("nextToken")):
            return
        answer = machines.list_state_machine_versions(stateMachineArn=arn, nextToken=token)


def _executions(machines: "SFNClient", arn: str) -> Iterator[str]:
    since = datetime.now(UTC) - REDRIVABLE
    for status in _UNFINISHED:
        for page in machines.get_paginator("list_executions").paginate(stateMachineArn=arn, statusFilter=status):
            for one in page["executions"]:
                if one.get("stopDate", datetime.now(UTC)) >= since:
                    yield one["executionArn"]
