"""`register`: every job definition's latest active revision says what this checkout says; and `prune`.

Batch has no "register if it differs": between a look and a registration lies a round trip, in which somebody
else may register the same. So each look comes right before its registration, and right after it comes another:
whoever finds that the same content was registered meanwhile under a lower number takes that one, and
deregisters its own. Two runs at once therefore end with one active revision, which both name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import files
from toolchain.aws import Account, doing
from toolchain.errors import MissingInputError, SeveralFailedError, ToolchainError
from toolchain.jobdefs import template as templates
from toolchain.jobdefs.revisions import Revision, active, current, difference, normalised
from toolchain.jobdefs.target import Target
from toolchain.jobdefs.template import Definition
from toolchain.paths import Checkout

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A job definition that Batch has with this content.

    Attributes:
        name: The tool's name.
        arn: The revision's ARN.
        number: The revision's number.
        new: Whether it was registered just now.
    """

    name: str
    arn: str
    number: int
    new: bool

    def __str__(self) -> str:
        """As `register` prints it."""
        return f"{self.name}:{self.number} {'registered' if self.new else 'unchanged'}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What `register` would do about a tool's job definition.

    Attributes:
        name: The tool's name.
        latest: Its latest active revision; none if there is none.
        same: The revision that says it already; none if one would be registered.
        lines: The difference, as `diff -u` prints it.
    """

    name: str
    latest: Revision | None
    same: Revision | None
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """As `register --dry-run` prints it, less the difference."""
        if self.same is not None:
            return f"{self.name}:{self.same.number} unchanged"
        after = f"after {self.name}:{self.latest.number}" if self.latest else "as the first that is active"
        return f"{self.name} would be registered, {after}"


def chosen(checkout: Checkout, names: Sequence[str]) -> tuple[str, ...]:
    """The tools of these names; all that have a job definition for no name.

    Raises:
        MissingInputError: A name is not that of a tool with a job definition.
    """
    known = templates.names(checkout.jobdefs)
    for name in names:
        if name not in known:
            raise MissingInputError(
                f"no job definition '{name}'",
                why=f"jobdefs/ holds {', '.join(known) or 'none'}",
                fix="Give one of these names, or none for all.",
            )
    return tuple(name for name in known if not names or name in names)


def wanted(target: Target, names: Sequence[str]) -> dict[str, Definition]:
    """Tool to rendered definition, of these tools; of all for no name."""
    tools = chosen(target.checkout, names)
    definitions = templates.render(target.checkout.jobdefs, target.rendering())
    return {name: definitions[name] for name in tools}


def changes(batch: "BatchClient", definitions: Mapping[str, Definition]) -> list[Change]:
    """What `register` would do, without doing it."""
    found = []
    for name, definition in definitions.items():
        revisions = active(batch, definition["jobDefinitionName"])
        latest = revisions[0] if revisions else None
        lines = difference(
            latest.content if latest else None,
            normalised(definition),
            names=(f"{name}:{latest.number}" if latest else "nothing", f"{name} in this checkout"),
        )
        found.append(Change(name=name, latest=latest, same=current(revisions, definition), lines=tuple(lines)))
    return found


def register(
    batch: "BatchClient",
    definitions: Mapping[str, Definition],
    *,
    say: Callable[[Registered], None] = lambda _: None,
) -> tuple[list[Registered], list[ToolchainError]]:
    """Registers those definitions whose latest active revision says something else.

    Args:
        batch: Batch.
        definitions: Tool to the arguments of RegisterJobDefinition.
        say: Is told of each as soon as it is done.

    Returns:
        What Batch has now, and an error for each that failed.
    """
    done: list[Registered] = []
    errors: list[ToolchainError] = []
    for name, definition in definitions.items():
        try:
            registered = _register(batch, name, definition)
        except ToolchainError as error:
            errors.append(error)
        else:
            done.append(registered)
            say(registered)
    return done, errors


def _register(batch: "BatchClient", name: str, definition: Definition) -> Registered:
    full_name = definition["jobDefinitionName"]
    same = current(active(batch, full_name), definition)
    if same is not None:
        return Registered(name=name, arn=same.arn, number=same.number, new=False)
    with doing(f"registering job definition {full_name}"):
        answer = batch.register_job_definition(**definition)
    # Somebody else may have come between; and a lost answer, after which botocore asks again, looks the same.
    same = current(active(batch, full_name), definition)
    if same is None or same.number >= answer["revision"]:
        return Registered(name=name, arn=answer["jobDefinitionArn"], number=answer["revision"], new=True)
    with doing(f"deregistering {full_name}:{answer['revision']}, which {same.number} says already"):
        batch.deregister_job_definition(jobDefinition=answer["jobDefinitionArn"])
    return Registered(name=name, arn=same.arn, number=same.number, new=False)


def run(target: Target, account: Account, names: Sequence[str], say: Callable[[Registered], None]) -> None:
    """Registers the checkout's job definitions, and writes jobdefs.json: tool to revision ARN.

    Raises:
        SeveralFailedError: Some could not be registered; the others were, and are written down.
    """
    definitions = wanted(target, names)
    done, errors = register(account.batch(), definitions, say=say)
    write(target.dist / "jobdefs.json", done, templates.names(target.checkout.jobdefs))
    if errors:
        raise SeveralFailedError.of(errors)


def write(file: Path, done: Sequence[Registered], known: Sequence[str]) -> None:
    """Writes dist/jobdefs.json: these revisions, and what was written of the others in the same account and region.

    Args:
        file: The file.
        done: What Batch has.
        known: The tools of the checkout; what is not among them is left out.
    """
    if not done:
        return
    new = {one.name: one.arn for one in done}
    # arn:PARTITION:batch:REGION:ACCOUNT:job-definition/NAME:REVISION
    where = done[0].arn.partition("job-definition/")[0]
    with files.locked(file.parent):
        before = read(file)
        arns = {name: arn for name, arn in {**before, **new}.items() if name in known and arn.startswith(where)}
        files.write_json(file, arns)


def read(file: Path) -> dict[str, str]:
    """Tool to revision ARN; nothing where the file is not there or is nothing that `register` wrote."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(arn) for name, arn in data.items()} if isinstance(data, dict) else {}
