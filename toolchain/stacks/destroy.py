"""`destroy`: deletes stacks in reverse order; refuses if results that were not exported would be lost."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from toolchain import settings
from toolchain.aws import Account
from toolchain.console import note
from toolchain.errors import SeveralFailedError, ToolchainError
from toolchain.jobdefs.target import Target
from toolchain.stacks import auto_parameters, costs, deployed, layout
from toolchain.stacks.deployed import DeployedStack
from toolchain.stacks.layout import Stack
from toolchain.stacks.preflight import InUseError, Preflight
from toolchain.stacks.recover import not_deleted
from toolchain.stacks.service import CloudFormation
from toolchain.stacks.watch import Outcome, Polling, Watcher

# Seconds between two looks at what is in use.
IDLE_INTERVAL = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `destroy` would do.

    Attributes:
        deleted: The stacks to delete, in order.
        kept: The others.
        blockers: An error for each reason not to.
        costs: Stack to what it costs, in words that follow its name; none for one that costs by use only.
    """

    deleted: tuple[DeployedStack, ...]
    kept: tuple[DeployedStack, ...]
    blockers: tuple[ToolchainError, ...]
    costs: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What goes and what stays, as people read it before they agree."""
        return [
            *(
                f"goes: stack {stack.state.name}{''.join(f', with {resource}' for resource in stack.file_systems)}"
                for stack in self.deleted
            ),
            *(
                f"stays: {resource}, which stack {stack.stack} does not take with it; it costs by use"
                for stack in self.deleted
                for resource in stack.retained
            ),
            *(f"stays: stack {stack.state.name}{self.costs.get(stack.stack.name, '')}" for stack in self.kept),
        ]

    def require_no_blockers(self) -> None:
        """Raises a SeveralFailedError if something is in the way."""
        if self.blockers:
            raise SeveralFailedError(self.blockers)


@dataclass(kw_only=True)
class Destroyer:
    """Destroys the stacks of a checkout.

    Attributes:
        command: What the user typed.
        discard: The names of runs whose files may be lost.
        retain: The logical ids of resources to leave behind if they cannot be deleted.
    """

    target: Target
    account: Account
    command: str = "python build.py destroy"
    discard: Collection[str] = ()
    retain: Collection[str] = ()
    polling: Polling = field(default_factory=Polling)

    def __post_init__(self) -> None:
        """Reads the checkout."""
        self.settings = settings.load(self.target.checkout.settings)
        self.layout = layout.load(self.target.checkout, self.settings.project)
        self._known_parameters = auto_parameters.known(self.target, self.settings)
        self._service = CloudFormation(self.account)
        self._watcher = Watcher(
            service=self._service, command=self.command, polling=self.polling, is_persistent=self.target.is_persistent
        )

    def plan(self, names: Sequence[str]) -> Plan:
        """What `destroy` would do, and what is in its way.

        Args:
            names: The stacks' short names; all for none.
        """
        chosen = self.layout.choose(names)
        stacks = tuple(deployed.find(self.layout, self._service))
        deleted = tuple(stack for stack in reversed(stacks) if stack.stack in chosen)
        preflight = Preflight(
            account=self.account,
            service=self._service,
            workflow=self.settings.workflow,
            command=self.command,
            discard=self.discard,
        )
        return Plan(
            deleted=deleted,
            kept=tuple(stack for stack in stacks if stack.stack not in chosen),
            blockers=tuple(preflight.blockers(stacks, deleted)),
            costs=dict(self._costs(stack.stack for stack in stacks if stack.stack not in chosen)),
        )

    def _costs(self, stacks: Iterable[Stack]) -> Iterator[tuple[str, str]]:
        for stack in stacks:
            # What costs too much can go whatever genomics.toml says.
            with suppress(ToolchainError):
                if standing := costs.standing(stack, self.settings, self._known_parameters):
                    yield stack.name, f", at {costs.shown(standing)}"

    def wait_until_idle(self, names: Sequence[str]) -> Plan:
        """The plan, once no run, export or host uses the stacks any more."""
        said: list[str] = []
        while True:
            plan = self.plan(names)
            in_use = [error.what for error in plan.blockers if isinstance(error, InUseError)]
            if not in_use:
                return plan
            if in_use != said:
                note(f"waiting: {'; '.join(in_use)}")
            said = in_use
            self.polling.sleep(IDLE_INTERVAL)

    def destroy(self, plan: Plan) -> Iterator[Stack]:
        """Deletes the stacks of a plan one by one, and yields each.

        Raises:
            StackFailedError: One cannot be deleted; those before it are gone.
        """
        for stack in plan.deleted:
            self._destroy(stack)
            yield stack.stack

    def _destroy(self, stack: DeployedStack) -> None:
        state = stack.state
        if state.status == "DELETE_IN_PROGRESS":
            note(f"{stack.stack}: is being deleted already: following that")
            operation = self._service.operation(state.id)
            since = operation.previous_event if operation else None
            outcome = self._watcher.watch(state.id, stack.stack.name, since=since)
        else:
            if state.protected:
                self._service.protect(state.id, on=False)
            # CloudFormation lets resources be retained only after they could not be deleted.
            outcome = self._delete(stack, retain=sorted(self.retain) if state.status == "DELETE_FAILED" else [])
        failed = outcome.failed_resources
        if outcome.status == "DELETE_FAILED" and failed and set(failed) <= set(self.retain):
            outcome = self._delete(stack, retain=sorted(failed))
        if outcome.status != "DELETE_COMPLETE":
            raise not_deleted(stack.stack, outcome)

    def _delete(self, stack: DeployedStack, *, retain: Sequence[str]) -> Outcome:
        for name in retain:
            note(f"{stack.stack}: {name} is left behind")
        arn = stack.state.id
        return self._watcher.run(arn, stack.stack.name, lambda: self._service.delete(arn, retain=retain))
