"""`destroy`: stacks go in the order opposite to that in which they came, and nothing that is nowhere else goes."""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from toolchain import settings
from toolchain.aws import Account, doing
from toolchain.console import note
from toolchain.errors import SeveralFailedError, ToolchainError
from toolchain.jobdefs.target import Target
from toolchain.stacks import deployed as standing
from toolchain.stacks import layout, outputs
from toolchain.stacks.deployed import Standing
from toolchain.stacks.layout import Layout, Stack
from toolchain.stacks.preflight import Inspector
from toolchain.stacks.recover import not_deleted
from toolchain.stacks.service import OURS, CloudFormation
from toolchain.stacks.watch import Ended, Follower, Pace


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `destroy` would do.

    Attributes:
        going: The stacks that go, in the order in which they go.
        left: The stacks that stay.
        blockers: What is in the way: an error for each.
    """

    going: tuple[Standing, ...]
    left: tuple[Standing, ...]
    blockers: tuple[ToolchainError, ...]

    def lines(self) -> list[str]:
        """What goes and what stays, as people read it before they agree."""
        goes = [
            f"goes: stack {one.state.name}{''.join(f', with {held}' for held in one.file_systems)}"
            for one in self.going
        ]
        stays = [
            f"stays: {held}, which stack {one.stack} does not take with it"
            for one in self.going
            for held in one.staying
        ]
        return goes + stays + [f"stays: stack {one.state.name}" for one in self.left]

    def require_clear(self) -> None:
        """Passes if nothing is in the way.

        Raises:
            SeveralFailedError: Something is; nothing is destroyed.
        """
        if self.blockers:
            raise SeveralFailedError(self.blockers)


@dataclass(kw_only=True)
class Destroyer:
    """Destroys the stacks of a checkout.

    Attributes:
        target: The AWS that holds them, and the checkout.
        account: Where they are.
        command: What the user typed.
        discard: The names of runs whose files may be lost.
        retain: The logical ids of what is left behind where it cannot be deleted.
        pace: How closely CloudFormation is followed.
    """

    target: Target
    account: Account
    command: str = "python build.py destroy"
    discard: Collection[str] = ()
    retain: Collection[str] = ()
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        """Reads the checkout."""
        self.settings = settings.load(self.target.checkout.settings)
        self.layout: Layout = layout.load(self.target.checkout, self.settings.project)
        self._service = CloudFormation(self.account)
        self._follower = Follower(
            service=self._service, pace=self.pace, command=self.command, is_persistent=self.target.is_persistent
        )
        self._inspector = Inspector(
            account=self.account,
            service=self._service,
            settings=self.settings,
            command=self.command,
            discard=self.discard,
        )

    def with_file_systems(self) -> tuple[str, ...]:
        """The names of the stacks that hold file systems, and of those that need them.

        A file system's mount is imported by what mounts it, and cannot go before that does. Those stacks cost
        nothing while nothing runs, and are deployed again in minutes.
        """
        return tuple(stack.name for stack in self.layout.above(self.layout.with_file_systems))

    def plan(self, names: Sequence[str]) -> Plan:
        """What `destroy` would do, and what is in its way.

        Args:
            names: The stacks' short names; all for none.
        """
        chosen = {stack.name for stack in self.layout.choose(names)}
        there = standing.find(self.layout, self._service)
        going = tuple(one for one in reversed(there) if one.stack.name in chosen)
        return Plan(
            going=going,
            left=tuple(one for one in there if one.stack.name not in chosen),
            blockers=tuple(self._inspector.blockers(there, going)),
        )

    def destroy(self, plan: Plan) -> Iterator[Stack]:
        """Deletes the stacks of a plan, one by one as they are asked for, and writes down what outputs are left.

        Raises:
            StackFailedError: One cannot be deleted; those before it are gone.
        """
        for one in plan.going:
            self._delete(one)
            outputs.write(self.target.dist, self.layout, self._service)
            yield one.stack

    def _delete(self, one: Standing) -> None:
        if one.state.status == "DELETE_IN_PROGRESS":
            note(f"{one.stack}: is being deleted already: following that")
            operation = self._service.operation(one.state.id)
            before = self._service.before(one.state.id, operation[0]) if operation else None
            ended = self._follower.follow(one.state.id, one.stack.name, since=before)
        else:
            if one.state.protected:
                self._service.protect(one.state.id, on=False)
            # What is left behind can be named only after it could not be deleted.
            again = one.state.status == "DELETE_FAILED"
            ended = self._told(one, retain=sorted(self.retain) if again else [])
        stuck = {event.logical_id for event in ended.failed if not event.of_stack}
        if ended.status == "DELETE_FAILED" and stuck and stuck <= set(self.retain):
            ended = self._told(one, retain=sorted(stuck))
        if ended.status != "DELETE_COMPLETE":
            raise not_deleted(one.stack, ended)

    def _told(self, one: Standing, *, retain: Sequence[str]) -> Ended:
        """Tells CloudFormation to delete a stack."""
        for name in retain:
            note(f"{one.stack}: {name} is left behind")
        latest = self._service.latest(one.state.id)

        def begin() -> None:
            with doing(f"deleting stack {one.state.name}"):
                self._service.client.delete_stack(
                    StackName=one.state.id,
                    RetainResources=list(retain),
                    ClientRequestToken=f"{OURS}destroy-{secrets.token_hex(4)}",
                )

        return self._follower.follow(one.state.id, one.stack.name, since=latest.id if latest else None, begin=begin)
