"""Makes moto's ECR tell the truth about a real registry.

What stock moto 5.2.5 does, and the service does not (tests hold each of these):
- its images are those of PutImage, and it knows nothing of what was pushed to the address it names;
- an image's size is that of its configuration, and the service's is that of all layers, compressed;
- its authorization token is the account's number, and expired in 2015;
- repository addresses end in `.amazonaws.com` in China too.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from unittest.mock import patch

from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Image, Repository
from moto.ecr.responses import ECRResponse


class Registry(Protocol):
    """A registry that may run."""

    @property
    def password(self) -> str:
        """Of the user AWS."""

    def tags(self, repository: str) -> list[str]:
        """A repository's tags."""

    def manifest(self, repository: str, reference: str) -> tuple[str, str] | None:
        """A manifest's text and digest, or none."""


class _RealImage(Image):
    """What the registry holds under one tag."""

    def get_image_size_in_bytes(self) -> int | None:
        manifest = json.loads(self.image_manifest)
        return sum(int(part["size"]) for part in (manifest["config"], *manifest["layers"]))


@contextmanager
def ecr_of(registry: Registry, host: str) -> Iterator[None]:
    """While it lasts, moto's ECR describes this registry.

    Args:
        registry: What it holds is what ECR has.
        host: The address that repositories get: that of the registry, or of a proxy before it.
    """

    def looked_up(backend: ECRBackend, name: str) -> None:
        repository = backend.repositories.get(name)
        if repository is None:
            return
        repository.images = []
        for tag in registry.tags(name):
            found = registry.manifest(name, tag)
            if found is not None:
                text, digest = found
                kind = json.loads(text).get("mediaType")
                repository.images.append(_RealImage(backend.account_id, tag, text, name, kind, digest))

    stock_batch, stock_describe = ECRBackend.batch_get_image, ECRBackend.describe_images

    def batch_get_image(self: ECRBackend, repository_name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        looked_up(self, repository_name)
        return stock_batch(self, repository_name, *args, **kwargs)

    def describe_images(self: ECRBackend, repository_name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        looked_up(self, repository_name)
        return stock_describe(self, repository_name, *args, **kwargs)

    def authorization(_: ECRResponse) -> ActionResult:
        token = base64.b64encode(f"AWS:{registry.password}".encode()).decode()
        expires = datetime.now(UTC) + timedelta(hours=12)
        return ActionResult(
            {
                "authorizationData": [
                    {"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": f"http://{host}"}
                ]
            }
        )

    stock_init = Repository.__init__

    def init(self: Repository, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        stock_init(self, *args, **kwargs)
        self.uri = f"{host}/{self.name}"

    with ExitStack() as stack:
        for owner, name, replacement in (
            (ECRBackend, "batch_get_image", batch_get_image),
            (ECRBackend, "describe_images", describe_images),
            (ECRResponse, "get_authorization_token", authorization),
            (Repository, "__init__", init),
        ):
            stack.enter_context(patch.object(owner, name, replacement))
        yield
