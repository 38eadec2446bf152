"""What checks share: settings, stacks, clients of AWS. Each is read or asked for once."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from toolchain import settings as settings_file
from toolchain.aws import Account, doing
from toolchain.errors import UnavailableError
from toolchain.paths import Checkout
from toolchain.settings import Settings, Value
from toolchain.stacks import layout
from toolchain.stacks.host_images import COMPUTE_ENVIRONMENTS
from toolchain.stacks.layout import Layout
from toolchain.stacks.outputs import Outputs
from toolchain.stacks.service import CloudFormation, StackState

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_batch.type_defs import ComputeEnvironmentDetailTypeDef
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import SubnetTypeDef
    from types_boto3_fsx import FSxClient
    from types_boto3_fsx.type_defs import FileSystemTypeDef
    from types_boto3_iam import IAMClient

# Directory of /scratch to the output that names its file system.
FILE_SYSTEMS = {"reference": "ReferenceFileSystemId", "data": "DataFileSystemId", "working": "WorkingFileSystemId"}


@dataclass(kw_only=True)
class DoctorContext:
    """A checkout and the account that it is deployed to. Answers are kept; what failed is asked again."""

    checkout: Checkout
    open_account: Callable[[], Account] = field(default=Account)
    clock: Callable[[], float] = field(default=time.time)

    @cached_property
    def settings(self) -> Settings:
        """genomics.toml."""
        return settings_file.load(self.checkout.settings)

    @cached_property
    def layout(self) -> Layout:
        """The stacks of the checkout."""
        return layout.load(self.checkout, self.settings.project)

    def parameter(self, stack: str, name: str) -> Value:
        """A parameter as `deploy` would set it: genomics.toml's, or the template's default."""
        [chosen] = self.layout.choose([stack])
        default = chosen.template.parameters[name].default
        return self.settings.stacks.get(stack, {}).get(name, default if default is not None else "")

    def integer(self, stack: str, name: str) -> int:
        """A parameter that is a whole number.

        Raises:
            UnavailableError: It is not; the check of genomics.toml reports it too.
        """
        value = str(self.parameter(stack, name))
        if not value.isdecimal():
            raise UnavailableError(
                f"the parameter {name} of stack {stack} is no number",
                why=f'genomics.toml has "{value}"',
                fix="Mend genomics.toml.",
            )
        return int(value)

    def strings(self, stack: str, name: str) -> tuple[str, ...]:
        """A parameter that is a list."""
        value = self.parameter(stack, name)
        return value if isinstance(value, tuple) else tuple(part.strip() for part in str(value).split(","))

    @cached_property
    def account(self) -> Account:
        """The account."""
        return self.open_account()

    @cached_property
    def batch(self) -> "BatchClient":
        """Batch. Making a client takes a tenth of a second, and several checks share it."""
        return self.account.batch()

    @cached_property
    def ec2(self) -> "EC2Client":
        """EC2."""
        return self.account.ec2()

    @cached_property
    def fsx(self) -> "FSxClient":
        """FSx."""
        return self.account.fsx()

    @cached_property
    def iam(self) -> "IAMClient":
        """IAM."""
        return self.account.iam()

    @cached_property
    def cloudformation(self) -> CloudFormation:
        """CloudFormation."""
        return CloudFormation(self.account)

    @cached_property
    def states(self) -> Mapping[str, StackState]:
        """Name to state of the stacks that exist, in whatever state."""
        states = {stack.name: self.cloudformation.state(stack.full_name) for stack in self.layout.stacks}
        return {name: state for name, state in states.items() if state is not None}

    @cached_property
    def deployed(self) -> frozenset[str]:
        """The names of the deployed stacks."""
        return frozenset(name for name, state in self.states.items() if state.is_deployed)

    @cached_property
    def outputs(self) -> Outputs:
        """The outputs of the deployed stacks."""
        return Outputs(self.layout, self.states)

    @cached_property
    def compute_environments(self) -> "list[ComputeEnvironmentDetailTypeDef]":
        """The deployed compute environments, Spot first."""
        arns = [self.outputs[name] for name in COMPUTE_ENVIRONMENTS]
        with doing("looking at the compute environments"):
            answer = self.batch.describe_compute_environments(computeEnvironments=arns)
        environments = {
            environment["computeEnvironmentArn"]: environment for environment in answer["computeEnvironments"]
        }
        return [environments[arn] for arn in arns if arn in environments]

    @cached_property
    def host_subnets(self) -> frozenset[str]:
        """The ids of the compute environments' subnets."""
        return frozenset(
            subnet for environment in self.compute_environments for subnet in environment["computeResources"]["subnets"]
        )

    @cached_property
    def file_systems(self) -> "Mapping[str, FileSystemTypeDef]":
        """Id to file system, of those that the storage stack names and that exist."""
        file_systems: dict[str, FileSystemTypeDef] = {}
        for file_system in sorted({self.outputs[name] for name in FILE_SYSTEMS.values()}):
            with doing(f"looking at file system {file_system}"):
                try:
                    answer = self.fsx.describe_file_systems(FileSystemIds=[file_system])
                except self.fsx.exceptions.FileSystemNotFound:
                    continue
            file_systems[file_system] = answer["FileSystems"][0]
        return file_systems

    def subnets(self, ids: Iterable[str]) -> "list[SubnetTypeDef]":
        """Describes subnets."""
        with doing("looking at subnets"):
            return self.ec2.describe_subnets(SubnetIds=sorted(set(ids)))["Subnets"]

    def zones(self, subnets: Iterable[str]) -> tuple[str, ...]:
        """The availability zones of subnets."""
        return tuple(sorted({subnet["AvailabilityZone"] for subnet in self.subnets(subnets)}))

    def state_machines(self) -> Iterator[Mapping[str, Any]]:
        """Describes the deployed state machines."""
        client = self.account.step_functions()
        for name in ("StateMachineArn", "JobMachineArn"):
            if arn := self.outputs.get(name):
                with doing(f"looking at state machine {arn}"):
                    yield dict(client.describe_state_machine(stateMachineArn=arn))
