"""`verify`: compares what is active in Batch and ECR with this checkout; reads nothing of dist/."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolchain import settings
from toolchain.aws import Account
from toolchain.images import catalog
from toolchain.images.catalog import Catalog
from toolchain.images.ecr import Registry, Repository, StoredImage
from toolchain.images.fingerprint import tag
from toolchain.jobdefs import template
from toolchain.jobdefs.revisions import Revision, all_active, difference, normalised
from toolchain.jobdefs.template import Definition, ImageReference, Rendering
from toolchain.paths import Checkout


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A difference between the cloud and the checkout.

    Attributes:
        name: The tool, with the revision's number where it is about one.
        what: The difference in words.
        lines: The lines of `diff -u`, if there are any.
    """

    name: str
    what: str
    lines: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"name": self.name, "what": self.what, "difference": list(self.lines)}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The revisions that agree with the checkout, as `bwa:3`, and all differences."""

    agreeing: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class _EcrImages:
    """What ECR holds.

    Attributes:
        by_tag: Tool to the image with the tag of the checkout's content.
        digests: `repository@digest` of the images that active revisions run, as far as they exist.
    """

    by_tag: Mapping[str, StoredImage] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class _Local:
    """The checkout's side of the comparison."""

    checkout: Checkout
    images: Catalog
    settings: settings.Settings
    outputs: Mapping[str, str]

    def tag(self, tool: str) -> str:
        return tag(self.images.tools[tool], self.images)

    def definition(self, tool: str, image: str) -> Definition:
        """A tool's definition, rendered with this image."""
        images = {name: ImageReference(name=name, tag=self.tag(name), reference=image) for name in self.images.tools}
        rendering = Rendering(images=images, settings=self.settings, outputs=self.outputs)
        return template.render(self.checkout.jobdefs, rendering)[tool]


def verify(checkout: Checkout, account: Account, outputs: Mapping[str, str]) -> Verdict:
    """Compares the active job definitions of this project with the checkout, the stacks' outputs and ECR."""
    local = _Local(
        checkout=checkout,
        images=catalog.load(checkout.images),
        settings=settings.load(checkout.settings),
        outputs=outputs,
    )
    prefix = f"{local.settings.project}-"
    active = {name.removeprefix(prefix): revisions for name, revisions in all_active(account.batch(), prefix).items()}
    ecr = _stored_images(local, Registry(account), active)
    tools = template.names(checkout.jobdefs)
    agreeing: list[str] = []
    findings: list[Finding] = []
    for tool in sorted({*tools, *active}):
        revisions = active.get(tool, [])
        if tool not in tools:
            what = "is active, and this checkout has no such tool"
            findings += (Finding(name=f"{tool}:{revision.number}", what=what) for revision in revisions)
        elif not revisions:
            findings.append(Finding(name=tool, what="is not registered"))
        else:
            differences = list(_differences(tool, revisions[0], local, ecr))
            findings += differences
            if not differences:
                agreeing.append(f"{tool}:{revisions[0].number}")
            # A state machine may run an older one: it may differ from this checkout, but its image must exist.
            for revision in revisions[1:]:
                findings += _image_findings(tool, revision, ecr)
    return Verdict(agreeing=tuple(agreeing), findings=tuple(findings))


def _stored_images(local: _Local, registry: Registry, active: Mapping[str, list[Revision]]) -> _EcrImages:
    """Asks ECR, once a repository, for the checkout's tag and for every digest that is active."""
    project = local.settings.project
    tools = sorted({*local.images.tools, *active})
    repositories = registry.repositories(f"{project}/{tool}" for tool in tools)
    by_tag: dict[str, StoredImage] = {}
    digests: set[str] = set()
    for tool in tools:
        repository = repositories.get(f"{project}/{tool}")
        if repository is None:
            continue
        tags = [local.tag(tool)] if tool in local.images.tools else []
        wanted = [digest for revision in active.get(tool, []) if (digest := _digest(revision, repository))]
        if not tags and not wanted:
            continue
        images = registry.images(repository, tags=tags, digests=wanted)
        if tags and tags[0] in images:
            by_tag[tool] = images[tags[0]]
        digests |= {f"{repository.uri}@{digest}" for digest in wanted if digest in images}
    return _EcrImages(by_tag=by_tag, digests=frozenset(digests))


def _digest(revision: Revision, repository: Repository) -> str | None:
    uri, _, digest = revision.image.partition("@")
    return digest if uri == repository.uri else None


def _differences(tool: str, latest: Revision, local: _Local, ecr: _EcrImages) -> Iterator[Finding]:
    yield from _image_findings(tool, latest, ecr)
    name = f"{tool}:{latest.number}"
    local_tag = local.tag(tool)
    active_tag = latest.content.get("tags", {}).get("image-tag", "no tag")
    image = ecr.by_tag.get(tool)
    if active_tag != local_tag:
        yield Finding(name=name, what=f"runs {active_tag}, and this checkout's content is {local_tag}")
    elif image is None:
        yield Finding(name=name, what=f"says that it runs {local_tag}, and ECR has no such tag")
    elif not latest.image.endswith(f"@{image.digest}"):
        what = f"says that it runs {local_tag}, which is {image.digest}, but runs {latest.image}"
        yield Finding(name=name, what=what)
    # The rest of the definition; its image and tag were compared above.
    rendered = normalised(local.definition(tool, latest.image))
    rendered.get("tags", {})["image-tag"] = active_tag
    diff = difference(latest.content, rendered, names=(name, f"{tool} in this checkout"))
    if diff:
        yield Finding(name=name, what="says something else than this checkout", lines=tuple(diff))


def _image_findings(tool: str, revision: Revision, ecr: _EcrImages) -> Iterator[Finding]:
    if revision.image not in ecr.digests:
        yield Finding(name=f"{tool}:{revision.number}", what=f"runs {revision.image}, which is not in ECR")
