"""Stacks, their resources, events and change sets, as the service keeps them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from toolchain.localaws.cloudformation.template import Json, Template


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource that was made.

    Attributes:
        name: Its logical id.
        type_name: Its type.
        physical_id: What Ref gives.
        attributes: What Fn::GetAtt gives.
        properties: What it was made or last changed with.
        entry: Its part of the template: policies, dependencies.
        needs: The logical ids that it was made after.
    """

    name: str
    type_name: str
    physical_id: str
    attributes: Mapping[str, Json]
    properties: Mapping[str, Json]
    entry: Mapping[str, Json]
    needs: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a stack or to one of its resources."""

    stack_id: str
    stack_name: str
    name: str
    physical_id: str
    type_name: str
    status: str
    reason: str | None = None
    properties: Mapping[str, Json] | None = None
    token: str | None = None
    id: str = field(default_factory=lambda: str(uuid4()))
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class State:
    """How a resource stands, for those who ask about it."""

    physical_id: str
    type_name: str
    status: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Output:
    """An output of a stack."""

    value: str
    description: str | None
    export: str | None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a stack is asked to be.

    Attributes:
        template: As it came; its loops are written out where it is used.
        parameters: The values, as text.
        tags: The stack's own.
    """

    template: Template
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(kw_only=True)
class Stack:
    """A stack. Whoever changes one holds the service's lock."""

    id: str
    name: str
    status: str
    shape: Shape | None = None
    reason: str | None = None
    capabilities: tuple[str, ...] = ()
    role: str | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    imports: frozenset[str] = frozenset()
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, "ChangeSet"] = field(default_factory=dict)
    protected: bool = False
    disable_rollback: bool = False
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    token: str | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def gone(self) -> bool:
        """Whether only its id still finds it."""
        return self.status == "DELETE_COMPLETE"

    @property
    def busy(self) -> bool:
        """Whether an operation runs."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


Action = Literal["Add", "Modify", "Remove"]


@dataclass(frozen=True, kw_only=True)
class Detail:
    """Why a property changes.

    Attributes:
        attribute: Properties, Tags, DeletionPolicy, ...
        name: The property.
        recreation: Never, Conditionally or Always.
        certain: Whether it is known that it changes, before anything is done.
        source: DirectModification, ParameterReference, ResourceReference or ResourceAttribute.
        cause: What makes it change.
    """

    attribute: str
    name: str | None
    recreation: str
    certain: bool
    source: str
    cause: str | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would become of one resource."""

    action: Action
    name: str
    type_name: str
    physical_id: str | None = None
    replacement: str | None = None
    policy: str | None = None
    details: tuple[Detail, ...] = ()

    @property
    def scope(self) -> list[str]:
        """The attributes that change."""
        return sorted({one.attribute for one in self.details})


@dataclass(kw_only=True)
class ChangeSet:
    """A change set of a stack."""

    id: str
    name: str
    kind: str
    shape: Shape
    description: str | None
    capabilities: tuple[str, ...]
    status: str
    execution: str
    reason: str | None = None
    changes: tuple[Change, ...] = ()
    role: str | None = None
    created: datetime = field(default_factory=now)
