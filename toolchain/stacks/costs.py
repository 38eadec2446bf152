"""What stacks cost by the hour while they stand, whether anything runs or not, by the prices of genomics.toml."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from toolchain.settings import Prices, Settings
from toolchain.stacks import parameters
from toolchain.stacks import template as templates
from toolchain.stacks.layout import Stack
from toolchain.stacks.resolve import Json, Resolver
from toolchain.stacks.template import STORAGE

# Of a month, as AWS counts.
_HOURS = 730


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a resource costs: USD an hour."""

    what: str
    hourly: float


class _Planned(Resolver):
    """A template before anything is made of it."""

    def resource(self, name: str, attribute: str | None) -> Json:
        """The name itself."""
        return f"{name}.{attribute}" if attribute else name

    def exported(self, name: str) -> Json:
        """The name itself."""
        return name


def standing(stack: Stack, settings: Settings, computed: Mapping[str, str], **changed: str) -> list[Cost]:
    """What costs by the hour of a stack that is deployed as genomics.toml says; nothing without prices.

    Args:
        stack: The stack.
        settings: genomics.toml.
        computed: The parameters that `deploy` computes.
        changed: Parameters with other values.
    """
    if settings.prices is None:
        return []
    values = parameters.values(stack, settings, computed) | changed
    body = templates.expanded(stack.template.body, {name: value.split(",") for name, value in values.items()})
    planned = _Planned(template=body, parameters=values)
    resources = (
        resource
        for resource in body["Resources"].values()
        if "Condition" not in resource or planned.call("Condition", resource["Condition"])
    )
    return [cost for resource in resources for cost in _costs(resource, planned, settings.prices)]


def _costs(resource: Json, planned: Resolver, prices: Prices) -> Iterator[Cost]:
    properties = resource.get("Properties", {})
    match resource["Type"]:
        case "AWS::FSx::FileSystem":
            lustre = planned.resolve(properties["LustreConfiguration"])
            kind = "-".join(
                str(lustre[name]) for name in ("DeploymentType", "PerUnitStorageThroughput") if name in lustre
            )
            gib = int(planned.resolve(properties["StorageCapacity"]))
            price = prices.lustre_gib_month.get(kind)
            unknown = "" if price is not None else f", whose price ({kind}) is not in genomics.toml"
            yield Cost(what=f"file system of {gib} GiB{unknown}", hourly=gib * (price or 0) / _HOURS)
        case "AWS::EC2::VPCEndpoint" if properties["VpcEndpointType"] == "Interface":
            yield Cost(what="interface endpoint", hourly=prices.endpoint_hour)
        case "AWS::EC2::NatGateway":
            yield Cost(what="NAT gateway with its address", hourly=prices.nat_gateway_hour)
        case "AWS::KMS::Key":
            yield Cost(what="KMS key", hourly=prices.key_month / _HOURS)


def shown(costs: Sequence[Cost]) -> str:
    """Their sum by the hour and by the month, and what they are."""
    total = sum(cost.hourly for cost in costs)
    counted = ", ".join(f"{number} x {what}" for what, number in Counter(cost.what for cost in costs).items())
    return f"{total:.2f} USD an hour, {total * _HOURS:.0f} a month ({counted})"


def lines(stacks: Sequence[Stack], settings: Settings, computed: Mapping[str, str]) -> Iterator[str]:
    """What would stand, as people read it: with and without the file systems, and what one of them would save."""
    if settings.prices is None:
        return
    costs = {stack.name: standing(stack, settings, computed) for stack in stacks}
    if always := [cost for name, own in costs.items() if name != STORAGE for cost in own]:
        yield f"always: {shown(always)}; buckets, logs, images and hosts cost by use"
    for stack in stacks:
        if stack.name == STORAGE:
            yield f"while the file systems are up: {shown(costs[STORAGE])}"
            one = standing(stack, settings, computed, FileSystems="one")
            saved = sum(cost.hourly for cost in costs[STORAGE]) - sum(cost.hourly for cost in one)
            if saved > 0:
                yield f'one file system with three directories (FileSystems = "one") would save {saved:.2f} USD an hour'
    yield f"by the prices of {settings.prices.region}, {settings.prices.date}, in genomics.toml"
