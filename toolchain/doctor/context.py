"""What several checks look at, asked for once: settings, stacks, environments, file systems."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from toolchain import settings as files
from toolchain.aws import Account, doing
from toolchain.doctor.checks.caller import Caller, ask
from toolchain.doctor.environment import Environment, deployed
from toolchain.errors import UnavailableError
from toolchain.paths import Checkout
from toolchain.settings import Settings, Value
from toolchain.stacks import layout as layouts
from toolchain.stacks.layout import Layout
from toolchain.stacks.service import CloudFormation, State

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import SubnetTypeDef
    from types_boto3_fsx import FSxClient
    from types_boto3_fsx.type_defs import FileSystemTypeDef
    from types_boto3_iam import IAMClient
    from types_boto3_service_quotas import ServiceQuotasClient

# The outputs that name a file system, by what is mounted from it.
FILE_SYSTEMS = {
    "reference": "ReferenceFileSystemId",
    "data": "DataFileSystemId",
    "working": "WorkingFileSystemId",
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A resource of a deployed stack.

    Attributes:
        name: Its logical id.
        kind: As `AWS::IAM::Role`.
        id: Its physical id.
    """

    name: str
    kind: str
    id: str


@dataclass(kw_only=True)
class DoctorContext:
    """A checkout, and the account that it is deployed to. What is asked for is kept; what failed is asked again.

    Attributes:
        checkout: The checkout.
        open: Opens the account.
        clock: This machine's time, in seconds since 1970.
    """

    checkout: Checkout
    open: Callable[[], Account] = field(default=Account)
    clock: Callable[[], float] = field(default=time.time)

    @cached_property
    def settings(self) -> Settings:
        """What genomics.toml says."""
        return files.load(self.checkout.settings)

    @cached_property
    def layout(self) -> Layout:
        """The stacks of the checkout."""
        return layouts.load(self.checkout, self.settings.project)

    def parameter(self, stack: str, name: str) -> Value:
        """A parameter as `deploy` would set it: genomics.toml's, or the template's default."""
        [chosen] = self.layout.choose([stack])
        default = chosen.template.parameters[name].default
        return self.settings.stacks.get(stack, {}).get(name, default if default is not None else "")

    def number(self, stack: str, name: str) -> int:
        """A parameter that is a whole number.

        Raises:
            UnavailableError: It is none, as the check of genomics.toml says too.
        """
        value = str(self.parameter(stack, name))
        if not value.isdecimal():
            raise UnavailableError(
                f"the parameter {name} of stack {stack} is no number",
                why=f'genomics.toml has "{value}"',
                fix="Mend genomics.toml.",
            )
        return int(value)

    def texts(self, stack: str, name: str) -> tuple[str, ...]:
        """A parameter that is a list."""
        value = self.parameter(stack, name)
        return value if isinstance(value, tuple) else tuple(one.strip() for one in str(value).split(","))

    @cached_property
    def account(self) -> Account:
        """The account."""
        return self.open()

    @cached_property
    def batch(self) -> "BatchClient":
        """Batch. A client takes a tenth of a second to make, and several checks ask the same service."""
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
    def service_quotas(self) -> "ServiceQuotasClient":
        """Service Quotas."""
        return self.account.service_quotas()

    @cached_property
    def caller(self) -> Caller:
        """Who asks, as AWS sees it."""
        return ask(self.account, self.clock)

    @cached_property
    def cloudformation(self) -> CloudFormation:
        """The stacks' service."""
        return CloudFormation(self.account)

    @cached_property
    def states(self) -> Mapping[str, State]:
        """Name to state, of the stacks that are there in whatever state."""
        found = {stack.name: self.cloudformation.state(stack.full_name) for stack in self.layout.stacks}
        return {name: state for name, state in found.items() if state is not None}

    @cached_property
    def standing(self) -> frozenset[str]:
        """The stacks that are deployed: what they hold can be looked at."""
        return frozenset(name for name, state in self.states.items() if state.stands)

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """What the deployed stacks say of themselves."""
        return {name: value for stack in sorted(self.standing) for name, value in self.states[stack].outputs.items()}

    def held(self, stack: str) -> tuple[Held, ...]:
        """What a deployed stack holds."""
        state = self.states[stack]
        with doing(f"listing what stack {state.name} holds"):
            pages = self.cloudformation.client.get_paginator("list_stack_resources").paginate(StackName=state.name)
            return tuple(
                Held(name=one["LogicalResourceId"], kind=one["ResourceType"], id=one.get("PhysicalResourceId") or "")
                for page in pages
                for one in page["StackResourceSummaries"]
                if one["ResourceStatus"] != "DELETE_COMPLETE"
            )

    def given(self, stack: str) -> dict[str, str]:
        """The parameters that a stack was deployed with."""
        with doing(f"looking at stack {self.states[stack].name}"):
            answer = self.cloudformation.client.describe_stacks(StackName=self.states[stack].id)
        return {one["ParameterKey"]: one["ParameterValue"] for one in answer["Stacks"][0].get("Parameters", ())}

    @cached_property
    def environments(self) -> tuple[Environment, ...]:
        """The deployed compute environments, Spot first."""
        arns = [self.outputs[name] for name in ("SpotComputeEnvironmentArn", "OnDemandComputeEnvironmentArn")]
        return deployed(self.batch, arns)

    @cached_property
    def file_systems(self) -> "Mapping[str, FileSystemTypeDef]":
        """Id to file system, of those that the storage stack names and that are there."""
        from botocore.exceptions import ClientError

        found: dict[str, FileSystemTypeDef] = {}
        client = self.fsx
        for one in sorted({self.outputs[name] for name in FILE_SYSTEMS.values()}):
            with doing(f"looking at file system {one}"):
                try:
                    found[one] = client.describe_file_systems(FileSystemIds=[one])["FileSystems"][0]
                except ClientError as error:
                    if error.response["Error"]["Code"] != "FileSystemNotFound":
                        raise
        return found

    def subnets(self, ids: Iterable[str]) -> "dict[str, SubnetTypeDef]":
        """Id to subnet."""
        with doing("looking at subnets"):
            answer = self.ec2.describe_subnets(SubnetIds=sorted(set(ids)))
        return {one["SubnetId"]: one for one in answer["Subnets"]}

    def zones(self, ids: Iterable[str]) -> tuple[str, ...]:
        """The availability zones of subnets."""
        return tuple(sorted({one["AvailabilityZone"] for one in self.subnets(ids).values()}))

    def definitions(self, *names: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """ARN and description of the state machines that outputs name, as far as there are such outputs."""
        client = self.account.step_functions()
        for name in names:
            if name in self.outputs:
                with doing(f"looking at state machine {self.outputs[name]}"):
                    yield self.outputs[name], dict(client.describe_state_machine(stateMachineArn=self.outputs[name]))
