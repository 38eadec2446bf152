"""CloudFormation's API over HTTP, by moto's own reading of requests and writing of answers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from moto.core.responses import ActionResult, EmptyResult

from toolchain.localaws.answering import Api
from toolchain.localaws.cloudformation import answers
from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.parameters import Given
from toolchain.localaws.cloudformation.service import Asked, Service, Services
from toolchain.localaws.cloudformation.stack import Stack
from toolchain.localaws.cloudformation.template import Json

if TYPE_CHECKING:
    from toolchain.localaws.cloudformation.operations import OnFailure

_PAGE = 100


class CloudFormationResponse(Api):
    """Each method is an operation of the API."""

    services: ClassVar[Services]

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    @property
    def _service(self) -> Service:
        return self.services.of(self.current_account, self.region)

    def create_change_set(self) -> ActionResult:
        found = self._service.create_change_set(
            self._text("ChangeSetName"),
            self._text("StackName"),
            self._get_param("ChangeSetType") or "UPDATE",
            self._get_param("Description"),
            self._asked(),
        )
        stack, _ = self._service.change_set(found.id, None)
        return ActionResult({"Id": found.id, "StackId": stack.id})

    def describe_change_set(self) -> ActionResult:
        stack, found = self._service.change_set(self._text("ChangeSetName"), self._get_param("StackName"))
        first = int(self._get_param("NextToken") or 0)
        return ActionResult(answers.change_set(stack, found, first, _PAGE))

    def execute_change_set(self) -> ActionResult:
        self._service.execute_change_set(
            self._text("ChangeSetName"),
            self._get_param("StackName"),
            disable_rollback=bool(self._get_bool_param("DisableRollback")),
            token=self._get_param("ClientRequestToken"),
        )
        return EmptyResult()

    def delete_change_set(self) -> ActionResult:
        self._service.delete_change_set(self._text("ChangeSetName"), self._get_param("StackName"))
        return EmptyResult()

    def list_change_sets(self) -> ActionResult:
        stack = self._service.stack(self._text("StackName"))
        return ActionResult(
            {"Summaries": [answers.change_set_summary(stack, one) for one in list(stack.change_sets.values())]}
        )

    def create_stack(self) -> ActionResult:
        rollback: OnFailure = "DO_NOTHING" if self._get_bool_param("DisableRollback") else "ROLLBACK"
        stack = self._service.create_stack(
            self._text("StackName"),
            self._asked(),
            on_failure=self._get_param("OnFailure") or rollback,
            protected=bool(self._get_bool_param("EnableTerminationProtection")),
        )
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:
        stack = self._service.update_stack(
            self._text("StackName"),
            self._asked(),
            disable_rollback=bool(self._get_bool_param("DisableRollback")),
        )
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:
        self._service.delete_stack(
            self._text("StackName"),
            retain=frozenset(self._get_param("RetainResources") or ()),
            token=self._get_param("ClientRequestToken"),
        )
        return EmptyResult()

    def cancel_update_stack(self) -> ActionResult:
        self._service.cancel_update(self._text("StackName"))
        return EmptyResult()

    def continue_update_rollback(self) -> ActionResult:
        skip = frozenset(self._get_param("ResourcesToSkip") or ())
        self._service.continue_rollback(self._text("StackName"), skip)
        return ActionResult({})

    def update_termination_protection(self) -> ActionResult:
        stack = self._service.stack(self._text("StackName"))
        stack.protected = bool(self._get_bool_param("EnableTerminationProtection"))
        return ActionResult({"StackId": stack.id})

    def describe_stacks(self) -> ActionResult:
        name = self._get_param("StackName")
        found = [self._service.stack(name)] if name else [one for one in self._stacks() if not one.gone]
        return ActionResult({"Stacks": [answers.stack(one) for one in found]})

    def list_stacks(self) -> ActionResult:
        wanted = self._get_param("StackStatusFilter")
        found = [one for one in self._stacks() if not wanted or one.status in wanted]
        return ActionResult({"StackSummaries": [answers.stack_summary(one) for one in reversed(found)]})

    def describe_stack_events(self) -> ActionResult:
        stack = self._service.stack(self._text("StackName"), verb="events")
        events = list(reversed(stack.events))
        # A page's token says how many of the oldest are left: new events come before them.
        left = int(self._get_param("NextToken") or len(events))
        page = events[len(events) - left :][:_PAGE]
        rest = left - len(page)
        answer: dict[str, Any] = {"StackEvents": [answers.event(one) for one in page]}
        return ActionResult({**answer, "NextToken": str(rest)} if rest else answer)

    def list_stack_resources(self) -> ActionResult:
        stack = self._service.stack(self._text("StackName"), verb="list")
        return ActionResult({"StackResourceSummaries": answers.resources(stack)})

    def describe_stack_resources(self) -> ActionResult:
        name, physical_id = self._get_param("StackName"), self._get_param("PhysicalResourceId")
        stack = self._service.stack(name) if name else self._owner(physical_id)
        wanted = self._get_param("LogicalResourceId")
        found = [
            {"StackId": stack.id, "StackName": stack.name, "Timestamp": one["LastUpdatedTimestamp"], **one}
            for one in answers.resources(stack)
            if wanted in {None, one["LogicalResourceId"]}
        ]
        return ActionResult({"StackResources": found})

    def describe_stack_resource(self) -> ActionResult:
        stack = self._service.stack(self._text("StackName"))
        name = self._text("LogicalResourceId")
        for one in answers.resources(stack):
            if one["LogicalResourceId"] == name:
                detail = {"StackId": stack.id, "StackName": stack.name, "Metadata": "{}", **one}
                return ActionResult({"StackResourceDetail": detail})
        raise RefusalError(f"Resource {name} does not exist for stack {stack.name}")

    def get_template(self) -> ActionResult:
        change_set = self._get_param("ChangeSetName")
        if change_set:
            template = self._service.change_set(change_set, self._get_param("StackName"))[1].shape.template
        else:
            template = answers.template_of(self._service.stack(self._text("StackName")))
        return ActionResult({"TemplateBody": template.text, "StagesAvailable": ["Original", "Processed"]})

    def get_template_summary(self) -> ActionResult:
        return self.validate_template()

    def validate_template(self) -> ActionResult:
        name, text = self._get_param("StackName"), self._template()
        if text is None and name:
            template = answers.template_of(self._service.stack(name))
        else:
            template = self._service.validate(text or "")
        return ActionResult(answers.template_summary(template))

    def list_exports(self) -> ActionResult:
        found = [
            {"ExportingStackId": stack.id, "Name": name, "Value": value}
            for name, (stack, value) in sorted(self._service.exporters().items())
        ]
        first = int(self._get_param("NextToken") or 0)
        answer: dict[str, Any] = {"Exports": found[first : first + _PAGE]}
        more = first + _PAGE
        return ActionResult({**answer, "NextToken": str(more)} if more < len(found) else answer)

    def list_imports(self) -> ActionResult:
        name = self._text("ExportName")
        found = self._service.importers(name)
        if not found:
            raise RefusalError(f"Export '{name}' is not imported by any stack.")
        return ActionResult({"Imports": found})

    def _stacks(self) -> list[Stack]:
        with self._service.lock:
            return list(self._service.stacks.values())

    def _owner(self, physical_id: str | None) -> Stack:
        for stack in self._stacks():
            if any(one.physical_id == physical_id for one in stack.resources.values()):
                return stack
        raise RefusalError(f"Stack for {physical_id} does not exist")

    def _text(self, name: str) -> str:
        value = self._get_param(name)
        if not value:
            raise RefusalError(f"1 validation error detected: Value null at '{name}' failed to satisfy constraint")
        return str(value)

    def _template(self) -> str | None:
        body, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        return self._fetched(url) if url else body

    def _fetched(self, url: str) -> str:
        bucket, _, key = url.partition("://")[2].partition("/")[2].partition("/")
        answer = self._service.region.client("s3").get_object(Bucket=bucket, Key=key)
        return str(answer["Body"].read().decode())

    def _asked(self) -> Asked:
        previous = bool(self._get_bool_param("UsePreviousTemplate"))
        tags = self._get_param("Tags")
        return Asked(
            template=None if previous else self._template(),
            parameters={one["ParameterKey"]: _given(one) for one in self._get_param("Parameters") or ()},
            tags=None if tags is None else {one["Key"]: one["Value"] for one in tags},
            capabilities=tuple(self._get_param("Capabilities") or ()),
            role=self._get_param("RoleARN"),
            token=self._get_param("ClientRequestToken"),
        )


def response_class(services: Services) -> type[Any]:
    """The class that answers requests.

    Args:
        services: The service in every account and region.
    """
    return type("CloudFormationResponse", (CloudFormationResponse,), {"services": services})


def _given(parameter: Mapping[str, Json]) -> Given:
    previous = str(parameter.get("UsePreviousValue", "")).lower() == "true"
    return Given(value=None if previous else str(parameter.get("ParameterValue", "")))
