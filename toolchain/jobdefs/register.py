"""`register`: makes the latest active revision of every job definition equal to the rendered one.

Batch cannot register "if it differs": somebody else may register the same between our look and our registration. So
the revisions are read again afterwards, and whoever finds the same content under a lower number uses that revision and
deregisters its own. Two registrations at once leave one active revision, which both use.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import files
from toolchain.aws import Account, doing
from toolchain.errors import MissingInputError, SeveralFailedError, ToolchainError
from toolchain.jobdefs import template
from toolchain.jobdefs.revisions import Revision, active, difference, matching, normalised
from toolchain.jobdefs.target import Target
from toolchain.jobdefs.template import Definition
from toolchain.paths import Checkout

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The revision of a tool's job definition that has the rendered content."""

    tool: str
    arn: str
    number: int
    new: bool

    def __str__(self) -> str:
        """The line that `register` prints."""
        return f"{self.tool}:{self.number} {'registered' if self.new else 'unchanged'}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What `register` would do about a tool's job definition.

    Attributes:
        latest: The latest active revision, if there is one.
        same: The revision with the rendered content; none if one would be registered.
        diff: The lines of `diff -u`.
    """

    tool: str
    latest: Revision | None
    same: Revision | None
    diff: tuple[str, ...]

    def __str__(self) -> str:
        """The first line that `register --dry-run` prints."""
        if self.same is not None:
            return f"{self.tool}:{self.same.number} unchanged"
        after = f"after {self.tool}:{self.latest.number}" if self.latest else "as the first that is active"
        return f"{self.tool} would be registered, {after}"


def choose(checkout: Checkout, names: Sequence[str]) -> tuple[str, ...]:
    """The tools of these names; all that have a job definition if there are no names.

    Raises:
        MissingInputError: A name is not that of a tool with a job definition.
    """
    tools = template.names(checkout.jobdefs)
    for name in names:
        if name not in tools:
            raise MissingInputError(
                f"no job definition '{name}'",
                why=f"jobdefs/ holds {', '.join(tools) or 'none'}",
                fix="Give one of these names, or none for all.",
            )
    return tuple(tool for tool in tools if not names or tool in names)


def rendered(target: Target, account: Account, names: Sequence[str]) -> dict[str, Definition]:
    """Tool to rendered job definition, of these tools; of all if there are no names."""
    tools = choose(target.checkout, names)
    definitions = template.render(target.checkout.jobdefs, target.rendering(account))
    return {tool: definitions[tool] for tool in tools}


def changes(batch: "BatchClient", definitions: Mapping[str, Definition]) -> list[Change]:
    """What `register` would do."""
    planned = []
    for tool, definition in definitions.items():
        revisions = active(batch, definition["jobDefinitionName"])
        latest = revisions[0] if revisions else None
        diff = difference(
            latest.content if latest else None,
            normalised(definition),
            names=(f"{tool}:{latest.number}" if latest else "nothing", f"{tool} in this checkout"),
        )
        planned.append(Change(tool=tool, latest=latest, same=matching(revisions, definition), diff=tuple(diff)))
    return planned


def register(
    batch: "BatchClient",
    definitions: Mapping[str, Definition],
    *,
    say: Callable[[Registered], None] = lambda _: None,
) -> tuple[list[Registered], list[ToolchainError]]:
    """Registers the definitions that differ from their latest active revision.

    Args:
        batch: Batch.
        definitions: Tool to the arguments of RegisterJobDefinition.
        say: Is called for each as soon as it is done.

    Returns:
        What Batch has now, and an error for each that failed.
    """
    done: list[Registered] = []
    errors: list[ToolchainError] = []
    for tool, definition in definitions.items():
        try:
            registered = _register(batch, tool, definition)
        except ToolchainError as error:
            errors.append(error)
        else:
            done.append(registered)
            say(registered)
    return done, errors


def _register(batch: "BatchClient", tool: str, definition: Definition) -> Registered:
    name = definition["jobDefinitionName"]
    same = matching(active(batch, name), definition)
    if same is not None:
        return Registered(tool=tool, arn=same.arn, number=same.number, new=False)
    with doing(f"registering job definition {name}"):
        response = batch.register_job_definition(**definition)
    # Somebody else may have come first; a lost response, after which botocore asks again, looks the same.
    same = matching(active(batch, name), definition)
    if same is None or same.number >= response["revision"]:
        return Registered(tool=tool, arn=response["jobDefinitionArn"], number=response["revision"], new=True)
    with doing(f"deregistering {name}:{response['revision']}, which {same.number} says already"):
        batch.deregister_job_definition(jobDefinition=response["jobDefinitionArn"])
    return Registered(tool=tool, arn=same.arn, number=same.number, new=False)


def run(target: Target, account: Account, names: Sequence[str], say: Callable[[Registered], None]) -> None:
    """Registers the checkout's job definitions, and writes jobdefs.json: tool to revision ARN.

    Raises:
        SeveralFailedError: Some could not be registered; the others were, and are in jobdefs.json.
    """
    done, errors = register(account.batch(), rendered(target, account, names), say=say)
    write(target.dist / "jobdefs.json", done, template.names(target.checkout.jobdefs))
    if errors:
        raise SeveralFailedError(errors)


def write(file: Path, done: Sequence[Registered], tools: Sequence[str]) -> None:
    """Updates jobdefs.json; keeps the other tools of the checkout in the same account and region."""
    if not done:
        return
    new = {registered.tool: registered.arn for registered in done}
    # arn:PARTITION:batch:REGION:ACCOUNT:job-definition/NAME:REVISION
    prefix = done[0].arn.partition("job-definition/")[0]
    with files.locked(file.parent):
        arns = {**_read(file), **new}
        files.write_json(file, {tool: arn for tool, arn in arns.items() if tool in tools and arn.startswith(prefix)})


def _read(file: Path) -> dict[str, str]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(tool): str(arn) for tool, arn in data.items()} if isinstance(data, dict) else {}
