"""A stand-in for CloudFormation, and for what `deploy` and `destroy` ask of other services.

It has stacks without resources: what happens to them is played back from a script, an event or more a poll, and calls
fail as they are told. For the resources there is the embedded AWS.
"""

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from botocore import xform_name
from support.aws_double import AwsDouble, Json, RefusedError

# Logical id (empty for the stack itself), type, status, reason.
Event = tuple[str, str, str, str]
# The events that each poll brings.
Script = list[list[Event]]

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FILE_SYSTEM = "fs-0123456789abcdef0"


@dataclass(kw_only=True)
class Fault:
    """An error instead of an operation's answer, so many times, after so many calls that go well."""

    operation: str
    error: BaseException
    times: int
    after: int


@dataclass(kw_only=True)
class ScriptedStack:
    """A stack; `resources` has logical id to type and physical id, `script` what is still to happen."""

    name: str
    id: str
    status: str
    template: Json = field(default_factory=dict)
    request: Json = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    protected: bool = False
    resources: dict[str, tuple[str, str]] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
    script: Script = field(default_factory=list)
    token: str = ""


def success(verb: str, status: str) -> Script:
    """An operation on one resource that goes well."""
    return [
        [("", "", f"{verb}_IN_PROGRESS", "User Initiated"), ("Thing", "AWS::X::Y", f"{verb}_IN_PROGRESS", "")],
        [("Thing", "AWS::X::Y", f"{verb}_COMPLETE", "")],
        [("", "", status, "")],
    ]


class CloudFormationDouble(AwsDouble):
    """CloudFormation, Batch, Step Functions, FSx, and service-linked roles.

    Attributes:
        scripts: `create NAME`, `update NAME`, `delete NAME` or `rollback NAME` to what happens then, once.
        changes: Stack to the resource changes of its change sets.
        outputs: Stack to the outputs that it has once it is deployed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stacks: list[ScriptedStack] = []
        self.change_sets: dict[str, Json] = {}
        self.faults: list[Fault] = []
        self.scripts: dict[str, Script] = {}
        self.changes: dict[str, list[Json]] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        self.job_definitions: dict[str, list[str]] = {}
        self.executions: list[Json] = []
        self.tasks: list[Json] = []
        self.service_roles = ["fsx.amazonaws.com"]
        self.file_systems: dict[str, datetime] = {}
        # The hosts that each look finds; none at last.
        self.hosts: list[list[str]] = []
        self._numbers = itertools.count(1)

    def add(self, name: str, status: str) -> ScriptedStack:
        """Adds a stack in some state."""
        arn = f"arn:aws:cloudformation:x:1:stack/{name}/{next(self._numbers)}"
        stack = ScriptedStack(name=name, id=arn, status=status)
        self.stacks.append(stack)
        self.event(stack, ("", "", status, ""))
        return stack

    def find(self, name: str) -> ScriptedStack | None:
        """The stack of this name, if it exists."""
        return next((stack for stack in self.stacks if stack.name == name and stack.status != "DELETE_COMPLETE"), None)

    def fail(self, operation: str, error: BaseException, *, times: int = 1, after: int = 0) -> None:
        """Lets an operation fail."""
        self.faults.append(Fault(operation=operation, error=error, times=times, after=after))

    def event(self, stack: ScriptedStack, event: Event) -> None:
        """Adds an event to a stack."""
        logical_id, kind, status, reason = event
        number = next(self._numbers)
        stack.events.append(
            {
                "StackId": stack.id,
                "StackName": stack.name,
                "EventId": f"event-{number}",
                "Timestamp": EPOCH + timedelta(seconds=number),
                "LogicalResourceId": logical_id or stack.name,
                "PhysicalResourceId": f"physical-{logical_id}" if logical_id else stack.id,
                "ResourceType": kind if logical_id else "AWS::CloudFormation::Stack",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                **({"ClientRequestToken": stack.token} if stack.token else {}),
            }
        )
        if not logical_id:
            stack.status = status

    def list_roles(self, request: Json) -> Json:
        paths = [f"{request['PathPrefix']}{service}/" for service in self.service_roles]
        role = {
            "RoleName": "x",
            "RoleId": "A" * 20,
            "Arn": "arn:aws:iam::1:role/aws-service-role/x",
            "CreateDate": EPOCH,
        }
        return {"Roles": [{**role, "Path": path} for path in paths], "IsTruncated": False}

    def create_service_linked_role(self, request: Json) -> Json:
        self.service_roles.append(request["AWSServiceName"])
        return {}

    def reply(self, operation: str, request: Json) -> Json:
        for fault in self.faults:
            if fault.operation == operation and fault.times:
                if not fault.after:
                    fault.times -= 1
                    raise fault.error
                fault.after -= 1
        answer: Json | None = getattr(self, xform_name(operation))(request)
        return answer or {}

    def _of(self, request: Json) -> ScriptedStack:
        name = request["StackName"]
        stack = next((stack for stack in self.stacks if stack.id == name), None) or self.find(name)
        if stack is None:
            raise RefusedError("ValidationError", f"Stack with id {name} does not exist")
        return stack

    def _begin(self, stack: ScriptedStack, verb: str, status: str, request: Json) -> None:
        stack.token = request.get("ClientRequestToken", "")
        script = self.scripts.pop(f"{verb} {stack.name}", None) or success(status.partition("_")[0], status)
        stack.script = [list(events) for events in script]

    # CloudFormation

    def describe_stacks(self, request: Json) -> Json:
        stack = self._of(request)
        described = {
            "StackId": stack.id,
            "StackName": stack.name,
            "StackStatus": stack.status,
            "CreationTime": EPOCH,
            "EnableTerminationProtection": stack.protected,
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()],
        }
        return {"Stacks": [described]}

    def describe_stack_events(self, request: Json) -> Json:
        stack = self._of(request)
        for event in stack.script.pop(0) if stack.script else ():
            self.event(stack, event)
        return {"StackEvents": stack.events[::-1]}

    def create_change_set(self, request: Json) -> Json:
        name = request["StackName"]
        creates = request["ChangeSetType"] == "CREATE"
        stack = self.find(name)
        if stack is None:
            if not creates:
                raise RefusedError("ValidationError", f"Stack [{name}] does not exist")
            stack = self.add(name, "REVIEW_IN_PROGRESS")
        elif creates != (stack.status == "REVIEW_IN_PROGRESS"):
            raise RefusedError("ValidationError", f"Stack:{name} is in {stack.status} state and can not be updated.")
        content = {key: request[key] for key in ("TemplateBody", "Parameters", "Tags")}
        changes = self.changes.get(name, [change("Add", "Thing", "AWS::X::Y")])
        arn = f"arn:aws:cloudformation:x:1:changeSet/{request['ChangeSetName']}/{next(self._numbers)}"
        self.change_sets[arn] = {
            "stack": stack,
            "content": content,
            "Status": "FAILED" if content == stack.request else "CREATE_COMPLETE",
            "StatusReason": NO_CHANGES,
            "Changes": [{"Type": "Resource", "ResourceChange": entry} for entry in changes],
        }
        return {"Id": arn, "StackId": stack.id}

    def describe_change_set(self, request: Json) -> Json:
        change_set = self.change_sets[request["ChangeSetName"]]
        return {key: change_set[key] for key in ("Status", "StatusReason", "Changes")}

    def delete_change_set(self, request: Json) -> None:
        del self.change_sets[request["ChangeSetName"]]

    def execute_change_set(self, request: Json) -> None:
        change_set = self.change_sets.pop(request["ChangeSetName"])
        stack: ScriptedStack = change_set["stack"]
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        stack.request = change_set["content"]
        stack.template = json.loads(stack.request["TemplateBody"])
        stack.outputs = self.outputs.get(stack.name, {})
        self._begin(stack, verb.lower(), f"{verb}_COMPLETE", request)

    def delete_stack(self, request: Json) -> None:
        stack = self._of(request)
        if stack.protected:
            raise RefusedError("ValidationError", f"Stack [{stack.name}] cannot be deleted while protected")
        if stack.status == "REVIEW_IN_PROGRESS":
            stack.status = "DELETE_COMPLETE"
            return
        stack.outputs = {}
        self._begin(stack, "delete", "DELETE_COMPLETE", request)

    def continue_update_rollback(self, request: Json) -> None:
        self._begin(self._of(request), "rollback", "UPDATE_ROLLBACK_COMPLETE", request)

    def update_termination_protection(self, request: Json) -> None:
        self._of(request).protected = request["EnableTerminationProtection"]

    def get_template(self, request: Json) -> Json:
        return {"TemplateBody": json.dumps(self._of(request).template)}

    def list_stack_resources(self, request: Json) -> Json:
        summaries = [
            {
                "LogicalResourceId": logical_id,
                "ResourceType": kind,
                "PhysicalResourceId": physical_id,
                "ResourceStatus": "CREATE_COMPLETE",
                "LastUpdatedTimestamp": EPOCH,
            }
            for logical_id, (kind, physical_id) in self._of(request).resources.items()
        ]
        return {"StackResourceSummaries": summaries}

    def list_exports(self, _: Json) -> Json:
        stacks = [stack for stack in self.stacks if stack.status.endswith("_COMPLETE")]
        names = [f"{stack.name.rpartition('-')[0]}-{name}" for stack in stacks for name in stack.outputs]
        return {"Exports": [{"Name": name, "Value": "x", "ExportingStackId": "x"} for name in names]}

    # Batch, Step Functions, FSx

    def describe_job_definitions(self, request: Json) -> Json:
        name = request["jobDefinitionName"]
        definitions = [
            {
                "jobDefinitionName": name,
                "jobDefinitionArn": arn,
                "revision": int(arn.rpartition(":")[2]),
                "type": "container",
            }
            for arn in self.job_definitions.get(name, [])
        ]
        return {"jobDefinitions": definitions}

    def list_executions(self, _: Json) -> Json:
        return {"executions": self.executions}

    def describe_instances(self, _: Json) -> Json:
        hosts = self.hosts.pop(0) if self.hosts else []
        return {"Reservations": [{"Instances": [{"InstanceId": host}]} for host in hosts]}

    def describe_file_systems(self, request: Json) -> Json:
        [identifier] = request["FileSystemIds"]
        if identifier not in self.file_systems:
            raise RefusedError("FileSystemNotFound", f"File system '{identifier}' does not exist.")
        return {"FileSystems": [{"FileSystemId": identifier, "CreationTime": self.file_systems[identifier]}]}

    def describe_data_repository_tasks(self, request: Json) -> Json:
        """A task a page."""
        [file_systems] = request["Filters"]
        tasks = [task for task in self.tasks if task["FileSystemId"] in file_systems["Values"]]
        start = int(request.get("NextToken", 0))
        more = {"NextToken": str(start + 1)} if len(tasks) > start + 1 else {}
        return {"DataRepositoryTasks": tasks[start : start + 1], **more}


def change(action: str, logical_id: str, kind: str, replacement: str = "False", *details: Json) -> Json:
    """A resource's change, as a change set has it."""
    return {
        "Action": action,
        "LogicalResourceId": logical_id,
        "ResourceType": kind,
        "Replacement": replacement,
        "Details": list(details),
    }


def detail(name: str, parameter: str, *, recreates: str = "Always") -> Json:
    """The cause of a change."""
    return {
        "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreates},
        "ChangeSource": "ParameterReference",
        "CausingEntity": parameter,
    }
