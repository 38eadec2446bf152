"""What has to be settled before stacks can be destroyed: every reason, and what settles it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.aws import Account, doing
from toolchain.console import counted
from toolchain.errors import ToolchainError, TryAgainError, WrongUsageError
from toolchain.stacks.deployed import DeployedStack
from toolchain.stacks.export_status import (
    creation_time,
    failed_exports,
    is_running,
    list_runs,
    list_tasks,
    unexported_runs,
)
from toolchain.stacks.recover import busy
from toolchain.stacks.service import CloudFormation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef
    from types_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef


class InUseError(TryAgainError):
    """A run, an export or a host needs what would be deleted, and ends by itself."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Checks whether stacks can be destroyed; `workflow` is the directory of /scratch/working that holds the runs."""

    account: Account
    service: CloudFormation
    workflow: str
    command: str
    discard: Collection[str]

    def blockers(self, stacks: Sequence[DeployedStack], deleted: Sequence[DeployedStack]) -> Iterator[ToolchainError]:
        """An error for each reason not to delete some of the stacks."""
        yield from self._still_imported(stacks, deleted)
        # Nothing stops the deletion of a stack that is being deleted already.
        deleted = [stack for stack in deleted if stack.state.status != "DELETE_IN_PROGRESS"]
        yield from (busy(stack.state, self.service) for stack in deleted if stack.state.is_busy)
        for stack in deleted:
            if stack.lost_buckets:
                names = ", ".join(f"{bucket.logical_id} ({bucket})" for bucket in stack.lost_buckets)
                yield WrongUsageError(
                    f"a bucket would go with stack {stack.stack}",
                    why=f"the template that it was deployed with does not retain {names}",
                    fix=f"Give it `DeletionPolicy: Retain`, and type: python build.py deploy {stack.stack}",
                )
        if deleted:
            yield from self._in_use(stacks, deleted)

    def _still_imported(
        self, stacks: Sequence[DeployedStack], deleted: Sequence[DeployedStack]
    ) -> Iterator[ToolchainError]:
        names = {stack.stack.name for stack in deleted}
        for stack in stacks:
            exporters = sorted(set(stack.stack.imports.values()) & names)
            if stack.stack.name not in names and exporters:
                yield WrongUsageError(
                    f"stack {' and '.join(exporters)} cannot go alone",
                    why=f"stack {stack.stack} is there, and imports from it",
                    fix=f"Name it too: {self.command} {stack.stack}",
                )

    def _in_use(self, stacks: Sequence[DeployedStack], deleted: Sequence[DeployedStack]) -> Iterator[ToolchainError]:
        outputs = {name: value for stack in stacks for name, value in stack.state.outputs.items()}
        state_machine = outputs.get("StateMachineArn")
        runs = list_runs(self.account.step_functions(), state_machine) if state_machine else None
        for run in runs or ():
            if is_running(run):
                yield InUseError(
                    f"execution {run['name']} is running",
                    why=f"it began at {run['startDate']:%Y-%m-%d %H:%M:%S %Z}, and needs all stacks",
                    fix="Wait until it ends, or stop it; then type the same again.",
                )
        # The list of runs goes with the state machine: afterwards nobody could tell which were exported.
        loses_runs = any("StateMachineArn" in stack.state.outputs for stack in deleted)
        for stack in stacks:
            if stack.state.is_deployed and (stack in deleted or loses_runs):
                for file_system in stack.file_systems:
                    yield from self._on_file_system(file_system.physical_id, runs, outputs)
        if any(stack.file_systems for stack in deleted):
            yield from self._still_mounted({stack.stack.name for stack in deleted}, outputs)

    def _still_mounted(self, deleted: Collection[str], outputs: Mapping[str, str]) -> Iterator[ToolchainError]:
        """Hosts that outlive the file systems: the next job on one would wait for a file system that is gone."""
        group = outputs.get("LustreClientSecurityGroupId")
        if group is None or "compute" in deleted:
            return
        filters: list[FilterTypeDef] = [
            {"Name": "instance.group-id", "Values": [group]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        with doing("looking for hosts"):
            pages = self.account.ec2().get_paginator("describe_instances").paginate(Filters=filters)
            reservations = [reservation for page in pages for reservation in page["Reservations"]]
        hosts = [instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]]
        if hosts:
            yield InUseError(
                f"{counted(len(hosts), 'host')} may have the file systems mounted",
                why=f"Batch keeps hosts for a while after their last job: {', '.join(hosts)}",
                fix="Wait until they end, as storage down --when-idle does; then type the same again.",
            )

    def _on_file_system(
        self, file_system: str, runs: "Sequence[ExecutionListItemTypeDef] | None", outputs: Mapping[str, str]
    ) -> Iterator[ToolchainError]:
        fsx = self.account.fsx()
        created = creation_time(fsx, file_system)
        if created is None:
            return
        tasks = list_tasks(fsx, file_system)
        for task in tasks:
            if task.is_unfinished:
                yield InUseError(
                    f"data repository task {task.id} is {task.lifecycle}",
                    why=f"it works on file system {file_system}: {', '.join(task.paths) or 'all of it'}",
                    fix="Wait until it ends; then type the same again.",
                )
        if file_system != outputs.get("WorkingFileSystemId"):
            return
        if runs is None:
            unexported = failed_exports(tasks, discard=self.discard)
        else:
            path = outputs.get("WorkingPath", "-")
            parent = self.workflow if path == "-" else f"{path.strip('/')}/{self.workflow}"
            unexported = unexported_runs(runs, tasks, parent=parent, since=created, discard=self.discard)
        for files in unexported:
            paths = f" --paths {files.directory}" if files.directory else ""
            yield TryAgainError(
                "the working file system holds what is nowhere else",
                why=files.why,
                fix="Export it: aws fsx create-data-repository-task --type EXPORT_TO_REPOSITORY "
                f"--file-system-id {file_system}{paths} --report Enabled=false; "
                f"or, if it can go: {self.command} --discard {files.name}",
            )
