"""CloudFormation of one region: its stacks, and what may be done to each when."""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from toolchain.localaws.access import Access
from toolchain.localaws.cloudformation import parameters as checked
from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.known import Live
from toolchain.localaws.cloudformation.operations import Exports, OnFailure, Operation
from toolchain.localaws.cloudformation.parameters import Given
from toolchain.localaws.cloudformation.planning import changes, check_types
from toolchain.localaws.cloudformation.region import Region
from toolchain.localaws.cloudformation.running import Telling, reason_of
from toolchain.localaws.cloudformation.stack import ChangeSet, Output, Shape, Stack
from toolchain.localaws.cloudformation.template import Template, read
from toolchain.localaws.cloudformation.view import View

_NAME: Final = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
# What a stack must be for an update.
_UPDATABLE: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_FAILED",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)
_DELETABLE_NOT: Final = frozenset({"UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"})
NO_CHANGES: Final = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
NO_UPDATES: Final = "No updates are to be performed."
_END_SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a call asks of a stack.

    Attributes:
        template: The text; none for the template that the stack has.
        parameters: As given.
        tags: None for those that the stack has.
        capabilities: What the caller acknowledges.
        role: The ARN of the role that the operation shall work with.
        token: The caller's own word for the operation.
    """

    template: str | None
    parameters: Mapping[str, Given] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None
    capabilities: tuple[str, ...] = ()
    role: str | None = None
    token: str | None = None


class Service(Exports):
    """The stacks of one region.

    Args:
        name: The region.
        account: The account's number.
        access: Where the other services answer, and the key.
    """

    def __init__(self, *, name: str, account: str, access: Access) -> None:
        self.stacks: dict[str, Stack] = {}
        self.lock = threading.RLock()
        self.region = Region(name=name, account=account, access=access, exports=self.exports, held=self.held)
        self._threads: list[threading.Thread] = []
        self._rolling: dict[str, Operation] = {}

    # ---- exports ------------------------------------------------------------------------------------------------

    def exporters(self) -> dict[str, tuple[Stack, str]]:
        """The stack and the value of each export."""
        with self.lock:
            return {
                one.export: (stack, one.value)
                for stack in self.stacks.values()
                if not stack.gone
                for one in stack.outputs.values()
                if one.export is not None
            }

    def exports(self) -> dict[str, str]:
        """The value of each export."""
        return {name: value for name, (_, value) in self.exporters().items()}

    def held(self) -> frozenset[str]:
        """The physical ids of all that stacks hold."""
        with self.lock:
            stacks = [stack for stack in self.stacks.values() if not stack.gone]
            return frozenset(resource.physical_id for stack in stacks for resource in stack.resources.values())

    def importers(self, export: str) -> list[str]:
        """The names of the stacks that use an export."""
        with self.lock:
            return sorted(one.name for one in self.stacks.values() if not one.gone and export in one.imports)

    def refuse(self, stack: Stack, outputs: Mapping[str, Output]) -> None:
        """Refuses outputs that take another stack's export, or take one away that another stack uses."""
        new = {one.export: one.value for one in outputs.values() if one.export is not None}
        for export, (owner, _) in self.exporters().items():
            if owner is not stack and export in new:
                raise RefusalError(f"Export with name {export} is already exported by stack {owner.name}.")
        for one in stack.outputs.values():
            if one.export is None or new.get(one.export) == one.value:
                continue
            users = [name for name in self.importers(one.export) if name != stack.name]
            if users:
                verb = "updated" if one.export in new else "deleted"
                raise RefusalError(f"Export {one.export} cannot be {verb} as it is in use by {_listed(users)}")

    def used(self, stack: Stack) -> str | None:
        """Why the stack's exports cannot go; none if they can."""
        for one in stack.outputs.values():
            users = [name for name in self.importers(one.export) if name != stack.name] if one.export else []
            if users:
                return f"Delete canceled. Cannot delete export {one.export} as it is in use by {_listed(users)}."
        return None

    # ---- looking ------------------------------------------------------------------------------------------------

    def find(self, name: str, *, gone: bool = True) -> Stack | None:
        """A stack by its name or its id; one that is gone by its id only."""
        with self.lock:
            found = self.stacks.get(name)
            if found is not None:
                return found if gone or not found.gone else None
            return next((one for one in self.stacks.values() if one.name == name and not one.gone), None)

    def stack(self, name: str, *, verb: str | None = None) -> Stack:
        """A stack.

        Raises:
            RefusalError: There is none such.
        """
        found = self.find(name)
        if found is None:
            missing = "does not exist" if verb is None else f"[{name}] does not exist"
            raise RefusalError(f"Stack with id {name} does not exist" if verb is None else f"Stack {missing}")
        return found

    def change_set(self, name: str, stack_name: str | None) -> tuple[Stack, ChangeSet]:
        """A change set, by its id, or by its name and its stack's.

        Raises:
            RefusalError: There is none such.
        """
        with self.lock:
            owners = [self.stack(stack_name)] if stack_name else list(self.stacks.values())
            for stack in owners:
                for one in stack.change_sets.values():
                    if name in ({one.id} if not stack_name else {one.id, one.name}):
                        return stack, one
        raise RefusalError(f"ChangeSet [{name}] does not exist", code="ChangeSetNotFound")

    # ---- change sets --------------------------------------------------------------------------------------------

    def create_change_set(
        self, name: str, stack_name: str, kind: str, description: str | None, asked: Asked
    ) -> ChangeSet:
        """Makes a change set, and a stack in REVIEW_IN_PROGRESS for it if there is none."""
        with self.lock:
            stack = self.find(stack_name, gone=False)
            new = stack is None or stack.status == "REVIEW_IN_PROGRESS"
            if kind == "CREATE" and not new:
                raise RefusalError(
                    f"Stack [{stack_name}] already exists and cannot be created again with the changeSet [{name}]."
                )
            if kind == "UPDATE":
                if stack is None:
                    raise RefusalError(f"Stack [{stack_name}] does not exist")
                self._check_updatable(stack)
            if stack is not None and any(one.name == name for one in stack.change_sets.values()):
                raise RefusalError(f"ChangeSet {name} already exists", code="AlreadyExistsException")
            shape = self._shape(asked, stack)
            self._check_capabilities(shape, asked.capabilities)
            if stack is None:
                # Before there is a stack: a template that is none leaves none behind.
                changes(shape, self._new(stack_name), self.region)
                stack = self._add(stack_name)
                Telling(stack=stack, region=self.region).status("REVIEW_IN_PROGRESS", "User Initiated")
            found = ChangeSet(
                id=self.region.arn("cloudformation", f"changeSet/{name}/{uuid4()}"),
                name=name,
                kind=kind,
                shape=shape,
                description=description,
                capabilities=asked.capabilities,
                role=asked.role,
                status="CREATE_COMPLETE",
                execution="AVAILABLE",
            )
            found.changes = changes(shape, stack, self.region)
            reason = self._nothing(found, stack)
            if reason is not None:
                found.status, found.execution, found.reason = "FAILED", "UNAVAILABLE", reason
            stack.change_sets[found.id] = found
            return found

    def execute_change_set(
        self, name: str, stack_name: str | None, *, disable_rollback: bool, token: str | None
    ) -> None:
        """Starts what a change set says."""
        with self.lock:
            stack, found = self.change_set(name, stack_name)
            if found.execution != "AVAILABLE":
                raise RefusalError(
                    f"ChangeSet [{found.id}] cannot be executed in its current execution status of [{found.execution}]"
                    if found.status != "FAILED"
                    else f"ChangeSet [{found.id}] cannot be executed in its current status of [{found.status}]",
                    code="InvalidChangeSetStatus",
                )
            if stack.busy:
                raise RefusalError(
                    f"Stack:{stack.id} is in {stack.status} state and can not be updated.",
                    code="InvalidChangeSetStatus",
                )
            for other in list(stack.change_sets.values()):
                if other is not found:
                    other.execution = "OBSOLETE"
            found.execution = "EXECUTE_COMPLETE"
            stack.capabilities, stack.role, stack.token = found.capabilities, found.role, token
            # The service forgets the others, and this one once its stack is there.
            stack.change_sets = {found.id: found}
            if found.kind == "CREATE":
                self._start_create(stack, found.shape, "DO_NOTHING" if disable_rollback else "ROLLBACK")
            else:
                self._start_update(stack, found.shape, disable_rollback=disable_rollback)

    def delete_change_set(self, name: str, stack_name: str | None) -> None:
        """Forgets a change set."""
        with self.lock:
            try:
                stack, found = self.change_set(name, stack_name)
            except RefusalError:
                return
            if stack.busy and found.execution == "EXECUTE_COMPLETE":
                raise RefusalError(f"ChangeSet [{found.id}] is executing", code="InvalidChangeSetStatus")
            del stack.change_sets[found.id]

    @staticmethod
    def _nothing(found: ChangeSet, stack: Stack) -> str | None:
        if found.kind == "CREATE" or found.changes or stack.shape is None:
            return None
        before, after = stack.shape, found.shape
        if (
            before.template.text == after.template.text
            and before.parameters == after.parameters
            and before.tags == after.tags
        ):
            return NO_CHANGES
        # Outputs and conditions can change without a resource.
        if before.template.section("Outputs") != after.template.section("Outputs") or before.tags != after.tags:
            return None
        return NO_UPDATES

    # ---- stacks -------------------------------------------------------------------------------------------------

    def create_stack(self, name: str, asked: Asked, *, on_failure: OnFailure, protected: bool) -> Stack:
        """Starts to make a stack."""
        with self.lock:
            if self.find(name, gone=False) is not None:
                raise RefusalError(f"Stack [{name}] already exists", code="AlreadyExistsException")
            shape = self._shape(asked, None)
            self._check_capabilities(shape, asked.capabilities)
            self._check_macros(shape.template, asked.capabilities)
            changes(shape, self._new(name), self.region)
            stack = self._add(name)
            stack.protected, stack.capabilities = protected, asked.capabilities
            stack.role, stack.token = asked.role, asked.token
            self._start_create(stack, shape, on_failure)
            return stack

    def update_stack(self, name: str, asked: Asked, *, disable_rollback: bool) -> Stack:
        """Starts to update a stack."""
        with self.lock:
            stack = self.stack(name, verb="update")
            self._check_updatable(stack)
            shape = self._shape(asked, stack)
            self._check_capabilities(shape, asked.capabilities)
            self._check_macros(shape.template, asked.capabilities)
            trial = ChangeSet(
                id="",
                name="",
                kind="UPDATE",
                shape=shape,
                description=None,
                capabilities=(),
                status="",
                execution="",
                changes=changes(shape, stack, self.region),
            )
            if self._nothing(trial, stack) is not None:
                raise RefusalError(NO_UPDATES)
            stack.capabilities, stack.role, stack.token = asked.capabilities, asked.role, asked.token
            self._start_update(stack, shape, disable_rollback=disable_rollback)
            return stack

    def delete_stack(self, name: str, *, retain: frozenset[str], token: str | None) -> None:
        """Starts to delete a stack; one that is not there is deleted."""
        with self.lock:
            stack = self.find(name)
            if stack is None or stack.gone:
                return
            if stack.protected:
                raise RefusalError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
            if stack.status in _DELETABLE_NOT:
                raise RefusalError(f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
            if stack.status == "DELETE_IN_PROGRESS":
                return
            if retain and stack.status != "DELETE_FAILED":
                raise RefusalError(
                    f"Invalid operation on stack [{stack.id}]. When you delete a stack, specify which resources to "
                    "retain only when the stack is in the DELETE_FAILED state."
                )
            before = stack.status
            stack.token = token
            operation = self._operation(stack)
            Telling(stack=stack, region=self.region).status("DELETE_IN_PROGRESS", "User Initiated")
            self._run(stack, lambda: operation.delete(before, retain))

    def cancel_update(self, name: str) -> None:
        """Stops an update after the resource that it is at."""
        with self.lock:
            stack = self.stack(name)
            if stack.status != "UPDATE_IN_PROGRESS":
                raise RefusalError("CancelUpdateStack cannot be called from current stack status")
            stack.cancelled.set()

    def continue_rollback(self, name: str, skip: frozenset[str]) -> None:
        """Goes on with a way back that came to a halt."""
        with self.lock:
            stack = self.stack(name)
            if stack.status != "UPDATE_ROLLBACK_FAILED":
                raise RefusalError(
                    f"Stack:{stack.id} is in {stack.status} state and can not continue rollback, only the "
                    "UPDATE_ROLLBACK_FAILED state is allowed"
                )
            operation = self._rolling.get(stack.id) or self._operation(stack)
            Telling(stack=stack, region=self.region).status("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
            self._run(stack, lambda: operation.roll_back(skip))

    def validate(self, text: str) -> Template:
        """Reads a template, and refuses what cannot be made here."""
        return read(text)

    def close(self) -> None:
        """Waits for what runs, and ends the connections."""
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self.region.close()

    # ---- parts of the above -------------------------------------------------------------------------------------

    def _start_create(self, stack: Stack, shape: Shape, on_failure: OnFailure) -> None:
        operation = self._operation(stack)
        Telling(stack=stack, region=self.region).status("CREATE_IN_PROGRESS", "User Initiated")
        self._run(stack, lambda: operation.create(shape, on_failure))

    def _start_update(self, stack: Stack, shape: Shape, *, disable_rollback: bool) -> None:
        operation = self._rolling[stack.id] = self._operation(stack)
        stack.cancelled.clear()
        Telling(stack=stack, region=self.region).status("UPDATE_IN_PROGRESS", "User Initiated")
        self._run(stack, lambda: operation.update(shape, disable_rollback=disable_rollback))

    def _operation(self, stack: Stack) -> Operation:
        return Operation(stack=stack, region=self.region, exports=self)

    def _run(self, stack: Stack, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  # a fault of ours: a stack that works for ever would hide it
                ended = stack.status.removesuffix("_IN_PROGRESS").removesuffix("_CLEANUP").removesuffix("_COMPLETE")
                Telling(stack=stack, region=self.region).status(f"{ended}_FAILED", reason_of(error))

        thread = threading.Thread(target=guarded, name=f"stack {stack.name}", daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _shape(self, asked: Asked, stack: Stack | None) -> Shape:
        before = stack.shape if stack is not None and stack.status != "REVIEW_IN_PROGRESS" else None
        if asked.template is not None:
            template = read(asked.template)
        elif before is not None:
            template = before.template
        else:
            raise RefusalError("Either Template URL or Template Body must be specified.")
        values = checked.texts(template, asked.parameters, before.parameters if before else {})
        tags = asked.tags if asked.tags is not None else before.tags if before else {}
        return Shape(template=template, parameters=values, tags=tags)

    def _check_capabilities(self, shape: Shape, given: tuple[str, ...]) -> None:
        values = checked.resolved(shape.template, shape.parameters, self.region.stored_parameter)
        resources = shape.template.expanded(values).section("Resources").values()
        iam = [one for one in resources if str(one.get("Type", "")).startswith("AWS::IAM::")]
        named = any(
            name in (one.get("Properties") or {})
            for one in iam
            for name in ("RoleName", "ManagedPolicyName", "InstanceProfileName", "UserName", "GroupName")
            if one["Type"] not in {"AWS::IAM::RolePolicy", "AWS::IAM::Policy"}
        )
        if named and "CAPABILITY_NAMED_IAM" not in given:
            raise RefusalError(
                "Requires capabilities : [CAPABILITY_NAMED_IAM]", code="InsufficientCapabilitiesException"
            )
        if iam and not {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(given):
            raise RefusalError("Requires capabilities : [CAPABILITY_IAM]", code="InsufficientCapabilitiesException")

    @staticmethod
    def _check_macros(template: Template, given: tuple[str, ...]) -> None:
        if template.transforms and "CAPABILITY_AUTO_EXPAND" not in given:
            raise RefusalError(
                "Requires capabilities : [CAPABILITY_AUTO_EXPAND]", code="InsufficientCapabilitiesException"
            )

    @staticmethod
    def _check_updatable(stack: Stack) -> None:
        if stack.status not in _UPDATABLE:
            raise RefusalError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _new(self, name: str) -> Stack:
        if not _NAME.fullmatch(name):
            raise RefusalError(
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
                "satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
        return Stack(id=self.region.arn("cloudformation", f"stack/{name}/{uuid4()}"), name=name, status="")

    def _add(self, name: str) -> Stack:
        stack = self._new(name)
        self.stacks[stack.id] = stack
        return stack

    def view(self, stack: Stack) -> View:
        """A stack's template as it is now.

        Raises:
            RefusalError: It has none.
        """
        if stack.shape is None:
            raise RefusalError(f"Stack {stack.name} has no template yet")
        view = View.of(stack.shape, stack, self.region, Live(stack=stack))
        check_types(view)
        return view


class Services:
    """CloudFormation in every account and region, each made when it is first asked for.

    Args:
        access: Where the other services answer, and the key.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._made: dict[tuple[str, str], Service] = {}
        self._guard = threading.Lock()

    def of(self, account: str, region: str) -> Service:
        """That of one account and region."""
        with self._guard:
            if (account, region) not in self._made:
                self._made[account, region] = Service(name=region, account=account, access=self._access)
            return self._made[account, region]

    def close(self) -> None:
        """Ends what runs."""
        for one in self._made.values():
            one.close()


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
