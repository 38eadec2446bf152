"""dist/outputs.json: what the deployed stacks say of themselves, for whatever else needs it."""

from pathlib import Path

from toolchain import files
from toolchain.errors import ConfigurationError
from toolchain.stacks.layout import Layout
from toolchain.stacks.service import CloudFormation


def write(dist: Path, layout: Layout, service: CloudFormation) -> None:
    """Writes outputs.json: the outputs of all deployed stacks, name to value.

    Raises:
        ConfigurationError: Two stacks have an output of the same name.
    """
    found: dict[str, str] = {}
    whose: dict[str, str] = {}
    for stack in layout.stacks:
        state = service.state(stack.full_name)
        for name, value in (state.outputs if state else {}).items():
            if name in found:
                raise ConfigurationError(
                    f"stack/{stack.name}.yaml is wrong",
                    why=f"its output {name} is one of stack {whose[name]} too",
                    fix="Give one of them another name.",
                )
            found[name], whose[name] = value, stack.name
    files.write_json(dist / "outputs.json", found)
