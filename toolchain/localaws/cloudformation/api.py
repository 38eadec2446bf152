"""CloudFormation's API, by moto's own reading of requests and writing of answers."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.responses import CloudFormationResponse, transform_dict
from moto.core.responses import ActionResult, EmptyResult

from toolchain.localaws.access import Access
from toolchain.localaws.cloudformation.resource import Region
from toolchain.localaws.cloudformation.stack import ChangeSet, Stack, parse
from toolchain.localaws.http import application_of
from toolchain.stacks.template import Template

_NOTHING: Final = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
# moto reads their templates as code.
_REFUSED: Final = re.compile("StackSet|StackInstance|ProcessCfn")


@contextmanager
def cloudformation_application(access: Access) -> Iterator[Any]:
    """A WSGI application that answers for CloudFormation in every region, until the block ends.

    Args:
        access: Where the services answer of which stacks are made, and the key.
    """
    regions: dict[tuple[str, str], Region] = {}
    try:
        yield application_of("cloudformation", type("Api", (Api,), {"access": access, "regions": regions}))
    finally:
        for region in regions.values():
            region.close()


class Api(CloudFormationResponse):
    """Operations that are not moto's own, or not as moto has them."""

    RESPONSE_KEY_PATH_TO_TRANSFORMER = {  # noqa: RUF012  # as the parent's
        "DescribeStacksOutput.Stacks.Stack.Tags": transform_dict
    }
    access: ClassVar[Access]
    regions: ClassVar[dict[tuple[str, str], Region]]

    def call_action(self) -> Any:
        if _REFUSED.search(self._get_action()):
            raise NotImplementedError(f"The embedded AWS has no operation {self._get_action()}.")
        return super().call_action()

    # ---- change sets ----

    def create_change_set(self) -> ActionResult:
        name, is_update = self._get_param("StackName"), self._get_param("ChangeSetType", "UPDATE") == "UPDATE"
        stack = self._stack(name)
        if stack is None and is_update:
            raise ValidationError(message=f"Stack [{name}] does not exist")
        if stack is not None and not is_update and stack.status != "REVIEW_IN_PROGRESS":
            raise ValidationError(message=f"Stack [{name}] already exists and cannot be created again.")
        change_set = self._new_change_set(stack or Stack(name, self._region), self._get_param("ChangeSetName"))
        self._add(change_set.stack)
        if is_update and change_set.is_empty:
            change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
            change_set.status_reason = _NOTHING
        self._backend.change_sets[change_set.id] = change_set
        return ActionResult({"Id": change_set.id, "StackId": change_set.stack.stack_id})

    def describe_change_set(self) -> ActionResult:
        change_set = self._change_set()
        return ActionResult(
            {
                "ChangeSetId": change_set.id,
                "ChangeSetName": change_set.name,
                "StackId": change_set.stack.stack_id,
                "StackName": change_set.stack.name,
                "Status": change_set.status,
                "ExecutionStatus": change_set.execution_status,
                "StatusReason": change_set.status_reason,
                "Changes": [{"Type": "Resource", "ResourceChange": change} for change in change_set.changes],
            }
        )

    def execute_change_set(self) -> ActionResult:
        change_set = self._change_set()
        if change_set.execution_status != "AVAILABLE":
            message = f"ChangeSet [{change_set.id}] cannot be executed: it is {change_set.execution_status}"
            raise CloudFormationError("InvalidChangeSetStatus", message)
        change_set.execution_status = "EXECUTE_COMPLETE"
        self._deploy(change_set)
        return EmptyResult()

    def delete_change_set(self) -> ActionResult:
        del self._backend.change_sets[self._change_set().id]
        return EmptyResult()

    # ---- stacks ----

    def create_stack(self) -> ActionResult:
        name = self._get_param("StackName")
        if self._stack(name) is not None:
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        change_set = self._new_change_set(Stack(name, self._region), "create")
        change_set.stack.enable_termination_protection = bool(self._get_bool_param("EnableTerminationProtection"))
        self._add(change_set.stack)
        return self._deploy(change_set)

    def update_stack(self) -> ActionResult:
        change_set = self._new_change_set(self._existing_stack(), "update")
        if change_set.is_empty:
            raise ValidationError(message="No updates are to be performed.")
        return self._deploy(change_set)

    def delete_stack(self) -> ActionResult:
        stack = self._stack(self._get_param("StackName"))
        if stack is None:
            return EmptyResult()
        if stack.enable_termination_protection:
            message = f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            raise ValidationError(message=message)
        stack.token = self._get_param("ClientRequestToken")
        stack.delete_all(self._get_param("RetainResources", []))
        if stack.status == "DELETE_COMPLETE":
            backend = self._backend
            for export in stack.exports:
                backend.exports.pop(export.name, None)
            backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)
        return EmptyResult()

    def update_termination_protection(self) -> ActionResult:
        stack = self._existing_stack()
        stack.enable_termination_protection = bool(self._get_bool_param("EnableTerminationProtection"))
        return ActionResult({"StackId": stack.stack_id})

    def get_template(self) -> ActionResult:
        stack = self._existing_stack()
        is_processed = self._get_param("TemplateStage") == "Processed"
        return ActionResult({"TemplateBody": json.dumps(stack.body) if is_processed else stack.template})

    def get_template_summary(self) -> ActionResult:
        """What a template declares; moto reads it as code."""
        body = parse(self._existing_stack().template if self._get_param("StackName") else self._template())
        declared = Template(name="", text="", body=body).parameters.values()
        parameters = [
            {"ParameterKey": one.name, "DefaultValue": one.default, "ParameterType": one.kind} for one in declared
        ]
        return ActionResult({"Description": body.get("Description"), "Parameters": parameters})

    def validate_template(self) -> ActionResult:
        """Likewise; moto writes it to the working directory, too."""
        return self.get_template_summary()

    # ---- what these have in common ----

    @property
    def _backend(self) -> Any:
        """Moto's own, which holds our stacks and change sets."""
        return self.cloudformation_backend

    @property
    def _region(self) -> Region:
        key = (self.current_account, self.region)
        return self.regions.setdefault(key, Region(self.access, *key))

    def _stack(self, name: str) -> Stack | None:
        """The stack of this name or id, if it is there."""
        stacks = self._backend.stacks.values()
        return next((stack for stack in stacks if name in (stack.name, stack.stack_id)), None)

    def _existing_stack(self) -> Any:
        return self._backend.get_stack(self._get_param("StackName"))

    def _add(self, stack: Stack) -> None:
        if stack.stack_id not in self._backend.stacks:
            self._backend.stacks[stack.stack_id] = stack
            stack.tell("REVIEW_IN_PROGRESS", "User Initiated")

    def _change_set(self) -> ChangeSet:
        name, stack = self._get_param("ChangeSetName"), self._get_param("StackName")
        for one in self._backend.change_sets.values():
            if name == one.id or (name == one.name and stack in (one.stack.name, one.stack.stack_id)):
                found: ChangeSet = one
                return found
        raise CloudFormationError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")

    def _new_change_set(self, stack: Stack, name: str) -> ChangeSet:
        """What the request's template, parameters and tags make of a stack."""
        if stack.is_busy:
            raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
        text = stack.template if self._get_bool_param("UsePreviousTemplate") else self._template()
        given = {
            one["ParameterKey"]: stack.values[one["ParameterKey"]]
            if one.get("UsePreviousValue")
            else one["ParameterValue"]
            for one in self._get_param("Parameters", [])
        }
        tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags", [])}
        return ChangeSet(stack, name, text, given, tags, self._backend.exports)

    def _template(self) -> str:
        if not (url := self._get_param("TemplateURL")):
            return str(self._get_param("TemplateBody"))
        bucket, _, key = url.partition("://")[2].partition("/")[2].partition("/")
        return str(self._region.call("s3", "get_object", {"Bucket": bucket, "Key": key})["Body"].read().decode())

    def _deploy(self, change_set: ChangeSet) -> ActionResult:
        stack, exports = change_set.stack, self._backend.exports
        stack.token = self._get_param("ClientRequestToken")
        for export in stack.exports:
            exports.pop(export.name, None)
        stack.deploy(change_set)
        exports.update({export.name: export for export in stack.exports})
        return ActionResult({"StackId": stack.stack_id})
