"""ECR: its repositories, the images in them, and the login that all pushes of a command share.

Addresses of repositories are the service's own (`repositoryUri`), so that they are right in every partition, such as
`….amazonaws.com.cn` in `aws-cn`.
"""

import base64
import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from toolchain.aws import Account, doing
from toolchain.backoff import Backoff
from toolchain.errors import BadDataError, MissingInputError, UnavailableError

if TYPE_CHECKING:
    from types_boto3_ecr import ECRClient
    from types_boto3_ecr.type_defs import ImageIdentifierTypeDef

# Of DescribeRepositories and BatchGetImage, in one call.
MOST_NAMES = 100
# A token lives for 12 hours; one that ends sooner than this is replaced before it is used.
MARGIN = timedelta(minutes=5)
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TEMPORARY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def _is_without_token(record: logging.LogRecord) -> bool:
    return "authorizationToken" not in record.getMessage()


# At level DEBUG botocore logs every answer, and so the tokens.
for _name in ("parsers", "hooks", "endpoint"):
    logging.getLogger(f"botocore.{_name}").addFilter(_is_without_token)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository: its name, such as `genomics/bwa`, its address, and whether its tags are immutable."""

    name: str
    uri: str
    immutable: bool


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """An image in the registry.

    Attributes:
        digest: Of the manifest, as job definitions name it.
        config: The digest of the configuration, which is the engine's id of the image.
        compressed_bytes: What a host pulls that has none of the layers.
    """

    digest: str
    config: str
    compressed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Token:
    """A login to the registry, kept in memory only."""

    username: str
    password: str = field(repr=False)
    expires: datetime

    @property
    def is_fresh(self) -> bool:
        """Whether it lasts long enough to start something."""
        return datetime.now(UTC) + MARGIN < self.expires

    @property
    def auth_config(self) -> dict[str, str]:
        """For docker-py, which sends it with the one request."""
        return {"username": self.username, "password": self.password}


class Registry:
    """An account's registry in a region.

    Args:
        account: The account.
        backoff: For requests to the registry itself; botocore retries those to its API.
    """

    def __init__(self, account: Account, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._ecr: ECRClient = account.ecr()
        self._token: Token | None = None
        self._lock = threading.Lock()

    def repositories(self, names: Iterable[str]) -> dict[str, Repository]:
        """The repositories of these names that exist, by name."""
        wanted = sorted(set(names))
        repositories: dict[str, Repository] = {}
        with doing("looking for ECR repositories"):
            for start in range(0, len(wanted), MOST_NAMES):
                repositories |= self._describe(wanted[start : start + MOST_NAMES])
        return repositories

    def _describe(self, names: Sequence[str]) -> dict[str, Repository]:
        try:
            answer = self._ecr.describe_repositories(repositoryNames=list(names))
        except self._ecr.exceptions.RepositoryNotFoundException:
            # The error names one of the missing, and hides all that exist.
            if len(names) == 1:
                return {}
            middle = len(names) // 2
            return self._describe(names[:middle]) | self._describe(names[middle:])
        return {
            repository["repositoryName"]: Repository(
                name=repository["repositoryName"],
                uri=repository["repositoryUri"],
                immutable=repository.get("imageTagMutability", "MUTABLE").startswith("IMMUTABLE"),
            )
            for repository in answer["repositories"]
        }

    def images(
        self, repository: Repository, *, tags: Iterable[str] = (), digests: Iterable[str] = ()
    ) -> dict[str, StoredImage]:
        """The images of a repository that have these tags and digests, by tag or digest.

        Raises:
            BadDataError: A tag is of something that `push` never pushes, such as an index of several platforms.
        """
        wanted: list[ImageIdentifierTypeDef] = [{"imageTag": tag} for tag in sorted(set(tags))]
        wanted += [{"imageDigest": digest} for digest in sorted(set(digests))]
        names = {name for identifier in wanted for name in identifier.values()}
        images: dict[str, StoredImage] = {}
        for start in range(0, len(wanted), MOST_NAMES):
            with doing(f"looking into ECR repository {repository.name}"):
                answer = self._ecr.batch_get_image(
                    repositoryName=repository.name,
                    imageIds=wanted[start : start + MOST_NAMES],
                    acceptedMediaTypes=list(MANIFESTS),
                )
            for image in answer["images"]:
                identifier = image["imageId"]
                stored = _stored_image(repository, identifier["imageDigest"], image["imageManifest"])
                images |= {str(name): stored for name in identifier.values() if name in names}
        return images

    def token(self) -> Token:
        """The shared login: fetched when it is first needed, and again when it is about to expire."""
        with self._lock:
            if self._token is None or not self._token.is_fresh:
                self._token = self._fetch_token()
            return self._token

    def renew(self, refused: Token) -> Token:
        """Another login for one that the registry refused; one call serves all threads that have the same."""
        with self._lock:
            if self._token is None or self._token is refused:
                self._token = self._fetch_token()
            return self._token

    def _fetch_token(self) -> Token:
        with doing("logging in to ECR"):
            data = self._ecr.get_authorization_token()["authorizationData"][0]
        username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        return Token(username=username, password=password, expires=data["expiresAt"])

    def labels(self, repository: Repository, image: StoredImage) -> Mapping[str, str]:
        """The labels of an image, from its configuration in the registry.

        Raises:
            UnavailableError: The registry does not hand it out.
        """
        token = self.token()
        for attempt in range(1, self._backoff.attempts + 1):
            try:
                config = _blob(repository, image.config, token)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason, status = error, 0
                if isinstance(error, urllib.error.HTTPError):
                    status = error.code
                    error.close()
                if status in _REFUSED and attempt == 1:
                    token = self.renew(token)
                elif HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TEMPORARY:
                    break
                elif attempt < self._backoff.attempts:
                    time.sleep(self._backoff.wait(attempt))
            else:
                return dict((config.get("config") or {}).get("Labels") or {})
        what = f"cannot read the labels of {repository.uri}@{image.digest}"
        raise UnavailableError(what, why=str(reason), fix="Try again.") from reason


def missing_repository(name: str) -> MissingInputError:
    """The error for a repository that does not exist."""
    return MissingInputError(
        f"no ECR repository '{name}'",
        why="this account has none of that name in this region",
        fix="Type: python build.py deploy registry",
    )


def _blob(repository: Repository, digest: str, token: Token) -> dict[str, Any]:
    """A JSON document from a repository."""
    host, _, name = repository.uri.partition("/")
    scheme = "http" if host.rpartition(":")[0] in _LOOPBACK else "https"
    request = urllib.request.Request(f"{scheme}://{host}/v2/{name}/blobs/{digest}")  # noqa: S310  # as built
    basic = base64.b64encode(f"{token.username}:{token.password}".encode()).decode()
    # The registry redirects to a signed address elsewhere, which must not see the login.
    request.add_unredirected_header("Authorization", f"Basic {basic}")
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # likewise
        data: dict[str, Any] = json.load(answer)
        return data


def _stored_image(repository: Repository, digest: str, text: str) -> StoredImage:
    manifest: dict[str, Any] = json.loads(text)
    if "config" not in manifest or "layers" not in manifest:
        raise BadDataError(
            f"{repository.uri}@{digest} is no image of one platform",
            why=f"its manifest is a {manifest.get('mediaType', 'thing of no type')}, and push makes none such",
            fix="Delete it from the repository (aws ecr batch-delete-image), and push again.",
        )
    parts = [manifest["config"], *manifest["layers"]]
    return StoredImage(
        digest=digest, config=manifest["config"]["digest"], compressed_bytes=sum(part["size"] for part in parts)
    )
