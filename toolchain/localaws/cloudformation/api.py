"""CloudFormation's API, by moto's own reading of requests and writing of answers."""

import re
from typing import Any, ClassVar, Final

from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.responses import CloudFormationResponse, transform_dict
from moto.core.responses import ActionResult, EmptyResult

from toolchain.localaws.access import Access
from toolchain.localaws.cloudformation.resources import Region
from toolchain.localaws.cloudformation.stack import ChangeSet, Stack
from toolchain.localaws.http import application_of

_NOTHING: Final = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
# moto would read templates as code for these.
_REFUSED: Final = re.compile("StackSet|StackInstance|TemplateSummary|ValidateTemplate")


def cloudformation_application(access: Access) -> Any:
    """A WSGI application that answers for CloudFormation, and has resources made by `access`."""
    return application_of("cloudformation", type("Api", (Api,), {"access": access}))


class Api(CloudFormationResponse):
    """The operations that moto has not, or not so; its others describe what is in its backend."""

    RESPONSE_KEY_PATH_TO_TRANSFORMER = {"DescribeStacksOutput.Stacks.Stack.Tags": transform_dict}  # noqa: RUF012
    access: ClassVar[Access]

    def call_action(self) -> Any:
        if _REFUSED.search(self._get_action()):
            raise NotImplementedError(f"The embedded AWS has no operation {self._get_action()}.")
        self._backend: Any = self.cloudformation_backend
        self._name = self._get_param("StackName")
        stacks: list[Any] = list(self._backend.stacks.values())
        self._stack: Stack | None = next(
            (stack for stack in stacks if self._name in (stack.name, stack.stack_id)), None
        )
        return super().call_action()

    def create_change_set(self) -> ActionResult:
        kind = self._get_param("ChangeSetType", "UPDATE")
        change_set = self._new_change_set(self._get_param("ChangeSetName"), kind)
        if kind == "UPDATE" and change_set.is_empty:
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
            raise CloudFormationError("InvalidChangeSetStatus", f"ChangeSet [{change_set.id}] cannot be executed again")
        change_set.execution_status = "EXECUTE_COMPLETE"
        return self._deploy(change_set)

    def delete_change_set(self) -> ActionResult:
        del self._backend.change_sets[self._change_set().id]
        return EmptyResult()

    def create_stack(self) -> ActionResult:
        return self._deploy(self._new_change_set("create", "CREATE"))

    def update_stack(self) -> ActionResult:
        change_set = self._new_change_set("update", "UPDATE")
        if change_set.is_empty:
            raise ValidationError(message="No updates are to be performed.")
        return self._deploy(change_set)

    def delete_stack(self) -> ActionResult:
        if self._stack is None:
            return EmptyResult()
        if self._stack.enable_termination_protection:
            raise ValidationError(
                message=f"Stack [{self._name}] cannot be deleted while TerminationProtection is enabled"
            )
        self._stack.token = self._get_param("ClientRequestToken")
        self._stack.delete(self._get_param("RetainResources", []))
        if self._stack.status == "DELETE_COMPLETE":
            for export in self._stack.exports:
                self._backend.exports.pop(export.name, None)
            self._backend.deleted_stacks[self._stack.stack_id] = self._backend.stacks.pop(self._stack.stack_id)
        return EmptyResult()

    def update_termination_protection(self) -> ActionResult:
        stack = self._backend.get_stack(self._name)
        stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection")
        return ActionResult({"StackId": stack.stack_id})

    def _change_set(self) -> ChangeSet:
        name, change_sets = self._get_param("ChangeSetName"), self._backend.change_sets.values()
        for change_set in list(change_sets):
            if name == change_set.id or (name, self._stack) == (change_set.name, change_set.stack):
                return change_set  # type: ignore[no-any-return]  # of moto's backend
        raise CloudFormationError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")

    def _new_change_set(self, name: str, kind: str) -> ChangeSet:
        """What the request's template, parameters and tags make of the stack that it names."""
        stack = self._stack or Stack(self._name, Region(self.access, self.current_account, self.region))
        if kind == "UPDATE" and not stack.status:
            raise ValidationError(stack.name)
        if kind == "UPDATE" and stack.status.endswith("_IN_PROGRESS"):
            raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
        if kind == "CREATE" and stack.status not in ("", "REVIEW_IN_PROGRESS"):
            raise AlreadyExistsException(f"Stack [{self._name}] already exists")
        before = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack.parameters}
        given: dict[str, Any] = {
            parameter["ParameterKey"]: parameter.get("ParameterValue", before.get(parameter["ParameterKey"]))
            for parameter in self._get_param("Parameters", [])
        }
        tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags", [])} or stack.tags
        text = stack.template if self._get_bool_param("UsePreviousTemplate") else self._get_param("TemplateBody", "")
        imports = bool(self._get_bool_param("ImportExistingResources"))
        change_set = ChangeSet(stack, name, text, given, tags, self._backend.exports, imports=imports)
        if not stack.status:
            stack.enable_termination_protection = bool(self._get_bool_param("EnableTerminationProtection"))
            stack.tell("REVIEW_IN_PROGRESS", "User Initiated")
            self._backend.stacks[stack.stack_id] = stack
        return change_set

    def _deploy(self, change_set: ChangeSet) -> ActionResult:
        stack, exports = change_set.stack, self._backend.exports
        stack.token = self._get_param("ClientRequestToken")
        for export in stack.exports:
            exports.pop(export.name, None)
        stack.deploy(change_set)
        exports.update({export.name: export for export in stack.exports})
        return ActionResult({"StackId": stack.stack_id})
