"""The computed parameters of the stacks: names, images, and the job definitions' exact revisions."""

from collections.abc import Mapping

from toolchain.aws import Account
from toolchain.errors import MissingInputError
from toolchain.images import catalog
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.revisions import active
from toolchain.jobdefs.target import Target
from toolchain.paths import Checkout
from toolchain.settings import Settings
from toolchain.stacks.layout import Stack

JOB_DEFINITIONS = "JobDefinitions"


class JobsMissingError(MissingInputError):
    """Job definitions that a stack names are not registered."""


def known(target: Target, settings: Settings) -> Mapping[str, str]:
    """The parameters that do not depend on what is registered."""
    images = ",".join(sorted(catalog.load(target.checkout.images).tools))
    own = {"Project": settings.project, "Workflow": settings.workflow, "Images": images}
    shells = str(settings.stacks.get("compute", {}).get("SessionManager", False)).lower()
    return {**own, "SessionManagerEndpoint": shells, **target.stack_parameters()}


def job_definitions(stack: Stack, checkout: Checkout, account: Account, project: str) -> Mapping[str, str]:
    """A stack's parameter JobDefinitions, if it has one: the ARN of each tool's latest active revision.

    Raises:
        JobsMissingError: A tool's job definition is not registered.
    """
    if JOB_DEFINITIONS not in stack.template.parameters:
        return {}
    batch = account.batch()
    revisions = {f"{project}-{tool}": active(batch, f"{project}-{tool}") for tool in jobdefs.names(checkout.jobdefs)}
    if missing := [name for name in revisions if not revisions[name]]:
        raise JobsMissingError(
            f"stack {stack.name} needs job definitions that are not registered",
            why=f"Batch has no active {', '.join(missing)}",
            fix=f"Type: python build.py push; python build.py register; python build.py deploy {stack.name}",
        )
    return {JOB_DEFINITIONS: ",".join(latest.arn for latest, *_ in revisions.values())}
