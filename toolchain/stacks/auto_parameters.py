"""The parameters that nobody types: names, images, and the job definitions' exact revisions."""

from collections.abc import Mapping

from toolchain.aws import Account
from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.images import catalog
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.revisions import active
from toolchain.jobdefs.target import Target
from toolchain.paths import Checkout
from toolchain.settings import Settings
from toolchain.stacks.layout import Stack

_ENDING = "JobDefinition"


def known(target: Target, settings: Settings) -> Mapping[str, str]:
    """Those that do not depend on what is registered."""
    images = ",".join(sorted(catalog.load(target.checkout.images).tools))
    own = {"Project": settings.project, "Workflow": settings.workflow, "Images": images}
    return {**own, **target.stack_parameters()}


def job_definitions(stack: Stack, checkout: Checkout, account: Account, project: str) -> Mapping[str, str]:
    """A stack's `…JobDefinition` parameters: the ARN of each tool's latest active revision.

    Raises:
        MissingInputError: A tool's job definition is not registered.
        ConfigurationError: The template asks for a tool that there is not.
    """
    wanted = [name for name in stack.template.parameters if name.endswith(_ENDING)]
    if not wanted:
        return {}
    batch = account.batch()
    tools = {_camel(tool) + _ENDING: tool for tool in jobdefs.names(checkout.jobdefs)}
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in wanted:
        if name not in tools:
            raise ConfigurationError(
                f"stack/{stack.name}.yaml is wrong",
                why=f"its parameter {name} is no tool's; jobdefs/ has {', '.join(tools) or 'none'}",
                fix="Correct the parameter's name, or add the tool.",
            )
        revisions = active(batch, f"{project}-{tools[name]}")
        if revisions:
            found[name] = revisions[0].arn
        else:
            missing.append(f"{project}-{tools[name]}")
    if missing:
        raise MissingInputError(
            f"stack {stack.name} needs job definitions that are not registered",
            why=f"Batch has no active {', '.join(missing)}",
            fix=f"Type: python build.py push; python build.py register; python build.py deploy {stack.name}",
        )
    return found


def _camel(tool: str) -> str:
    return "".join(part.capitalize() for part in tool.split("-"))
