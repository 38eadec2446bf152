"""What stands in the way of destroying stacks: all of it is named, and each with what ends it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.aws import Account, code
from toolchain.errors import ToolchainError, TryAgainError, UnavailableError, WrongUsageError
from toolchain.settings import Settings
from toolchain.stacks import export_status as exported
from toolchain.stacks.deployed import Standing
from toolchain.stacks.export_status import Execution, Task, Unexported, Working
from toolchain.stacks.recover import busy
from toolchain.stacks.service import CloudFormation

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """Looks what is in the way.

    Attributes:
        account: Where the stacks are.
        service: CloudFormation there.
        settings: What genomics.toml says.
        command: What the user typed.
        discard: The names of runs whose files may be lost.
    """

    account: Account
    service: CloudFormation
    settings: Settings
    command: str
    discard: Collection[str]

    def blockers(self, standing: Sequence[Standing], going: Sequence[Standing]) -> list[ToolchainError]:
        """An error for each thing that is in the way.

        Args:
            standing: All stacks that are there.
            going: Those of them that are to go.
        """
        found: list[ToolchainError] = [*self._needed(standing, going), *self._changing(going)]
        # What is going already is not stopped by anything that is said here.
        going = [one for one in going if one.state.status != "DELETE_IN_PROGRESS"]
        found += [_bucket_goes(one) for one in going if one.buckets_that_go]
        if going:
            found += self._in_use(standing, going)
        return found

    def _needed(self, standing: Sequence[Standing], going: Sequence[Standing]) -> Iterator[ToolchainError]:
        names = {one.stack.name for one in going}
        for one in standing:
            needed = sorted(set(one.stack.needs.values()) & names)
            if one.stack.name not in names and needed:
                yield WrongUsageError(
                    f"stack {' and '.join(needed)} cannot go alone",
                    why=f"stack {one.stack} is there, and imports from it",
                    fix=f"Name it too: {self.command} {one.stack}",
                )

    def _changing(self, going: Sequence[Standing]) -> Iterator[ToolchainError]:
        for one in going:
            if one.state.busy and one.state.status != "DELETE_IN_PROGRESS":
                yield busy(one.state, self.service.operation(one.state.id))

    def _in_use(self, standing: Sequence[Standing], going: Sequence[Standing]) -> Iterator[ToolchainError]:
        outputs = {name: value for one in standing for name, value in one.state.outputs.items()}
        runs = self._executions(outputs.get("StateMachineArn"))
        yield from (_runs(run) for run in runs or () if run.runs)
        # With the state machine goes the list of its runs: whoever comes after could not tell any more.
        last_to_know = any("StateMachineArn" in one.state.outputs for one in going)
        fsx = self.account.fsx()
        for one in standing:
            if not one.state.stands or (one not in going and not last_to_know):
                continue
            for held in one.file_systems:
                born = exported.created(fsx, held.physical_id)
                if born is None:
                    continue
                tasks = exported.tasks(fsx, held.physical_id)
                yield from (_works(task, held.physical_id) for task in tasks if task.unfinished)
                if held.physical_id != outputs.get("WorkingFileSystemId"):
                    continue
                path = outputs.get("WorkingPath", "-")
                working = Working(
                    file_system=held.physical_id,
                    path="" if path == "-" else path.strip("/"),
                    workflow=self.settings.workflow,
                )
                lost = (
                    exported.failed(tasks, discard=self.discard)
                    if runs is None
                    else exported.unexported(runs, tasks, working, since=born, discard=self.discard)
                )
                yield from (self._lost(one, held.physical_id) for one in lost)

    def _executions(self, state_machine: str | None) -> list[Execution] | None:
        """All runs; none where there is no state machine that could be asked."""
        if state_machine is None:
            return None
        machines: SFNClient = self.account.step_functions()
        try:
            return exported.executions(machines, state_machine)
        except UnavailableError as error:
            if error.__cause__ is not None and code(error.__cause__) == "StateMachineDoesNotExist":  # type: ignore[arg-type]  # whatever it is
                return None
            raise

    def _lost(self, one: Unexported, file_system: str) -> ToolchainError:
        paths = f" --paths {one.directory}" if one.directory else ""
        export = f"--type EXPORT_TO_REPOSITORY --file-system-id {file_system}{paths} --report Enabled=false"
        return TryAgainError(
            "the working file system holds what is nowhere else",
            why=one.why,
            fix=f"Export it: aws fsx create-data-repository-task {export}; "
            f"or, if it can go: {self.command} --discard {one.name}",
        )


def _bucket_goes(one: Standing) -> ToolchainError:
    names = ", ".join(f"{held.resource.logical_id} ({held})" for held in one.buckets_that_go)
    return WrongUsageError(
        f"a bucket would go with stack {one.stack}",
        why=f"the template that it was deployed with does not retain {names}",
        fix=f"Give it `DeletionPolicy: Retain`, and type: python build.py deploy {one.stack}",
    )


def _runs(run: Execution) -> ToolchainError:
    return TryAgainError(
        f"execution {run.name} is running",
        why=f"it began at {run.start:%Y-%m-%d %H:%M:%S %Z}, and needs all stacks",
        fix="Wait until it ends, or stop it; then type the same again.",
    )


def _works(task: Task, file_system: str) -> ToolchainError:
    return TryAgainError(
        f"data repository task {task.id} is {task.lifecycle}",
        why=f"it works on file system {file_system}: {', '.join(task.paths) or 'all of it'}",
        fix="Wait until it ends; then type the same again.",
    )
