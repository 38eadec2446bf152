"""Which stacks there are: a template in stack/ is a stack, and what it imports is its place in the order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from toolchain import templates
from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.paths import Checkout
from toolchain.stacks.template import FILE_SYSTEM, Template


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack of this project.

    Attributes:
        name: Its short name, such as `storage`.
        full_name: Its name in CloudFormation, such as `genomics-storage`.
        template: Its template.
        needs: What it imports: the name of an export to the stack that exports it.
    """

    name: str
    full_name: str
    template: Template
    needs: Mapping[str, str]

    def __str__(self) -> str:
        """Its short name, as people type it."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All stacks of a checkout.

    Attributes:
        project: What their names begin with.
        stacks: In the order in which they are deployed.
    """

    project: str
    stacks: tuple[Stack, ...]

    def choose(self, names: Sequence[str]) -> tuple[Stack, ...]:
        """The stacks of these names, in order; all for no name.

        Raises:
            MissingInputError: There is no such stack.
        """
        known = [stack.name for stack in self.stacks]
        for name in names:
            if name not in known:
                raise MissingInputError(
                    f"no stack '{name}'",
                    why=f"stack/ holds {', '.join(known) or 'none'}",
                    fix="Give one of these names, or none for all.",
                )
        return tuple(stack for stack in self.stacks if not names or stack.name in names)

    def above(self, chosen: Collection[Stack]) -> tuple[Stack, ...]:
        """These stacks, and all that need them, at however many removes; in order."""
        names = {stack.name for stack in chosen}
        for stack in self.stacks:
            if names & set(stack.needs.values()):
                names.add(stack.name)
        return tuple(stack for stack in self.stacks if stack.name in names)

    @property
    def with_file_systems(self) -> tuple[Stack, ...]:
        """The stacks that hold file systems."""
        return tuple(stack for stack in self.stacks if any(one.type == FILE_SYSTEM for one in stack.template.resources))


def load(checkout: Checkout, project: str) -> Layout:
    """Reads stack/.

    Args:
        checkout: The checkout.
        project: What the stacks' names begin with.

    Raises:
        ConfigurationError: A template imports what none exports, or two need each other.
    """
    found = {
        file.stem: Template(name=file.stem, content=templates.load(file)) for file in checkout.stacks.glob("*.yaml")
    }
    exporters = {export: name for name, template in sorted(found.items()) for export in template.exports}
    needs: dict[str, dict[str, str]] = {}
    for name, template in sorted(found.items()):
        needs[name] = {}
        for one in sorted(template.imports):
            if one not in exporters:
                raise ConfigurationError(
                    f"stack/{name}.yaml is wrong",
                    why=f"it imports '{one}', which no other template exports",
                    fix="Correct the name, or export it from the stack that has it.",
                )
            needs[name][one] = exporters[one]
    return Layout(
        project=project,
        stacks=tuple(
            Stack(name=name, full_name=f"{project}-{name}", template=found[name], needs=needs[name])
            for name in _order({name: set(needed.values()) for name, needed in needs.items()})
        ),
    )


def _order(needs: Mapping[str, set[str]]) -> list[str]:
    """What is needed first; by name where it does not matter, so that the order is always the same."""
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigurationError(
            "the stacks cannot be put in order",
            why=f"they need each other: {' needs '.join(reversed(error.args[1]))}",
            fix="Take one import out of stack/.",
        ) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
