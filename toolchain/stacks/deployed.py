"""The stacks that are there, and what each holds that matters when it goes."""

from dataclasses import dataclass

from toolchain.stacks.layout import Layout, Stack
from toolchain.stacks.resources import BUCKET, FILE_SYSTEM, Resource, resources
from toolchain.stacks.service import CloudFormation, State


@dataclass(frozen=True, kw_only=True)
class Held:
    """A resource that a stack holds.

    Attributes:
        resource: As its template has it.
        physical_id: What it is called in AWS.
    """

    resource: Resource
    physical_id: str

    def __str__(self) -> str:
        """As people look for it."""
        match self.resource.type:
            case "AWS::S3::Bucket":
                return f"bucket s3://{self.physical_id}"
            case "AWS::FSx::FileSystem":
                return f"file system {self.physical_id}"
            case other:
                return f"{other} {self.physical_id}"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A stack that is there.

    Attributes:
        stack: Which.
        state: What it is like.
        held: What it holds that stays when it goes, or that holds data.
    """

    stack: Stack
    state: State
    held: tuple[Held, ...]

    @property
    def file_systems(self) -> tuple[Held, ...]:
        """Its file systems."""
        return tuple(one for one in self.held if one.resource.type == FILE_SYSTEM)

    @property
    def buckets_that_go(self) -> tuple[Held, ...]:
        """The buckets that go with it."""
        return tuple(one for one in self.held if one.resource.type == BUCKET and not one.resource.stays)

    @property
    def staying(self) -> tuple[Held, ...]:
        """What stays when it goes."""
        return tuple(one for one in self.held if one.resource.stays)


def find(layout: Layout, service: CloudFormation) -> tuple[Standing, ...]:
    """The stacks of a checkout that are there, in the order in which they were deployed."""
    found = []
    for stack in layout.stacks:
        state = service.state(stack.full_name)
        if state is not None:
            found.append(Standing(stack=stack, state=state, held=tuple(_held(state, service))))
    return tuple(found)


def _held(state: State, service: CloudFormation) -> list[Held]:
    if state.status == "REVIEW_IN_PROGRESS":
        return []
    # What it was deployed with counts, and not what the checkout says by now.
    deployed = resources(service.template(state.id))
    matters = {one.logical_id: one for one in deployed if one.stays or one.keeps}
    return [
        Held(resource=matters[one.logical_id], physical_id=one.physical_id)
        for one in service.resources(state.id)
        if one.logical_id in matters
    ]
