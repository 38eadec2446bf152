"""`deploy --all`: repositories, images, stacks, job definitions and the workflow, in order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolchain.aws import Account
from toolchain.console import counted
from toolchain.errors import MissingInputError
from toolchain.jobdefs import register
from toolchain.jobdefs.target import Target
from toolchain.stacks.auto_parameters import JOB_DEFINITIONS
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.layout import Stack

REPOSITORY = "AWS::ECR::Repository"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A stack, an image or a job definition that is as the checkout says, and whether that took a change."""

    kind: str
    text: str
    is_new: bool


def phases(stacks: Sequence[Stack]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names of the stacks that images need, of those that job definitions need, and of those that need these."""
    names = tuple(stack.name for stack in stacks)
    repositories = [any(resource.type == REPOSITORY for resource in stack.resources) for stack in stacks]
    named = [JOB_DEFINITIONS in stack.template.parameters for stack in stacks]
    first = len(names) - repositories[::-1].index(True) if True in repositories else 0
    last = named.index(True) if True in named else len(names)
    return names[:first], names[first:last], names[last:]


def deploy_all(target: Target, account: Account, deployer: Deployer) -> Iterator[Done]:
    """Deploys, pushes and registers what differs from the checkout, and yields everything, changed or not."""
    before_images, before_definitions, rest = phases(deployer.default)
    yield from stacks(deployer, before_images)
    for text, is_new in target.provide_images(account):
        yield Done(kind="image", text=text, is_new=is_new)
    yield from stacks(deployer, before_definitions)
    registered: list[register.Registered] = []
    register.run(target, account, (), registered.append)
    for definition in registered:
        yield Done(kind="job definition", text=str(definition), is_new=definition.new)
    yield from stacks(deployer, rest)


def stacks(deployer: Deployer, names: tuple[str, ...]) -> Iterator[Done]:
    """Deploys these stacks."""
    # No names are all stacks to `deploy`.
    for deployed in deployer.deploy(names) if names else ():
        yield Done(kind="stack", text=str(deployed), is_new=deployed.result != "unchanged")


def plan(target: Target, account: Account) -> Iterator[str]:
    """What `deploy_all` would do to images and job definitions; for stacks ask the deployer."""
    yield from target.plan_images(account)
    try:
        for change in register.changes(account.batch(), register.rendered(target, account, ())):
            yield f"job definition {change}"
    except MissingInputError as error:
        yield f"job definitions would be registered where they differ, which is not known yet: {error.what}"


def summary(done: list[Done]) -> str:
    """What changed, in one line."""
    kinds = dict.fromkeys(thing.kind for thing in done)
    numbers = {kind: sum(thing.kind == kind and thing.is_new for thing in done) for kind in kinds}
    changed = [counted(number, kind) for kind, number in numbers.items() if number]
    return f"changed {', '.join(changed)}" if changed else "nothing changed: all is as this checkout says"
