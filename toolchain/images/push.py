"""`push`: sends the images that the registry lacks, and writes the digests of all to dist/images.json.

A tag is made of the content, so the registry is asked before anything is built. Tags are immutable: where somebody
else has pushed one in the meantime, their image of the same content is used.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from toolchain import files, settings
from toolchain.backoff import Backoff
from toolchain.console import LayerProgress, TaskProgress, note, transfer_progress
from toolchain.docker.engine import PushRefusedError
from toolchain.errors import BadDataError, SeveralFailedError, ToolchainError, UnavailableError
from toolchain.images import build as builds
from toolchain.images import catalog
from toolchain.images.build import FINGERPRINT_LABEL, ImageBuilder
from toolchain.images.catalog import Catalog, Image
from toolchain.images.ecr import Registry, Repository, StoredImage, Token, missing_repository
from toolchain.images.fingerprint import of_content, tag
from toolchain.images.push_errors import PushError, classify
from toolchain.paths import Checkout

PARALLEL_CALLS = 4
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class TaggedImage:
    """An image, its tag and fingerprint, and the repository that it belongs in."""

    image: Image
    tag: str
    fingerprint: str
    repository: Repository

    @property
    def name(self) -> str:
        """The image's name."""
        return self.image.name

    @property
    def address(self) -> str:
        """The repository's address and the tag."""
        return f"{self.repository.uri}:{self.tag}"


@dataclass(frozen=True, kw_only=True)
class PushedImage:
    """An image that is in the registry; `new` if this command sent it."""

    tagged: TaggedImage
    stored: StoredImage
    new: bool

    @property
    def name(self) -> str:
        """The image's name."""
        return self.tagged.name

    def as_json(self) -> dict[str, Any]:
        """An entry of dist/images.json."""
        return {
            "name": self.name,
            "version": self.tagged.image.version,
            "tag": self.tagged.tag,
            "repository": self.tagged.repository.uri,
            "digest": self.stored.digest,
            "compressed_bytes": self.stored.compressed_bytes,
        }


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
        found, failed = _in_parallel(lambda image: self._find(image, written), tagged, threading.Event())
        return PushPlan(
            present=tuple(pushed for pushed in found.values() if pushed is not None),
            missing=tuple(image for image in tagged if image.name in found and found[image.name] is None),
            errors=(*errors, *failed),
        )

    def _find(self, image: TaggedImage, written: Mapping[str, Mapping[str, Any]]) -> PushedImage | None:
        stored = self.registry.images(image.repository, tags=[image.tag]).get(image.tag)
        if stored is None:
            return None
        pushed = PushedImage(tagged=image, stored=stored, new=False)
        # The content of what this checkout wrote down was checked then.
        if written.get(image.name) != pushed.as_json():
            _check_content(self.registry, image, stored)
        return pushed

    def push(self, names: tuple[str, ...]) -> tuple[PushedImage, ...]:
        """Builds and pushes what the registry lacks, and writes dist/images.json.

        Args:
            names: Of images; none for all.

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
                return _Upload(
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


class _StoppedError(Exception):
    """Another thread has ended the command."""


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """The push of one image, until the registry has it."""

    registry: Registry
    backoff: Backoff
    builder: ImageBuilder
    image: TaggedImage
    image_id: str
    progress: TaskProgress
    stop: threading.Event

    def run(self) -> PushedImage:
        name, address = self.image.name, self.image.address
        try:
            pushed = self._push()
        except ToolchainError:
            self.progress.done(name, "failed")
            raise
        self.progress.done(name, f"pushed {address}" if pushed.new else f"there already: {address}")
        return pushed

    def _push(self) -> PushedImage:
        token = self.registry.token()
        for attempt in count(1):
            try:
                return self._verify(self._send(token))
            except PushRefusedError as error:
                reason = classify(str(error))
                if reason is PushError.TAG_TAKEN:
                    return self._use_existing()
                if reason is PushError.NO_REPOSITORY:
                    raise missing_repository(self.image.repository.name) from error
                if reason is PushError.FORBIDDEN:
                    raise self._failed(error, "Ask for this permission.") from error
                if attempt == self.backoff.attempts:
                    fix = f"It was tried {attempt} times, and what was sent is kept. Type again: python build.py push."
                    raise self._failed(error, fix) from error
                if reason is PushError.LOGIN:
                    token = self.registry.renew(token)
                self.progress.retry(self.image.name, f"again after: {error}")
                if self.stop.wait(self.backoff.wait(attempt)):
                    raise _StoppedError from error
        raise AssertionError  # count() does not end

    def _send(self, token: Token) -> str:
        def report(layer: LayerProgress) -> None:
            if self.stop.is_set():
                raise _StoppedError
            self.progress.layer(self.image.name, layer)

        return self.builder.engine.push(
            self.image_id, self.image.repository.uri, self.image.tag, login=token.auth_config, report=report
        )

    def _use_existing(self) -> PushedImage:
        """The image that somebody else pushed under this tag since the plan was made."""
        image = self.image
        stored = self.registry.images(image.repository, tags=[image.tag]).get(image.tag)
        if stored is None:
            raise UnavailableError(
                f"cannot push {image.address}",
                why="the registry says that the tag is taken, and that it is not there",
                fix="Somebody deletes tags there: push again.",
            )
        _check_content(self.registry, image, stored)
        return PushedImage(tagged=image, stored=stored, new=False)

    def _verify(self, digest: str) -> PushedImage:
        image = self.image
        for failed in range(self.backoff.attempts):
            images = self.registry.images(image.repository, tags=[image.tag], digests=[digest])
            if image.tag in images and digest in images:
                break
            # The API may see a push with some delay.
            self.stop.wait(self.backoff.wait(failed + 1))
        stored = images.get(image.tag)
        if stored is None or stored.digest != digest:
            found = stored.digest if stored else "nothing"
            raise BadDataError(
                f"{image.address} is not what was pushed",
                why=f"the registry has {found} under that tag, and {digest} was pushed",
                fix="Somebody else writes to this tag: make the repository's tags immutable, and push again.",
            )
        return PushedImage(tagged=image, stored=stored, new=True)

    def _failed(self, error: Exception, fix: str) -> UnavailableError:
        return UnavailableError(f"cannot push {self.image.address}", why=str(error).rstrip("."), fix=fix)


def _check_content(registry: Registry, image: TaggedImage, stored: StoredImage) -> None:
    """Checks that a stored image was built from the content that its tag says.

    Two machines that build the same content make images that differ in their time stamps and so in their digests; the
    fingerprint in the labels is the same.

    Raises:
        BadDataError: It was not.
    """
    label = registry.labels(image.repository, stored).get(FINGERPRINT_LABEL)
    if label != image.fingerprint:
        raise BadDataError(
            f"{image.address} holds something else",
            why=f"{stored.digest} is labelled {FINGERPRINT_LABEL}={label or 'nothing'}, and this checkout's "
            f"{image.name} is {image.fingerprint}; nothing was overwritten",
            fix=f"Find out who pushed it; then type: aws ecr batch-delete-image --repository-name "
            f"{image.repository.name} --image-ids imageTag={image.tag}; and push again.",
        )


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
