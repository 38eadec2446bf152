"""The push of one image: sent until the registry has it, and checked."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.backoff import Backoff
from toolchain.console import LayerProgress, TaskProgress
from toolchain.docker.engine import PushRefusedError
from toolchain.errors import BadDataError, ToolchainError, UnavailableError
from toolchain.images.build import FINGERPRINT_LABEL, ImageBuilder
from toolchain.images.catalog import Image
from toolchain.images.ecr import Registry, Repository, StoredImage, Token, missing_repository
from toolchain.images.push_errors import PushError, classify


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


def find_pushed(registry: Registry, image: TaggedImage, checked: Mapping[str, Any] | None = None) -> PushedImage | None:
    """The image that the registry has under a tag, or None.

    Two machines that build the same content make images that differ in their time stamps and so in their digests; the
    fingerprint in the labels is the same.

    Args:
        registry: The registry.
        image: The tag, and the content that it is of.
        checked: The entry of dist/images.json whose content was checked before.

    Raises:
        BadDataError: The image under the tag was built from other content.
    """
    stored = registry.images(image.repository, tags=[image.tag]).get(image.tag)
    if stored is None:
        return None
    pushed = PushedImage(tagged=image, stored=stored, new=False)
    if pushed.as_json() == checked:
        return pushed
    label = registry.labels(image.repository, stored).get(FINGERPRINT_LABEL)
    if label != image.fingerprint:
        raise BadDataError(
            f"{image.address} holds something else",
            why=f"{stored.digest} is labelled {FINGERPRINT_LABEL}={label or 'nothing'}, and this checkout's "
            f"{image.name} is {image.fingerprint}; nothing was overwritten",
            fix=f"Find out who pushed it; then type: aws ecr batch-delete-image --repository-name "
            f"{image.repository.name} --image-ids imageTag={image.tag}; and push again.",
        )
    return pushed


class _StoppedError(Exception):
    """Another thread has ended the command."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """The push of one image.

    Attributes:
        image_id: The engine's id of the image.
        stop: Set when the command ends; the push then ends at the next event of the engine.
    """

    registry: Registry
    backoff: Backoff
    builder: ImageBuilder
    image: TaggedImage
    image_id: str
    progress: TaskProgress
    stop: threading.Event

    def run(self) -> PushedImage:
        """Pushes the image, or finds that somebody else has, and shows how it ended."""
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
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._verify(self._send(token))
            except PushRefusedError as error:
                reason = classify(str(error))
                if reason is PushError.TAG_TAKEN and (existing := find_pushed(self.registry, self.image)):
                    return existing
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

    def _send(self, token: Token) -> str:
        def report(layer: LayerProgress) -> None:
            if self.stop.is_set():
                raise _StoppedError
            self.progress.layer(self.image.name, layer)

        return self.builder.engine.push(
            self.image_id, self.image.repository.uri, self.image.tag, login=token.auth_config, report=report
        )

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
