"""moto's ECR repositories, which hold what a real registry holds."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Image, Repository
from moto.ecr.responses import ECRResponse

from toolchain.localaws.ecr.registry import USER, LocalRegistry


class _PushedImage(Image):
    """An image under one tag. moto 5.2.5: an image's size is that of its configuration, without its layers."""

    def get_image_size_in_bytes(self) -> int | None:
        manifest = json.loads(self.image_manifest)
        return sum(int(part["size"]) for part in (manifest["config"], *manifest["layers"]))


@contextmanager
def use_registry(registry: LocalRegistry, host: str) -> Iterator[None]:
    """Lets moto's ECR describe a registry until the block ends.

    moto 5.2.5: images are those of PutImage alone; the authorization token is the account's number, and expired in
    2015.

    Args:
        registry: The registry.
        host: The address that repositories have: the registry's, or that of a proxy before it.
    """

    def with_pushed(stock: Callable[..., Any]) -> Callable[..., Any]:
        def operation(self: ECRBackend, repository_name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # moto's own
            if repository := self.repositories.get(repository_name):
                repository.images = []
                for tag in registry.tags(repository_name):
                    if manifest := registry.manifest(repository_name, tag):
                        text, digest = manifest
                        media_type = json.loads(text).get("mediaType")
                        image = _PushedImage(self.account_id, tag, text, repository_name, media_type, digest)
                        repository.images.append(image)
            return stock(self, repository_name, *args, **kwargs)

        return operation

    def get_authorization_token(_: ECRResponse) -> ActionResult:
        token = base64.b64encode(f"{USER}:{registry.password}".encode()).decode()
        expires = datetime.now(UTC) + timedelta(hours=12)
        data = {"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": f"http://{host}"}
        return ActionResult({"authorizationData": [data]})

    def init(self: Repository, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # moto's own
        stock_init(self, *args, **kwargs)
        self.uri = f"{host}/{self.name}"

    stock_init = Repository.__init__
    with (
        patch.object(ECRBackend, "batch_get_image", with_pushed(ECRBackend.batch_get_image)),
        patch.object(ECRBackend, "describe_images", with_pushed(ECRBackend.describe_images)),
        patch.object(ECRResponse, "get_authorization_token", get_authorization_token),
        patch.object(Repository, "__init__", init),
    ):
        yield
