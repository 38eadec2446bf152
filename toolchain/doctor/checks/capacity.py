"""Whether a host can run each job: a job that fits no host stays RUNNABLE until it is canceled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolchain.doctor.checks.launch import user_data
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult, green, red
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.revisions import all_active
from toolchain.stacks import hosts
from toolchain.stacks.hosts import HostType


@dataclass(frozen=True, kw_only=True)
class Job:
    """The resources that a job definition asks for; memory in MiB."""

    label: str
    tool: str
    vcpus: int
    memory: int


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A compute environment's hosts.

    Attributes:
        purchase: `on Spot` or `on demand`.
        instance_types: Types and families, as the environment names them.
        max_vcpus: The most vCPUs that run at a time.
        hosts: The x86_64 ones among them, the smallest first.
        reserved: The MiB that the agent reserves on each.
    """

    purchase: str
    instance_types: Sequence[str]
    max_vcpus: int
    hosts: Sequence[HostType]
    reserved: int

    def smallest_host(self, job: Job) -> HostType | None:
        """The smallest host with room for a job."""
        if job.vcpus > self.max_vcpus:
            return None
        fitting = (host for host in self.hosts if host.vcpus >= job.vcpus)
        return next((host for host in fitting if host.registered(self.reserved) >= job.memory), None)

    def nearly_fitting_host(self, job: Job) -> HostType | None:
        """A host with room for a job by its nominal memory only."""
        fitting = (host for host in self.hosts if host.vcpus >= job.vcpus)
        return next((host for host in fitting if host.nominal >= job.memory > host.registered(self.reserved)), None)

    def why_no_host(self, job: Job) -> str:
        """Why no host has room for a job."""
        if not self.hosts:
            return f"{self.purchase} there is no x86_64 instance type {', '.join(self.instance_types)}"
        if job.vcpus > self.max_vcpus:
            return f"{self.purchase} at most {self.max_vcpus} vCPUs run at a time"
        largest = max(self.hosts, key=lambda host: (host.nominal, host.vcpus))
        return (
            f"{self.purchase} the largest is {largest.name} with {largest.vcpus} vCPUs, "
            f"and about {largest.registered(self.reserved)} MiB for jobs"
        )


def room_for_jobs(context: DoctorContext) -> Iterator[CheckResult]:
    """Each job fits a host of a compute environment."""
    environments = _environments(context)
    for job in _jobs(context):
        label = f"{job.label} asks for {job.vcpus} vCPUs and {job.memory} MiB"
        smallest = {}
        without = []
        for environment in environments:
            if host := environment.smallest_host(job):
                smallest[environment.purchase] = host.name
            else:
                without.append(environment.why_no_host(job))
        if not smallest:
            yield red(
                f"{label}, which no host has: {'; '.join(without)}",
                f"Lower jobs.{job.tool} in genomics.toml, or allow larger hosts or more vCPUs in [stack.compute].",
            )
            continue
        if len(set(smallest.values())) == 1:
            places = f"{next(iter(smallest.values()))} and larger, {' and '.join(smallest)}"
        else:
            places = ", ".join(f"{name} and larger {purchase}" for purchase, name in smallest.items())
        nearly = next(filter(None, (environment.nearly_fitting_host(job) for environment in environments)), None)
        gap = f"; not on {nearly.name}, whose {nearly.nominal} MiB are not all for jobs" if nearly else ""
        unused = f"; but {'; '.join(without)}" if without else ""
        yield green(f"{label}: {places}{gap}{unused}")


def second_attempts(context: DoctorContext) -> Iterator[CheckResult]:
    """A host has as much memory as the second attempt of a job that ran out of it may ask for."""
    most = context.integer("workflow", "MaxJobMemory")
    largest = max(
        (host.registered(environment.reserved) for environment in _environments(context) for host in environment.hosts),
        default=0,
    )
    message = f"MaxJobMemory is {most} MiB, and the largest host has about {largest} for jobs"
    if most <= largest:
        yield green(message)
    else:
        yield red(
            message,
            f"Set it to {largest} in [stack.workflow] of genomics.toml, and type: python build.py deploy workflow",
        )


def _environments(context: DoctorContext) -> list[Environment]:
    """The compute environments as they are deployed, or as they would be."""
    if "compute" in context.deployed:
        environments = [
            (
                "on Spot" if resources["type"] == "SPOT" else "on demand",
                tuple(resources.get("instanceTypes", ())),
                context.zones(resources["subnets"]),
                resources["maxvCpus"],
                user_data(context, resources),
            )
            for resources in (environment["computeResources"] for environment in context.compute_environments)
        ]
    else:
        text = context.layout.choose(["compute"])[0].template.text
        environments = [
            (purchase, context.strings("compute", "InstanceTypes"), (), context.integer("compute", parameter), text)
            for purchase, parameter in (("on Spot", "SpotMaxvCpus"), ("on demand", "OnDemandMaxvCpus"))
        ]
    # As a rule both have the same types in the same zones, which are asked for once.
    distinct = {(types, zones) for _, types, zones, _, _ in environments}
    found = {(types, zones): hosts.find(context.ec2, types, zones) for types, zones in distinct}
    return [
        Environment(
            purchase=purchase,
            instance_types=types,
            max_vcpus=max_vcpus,
            hosts=found[types, zones],
            reserved=hosts.reserved_memory(text),
        )
        for purchase, types, zones, max_vcpus, text in environments
    ]


def _jobs(context: DoctorContext) -> Iterator[Job]:
    """The active job definitions; for a tool without one, what this checkout would register."""
    prefix = f"{context.settings.project}-"
    active = all_active(context.batch, prefix)
    for tool, own in jobdefs.figures(context.checkout.jobdefs, context.settings).items():
        label, (vcpus, memory) = tool, own
        if revisions := active.get(prefix + tool):
            label = f"{tool}:{revisions[0].number}"
            vcpus, memory = jobdefs.vcpus_and_memory(revisions[0].content)
        yield Job(label=label, tool=tool, vcpus=vcpus, memory=memory)
