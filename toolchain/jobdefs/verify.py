"""`verify`: whether what is active in Batch is what this checkout says, and runs images that ECR still has.

Nothing of dist/ is needed: what is there is asked of AWS, and what should be there is rendered anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolchain import settings
from toolchain.aws import Account
from toolchain.images import catalog
from toolchain.images.catalog import Catalog
from toolchain.images.ecr import Registry, Repository, Stored
from toolchain.images.fingerprint import tag
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.revisions import Revision, all_active, difference, normalised
from toolchain.jobdefs.template import Definition, ImageReference, Rendering
from toolchain.paths import Checkout

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about which cloud and checkout do not agree.

    Attributes:
        name: The tool's name, with a revision's number where it is about one.
        what: What it is.
        lines: The difference, as `diff -u` prints it, where there is one.
    """

    name: str
    what: str
    lines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"name": self.name, "what": self.what, "difference": list(self.lines)}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `verify` found.

    Attributes:
        agreeing: The revisions that are as they should be, as `bwa:3`.
        findings: What is not.
    """

    agreeing: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What ECR has of the images that matter here.

    Attributes:
        by_tag: Image name to what its content's tag holds.
        digests: `repository@digest` of all that are active and there.
    """

    by_tag: Mapping[str, Stored] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """What this checkout says."""

    checkout: Checkout
    known: Catalog
    settings: settings.Settings
    outputs: Mapping[str, str]

    def definition(self, name: str, image: str) -> Definition:
        """A tool's definition as it would be rendered if its image had this address."""
        images = {
            one: ImageReference(name=one, tag=tag(self.known.tools[one], self.known), reference=image)
            for one in self.known.tools
        }
        request = Rendering(images=images, settings=self.settings, outputs=self.outputs)
        return jobdefs.render(self.checkout.jobdefs, request)[name]


def verify(checkout: Checkout, account: Account) -> Verdict:
    """Holds the active job definitions of this project against the checkout and the registry."""
    return _verify(checkout, account.batch(), Registry(account))


def _verify(checkout: Checkout, batch: "BatchClient", registry: Registry) -> Verdict:
    expected = _Expected(
        checkout=checkout,
        known=catalog.load(checkout.images),
        settings=settings.load(checkout.settings),
        outputs=rendering.outputs(checkout.dist),
    )
    prefix = f"{expected.settings.project}-"
    revisions = {name.removeprefix(prefix): ones for name, ones in all_active(batch, prefix).items()}
    held = _held(expected, registry, revisions)
    tools = jobdefs.names(checkout.jobdefs)
    agreeing: list[str] = []
    findings: list[Finding] = []
    for name in sorted({*tools, *revisions}):
        ones = revisions.get(name, [])
        if name not in tools:
            findings += (
                Finding(name=f"{name}:{one.number}", what="is active, and this checkout has no such tool")
                for one in ones
            )
            continue
        if not ones:
            findings.append(Finding(name=name, what="is not registered"))
            continue
        found = list(_faults(name, ones[0], expected, held))
        findings += found
        if not found:
            agreeing.append(f"{name}:{ones[0].number}")
        # An older one may be what a state machine runs: it need not be as this checkout says, but it must run.
        for one in ones[1:]:
            findings += _image_faults(name, one, held)
    return Verdict(agreeing=tuple(agreeing), findings=tuple(findings))


def _held(expected: _Expected, registry: Registry, revisions: Mapping[str, list[Revision]]) -> _Held:
    """Asks ECR once a repository: for the tag of this checkout's content, and for every digest that is active."""
    project = expected.settings.project
    names = {*expected.known.tools, *revisions}
    repositories = registry.repositories(f"{project}/{name}" for name in names)
    by_tag: dict[str, Stored] = {}
    digests: set[str] = set()
    for name in sorted(names):
        repository = repositories.get(f"{project}/{name}")
        if repository is None:
            continue
        image = expected.known.tools.get(name)
        tags = [tag(image, expected.known)] if image else []
        active = [_digest(one, repository) for one in revisions.get(name, [])]
        wanted = [digest for digest in active if digest]
        if not tags and not wanted:
            continue
        found = registry.images(repository, tags=tags, digests=wanted)
        if tags and tags[0] in found:
            by_tag[name] = found[tags[0]]
        digests |= {f"{repository.uri}@{digest}" for digest in wanted if digest in found}
    return _Held(by_tag=by_tag, digests=frozenset(digests))


def _digest(revision: Revision, repository: Repository) -> str | None:
    uri, _, digest = revision.image.partition("@")
    return digest if uri == repository.uri else None


def _faults(name: str, latest: Revision, expected: _Expected, held: _Held) -> Iterator[Finding]:
    yield from _image_faults(name, latest, held)
    label = f"{name}:{latest.number}"
    ours = tag(expected.known.tools[name], expected.known)
    theirs = latest.content.get("tags", {}).get("image-tag", "no tag")
    stored = held.by_tag.get(name)
    if theirs != ours:
        yield Finding(name=label, what=f"runs {theirs}, and this checkout's content is {ours}")
    elif stored is None:
        yield Finding(name=label, what=f"says that it runs {ours}, and ECR has no such tag")
    elif not latest.image.endswith(f"@{stored.digest}"):
        yield Finding(name=label, what=f"says that it runs {ours}, which is {stored.digest}, but runs {latest.image}")
    # Roles, volumes and all the rest; the image was looked at above.
    wanted = normalised(expected.definition(name, latest.image))
    wanted.get("tags", {})["image-tag"] = theirs
    lines = difference(latest.content, wanted, names=(label, f"{name} in this checkout"))
    if lines:
        yield Finding(name=label, what="says something else than this checkout", lines=tuple(lines))


def _image_faults(name: str, revision: Revision, held: _Held) -> Iterator[Finding]:
    if revision.image not in held.digests:
        yield Finding(name=f"{name}:{revision.number}", what=f"runs {revision.image}, which is not in ECR")
