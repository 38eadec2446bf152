"""`deploy`: stacks become what this checkout says, one after the other, through change sets."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

from toolchain import settings
from toolchain.aws import Account
from toolchain.console import note
from toolchain.errors import MissingInputError, ToolchainError, WrongUsageError
from toolchain.jobdefs.target import Target
from toolchain.stacks import auto_parameters as computed
from toolchain.stacks import layout, outputs, parameters
from toolchain.stacks.changes import Change, ChangeSet, ChangeSets, DesiredStack
from toolchain.stacks.layout import Layout, Stack
from toolchain.stacks.progress import Lines, lines
from toolchain.stacks.recover import Mender, judge, token
from toolchain.stacks.service import CloudFormation, State
from toolchain.stacks.watch import Follower, Pace

Result = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A stack that is as the checkout says.

    Attributes:
        stack: Which.
        result: What that took.
    """

    stack: Stack
    result: Result

    def __str__(self) -> str:
        """As `deploy` prints it."""
        return f"{self.stack} {self.result}"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What `deploy` would do to a stack.

    Attributes:
        stack: Which.
        changes: What would change.
        because: Why CloudFormation could not be asked, and the changes are the template's own; none if it was.
    """

    stack: Stack
    changes: tuple[Change, ...]
    because: str | None = None


@dataclass(kw_only=True)
class Deployer:
    """Deploys the stacks of a checkout.

    Attributes:
        target: The AWS that holds them, and the checkout.
        account: Where to.
        command: What the user typed.
        replace: The logical ids of what holds data and may be lost all the same.
        pace: How closely CloudFormation is followed.
        show: Opens what shows a stack's events, by its short name.
    """

    target: Target
    account: Account
    command: str = "python build.py deploy"
    replace: Collection[str] = ()
    pace: Pace = field(default_factory=Pace)
    show: Callable[[str], AbstractContextManager[Lines]] = lines

    def __post_init__(self) -> None:
        """Reads the checkout."""
        self.settings = settings.load(self.target.checkout.settings)
        self.layout: Layout = layout.load(self.target.checkout, self.settings.project)
        self._known = computed.known(self.target, self.settings)
        self._service = CloudFormation(self.account)
        follower = Follower(
            service=self._service,
            pace=self.pace,
            command=self.command,
            is_persistent=self.target.is_persistent,
            show=self.show,
        )
        self._follower = follower
        self._mender = Mender(service=self._service, follower=follower)
        self._change_sets = ChangeSets(self._service, self.pace)
        self._used: set[str] = set()

    def deploy(self, names: Sequence[str], say: Callable[[Deployed], None]) -> list[Deployed]:
        """Deploys stacks, one after the other, and writes down all outputs after each.

        Args:
            names: Their short names; all for none.
            say: Is told of each as soon as it is done.

        Raises:
            ToolchainError: One cannot be deployed; those before it are, and those after it were not begun with.
        """
        done: list[Deployed] = []
        for stack in self._choose(names):
            deployed = Deployed(stack=stack, result=self._deploy(stack))
            done.append(deployed)
            say(deployed)
            outputs.write(self.target.dist, self.layout, self._service)
        for name in sorted(set(self.replace) - self._used):
            note(f"--replace {name}: nothing of that name was to be replaced or removed")
        return done

    def _choose(self, names: Sequence[str]) -> tuple[Stack, ...]:
        """The stacks of these names, when genomics.toml suits them."""
        chosen = self.layout.choose(names)
        parameters.check(self.layout, chosen, self.settings, self._known)
        return chosen

    def _deploy(self, stack: Stack) -> Result:
        wish = self._wish(stack)
        state, ended = self._mender.mend(wish, self._service.state(stack.full_name))
        change_set = self._change_sets.make(wish, state)
        if change_set is None:
            if state is not None:
                self._protect(stack, state)
            if ended is None:
                return "unchanged"
            return "created" if ended.status == "CREATE_COMPLETE" else "updated"
        try:
            self._guard(stack, change_set)
        except ToolchainError:
            self._change_sets.remove(change_set.id, None)
            raise
        self._execute(wish, change_set)
        after = self._service.state(change_set.stack_id)
        if after is not None:
            self._protect(stack, after)
        return "created" if change_set.creates else "updated"

    def _execute(self, wish: DesiredStack, change_set: ChangeSet) -> None:
        latest = self._service.latest(change_set.stack_id)
        name = token(wish)
        ended = self._follower.follow(
            change_set.stack_id,
            wish.stack.name,
            since=latest.id if latest else None,
            begin=lambda: self._change_sets.execute(change_set, wish, name),
        )
        judge(wish.stack, ended)

    def _wish(self, stack: Stack) -> DesiredStack:
        """What a stack is to be.

        Raises:
            MissingInputError: A stack that it imports from, or a job definition that it names, is not there.
        """
        revisions = computed.job_definitions(stack, self.target.checkout, self.account, self.settings.project)
        missing = self.missing(stack)
        if missing:
            first = " ".join(missing)
            raise MissingInputError(
                f"stack {stack} needs what is not deployed",
                why="; ".join(f"it imports {', '.join(names)} of stack {name}" for name, names in missing.items()),
                fix=f"Type: python build.py deploy {first}; or leave out the names, for all stacks.",
            )
        return DesiredStack(
            stack=stack,
            parameters=parameters.values(stack, self.settings, {**self._known, **revisions}),
            tags=self.settings.tags,
        )

    def missing(self, stack: Stack) -> dict[str, list[str]]:
        """What a stack imports and is not exported: stack to names."""
        if not stack.needs:
            return {}
        exported = self._service.exports()
        found: dict[str, list[str]] = {}
        for export, exporter in stack.needs.items():
            if f"{self.layout.project}-{export}" not in exported:
                found.setdefault(exporter, []).append(export)
        return found

    def _guard(self, stack: Stack, change_set: ChangeSet) -> None:
        """Sees to it that nothing that holds data is lost unless it was named."""
        lost = [] if change_set.creates else [change for change in change_set.changes if change.loses_data]
        self._used |= {change.logical_id for change in lost}
        refused = [change for change in lost if change.logical_id not in self.replace]
        if not refused:
            return
        words = {"yes": "would be replaced", "perhaps": "may be replaced", "no": "would be removed"}
        described = "; ".join(
            f"{change.logical_id} ({change.type}) {words[change.replacement]}"
            + (f", for {', '.join(change.causes)}" if change.causes else "")
            for change in refused
        )
        raise WrongUsageError(
            f"stack {stack.full_name} would lose data",
            why=f"{described}. Nothing was changed",
            fix="Take that change back; or, if what they hold can go: "
            f"{self.command} {' '.join(f'--replace {change.logical_id}' for change in refused)}",
        )

    def _protect(self, stack: Stack, state: State) -> None:
        if any(one.keeps for one in stack.resources) and not state.protected:
            self._service.protect(state.id, on=True)

    def plan(self, names: Sequence[str]) -> list[Planned]:
        """What `deploy` would do, without doing it.

        Args:
            names: The stacks' short names; all for none.
        """
        planned: list[Planned] = []
        for stack in self._choose(names):
            state = self._service.state(stack.full_name)
            because = self._unknowable(state)
            try:
                wish = None if because else self._wish(stack)
            except MissingInputError as error:
                if names:
                    raise
                # Of all stacks, those that are to be deployed before it are not deployed either.
                because, wish = f"{error.what}: {error.why}", None
            if wish is not None:
                changes = self._changes(wish, state)
            else:
                changes = () if state is not None and state.stands else _all_of(stack)
            planned.append(Planned(stack=stack, changes=changes, because=because))
        return planned

    def _unknowable(self, state: State | None) -> str | None:
        """Why a stack's state lets nobody look what would change."""
        if state is None or state.status == "REVIEW_IN_PROGRESS":
            return None
        usable = state.stands and not state.busy and not state.status.endswith("_FAILED")
        return None if usable else f"it is in the state {state.status}"

    def _changes(self, wish: DesiredStack, state: State | None) -> tuple[Change, ...]:
        change_set = self._change_sets.make(wish, state)
        if change_set is None:
            return ()
        self._change_sets.remove(change_set.id, change_set.stack_id if state is None else None)
        return change_set.changes


def _all_of(stack: Stack) -> tuple[Change, ...]:
    """What the creation of a stack adds, as its template says."""
    return tuple(
        Change(action="Add", logical_id=one.logical_id, type=one.type, replacement="no", causes=())
        for one in stack.resources
    )
