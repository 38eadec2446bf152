"""Whether a host can ever run each job: what no host has room for stays RUNNABLE until it is canceled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolchain.doctor import hosts
from toolchain.doctor.environment import Environment
from toolchain.doctor.hosts import HostType
from toolchain.doctor.launch import user_data
from toolchain.doctor.result import Finding, green, red
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.revisions import all_active
from toolchain.jobdefs.template import Definition, ImageReference, Rendering

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext

_NAME = "room for jobs"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a job asks of its host.

    Attributes:
        name: The job definition, with its revision if it has one.
        tool: The tool's name.
        vcpus: vCPUs.
        memory: MiB.
    """

    name: str
    tool: str
    vcpus: int
    memory: int

    @classmethod
    def of(cls, name: str, tool: str, definition: Definition) -> "Ask":
        """What a job of this definition asks for, if nothing overrides it."""
        given = {one["type"]: one["value"] for one in definition["containerProperties"]["resourceRequirements"]}
        return cls(name=name, tool=tool, vcpus=int(float(given["VCPU"])), memory=int(given["MEMORY"]))

    def __str__(self) -> str:
        """As a finding says it."""
        return f"{self.name} asks for {self.vcpus} vCPUs and {self.memory} MiB"


@dataclass(frozen=True, kw_only=True)
class Room:
    """The hosts of an environment.

    Attributes:
        environment: Which.
        types: What they can be.
        reserved: The MiB that the agent leaves of each.
    """

    environment: Environment
    types: list[HostType]
    reserved: int

    @property
    def place(self) -> str:
        """How people call it."""
        return "on Spot" if self.environment.kind == "SPOT" else "on demand"

    def fits(self, ask: Ask) -> HostType | None:
        """The smallest host on which a job has room; none if there is none."""
        if ask.vcpus > self.environment.most_vcpus:
            return None
        fitting = (one for one in self.types if one.vcpus >= ask.vcpus)
        return next((one for one in fitting if one.registered(self.reserved) >= ask.memory), None)

    def nearly(self, ask: Ask) -> HostType | None:
        """A host that has the memory as it is sold, and not as it registers it."""
        fitting = (one for one in self.types if one.vcpus >= ask.vcpus and one.nominal >= ask.memory)
        return next((one for one in fitting if one.registered(self.reserved) < ask.memory), None)

    def why_not(self, ask: Ask) -> str:
        """Why a job has no room."""
        if not self.types:
            return f"{self.place} there is no x86_64 instance type {', '.join(self.environment.types)}"
        if ask.vcpus > self.environment.most_vcpus:
            return f"{self.place} at most {self.environment.most_vcpus} vCPUs run at a time"
        largest = max(self.types, key=lambda one: (one.nominal, one.vcpus))
        return (
            f"{self.place} the largest is {largest.name} with {largest.vcpus} vCPUs, "
            f"and about {largest.registered(self.reserved)} MiB for jobs"
        )


def looks(case: "DoctorContext") -> Iterator[Finding]:
    """Whether each job definition fits a host of an environment."""
    rooms = _rooms(case)
    for ask in _asks(case):
        places = {room.place: room.fits(ask) for room in rooms}
        found = {place: one.name for place, one in places.items() if one is not None}
        missing = [room.why_not(ask) for room in rooms if places[room.place] is None]
        if not found:
            yield red(
                _NAME,
                f"{ask}, which no host has: {'; '.join(missing)}",
                f"Lower jobs.{ask.tool} in genomics.toml, or allow larger hosts or more vCPUs in [stack.compute].",
            )
            continue
        near = next((one for room in rooms if (one := room.nearly(ask))), None)
        gap = f"; not on {near.name}, whose {near.nominal} MiB are not all for jobs" if near else ""
        unused = f"; but {'; '.join(missing)}" if missing else ""
        yield green(_NAME, f"{ask}: {_places(found)}{gap}{unused}")


def second_attempts(case: "DoctorContext") -> Iterator[Finding]:
    """Whether a host can give a job that ran out of memory as much as its second attempt may ask for."""
    name = "memory of second attempts"
    most = case.number("workflow", "MaxJobMemory")
    largest = max((host.registered(room.reserved) for room in _rooms(case) for host in room.types), default=0)
    said = f"MaxJobMemory is {most} MiB, and the largest host has about {largest} for jobs"
    if most <= largest:
        yield green(name, said)
    else:
        fix = f"Set it to {largest} in [stack.workflow] of genomics.toml, and type: python build.py deploy workflow"
        yield red(name, said, fix)


def _places(found: Mapping[str, str]) -> str:
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))} and larger, {' and '.join(found)}"
    return ", ".join(f"{name} and larger {place}" for place, name in found.items())


def _rooms(case: "DoctorContext") -> list[Room]:
    """The environments as they are deployed; as they would be, if they are not."""
    ec2 = case.ec2
    if "compute" not in case.standing:
        types = case.texts("compute", "InstanceTypes")
        found = hosts.find(ec2, types, ())
        text = case.layout.choose(["compute"])[0].template.text
        planned = (("Spot", "SPOT", "SpotMaxvCpus"), ("on demand", "EC2", "OnDemandMaxvCpus"))
        return [
            Room(
                environment=Environment(name=name, kind=kind, types=types, most_vcpus=case.number("compute", most)),
                types=found,
                reserved=hosts.reserved(text),
            )
            for name, kind, most in planned
        ]
    rooms = []
    # Both environments take the same types as a rule: they are asked for once.
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], list[HostType]] = {}
    for one in case.environments:
        key = (one.types, case.zones(one.subnets))
        if key not in known:
            known[key] = hosts.find(ec2, *key)
        rooms.append(Room(environment=one, types=known[key], reserved=hosts.reserved(user_data(case, one))))
    return rooms


def _asks(case: "DoctorContext") -> Iterator[Ask]:
    """What is active in Batch; of a tool with nothing active, what this checkout would register."""
    prefix = f"{case.settings.project}-"
    active = all_active(case.batch, prefix)
    images = {
        name: ImageReference(name=name, tag="none", reference=f"none@sha256:{'0' * 64}")
        for name in jobdefs.names(case.checkout.jobdefs)
    }
    rendered = jobdefs.render(case.checkout.jobdefs, Rendering(images=images, settings=case.settings))
    for tool, definition in rendered.items():
        if revisions := active.get(prefix + tool):
            yield Ask.of(f"{tool}:{revisions[0].number}", tool, revisions[0].content)
        else:
            yield Ask.of(tool, tool, definition)
