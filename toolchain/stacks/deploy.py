"""`deploy`: makes the stacks equal to the checkout, one after the other, through change sets."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from toolchain import settings
from toolchain.aws import Account
from toolchain.console import note
from toolchain.errors import MissingInputError, SeveralFailedError, ToolchainError, WrongUsageError
from toolchain.jobdefs.target import Target
from toolchain.stacks import auto_parameters, costs, layout, parameters, service_roles
from toolchain.stacks import deployed as deployed_stacks
from toolchain.stacks.auto_parameters import JobsMissingError
from toolchain.stacks.changes import Change, ChangeSet, ChangeSets, DesiredStack
from toolchain.stacks.layout import Stack
from toolchain.stacks.preflight import InUseError, Preflight
from toolchain.stacks.progress import Show, show_lines
from toolchain.stacks.recover import recover, require_success, token_purpose
from toolchain.stacks.resources import FILE_SYSTEM, holds_data
from toolchain.stacks.service import CloudFormation, StackState, new_token
from toolchain.stacks.template import STORAGE
from toolchain.stacks.watch import Polling, Watcher

Result = Literal["created", "updated", "unchanged", "postponed"]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A stack that is equal to the checkout, and what was done for that; or postponed until jobs are registered."""

    stack: Stack
    result: Result

    def __str__(self) -> str:
        """As `deploy` prints it."""
        return f"{self.stack} {self.result}"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What `deploy` would do to a stack.

    Attributes:
        because: Why CloudFormation could not be asked, and the changes are from the template; None if it was asked.
    """

    stack: Stack
    changes: tuple[Change, ...]
    because: str | None = None


@dataclass(kw_only=True)
class Deployer:
    """Deploys the stacks of a checkout.

    Attributes:
        command: What the user typed.
        replace: The logical ids of the resources that may be lost with their data.
    """

    target: Target
    account: Account
    command: str = "python build.py deploy"
    replace: Collection[str] = ()
    polling: Polling = field(default_factory=Polling)
    show: Show = show_lines

    def __post_init__(self) -> None:
        """Reads the checkout."""
        self.settings = settings.load(self.target.checkout.settings)
        self.layout = layout.load(self.target.checkout, self.settings.project)
        self._known_parameters = auto_parameters.known(self.target, self.settings)
        self._service = CloudFormation(self.account)
        self._iam = self.account.iam()
        self._watcher = Watcher(
            service=self._service,
            command=self.command,
            polling=self.polling,
            is_persistent=self.target.is_persistent,
            show=self.show,
        )
        self._change_sets = ChangeSets(self._service, self.polling)
        self._replaced: set[str] = set()

    def deploy(self, names: Sequence[str]) -> Iterator[Deployed]:
        """Deploys stacks, one after the other; yields after each.

        Args:
            names: Their short names; for none all, less the file systems where those are down.

        Raises:
            ToolchainError: One cannot be deployed; those before it are, those after it are as they were.
        """
        chosen = self._choose(names)
        if services := service_roles.missing(self._iam, chosen):
            if self.show is show_lines:
                note(f"making the service-linked roles of {', '.join(services)}")
            service_roles.make(self._iam, services)
        for number, stack in enumerate(chosen):
            try:
                result = self._deploy(stack)
            except JobsMissingError:
                if names:
                    raise
                # The first deployment: images are pushed and jobs registered between the stacks.
                yield from (Deployed(stack=postponed, result="postponed") for postponed in chosen[number:])
                break
            yield Deployed(stack=stack, result=result)
        for name in sorted(set(self.replace) - self._replaced):
            note(f"--replace {name}: nothing of that name was to be replaced or removed")

    def _choose(self, names: Sequence[str]) -> tuple[Stack, ...]:
        """The stacks of these names, after a check of their parameters."""
        chosen = self.layout.choose(names)
        parameters.check(self.layout, chosen, self.settings, self._known_parameters)
        return chosen if names else self.default

    @property
    def default(self) -> tuple[Stack, ...]:
        """The stacks that no name stands for: all, less the file systems where those are down."""
        return tuple(stack for stack in self.layout.stacks if stack.name != STORAGE or self._exists(stack))

    def costs(self, names: Sequence[str] = ()) -> Iterator[str]:
        """What stacks cost by the hour while they stand; for no names all."""
        return costs.lines(self.layout.choose(names), self.settings, self._known_parameters)

    def is_up(self, name: str) -> bool:
        """Whether a stack is deployed, and nothing is being done to it."""
        [stack] = self.layout.choose((name,))
        state = self._service.state(stack.full_name)
        return state is not None and state.is_deployed and not state.is_busy

    def _exists(self, stack: Stack) -> bool:
        state = self._service.state(stack.full_name)
        return state is not None and state.is_deployed

    def _deploy(self, stack: Stack) -> Result:
        desired = self._desired(stack)
        state, outcome = recover(desired, self._service.state(stack.full_name), self._service, self._watcher)
        change_set = self._change_sets.make(desired, state)
        if change_set is None:
            self._protect(stack, state)
            if outcome is None:
                return "unchanged"
            return "created" if outcome.status == "CREATE_COMPLETE" else "updated"
        try:
            self._require_no_loss(stack, change_set)
        except ToolchainError:
            self._change_sets.remove(change_set.id, None)
            raise
        token = new_token(token_purpose(desired))
        outcome = self._watcher.run(
            change_set.stack_id, stack.name, lambda: self._change_sets.execute(change_set, stack, token)
        )
        require_success(stack, outcome)
        self._protect(stack, self._service.state(change_set.stack_id))
        return "created" if change_set.creates_stack else "updated"

    def _desired(self, stack: Stack) -> DesiredStack:
        """What a stack is to be.

        Raises:
            MissingInputError: A stack that it imports from is not deployed, or a job definition is not registered.
        """
        computed = auto_parameters.job_definitions(stack, self.target.checkout, self.account, self.settings.project)
        if missing := self._missing_imports(stack):
            raise MissingInputError(
                f"stack {stack} needs what is not deployed",
                why="; ".join(f"it imports {', '.join(names)} of stack {name}" for name, names in missing.items()),
                fix=f"Type: python build.py deploy {' '.join(missing)}; or leave out the names, for all stacks.",
            )
        return DesiredStack(
            stack=stack,
            parameters=parameters.values(stack, self.settings, {**self._known_parameters, **computed}),
            tags=self.settings.tags,
        )

    def _missing_imports(self, stack: Stack) -> dict[str, list[str]]:
        """Stack to the names that it should export and does not."""
        missing: dict[str, list[str]] = {}
        exports = self._service.exports() if stack.imports else frozenset()
        for name, exporter in stack.imports.items():
            if f"{self.layout.project}-{name}" not in exports:
                missing.setdefault(exporter, []).append(name)
        return missing

    def _require_no_loss(self, stack: Stack, change_set: ChangeSet) -> None:
        """Checks that nothing that holds data or runs jobs is replaced or removed unless the user named it."""
        lost = [] if change_set.creates_stack else [change for change in change_set.changes if change.must_be_named]
        self._replaced |= {change.logical_id for change in lost}
        refused = [change for change in lost if change.logical_id not in self.replace]
        if not refused:
            if any(change.type == FILE_SYSTEM for change in lost):
                self._require_idle(stack)
            return
        words = {"yes": "would be replaced", "perhaps": "may be replaced", "no": "would be removed"}
        described = "; ".join(
            f"{change.logical_id} ({change.type}) {words[change.replacement]}"
            + (f", for {', '.join(change.causes)}" if change.causes else "")
            for change in refused
        )
        what = "data" if any(change.may_lose_data for change in refused) else "jobs"
        raise WrongUsageError(
            f"stack {stack.full_name} would lose {what}",
            why=f"{described}. Nothing was changed",
            fix="Take that change back; or, if what they hold can go: "
            f"{self.command} {' '.join(f'--replace {change.logical_id}' for change in refused)}",
        )

    def _require_idle(self, stack: Stack) -> None:
        """Checks that no run, export or host uses the file systems, which would be replaced under it."""
        stacks = tuple(deployed_stacks.find(self.layout, self._service))
        preflight = Preflight(
            account=self.account,
            service=self._service,
            workflow=self.settings.workflow,
            command=self.command,
            discard=(),
        )
        blockers = preflight.blockers(stacks, [deployed for deployed in stacks if deployed.stack == stack])
        if in_use := [error for error in blockers if isinstance(error, InUseError)]:
            raise SeveralFailedError(in_use)

    def _protect(self, stack: Stack, state: StackState | None) -> None:
        """Switches on the termination protection of a stack that holds data."""
        if state is not None and not state.protected and any(holds_data(resource.type) for resource in stack.resources):
            self._service.protect(state.id, on=True)

    def plan(self, names: Sequence[str]) -> list[Planned]:
        """What `deploy` would do to stacks, without doing it.

        Args:
            names: The stacks' short names; all for none.
        """
        chosen = self._choose(names)
        if services := service_roles.missing(self._iam, chosen):
            note(f"the service-linked roles of {', '.join(services)} would be made")
        return [self._plan(stack, is_named=bool(names)) for stack in chosen]

    def _plan(self, stack: Stack, *, is_named: bool) -> Planned:
        state = self._service.state(stack.full_name)
        because = _why_unplannable(state)
        try:
            desired = None if because else self._desired(stack)
        except MissingInputError as error:
            # If all stacks are planned, those before this one may not be deployed yet.
            if is_named:
                raise
            because, desired = f"{error.what}: {error.why}", None
        if desired is not None:
            change_set = self._change_sets.make(desired, state)
            if change_set is None:
                return Planned(stack=stack, changes=())
            self._change_sets.remove(change_set.id, change_set.stack_id if state is None else None)
            return Planned(stack=stack, changes=change_set.changes)
        additions = (
            Change(action="Add", logical_id=resource.logical_id, type=resource.type) for resource in stack.resources
        )
        exists = state is not None and state.is_deployed
        return Planned(stack=stack, changes=() if exists else tuple(additions), because=because)


def _why_unplannable(state: StackState | None) -> str | None:
    """Why CloudFormation would make no change set for a stack."""
    if state is None or state.status == "REVIEW_IN_PROGRESS":
        return None
    is_plannable = state.is_deployed and not state.is_busy and not state.status.endswith("_FAILED")
    return None if is_plannable else f"it is in the state {state.status}"
