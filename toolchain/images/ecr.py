"""ECR: which repositories there are, what a tag holds, and the login that all pushes of a command share.

Repository addresses are the service's own (`repositoryUri`), never put together here: so they are right in
every partition, such as `….amazonaws.com.cn` in `aws-cn`.
"""

import base64
import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

# What DescribeRepositories and BatchGetImage take in one call.
MOST_NAMES = 100
# A token lives for 12 hours; one that ends sooner than this is not begun with.
MARGIN = timedelta(minutes=5)
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of the registry.

    Attributes:
        name: Its name, such as `genomics/bwa`.
        uri: Its address, as the service gives it.
        immutable: Whether a tag, once pushed, stays what it is.
    """

    name: str
    uri: str
    immutable: bool


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An image that the registry holds.

    Attributes:
        digest: Of its manifest: what job definitions name.
        config: The digest of its configuration, which is the engine's id of the image.
        compressed_bytes: What a host pulls that has none of its layers.
    """

    digest: str
    config: str
    compressed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Token:
    """A login to the registry. It is held in memory, and its text is in no representation of it.

    Attributes:
        username: Always `AWS`.
        password: The token.
        expires: When it ends.
    """

    username: str
    password: str = field(repr=False)
    expires: datetime

    @property
    def fresh(self) -> bool:
        """Whether it lasts for what is about to be done."""
        return datetime.now(UTC) + MARGIN < self.expires

    @property
    def auth_config(self) -> dict[str, str]:
        """For docker-py: sent with the one request, kept nowhere."""
        return {"username": self.username, "password": self.password}


class Registry:
    """An account's registry in a region.

    Args:
        account: Where it is.
        patience: How often the registry itself is asked; its API is asked as botocore does.
    """

    def __init__(self, account: Account, patience: Backoff | None = None) -> None:
        self._patience = patience or Backoff()
        self._ecr: ECRClient = account.ecr()
        self._token: Token | None = None
        self._lock = threading.Lock()

    # What is there.

    def repositories(self, names: Iterable[str]) -> dict[str, Repository]:
        """Looks up repositories, a hundred in a call.

        Returns:
            Name to repository, of those that exist.
        """
        wanted = sorted(set(names))
        found: dict[str, Repository] = {}
        with doing("looking for ECR repositories"):
            for start in range(0, len(wanted), MOST_NAMES):
                found |= self._describe(wanted[start : start + MOST_NAMES])
        return found

    def _describe(self, names: Sequence[str]) -> dict[str, Repository]:
        try:
            answer = self._ecr.describe_repositories(repositoryNames=list(names))
        except self._ecr.exceptions.RepositoryNotFoundException:
            # The error names one of those that are missing, and hides all that are there.
            if len(names) == 1:
                return {}
            middle = len(names) // 2
            return self._describe(names[:middle]) | self._describe(names[middle:])
        return {
            one["repositoryName"]: Repository(
                name=one["repositoryName"],
                uri=one["repositoryUri"],
                immutable=one.get("imageTagMutability", "MUTABLE").startswith("IMMUTABLE"),
            )
            for one in answer["repositories"]
        }

    def images(
        self, repository: Repository, *, tags: Iterable[str] = (), digests: Iterable[str] = ()
    ) -> dict[str, Stored]:
        """What a repository holds of these tags and digests, a hundred in a call.

        ECR has no call that looks into several repositories.

        Returns:
            Tag or digest to image, of those that are there.

        Raises:
            BadDataError: A tag holds what `push` never pushes, such as an index of several platforms.
        """
        wanted: list[ImageIdentifierTypeDef] = [{"imageTag": tag} for tag in sorted(set(tags))]
        wanted += [{"imageDigest": digest} for digest in sorted(set(digests))]
        found: dict[str, Stored] = {}
        for start in range(0, len(wanted), MOST_NAMES):
            chunk = wanted[start : start + MOST_NAMES]
            with doing(f"looking into ECR repository {repository.name}"):
                answer = self._ecr.batch_get_image(
                    repositoryName=repository.name, imageIds=chunk, acceptedMediaTypes=list(MANIFESTS)
                )
            asked = {value for one in chunk for value in (one.get("imageTag"), one.get("imageDigest")) if value}
            for image in answer["images"]:
                identifier = image["imageId"]
                stored = _stored(repository, identifier["imageDigest"], image["imageManifest"])
                for key in (identifier.get("imageTag"), identifier["imageDigest"]):
                    if key in asked:
                        found[key] = stored
        return found

    # The login.

    def token(self) -> Token:
        """The login that all share: fetched when the first needs it, and again when it is about to end."""
        with self._lock:
            if self._token is None or not self._token.fresh:
                self._token = self._fetch()
            return self._token

    def renew(self, refused: Token) -> Token:
        """Another login for one that the registry refused; one call serves all who hold the same."""
        with self._lock:
            if self._token is None or self._token is refused:
                self._token = self._fetch()
            return self._token

    def _fetch(self) -> Token:
        with doing("logging in to ECR"), _silent():
            data = self._ecr.get_authorization_token()["authorizationData"][0]
        username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        return Token(username=username, password=password, expires=data["expiresAt"])

    def labels(self, repository: Repository, image: Stored) -> Mapping[str, str]:
        """The labels of an image, from its configuration in the registry.

        Raises:
            UnavailableError: The registry does not hand it out.
        """
        where = f"{repository.uri}@{image.digest}"
        token = self.token()
        for attempt in range(1, self._patience.attempts + 1):
            try:
                config = _blob(repository, image.config, token)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = error
                status = 0
                if isinstance(error, urllib.error.HTTPError):
                    status = error.code
                    error.close()
                if status in _REFUSED and attempt == 1:
                    token = self.renew(token)
                elif HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _AGAIN:
                    break
                elif attempt < self._patience.attempts:
                    time.sleep(self._patience.wait(attempt))
            else:
                return dict((config.get("config") or {}).get("Labels") or {})
        raise UnavailableError(f"cannot read the labels of {where}", why=str(reason), fix="Try again.") from reason


def missing(name: str) -> MissingInputError:
    """The error for a repository that is not there."""
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
    # The registry answers with a signed address elsewhere, which must not see the login.
    request.add_unredirected_header("Authorization", f"Basic {basic}")
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # likewise
        data: dict[str, Any] = json.load(answer)
        return data


def _stored(repository: Repository, digest: str, text: str) -> Stored:
    manifest: dict[str, Any] = json.loads(text)
    if "config" not in manifest or "layers" not in manifest:
        raise BadDataError(
            f"{repository.uri}@{digest} is no image of one platform",
            why=f"its manifest is a {manifest.get('mediaType', 'thing of no type')}, and push makes none such",
            fix="Delete it from the repository (aws ecr batch-delete-image), and push again.",
        )
    parts = [manifest["config"], *manifest["layers"]]
    return Stored(
        digest=digest, config=manifest["config"]["digest"], compressed_bytes=sum(part["size"] for part in parts)
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps botocore from logging the answer: at level DEBUG it logs every one, and here that is the token."""

    def other_threads(record: logging.LogRecord) -> bool:
        return record.thread != threading.get_ident()

    loggers = [logging.getLogger(f"botocore.{name}") for name in ("parsers", "hooks", "endpoint")]
    for logger in loggers:
        logger.addFilter(other_threads)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(other_threads)
