"""The operations on stacks, each from its first event to its last: create, update, delete, and the ways back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.intrinsics import UnknownYetError
from toolchain.localaws.cloudformation.known import Live
from toolchain.localaws.cloudformation.planning import check_types, recreation_of
from toolchain.localaws.cloudformation.region import Region
from toolchain.localaws.cloudformation.running import Telling, in_order
from toolchain.localaws.cloudformation.schemas import schema_of
from toolchain.localaws.cloudformation.stack import Output, Resource, Shape, Stack, now
from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types import KINDS
from toolchain.localaws.cloudformation.view import View

OnFailure = Literal["ROLLBACK", "DELETE", "DO_NOTHING"]


class Exports:
    """What an operation must know of other stacks."""

    def refuse(self, stack: Stack, outputs: Mapping[str, Output]) -> None:
        """Refuses outputs that take another stack's export, or take one away that another stack uses."""
        raise NotImplementedError

    def used(self, stack: Stack) -> str | None:
        """Why the stack's exports cannot go; none if they can."""
        raise NotImplementedError


@dataclass(kw_only=True)
class _Way:
    """What an update has done so far, so that it can be taken back.

    Attributes:
        made: Resources that were not there, by name.
        changed: What those that were changed in place were before.
        replaced: What those that were replaced were before.
        gone: Resources that the new template does not have.
        failed: Names of those that failed.
    """

    made: list[str] = field(default_factory=list)
    changed: dict[str, Resource] = field(default_factory=dict)
    replaced: dict[str, Resource] = field(default_factory=dict)
    gone: dict[str, Resource] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Operation:
    """An operation on one stack, whose first status has been told.

    Attributes:
        stack: The stack.
        region: Where it is.
        exports: What other stacks export and import.
    """

    stack: Stack
    region: Region
    exports: Exports
    way: _Way = field(default_factory=_Way)

    @property
    def telling(self) -> Telling:
        """The stack's events."""
        return Telling(stack=self.stack, region=self.region)

    # ---- create -------------------------------------------------------------------------------------------------

    def create(self, shape: Shape, on_failure: OnFailure) -> None:
        """Makes the stack's resources."""
        reason = self._build(shape)
        if reason is None:
            self.telling.status("CREATE_COMPLETE")
        elif on_failure == "DO_NOTHING":
            self.telling.status("CREATE_FAILED", reason)
        elif on_failure == "DELETE":
            self.telling.status("DELETE_IN_PROGRESS", f"{reason} Delete requested by user.")
            self._remove_all("DELETE")
        else:
            self.telling.status("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
            self._remove_all("ROLLBACK")

    def _build(self, shape: Shape) -> str | None:
        """Makes everything; returns why it did not work out."""
        self.stack.shape = shape
        try:
            view = View.of(shape, self.stack, self.region, Live(stack=self.stack))
            check_types(view)
            self._check_imports(view)
            for group in view.order():
                if not self._make(view, group):
                    return f"The following resource(s) failed to create: [{', '.join(self.way.failed)}]."
            self._finish(view)
        except RefusalError as error:
            return error.message
        return None

    def _make(self, view: View, group: list[str]) -> bool:
        for name in group:
            self.telling.resource(name, view.entries[name]["Type"], "", "CREATE_IN_PROGRESS")
        for place, name in enumerate(group):
            if not self.telling.create(view, name):
                self.way.failed.append(name)
                for other in group[place + 1 :]:
                    self.way.failed.append(other)
                    self.telling.resource(
                        other, view.entries[other]["Type"], "", "CREATE_FAILED", "Resource creation cancelled"
                    )
                return False
        return True

    def _check_imports(self, view: View) -> None:
        # Before anything is made.
        for name in sorted(view.imports()):
            self.region.imported(name)

    def _finish(self, view: View) -> None:
        try:
            outputs = view.outputs()
            imports = view.imports()
        except UnknownYetError as error:
            raise RefusalError(f"Output refers to {error}, whose condition does not hold") from error
        self.exports.refuse(self.stack, outputs)
        self.stack.outputs, self.stack.imports = outputs, imports

    # ---- delete -------------------------------------------------------------------------------------------------

    def delete(self, before: str, retain: frozenset[str]) -> None:
        """Deletes the stack's resources; `before` is the status to go back to if nothing may be deleted."""
        used = self.exports.used(self.stack)
        if used is not None:
            self.telling.status(before, used)
            return
        for name in retain:
            found = self.stack.resources.pop(name, None)
            if found is not None:
                self.telling.resource(name, found.type_name, found.physical_id, "DELETE_SKIPPED")
        self._remove_all("DELETE")

    def _remove_all(self, what: Literal["DELETE", "ROLLBACK"]) -> None:
        failed = self._remove(dict(self.stack.resources))
        if failed:
            self.telling.status(
                f"{what}_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            )
            return
        self.stack.outputs, self.stack.imports = {}, frozenset()
        if what == "DELETE":
            self.stack.deleted = now()
        self.telling.status(f"{what}_COMPLETE")

    def _remove(self, resources: dict[str, Resource]) -> list[str]:
        """Deletes resources, those that need others before these; returns the names of those that stay."""
        failed: list[str] = []
        held: set[str] = set()
        for one in reversed(in_order(resources)):
            # What another that stays needs, stays without being tried.
            if one.name in held or not self.telling.delete(one):
                if one.name not in held:
                    failed.append(one.name)
                held |= one.needs
            elif self.stack.resources.get(one.name) is one:
                del self.stack.resources[one.name]
        return failed

    # ---- update -------------------------------------------------------------------------------------------------

    def update(self, shape: Shape, *, disable_rollback: bool) -> None:
        """Makes the stack what is asked, or what it was."""
        before = self.stack.shape
        reason = self._rebuild(shape)
        if reason is None:
            self.stack.updated = now()
            self.telling.status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            self._clean()
            self.telling.status("UPDATE_COMPLETE")
        elif disable_rollback:
            self.telling.status("UPDATE_FAILED", reason)
        else:
            self.stack.shape = before
            self.telling.status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
            self.roll_back(frozenset())

    def _rebuild(self, shape: Shape) -> str | None:
        self.stack.shape = shape
        try:
            view = View.of(shape, self.stack, self.region, Live(stack=self.stack))
            check_types(view)
            self._check_imports(view)
            for group in view.order():
                if not self._alter(view, group):
                    return f"The following resource(s) failed to update: [{', '.join(self.way.failed)}]. "
                if self.stack.cancelled.is_set():
                    return "User Initiated"
            self._finish(view)
        except RefusalError as error:
            return error.message
        self.way.gone = {name: one for name, one in self.stack.resources.items() if name not in view.entries}
        return None

    def _alter(self, view: View, group: list[str]) -> bool:
        new = [name for name in group if name not in self.stack.resources]
        for place, name in enumerate(group):
            if name in new:
                self.telling.resource(name, view.entries[name]["Type"], "", "CREATE_IN_PROGRESS")
                self.way.made.append(name)
                good = self.telling.create(view, name)
            else:
                good = self._change(view, name)
            if not good:
                self.way.failed.append(name)
                for other in group[place + 1 :]:
                    if other in new:
                        self.telling.resource(
                            other, view.entries[other]["Type"], "", "CREATE_FAILED", "Resource creation cancelled"
                        )
                return False
        return True

    def _change(self, view: View, name: str) -> bool:
        existing = self.stack.resources[name]
        properties = view.properties(name)
        if properties == existing.properties:
            self.stack.resources[name] = Resource(
                name=name,
                type_name=existing.type_name,
                physical_id=existing.physical_id,
                attributes=existing.attributes,
                properties=existing.properties,
                entry=view.entries[name],
                needs=view.needs[name],
            )
            self.way.changed.setdefault(name, existing)
            return True
        if self._replaces(existing, properties):
            return self._replace(view, name, existing, properties)
        self.way.changed[name] = existing
        self.telling.resource(name, existing.type_name, existing.physical_id, "UPDATE_IN_PROGRESS", None, properties)
        return self.telling.update(view, name, properties)

    @staticmethod
    def _replaces(existing: Resource, properties: Mapping[str, Json]) -> bool:
        schema = schema_of(existing.type_name)
        return schema is not None and any(
            recreation_of(schema, one, existing.properties.get(one), properties.get(one)) == "Always"
            for one in {*existing.properties, *properties}
            if existing.properties.get(one) != properties.get(one)
        )

    def _replace(self, view: View, name: str, existing: Resource, properties: Mapping[str, Json]) -> bool:
        named = KINDS[existing.type_name].name_property
        if named is not None and named in properties and properties[named] == existing.properties.get(named):
            self.telling.resource(
                name,
                existing.type_name,
                existing.physical_id,
                "UPDATE_FAILED",
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{properties[named]} and update the stack again.",
            )
            return False
        self.telling.resource(
            name,
            existing.type_name,
            existing.physical_id,
            "UPDATE_IN_PROGRESS",
            "Requested update requires the creation of a new physical resource; hence creating one.",
        )
        self.way.replaced[name] = existing
        del self.stack.resources[name]
        if not self.telling.create(view, name):
            return False
        made = self.stack.resources[name]
        self.telling.resource(name, made.type_name, made.physical_id, "UPDATE_COMPLETE")
        return True

    def _clean(self) -> None:
        """Deletes what the new template does not have, and what was replaced."""
        states = dict(self.stack.states)
        for one in reversed(in_order(self.way.replaced)):
            self.telling.delete(one, policy="UpdateReplacePolicy")
            self.stack.states[one.name] = states[one.name]
        self._remove(self.way.gone)
        for name in self.way.gone:
            self.stack.resources.pop(name, None)

    # ---- the way back -------------------------------------------------------------------------------------------

    def roll_back(self, skip: frozenset[str]) -> None:
        """Takes back what an update did; what cannot be taken back stops it, for another try."""
        for name, before in reversed(list(self.way.changed.items())):
            current = self.stack.resources.get(name)
            if name in skip:
                self.telling.resource(name, before.type_name, before.physical_id, "UPDATE_COMPLETE", "Skipped")
            elif current is not None and (current.properties != before.properties or name in self.way.failed):
                if not self.telling.restore(name, before):
                    self.telling.status(
                        "UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{name}]. "
                    )
                    return
            elif current is not None:
                self.stack.resources[name] = before
            del self.way.changed[name]
        extra = {name: self.stack.resources.pop(name) for name in self.way.made if name in self.stack.resources}
        for name, before in self.way.replaced.items():
            made = self.stack.resources.pop(name, None)
            if made is not None:
                extra[name] = made
            self.stack.resources[name] = before
            self.telling.resource(name, before.type_name, before.physical_id, "UPDATE_COMPLETE")
        states = dict(self.stack.states)
        self.telling.status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._remove(extra)
        for name in extra:
            if name in self.stack.resources:
                self.stack.states[name] = states[name]
        self.telling.status("UPDATE_ROLLBACK_COMPLETE")
