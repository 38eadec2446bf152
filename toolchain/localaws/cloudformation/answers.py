"""What the API says of stacks, change sets, events and resources, in its own words."""

from typing import Any

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.parameters import HIDDEN
from toolchain.localaws.cloudformation.stack import Change, ChangeSet, Detail, Event, Shape, Stack
from toolchain.localaws.cloudformation.template import Template

# What a call answers: the keys are those of the service's model, and botocore holds them against it.
Answer = dict[str, Any]


def template_of(stack: Stack) -> Template:
    """A stack's template.

    Raises:
        RefusalError: It has none yet.
    """
    if stack.shape is None:
        raise RefusalError(f"Template not found for stack {stack.name}")
    return stack.shape.template


def stack(found: Stack) -> Answer:
    """A stack."""
    shape = found.shape
    return {
        **stack_summary(found),
        "Parameters": _parameters(shape),
        "Tags": [{"Key": key, "Value": value} for key, value in shape.tags.items()] if shape else [],
        "Outputs": [
            {
                "OutputKey": name,
                "OutputValue": one.value,
                **({"Description": one.description} if one.description else {}),
                **({"ExportName": one.export} if one.export else {}),
            }
            for name, one in found.outputs.items()
        ],
        "Capabilities": list(found.capabilities),
        "EnableTerminationProtection": found.protected,
        "DisableRollback": found.disable_rollback,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        **({"RoleARN": found.role} if found.role else {}),
        **({"Description": shape.template.description} if shape and shape.template.description else {}),
    }


def stack_summary(found: Stack) -> Answer:
    """A stack, in short."""
    answer: Answer = {
        "StackId": found.id,
        "StackName": found.name,
        "StackStatus": found.status,
        "CreationTime": found.created,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }
    if found.shape and found.shape.template.description:
        answer["TemplateDescription"] = found.shape.template.description
    for key, value in (
        ("StackStatusReason", found.reason),
        ("LastUpdatedTime", found.updated),
        ("DeletionTime", found.deleted),
    ):
        if value:
            answer[key] = value
    return answer


def _parameters(shape: Shape | None) -> list[Answer]:
    if shape is None:
        return []
    declared = shape.template.section("Parameters")
    return [
        {"ParameterKey": name, "ParameterValue": HIDDEN if _hidden(declared[name]) else value}
        for name, value in shape.parameters.items()
    ]


def _hidden(declaration: Answer) -> bool:
    return str(declaration.get("NoEcho", "")).lower() == "true"


def event(one: Event) -> Answer:
    """An event."""
    import json

    answer: Answer = {
        "StackId": one.stack_id,
        "EventId": one.id,
        "StackName": one.stack_name,
        "LogicalResourceId": one.name,
        "PhysicalResourceId": one.physical_id,
        "ResourceType": one.type_name,
        "Timestamp": one.at,
        "ResourceStatus": one.status,
    }
    if one.reason:
        answer["ResourceStatusReason"] = one.reason
    if one.properties is not None:
        answer["ResourceProperties"] = json.dumps(one.properties)
    if one.token:
        answer["ClientRequestToken"] = one.token
    return answer


def resources(found: Stack) -> list[Answer]:
    """The resources of a stack, those that failed or went with its last operation included."""
    answer = []
    for name, one in list(found.states.items()):
        if one.status == "DELETE_COMPLETE" and not found.gone:
            continue
        entry: Answer = {
            "LogicalResourceId": name,
            "PhysicalResourceId": one.physical_id,
            "ResourceType": one.type_name,
            "LastUpdatedTimestamp": one.at,
            "ResourceStatus": one.status,
            "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
        }
        if one.reason:
            entry["ResourceStatusReason"] = one.reason
        answer.append(entry)
    return answer


def change_set_summary(owner: Stack, found: ChangeSet) -> Answer:
    """A change set, in short."""
    answer: Answer = {
        "StackId": owner.id,
        "StackName": owner.name,
        "ChangeSetId": found.id,
        "ChangeSetName": found.name,
        "ExecutionStatus": found.execution,
        "Status": found.status,
        "CreationTime": found.created,
        "IncludeNestedStacks": False,
    }
    if found.reason:
        answer["StatusReason"] = found.reason
    if found.description:
        answer["Description"] = found.description
    return answer


def change_set(owner: Stack, found: ChangeSet, first: int, count: int) -> Answer:
    """A change set, with a page of its changes."""
    answer = {
        **change_set_summary(owner, found),
        "Parameters": _parameters(found.shape),
        "Tags": [{"Key": key, "Value": value} for key, value in found.shape.tags.items()],
        "Capabilities": list(found.capabilities),
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Changes": [_change(one) for one in found.changes[first : first + count]],
    }
    if first + count < len(found.changes):
        answer["NextToken"] = str(first + count)
    return answer


def _change(one: Change) -> Answer:
    change: Answer = {
        "Action": one.action,
        "LogicalResourceId": one.name,
        "ResourceType": one.type_name,
        "Scope": one.scope,
        "Details": [_detail(detail) for detail in one.details],
    }
    for key, value in (
        ("PhysicalResourceId", one.physical_id),
        ("Replacement", one.replacement),
        ("PolicyAction", one.policy),
    ):
        if value:
            change[key] = value
    return {"Type": "Resource", "ResourceChange": change}


def _detail(one: Detail) -> Answer:
    target: Answer = {"Attribute": one.attribute, "RequiresRecreation": one.recreation}
    if one.name:
        target["Name"] = one.name
    detail: Answer = {
        "Target": target,
        "Evaluation": "Static" if one.certain else "Dynamic",
        "ChangeSource": one.source,
    }
    if one.cause:
        detail["CausingEntity"] = one.cause
    return detail


def template_summary(template: Template) -> Answer:
    """What a template asks for."""
    resources_ = template.section("Resources")
    iam = [name for name, one in resources_.items() if str(one.get("Type", "")).startswith("AWS::IAM::")]
    answer: Answer = {
        "Parameters": [
            {
                "ParameterKey": name,
                "ParameterType": one["Type"],
                "NoEcho": _hidden(one),
                **({"DefaultValue": str(one["Default"])} if "Default" in one else {}),
                **({"Description": one["Description"]} if "Description" in one else {}),
            }
            for name, one in template.section("Parameters").items()
        ],
        "Description": template.description or "",
        "Capabilities": ["CAPABILITY_IAM"] if iam else [],
        "DeclaredTransforms": template.transforms,
    }
    if iam:
        answer["CapabilitiesReason"] = f"The following resource(s) require capabilities: [{', '.join(sorted(iam))}]"
    return answer
