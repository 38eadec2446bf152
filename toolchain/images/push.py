"""`push`: sends the images that the registry lacks, and writes the digests of all to dist/images.json.

A tag is made of the content, so the registry is asked before anything is built. Tags are immutable: where somebody
else has pushed one in the meantime, their image of the same content is used.
"""

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from toolchain import files, settings
from toolchain.aws import Account
from toolchain.backoff import Backoff
from toolchain.console import note, transfer_progress
from toolchain.errors import SeveralFailedError, ToolchainError
from toolchain.images import build as builds
from toolchain.images import catalog
from toolchain.images.build import ImageBuilder
from toolchain.images.catalog import Catalog, Image
from toolchain.images.ecr import Registry, missing_repository
from toolchain.images.fingerprint import of_content, tag
from toolchain.images.upload import PushedImage, TaggedImage, Upload, find_pushed
from toolchain.paths import Checkout

PARALLEL_CALLS = 4
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """The images that the registry has, those that it lacks, and why nothing is known of the others."""

    present: tuple[PushedImage, ...]
    missing: tuple[TaggedImage, ...]
    errors: tuple[ToolchainError, ...]


@dataclass(frozen=True, kw_only=True)
class Pusher:
    """What a push needs.

    Attributes:
        checkout: Whose images.
        dist: The folder of images.json.
        registry: Where to.
        builder: Connects to an engine; called only if something has to be pushed.
        backoff: Of each image's push.
    """

    checkout: Checkout
    dist: Path
    registry: Registry
    builder: Callable[[], ImageBuilder]
    backoff: Backoff = field(default_factory=Backoff)

    @classmethod
    def of(cls, checkout: Checkout, dist: Path, account: Account) -> "Pusher":
        """One that pushes to an account's ECR what this machine's engine builds."""
        return cls(
            checkout=checkout, dist=dist, registry=Registry(account), builder=lambda: ImageBuilder.open(checkout)
        )

    def plan(self, images: Sequence[Image], catalog: Catalog) -> PushPlan:
        """Asks the registry for the tags of images: one call for all repositories, then one for each, in parallel."""
        project = settings.load(self.checkout.settings).project
        repositories = self.registry.repositories(f"{project}/{image.name}" for image in images)
        errors: list[ToolchainError] = []
        tagged = []
        for image in images:
            repository = repositories.get(f"{project}/{image.name}")
            if repository is None:
                errors.append(missing_repository(f"{project}/{image.name}"))
            else:
                fingerprint = of_content(image, catalog)
                tagged.append(
                    TaggedImage(image=image, tag=tag(image, catalog), fingerprint=fingerprint, repository=repository)
                )
        written = {entry["name"]: entry for entry in read(self.dist / "images.json")}
        found, failed = _in_parallel(
            lambda image: find_pushed(self.registry, image, written.get(image.name)), tagged, threading.Event()
        )
        return PushPlan(
            present=tuple(pushed for pushed in found.values() if pushed is not None),
            missing=tuple(image for image in tagged if image.name in found and found[image.name] is None),
            errors=(*errors, *failed),
        )

    def push(self, names: tuple[str, ...]) -> tuple[PushedImage, ...]:
        """Builds and pushes the images that the registry lacks of these names, or of all, and writes dist/images.json.

        Returns:
            All these images, in the catalogue's order.

        Raises:
            SeveralFailedError: Some could not be pushed; the others were, and are written down.
        """
        known = catalog.load(self.checkout.images)
        images = known.choose(names)
        plan = self.plan(images, known)
        pushed = {image.name: image for image in plan.present}
        errors = [*plan.errors]
        if plan.missing:
            sent, failed = self._build_and_send(plan.missing)
            pushed |= sent
            errors += failed
        done = tuple(pushed[image.name] for image in images if image.name in pushed)
        write(self.dist / "images.json", done, known)
        if errors:
            raise SeveralFailedError(errors)
        return done

    def _build_and_send(self, images: Sequence[TaggedImage]) -> tuple[dict[str, PushedImage], list[ToolchainError]]:
        for image in images:
            if not image.repository.immutable:
                note(
                    f"warning: tags in {image.repository.name} can be moved. For those whose tags cannot, type: "
                    "python build.py deploy registry"
                )
        builder = self.builder()
        errors: list[ToolchainError] = []
        try:
            builds.build(builder, tuple(image.image for image in images))
        except ToolchainError as error:  # the others were finished
            errors += error.errors if isinstance(error, SeveralFailedError) else (error,)
        ids = {image.name: image_id for image in images if (image_id := builder.built(image.image))}
        ready = [image for image in images if image.name in ids]
        stop = threading.Event()
        with transfer_progress([image.name for image in ready]) as progress:

            def send(image: TaggedImage) -> PushedImage:
                return Upload(
                    registry=self.registry,
                    backoff=self.backoff,
                    builder=builder,
                    image=image,
                    image_id=ids[image.name],
                    progress=progress,
                    stop=stop,
                ).run()

            sent, failed = _in_parallel(send, ready, stop)
        return sent, [*errors, *failed]


def _in_parallel(
    work: Callable[[TaggedImage], _Result], images: Iterable[TaggedImage], stop: threading.Event
) -> tuple[dict[str, _Result], list[ToolchainError]]:
    """Does some work for each image; gives the results by the image's name, and the errors of the others."""
    results: dict[str, _Result] = {}
    errors = []
    with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
        futures = {image.name: pool.submit(work, image) for image in images}
        try:
            for name, future in futures.items():
                try:
                    results[name] = future.result()
                except ToolchainError as error:
                    errors.append(error)
        except BaseException:
            # Ctrl-C, or a bug. The pool waits for its threads, which end at the next event of the engine.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results, errors


def read(file: Path) -> list[dict[str, Any]]:
    """The entries of dist/images.json; none if there is no such file, or `push` did not write it."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["images"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str)]


def write(file: Path, pushed: Sequence[PushedImage], catalog: Catalog) -> None:
    """Writes dist/images.json: these images, and the entries of the catalogue's others in the same registry."""
    if not pushed:
        return
    registry = pushed[0].tagged.repository.uri.partition("/")[0]
    with files.locked(file.parent):
        entries = {entry["name"]: entry for entry in read(file)} | {image.name: image.as_json() for image in pushed}
        kept = [
            entries[name]
            for name in sorted(entries)
            if name in catalog.tools and str(entries[name].get("repository", "")).startswith(f"{registry}/")
        ]
        files.write_json(file, {"images": kept})
