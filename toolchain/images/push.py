"""`push`: every image's content is in the registry afterwards, and dist/images.json says under which digest.

A tag is its content's, so whether there is anything to do is known before anything is built: what the registry
holds under the tag is looked at first, and only what it lacks is built and sent. Repositories of immutable
tags take a tag once; whoever comes second, by a second or by a year, takes what is there.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
from toolchain.images.ecr import Registry, Repository, Stored, Token, missing
from toolchain.images.fingerprint import of_content, tag
from toolchain.images.push_errors import Kind, kind
from toolchain.paths import Checkout

SIDE_BY_SIDE = 4
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Target:
    """An image, and where it goes.

    Attributes:
        image: The image.
        tag: Its content's tag.
        fingerprint: Its content.
        repository: The repository.
    """

    image: Image
    tag: str
    fingerprint: str
    repository: Repository

    @property
    def address(self) -> str:
        """Where the tag is."""
        return f"{self.repository.uri}:{self.tag}"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image that the registry holds.

    Attributes:
        target: Which, and where.
        stored: What is there.
        new: Whether this command sent it.
    """

    target: Target
    stored: Stored
    new: bool

    def as_json(self) -> dict[str, Any]:
        """An entry of dist/images.json."""
        return {
            "name": self.target.image.name,
            "version": self.target.image.version,
            "tag": self.target.tag,
            "repository": self.target.repository.uri,
            "digest": self.stored.digest,
            "compressed_bytes": self.stored.compressed_bytes,
        }


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the registry holds of some images.

    Attributes:
        present: Those whose tag is there.
        absent: Those whose tag is not.
        errors: Why nothing can be said or done about the others.
    """

    present: tuple[Pushed, ...]
    absent: tuple[Target, ...]
    errors: tuple[ToolchainError, ...]


@dataclass(frozen=True, kw_only=True)
class Pusher:
    """What a push needs.

    Attributes:
        checkout: Whose images.
        dist: The folder of images.json.
        registry: Where to.
        builder: Connects to an engine; called only if something has to be pushed.
        patience: How often, and after which waits.
    """

    checkout: Checkout
    dist: Path
    registry: Registry
    builder: Callable[[], ImageBuilder]
    patience: Backoff = field(default_factory=Backoff)

    # What is there.

    def look(self, images: Sequence[Image], known: Catalog) -> Look:
        """Looks which tags the registry holds: one call for all repositories, then one a repository, side by side.

        Args:
            images: Which.
            known: The catalogue that they are of.
        """
        project = settings.load(self.checkout.settings).project
        repositories = self.registry.repositories(f"{project}/{image.name}" for image in images)
        errors: list[ToolchainError] = []
        targets = []
        for image in images:
            repository = repositories.get(f"{project}/{image.name}")
            if repository is None:
                errors.append(missing(f"{project}/{image.name}"))
                continue
            content = of_content(image, known)
            targets.append(Target(image=image, tag=tag(image, known), fingerprint=content, repository=repository))
        before = {entry["name"]: entry for entry in read(self.dist / "images.json")}
        found, failed = _side_by_side(lambda target: self._present(target, before), targets, threading.Event())
        return Look(
            present=tuple(pushed for pushed in found.values() if pushed is not None),
            absent=tuple(target for target in targets if found.get(target.image.name, target) is None),
            errors=(*errors, *failed),
        )

    def _present(self, target: Target, before: Mapping[str, Mapping[str, Any]]) -> Pushed | None:
        stored = self.registry.images(target.repository, tags=[target.tag]).get(target.tag)
        if stored is None:
            return None
        pushed = Pushed(target=target, stored=stored, new=False)
        # What this checkout wrote down was looked at then; anything else must say itself what it is.
        if before.get(target.image.name) != pushed.as_json():
            self._same_content(target, stored)
        return pushed

    def _same_content(self, target: Target, stored: Stored) -> None:
        """Makes sure that what is under a tag was built from the content that the tag says.

        Two machines that build the same content make images that differ in their time stamps, so digests say
        nothing; the fingerprint that every build writes into its labels does.

        Raises:
            BadDataError: It was not.
        """
        label = self.registry.labels(target.repository, stored).get(FINGERPRINT_LABEL)
        if label != target.fingerprint:
            raise BadDataError(
                f"{target.address} holds something else",
                why=f"{stored.digest} is labelled {FINGERPRINT_LABEL}={label or 'nothing'}, and this checkout's "
                f"{target.image.name} is {target.fingerprint}; nothing was overwritten",
                fix=f"Find out who pushed it; then type: aws ecr batch-delete-image --repository-name "
                f"{target.repository.name} --image-ids imageTag={target.tag}; and push again.",
            )

    # The push.

    def push(self, names: tuple[str, ...]) -> tuple[Pushed, ...]:
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
        look = self.look(images, known)
        pushed = {one.target.image.name: one for one in look.present}
        errors = [*look.errors]
        if look.absent:
            new, failed = self._push_all(look.absent)
            pushed |= new
            errors += failed
        done = tuple(pushed[image.name] for image in images if image.name in pushed)
        write(self.dist / "images.json", done, known)
        if errors:
            raise SeveralFailedError.of(errors)
        return done

    def _push_all(self, targets: Sequence[Target]) -> tuple[dict[str, Pushed], list[ToolchainError]]:
        for target in targets:
            if not target.repository.immutable:
                note(
                    f"warning: tags in {target.repository.name} can be moved. For those whose tags cannot, type: "
                    "python build.py deploy registry"
                )
        builder = self.builder()
        errors: list[ToolchainError] = []
        ids: dict[str, str] = {}
        try:
            for built in builds.build(builder, tuple(target.image for target in targets)):
                ids[built.image.name] = built.image_id
        except ToolchainError as error:
            # The others were finished.
            errors += error.errors if isinstance(error, SeveralFailedError) else (error,)
            ids = {target.image.name: found for target in targets if (found := builder.built(target.image))}
        ready = [target for target in targets if target.image.name in ids]
        stop = threading.Event()
        with transfer_progress(tuple(target.image.name for target in ready)) as shown:
            sent, failed = _side_by_side(
                lambda target: self._push_one(_Work(builder, target, ids[target.image.name], shown, stop)), ready, stop
            )
        return sent, [*errors, *failed]

    def _push_one(self, work: "_Work") -> Pushed:
        try:
            pushed = self._push_and_verify(work)
        except ToolchainError:
            work.shown.done(work.target.image.name, "failed")
            raise
        work.shown.done(work.target.image.name, f"{'pushed' if pushed.new else 'there already:'} {work.target.address}")
        return pushed

    def _push_and_verify(self, work: "_Work") -> Pushed:
        token = self.registry.token()
        attempt = 1
        while True:
            try:
                digest = self._send(work, token)
            except PushRefusedError as error:
                reason = kind(str(error))
                if reason is Kind.TAKEN:
                    return self._take(work.target)
                if reason is Kind.NO_REPOSITORY:
                    raise missing(work.target.repository.name) from error
                if reason is Kind.FORBIDDEN:
                    raise _failed(work.target, error, "Ask for this permission") from error
                if attempt == self.patience.attempts:
                    raise _failed(
                        work.target,
                        error,
                        f"It was tried {attempt} times, and what was sent is kept. Type again: python build.py push",
                    ) from error
                if reason is Kind.LOGIN:
                    token = self.registry.renew(token)
                work.shown.retry(work.target.image.name, f"again after: {error}")
                if work.stop.wait(self.patience.wait(attempt)):
                    raise _StoppedError from error
                attempt += 1
            else:
                return self._verify(work, digest)

    def _send(self, work: "_Work", token: Token) -> str:
        def report(layer: LayerProgress) -> None:
            if work.stop.is_set():
                raise _StoppedError
            work.shown.layer(work.target.image.name, layer)

        return work.builder.engine.push(
            work.image_id, work.target.repository.uri, work.target.tag, login=token.auth_config, report=report
        )

    def _take(self, target: Target) -> Pushed:
        """Somebody else pushed this tag since it was looked for: it is as good as if it had been there then."""
        stored = self.registry.images(target.repository, tags=[target.tag]).get(target.tag)
        if stored is None:
            raise UnavailableError(
                f"cannot push {target.address}",
                why="the registry says that the tag is taken, and that it is not there",
                fix="Somebody deletes tags there: push again.",
            )
        self._same_content(target, stored)
        return Pushed(target=target, stored=stored, new=False)

    def _verify(self, work: "_Work", digest: str) -> Pushed:
        target = work.target
        for failed in range(self.patience.attempts):
            found = self.registry.images(target.repository, tags=[target.tag], digests=[digest])
            if target.tag in found and digest in found:
                break
            # The API may take a moment to see what the registry took.
            work.stop.wait(self.patience.wait(failed + 1))
        held = found.get(target.tag)
        if held is None or held.digest != digest:
            raise BadDataError(
                f"{target.address} is not what was pushed",
                why=f"the registry has {held.digest if held else 'nothing'} under that tag, and {digest} was pushed",
                fix="Somebody else writes to this tag: make the repository's tags immutable, and push again.",
            )
        return Pushed(target=target, stored=held, new=True)


class _StoppedError(Exception):
    """Another thread has ended the command."""


@dataclass(frozen=True)
class _Work:
    builder: ImageBuilder
    target: Target
    image_id: str
    shown: TaskProgress
    stop: threading.Event


def _failed(target: Target, error: Exception, fix: str) -> UnavailableError:
    return UnavailableError(f"cannot push {target.address}", why=str(error).rstrip("."), fix=f"{fix}.")


def _side_by_side(
    work: Callable[[Target], Result], targets: Iterable[Target], stop: threading.Event
) -> tuple[dict[str, Result], list[ToolchainError]]:
    done: dict[str, Result] = {}
    errors = []
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        futures = {target.image.name: pool.submit(work, target) for target in targets}
        try:
            for name, future in futures.items():
                try:
                    done[name] = future.result()
                except ToolchainError as error:
                    errors.append(error)
        except BaseException:
            # Ctrl-C, or a fault of ours. The pool waits for its threads: they end at the next thing the engine says.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done, errors


def read(file: Path) -> list[dict[str, Any]]:
    """The entries of dist/images.json; none where it is not there or is nothing that `push` wrote."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["images"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str)]


def write(file: Path, pushed: Sequence[Pushed], known: Catalog) -> None:
    """Writes dist/images.json: these images, and what was written of the others in the same registry.

    Args:
        file: The file.
        pushed: What the registry holds.
        known: The images of the checkout; what is not among them is left out.
    """
    if not pushed:
        return
    new = {one.target.image.name: one.as_json() for one in pushed}
    registry = pushed[0].target.repository.uri.partition("/")[0]
    with files.locked(file.parent):
        before = {entry["name"]: entry for entry in read(file)}
        entries = {
            name: entry
            for name, entry in {**before, **new}.items()
            if name in known.tools and str(entry.get("repository", "")).startswith(f"{registry}/")
        }
        files.write_json(file, {"images": [entries[name] for name in sorted(entries)]})
