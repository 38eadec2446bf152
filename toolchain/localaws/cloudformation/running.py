"""What CloudFormation does to one resource, and what it tells of it as events."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from toolchain.localaws.cloudformation.errors import RefusalError, ResourceFailedError
from toolchain.localaws.cloudformation.planning import KEEPING
from toolchain.localaws.cloudformation.region import Region
from toolchain.localaws.cloudformation.schemas import schema_of
from toolchain.localaws.cloudformation.stack import Event, Resource, Stack, State
from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types import KINDS
from toolchain.localaws.cloudformation.types.kind import Work
from toolchain.localaws.cloudformation.view import View

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

STACK_TYPE: Final = "AWS::CloudFormation::Stack"
_CODES: Final = (
    (re.compile(r"AlreadyExist|Duplicate|AlreadyOwned|EntityExists"), "AlreadyExists"),
    (re.compile(r"NotFound|NoSuch"), "NotFound"),
    (re.compile(r"AccessDenied|Unauthorized"), "AccessDenied"),
    (re.compile(r"Throttl|TooMany"), "Throttling"),
    (re.compile(r"Limit|Quota"), "ServiceLimitExceeded"),
    (re.compile(r"Conflict|InUse|DependencyViolation"), "ResourceConflict"),
    (re.compile(r"Internal"), "ServiceInternalError"),
)


@dataclass(frozen=True, kw_only=True)
class Telling:
    """A stack whose doings are told: each as an event and as the state that it leads to.

    Attributes:
        stack: The stack.
        region: Where it is.
    """

    stack: Stack
    region: Region

    def status(self, status: str, reason: str | None = None) -> None:
        """The stack's own status."""
        stack = self.stack
        stack.status, stack.reason = status, reason
        self._event(stack.name, stack.id, STACK_TYPE, status, reason)

    def resource(
        self,
        name: str,
        type_name: str,
        physical_id: str,
        status: str,
        reason: str | None = None,
        properties: Json = None,
    ) -> None:
        """A resource's status."""
        event = self._event(name, physical_id, type_name, status, reason, properties)
        self.stack.states[name] = State(
            physical_id=physical_id, type_name=type_name, status=status, reason=reason, at=event.at
        )

    def _event(
        self, name: str, physical_id: str, type_name: str, status: str, reason: str | None, properties: Json = None
    ) -> Event:
        event = Event(
            stack_id=self.stack.id,
            stack_name=self.stack.name,
            name=name,
            physical_id=physical_id,
            type_name=type_name,
            status=status,
            reason=reason,
            properties=properties,
            token=self.stack.token,
        )
        self.stack.events.append(event)
        return event

    # ---- what is done to one resource; each returns whether it went well ------------------------------------------

    def create(self, view: View, name: str) -> bool:
        """Makes a resource, whose CREATE_IN_PROGRESS has been told."""
        entry = view.entries[name]
        type_name = str(entry["Type"])
        physical_id = ""
        try:
            properties = self._checked(view, name)
            kind, work = KINDS[type_name], self._work(name, type_name, properties)
            physical_id = kind.create(work)
            self._keep(view, name, physical_id, properties, {})
            self.resource(name, type_name, physical_id, "CREATE_IN_PROGRESS", "Resource creation Initiated", properties)
            kind.settle(work, physical_id)
            self._keep(view, name, physical_id, properties, kind.attributes(work, physical_id))
        except Exception as error:  # noqa: BLE001  # whatever goes wrong is this resource's reason
            self.resource(name, type_name, physical_id, "CREATE_FAILED", reason_of(error))
            return False
        self.resource(name, type_name, physical_id, "CREATE_COMPLETE", None, properties)
        return True

    def update(self, view: View, name: str, properties: dict[str, Json]) -> bool:
        """Changes a resource in place."""
        before = self.stack.resources[name]
        kind, work = KINDS[before.type_name], self._work(name, before.type_name, properties)
        try:
            self._checked(view, name)
            kind.update(work, before.physical_id, before.properties)
            attributes = kind.attributes(work, before.physical_id)
        except Exception as error:  # noqa: BLE001  # likewise
            # What of it was done nobody knows: whoever takes it back must set everything anew.
            self._keep(view, name, before.physical_id, properties, before.attributes)
            self.resource(name, before.type_name, before.physical_id, "UPDATE_FAILED", reason_of(error))
            return False
        self._keep(view, name, before.physical_id, properties, attributes)
        self.resource(name, before.type_name, before.physical_id, "UPDATE_COMPLETE", None, properties)
        return True

    def restore(self, name: str, before: Resource) -> bool:
        """Changes a resource back to what it was."""
        current = self.stack.resources[name]
        kind, work = KINDS[before.type_name], self._work(name, before.type_name, before.properties)
        self.resource(name, before.type_name, before.physical_id, "UPDATE_IN_PROGRESS")
        try:
            kind.update(work, before.physical_id, current.properties)
            attributes = kind.attributes(work, before.physical_id)
        except Exception as error:  # noqa: BLE001  # likewise
            self.resource(name, before.type_name, before.physical_id, "UPDATE_FAILED", reason_of(error))
            return False
        self.stack.resources[name] = Resource(
            name=name,
            type_name=before.type_name,
            physical_id=before.physical_id,
            attributes=attributes,
            properties=before.properties,
            entry=before.entry,
            needs=before.needs,
        )
        self.resource(name, before.type_name, before.physical_id, "UPDATE_COMPLETE")
        return True

    def delete(self, resource: Resource, *, policy: str = "DeletionPolicy") -> bool:
        """Deletes a resource, unless its policy keeps it."""
        name, type_name, physical_id = resource.name, resource.type_name, resource.physical_id
        if resource.entry.get(policy) in KEEPING:
            self.resource(name, type_name, physical_id, "DELETE_SKIPPED")
            return True
        self.resource(name, type_name, physical_id, "DELETE_IN_PROGRESS")
        try:
            KINDS[type_name].delete(self._work(name, type_name, resource.properties), physical_id)
        except Exception as error:  # noqa: BLE001  # likewise
            if not _missing(error):  # what is gone needs no deleting
                self.resource(name, type_name, physical_id, "DELETE_FAILED", reason_of(error))
                return False
        self.resource(name, type_name, physical_id, "DELETE_COMPLETE")
        return True

    def _keep(self, view: View, name: str, physical_id: str, properties: Json, attributes: Json) -> None:
        self.stack.resources[name] = Resource(
            name=name,
            type_name=view.entries[name]["Type"],
            physical_id=physical_id,
            attributes=attributes,
            properties=properties,
            entry=view.entries[name],
            needs=view.needs[name],
        )

    def _checked(self, view: View, name: str) -> dict[str, Json]:
        properties = view.properties(name)
        schema = schema_of(view.entries[name]["Type"])
        faults = schema.faults(properties) if schema else []
        if faults:
            listed = "\n".join(faults)
            raise ResourceFailedError(f"Properties validation failed for resource {name} with message:\n[{listed}]")
        return properties

    def _work(self, name: str, type_name: str, properties: Json) -> Work:
        return Work(
            region=self.region,
            stack_id=self.stack.id,
            stack_name=self.stack.name,
            name=name,
            type_name=type_name,
            properties=properties,
        )


def in_order(resources: dict[str, Resource]) -> list[Resource]:
    """Resources so that each comes after those that it needs."""
    done: list[Resource] = []
    names: set[str] = set()

    def take(one: Resource) -> None:
        if one.name in names:
            return
        names.add(one.name)
        for need in sorted(one.needs):
            if need in resources:
                take(resources[need])
        done.append(one)

    for one in resources.values():
        take(one)
    return done


def reason_of(error: Exception) -> str:
    """An error as the reason of an event."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _client_reason(error)
    if isinstance(error, ResourceFailedError | RefusalError):
        return str(error)
    # A fault of a type's own code: nothing of it is AWS's, and it says so.
    return f"Internal error of the embedded AWS: {type(error).__name__}: {error}"


def _client_reason(error: "ClientError") -> str:
    code = str(error.response["Error"].get("Code", ""))
    message = str(error.response["Error"].get("Message", ""))
    metadata = error.response.get("ResponseMetadata", {})
    kind = next((name for pattern, name in _CODES if pattern.search(code)), "InvalidRequest")
    return (
        f'Resource handler returned message: "{message} (Service: {error.operation_name}, Status Code: '
        f'{metadata.get("HTTPStatusCode", 0)}, Request ID: {metadata.get("RequestId", "")})" '
        f"(RequestToken: {uuid4()}, HandlerErrorCode: {kind})"
    )


def _missing(error: Exception) -> bool:
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return False
    code = str(error.response["Error"].get("Code", ""))
    return bool(re.search(r"NotFound|NoSuch|NotExist|\.Malformed", code))
