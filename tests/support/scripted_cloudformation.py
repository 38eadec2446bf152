"""A stand-in for the services that deploy and destroy talk to, at the edge of botocore: what they ask is recorded.

It holds stacks, plays back what happens to them, an event or more at a look, and fails as it is told. It knows
nothing of resources: for that there is the embedded AWS.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from toolchain.aws import Account

Json = dict[str, Any]
Step = tuple[str, str, str, str]
"""Logical id (empty for the stack), type, status, reason."""

NOTHING = "The submitted information didn't contain changes. Submit different information to create a change set."
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class RefusedError(Exception):
    """What a service answers instead."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message


@dataclass(kw_only=True)
class Fault:
    """What goes wrong, with which operation, and how often."""

    operation: str
    error: BaseException
    times: int = 1
    after: int = 0


@dataclass(kw_only=True)
class FakeStack:
    """A stack, with what is still to happen to it."""

    name: str
    id: str
    status: str
    template: Json = field(default_factory=dict)
    given: Json = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    protected: bool = False
    physical: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Logical id to type and physical id."""
    events: list[Json] = field(default_factory=list)
    coming: list[list[Step]] = field(default_factory=list)
    token: str = ""


def ok(status: str) -> list[list[Step]]:
    """An operation of one resource that goes well."""
    verb = status.partition("_")[0]
    return [
        [("", "", f"{verb}_IN_PROGRESS", "User Initiated"), ("Thing", "AWS::X::Y", f"{verb}_IN_PROGRESS", "")],
        [("Thing", "AWS::X::Y", f"{verb}_COMPLETE", "")],
        [("", "", status, "")],
    ]


class CloudDouble:
    """The services."""

    def __init__(self) -> None:
        self.stacks: list[FakeStack] = []
        self.change_sets: dict[str, Json] = {}
        self.calls: list[tuple[str, Json]] = []
        self.faults: list[Fault] = []
        # What happens next to a stack that is created, updated, deleted or taken back.
        self.plays: dict[str, list[list[Step]]] = {}
        self.changes: dict[str, list[Json]] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        self.job_definitions: dict[str, list[str]] = {}
        self.executions: list[Json] = []
        self.tasks: list[Json] = []
        self.file_systems: dict[str, datetime] = {}
        self._numbers = itertools.count(1)
        self._account: Account | None = None

    def account(self) -> Account:
        """The account, whose calls all end here."""
        if self._account is not None:
            return self._account
        account = self._account = Account()
        events = account._session.events  # noqa: SLF001  # boto3's own way in, of a session that Account keeps
        events.register("before-parameter-build", self._remember)
        # What the last handler returns is taken as the answer.
        events.register("before-call", self._answer)  # type: ignore[arg-type]  # botocore's types know no answer
        return account

    def stack(self, name: str, status: str = "CREATE_COMPLETE", **more: Any) -> FakeStack:  # handed on
        """A stack that is there."""
        made = FakeStack(name=name, id=f"arn:aws:cloudformation:x:1:stack/{name}/{next(self._numbers)}", status=status)
        for key, value in more.items():
            setattr(made, key, value)
        self.stacks.append(made)
        self.event(made, "", "AWS::CloudFormation::Stack", status, "")
        return made

    def named(self, name: str) -> FakeStack | None:
        """The stack of this name, if it is there."""
        return next((one for one in self.stacks if one.name == name and one.status != "DELETE_COMPLETE"), None)

    def said(self, operation: str) -> list[Json]:
        """What an operation was called with."""
        return [params for name, params in self.calls if name == operation]

    def fails(self, operation: str, error: BaseException, *, times: int = 1, after: int = 0) -> None:
        """Lets an operation fail."""
        self.faults.append(Fault(operation=operation, error=error, times=times, after=after))

    def event(self, stack: FakeStack, logical_id: str, kind: str, status: str, reason: str) -> None:
        """Notes that something happened."""
        number = next(self._numbers)
        stack.events.append(
            {
                "StackId": stack.id,
                "StackName": stack.name,
                "EventId": f"event-{number}",
                "Timestamp": EPOCH + timedelta(seconds=number),
                "LogicalResourceId": logical_id or stack.name,
                "PhysicalResourceId": stack.id if not logical_id else f"physical-{logical_id}",
                "ResourceType": kind if logical_id else "AWS::CloudFormation::Stack",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "ClientRequestToken": stack.token,
            }
        )
        if not logical_id:
            stack.status = status

    def _remember(self, params: Json, context: Json, **_: object) -> None:
        context["asked"] = params

    def _answer(self, model: Any, context: Json, **_: object) -> tuple[Any, Json]:  # botocore's own
        params = context["asked"]
        self.calls.append((model.name, dict(params)))
        try:
            self._fail(model.name)
            answer = getattr(self, f"do_{model.name}")(params)
        except RefusedError as error:
            parsed = {"Error": {"Code": error.code, "Message": error.message}, "ResponseMetadata": {}}
            return SimpleNamespace(status_code=400), parsed
        return SimpleNamespace(status_code=200), {**(answer or {}), "ResponseMetadata": {}}

    def _fail(self, operation: str) -> None:
        for fault in self.faults:
            if fault.operation != operation or not fault.times:
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            raise fault.error

    def _find(self, name: str) -> FakeStack:
        found = next((one for one in self.stacks if one.id == name), None) or self.named(name)
        if found is None:
            raise RefusedError("ValidationError", f"Stack with id {name} does not exist")
        return found

    def _play(self, stack: FakeStack, what: str, default: str, token: str) -> None:
        stack.token = token
        stack.coming = [list(step) for step in self.plays.pop(f"{what} {stack.name}", ok(default))]

    # ---- CloudFormation ----

    def do_DescribeStacks(self, params: Json) -> Json:  # noqa: N802  # the API's own name, as below
        stack = self._find(params["StackName"])
        return {
            "Stacks": [
                {
                    "StackId": stack.id,
                    "StackName": stack.name,
                    "StackStatus": stack.status,
                    "CreationTime": EPOCH,
                    "EnableTerminationProtection": stack.protected,
                    "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()],
                }
            ]
        }

    def do_DescribeStackEvents(self, params: Json) -> Json:  # noqa: N802
        stack = self._find(params["StackName"])
        if stack.coming:
            for logical_id, kind, status, reason in stack.coming.pop(0):
                self.event(stack, logical_id, kind, status, reason)
        return {"StackEvents": stack.events[::-1]}

    def do_CreateChangeSet(self, params: Json) -> Json:  # noqa: N802
        creates = params["ChangeSetType"] == "CREATE"
        stack = self.named(params["StackName"])
        if stack is None:
            if not creates:
                raise RefusedError("ValidationError", f"Stack [{params['StackName']}] does not exist")
            stack = self.stack(params["StackName"], "REVIEW_IN_PROGRESS")
        elif creates != (stack.status == "REVIEW_IN_PROGRESS"):
            raise RefusedError(
                "ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated."
            )
        given = {key: params[key] for key in ("TemplateBody", "Parameters", "Tags")}
        same = given == stack.given
        arn = f"arn:aws:cloudformation:x:1:changeSet/{params['ChangeSetName']}/{next(self._numbers)}"
        self.change_sets[arn] = {
            "stack": stack,
            "given": given,
            "Status": "FAILED" if same else "CREATE_COMPLETE",
            "StatusReason": NOTHING if same else "",
            "Changes": [
                {"Type": "Resource", "ResourceChange": change}
                for change in self.changes.get(
                    stack.name, [{"Action": "Add", "LogicalResourceId": "Thing", "ResourceType": "AWS::X::Y"}]
                )
            ],
        }
        return {"Id": arn, "StackId": stack.id}

    def do_DescribeChangeSet(self, params: Json) -> Json:  # noqa: N802
        found = self.change_sets[params["ChangeSetName"]]
        return {key: found[key] for key in ("Status", "StatusReason", "Changes")}

    def do_DeleteChangeSet(self, params: Json) -> None:  # noqa: N802
        del self.change_sets[params["ChangeSetName"]]

    def do_ExecuteChangeSet(self, params: Json) -> None:  # noqa: N802
        found = self.change_sets.pop(params["ChangeSetName"])
        stack: FakeStack = found["stack"]
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        stack.given = found["given"]
        stack.template = json.loads(found["given"]["TemplateBody"])
        stack.outputs = self.outputs.get(stack.name, {})
        self._play(stack, verb.lower(), f"{verb}_COMPLETE", params.get("ClientRequestToken", ""))

    def do_DeleteStack(self, params: Json) -> None:  # noqa: N802
        stack = self._find(params["StackName"])
        if stack.protected:
            raise RefusedError("ValidationError", f"Stack [{stack.name}] cannot be deleted while protected")
        if stack.status == "REVIEW_IN_PROGRESS":
            stack.status = "DELETE_COMPLETE"
            return
        stack.outputs = {}
        self._play(stack, "delete", "DELETE_COMPLETE", params.get("ClientRequestToken", ""))

    def do_ContinueUpdateRollback(self, params: Json) -> None:  # noqa: N802
        stack = self._find(params["StackName"])
        self._play(stack, "rollback", "UPDATE_ROLLBACK_COMPLETE", params.get("ClientRequestToken", ""))

    def do_UpdateTerminationProtection(self, params: Json) -> Json:  # noqa: N802
        stack = self._find(params["StackName"])
        stack.protected = params["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def do_GetTemplate(self, params: Json) -> Json:  # noqa: N802
        return {"TemplateBody": self._find(params["StackName"]).template}

    def do_ListStackResources(self, params: Json) -> Json:  # noqa: N802
        held = self._find(params["StackName"]).physical
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": name,
                    "ResourceType": kind,
                    "PhysicalResourceId": physical,
                    "ResourceStatus": "CREATE_COMPLETE",
                }
                for name, (kind, physical) in held.items()
            ]
        }

    def do_ListExports(self, _: Json) -> Json:  # noqa: N802
        names = [
            f"{stack.name.rpartition('-')[0]}-{name}"
            for stack in self.stacks
            if stack.status.endswith("_COMPLETE")
            for name in stack.outputs
        ]
        return {"Exports": [{"Name": name, "Value": "x", "ExportingStackId": "x"} for name in names]}

    # ---- Batch, Step Functions, FSx ----

    def do_DescribeJobDefinitions(self, params: Json) -> Json:  # noqa: N802
        arns = self.job_definitions.get(params["jobDefinitionName"], [])
        return {
            "jobDefinitions": [
                {
                    "jobDefinitionName": params["jobDefinitionName"],
                    "jobDefinitionArn": arn,
                    "revision": int(arn.rpartition(":")[2]),
                    "type": "container",
                }
                for arn in arns
            ]
        }

    def do_ListExecutions(self, _: Json) -> Json:  # noqa: N802
        return {"executions": self.executions}

    def do_DescribeFileSystems(self, params: Json) -> Json:  # noqa: N802
        [name] = params["FileSystemIds"]
        if name not in self.file_systems:
            raise RefusedError("FileSystemNotFound", f"File system '{name}' does not exist.")
        return {"FileSystems": [{"FileSystemId": name, "CreationTime": self.file_systems[name]}]}

    def do_DescribeDataRepositoryTasks(self, params: Json) -> Json:  # noqa: N802
        [only] = params["Filters"]
        tasks = [one for one in self.tasks if one["FileSystemId"] in only["Values"]]
        start = int(params.get("NextToken", 0))
        page: Json = {"DataRepositoryTasks": tasks[start : start + 1]}
        if len(tasks) > start + 1:
            page["NextToken"] = str(start + 1)
        return page


def change(action: str, logical_id: str, kind: str, replacement: str = "False", *details: Mapping[str, Any]) -> Json:
    """A resource's change, as a change set has it."""
    return {
        "Action": action,
        "LogicalResourceId": logical_id,
        "ResourceType": kind,
        "Replacement": replacement,
        "Details": list(details),
    }


def detail(name: str, parameter: str, *, recreates: str = "Always") -> Json:
    """What causes a change."""
    return {
        "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreates},
        "ChangeSource": "ParameterReference",
        "CausingEntity": parameter,
    }


def steps(*ticks: Sequence[Step]) -> list[list[Step]]:
    """What happens, look by look."""
    return [list(tick) for tick in ticks]
