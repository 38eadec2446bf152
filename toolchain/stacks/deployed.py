"""The deployed stacks, and what they hold that matters when they are deleted."""

from collections.abc import Iterator
from dataclasses import dataclass

from toolchain.stacks.layout import Layout, Stack
from toolchain.stacks.resources import BUCKET, FILE_SYSTEM, holds_data, resources
from toolchain.stacks.service import CloudFormation, StackResource, StackState


@dataclass(frozen=True, kw_only=True)
class DeployedStack:
    """A stack that exists, with those of its resources that hold data or are retained when it is deleted."""

    stack: Stack
    state: StackState
    resources: tuple[StackResource, ...]
    retained_ids: frozenset[str]

    @property
    def file_systems(self) -> tuple[StackResource, ...]:
        """Its file systems."""
        return tuple(resource for resource in self.resources if resource.type == FILE_SYSTEM)

    @property
    def retained(self) -> tuple[StackResource, ...]:
        """The resources that stay when it is deleted."""
        return tuple(resource for resource in self.resources if resource.logical_id in self.retained_ids)

    @property
    def lost_buckets(self) -> tuple[StackResource, ...]:
        """The buckets that are deleted with it."""
        return tuple(
            resource for resource in self.resources if resource.type == BUCKET and resource not in self.retained
        )


def find(layout: Layout, service: CloudFormation) -> Iterator[DeployedStack]:
    """The stacks of a checkout that exist, in the order in which they are deployed."""
    for stack in layout.stacks:
        state = service.state(stack.full_name)
        if state is None:
            continue
        retained_ids: frozenset[str] = frozenset()
        held: list[StackResource] = []
        if state.status != "REVIEW_IN_PROGRESS":
            # The template that it was deployed with counts, not the checkout's.
            template = resources(service.template(state.id).get("Resources", {}))
            retained_ids = frozenset(resource.logical_id for resource in template if resource.is_retained)
            held = service.resources(state.id)
        yield DeployedStack(
            stack=stack,
            state=state,
            resources=tuple(
                resource for resource in held if holds_data(resource.type) or resource.logical_id in retained_ids
            ),
            retained_ids=retained_ids,
        )
