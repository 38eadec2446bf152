"""The stacks of a checkout: their order, and what each imports from the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.paths import Checkout
from toolchain.stacks import template as templates
from toolchain.stacks.resources import Resource, resources
from toolchain.stacks.template import Template


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack of this project.

    Attributes:
        name: Its short name, such as `storage`.
        full_name: Its name in CloudFormation, such as `genomics-storage`.
        imports: The name of each export that it imports, to the stack that exports it.
    """

    name: str
    full_name: str
    template: Template
    imports: Mapping[str, str]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Its resources, as the template has them."""
        return tuple(resources(self.template.resources))

    def __str__(self) -> str:
        """Its short name, as people type it."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All stacks of a checkout, in the order in which they are deployed."""

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


def load(checkout: Checkout, project: str) -> Layout:
    """Reads stack/.

    Raises:
        ConfigurationError: A template has no place in the order, or imports what none before it exports.
    """
    files = {file.stem: file for file in sorted(checkout.stacks.glob("*.yaml"))}
    for name in files:
        if name not in templates.ORDER:
            raise ConfigurationError(
                f"stack/{name}.yaml has no place",
                why=f"the order of the stacks is {', '.join(templates.ORDER)}",
                fix="Give it its place in toolchain/stacks/template.py, or another name.",
            )
    exporters: dict[str, str] = {}
    stacks: list[Stack] = []
    for name in templates.ORDER:
        if name not in files:
            continue
        template = templates.read(files[name])
        for export in sorted(template.imports):
            if export not in exporters:
                raise ConfigurationError(
                    f"stack/{name}.yaml is wrong",
                    why=f"it imports '{export}', which no stack before it exports",
                    fix="Correct the name, or export it from the stack that has it.",
                )
        imports = {export: exporters[export] for export in sorted(template.imports)}
        exporters.update(dict.fromkeys(template.exports, name))
        stacks.append(Stack(name=name, full_name=f"{project}-{name}", template=template, imports=imports))
    return Layout(project=project, stacks=tuple(stacks))
