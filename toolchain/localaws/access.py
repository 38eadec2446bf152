"""Where the embedded AWS answers, and the keys that open it."""

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ADDRESS: Final = "127.0.0.1"
# What the export's key opens: the service's signing name, and the operations as X-Amz-Target names them.
EXPORT_SERVICE: Final = "fsx"
EXPORT_TARGETS: Final = frozenset(
    f"AWSSimbaAPIService_v20180301.{operation}"
    for operation in ("CreateDataRepositoryTask", "DescribeDataRepositoryTasks")
)


@dataclass(frozen=True, kw_only=True)
class Key:
    """An access key pair."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> "Key":
        """A random one."""
        return cls(id="LOCAL" + base64.b32encode(secrets.token_bytes(10)).decode(), secret=secrets.token_urlsafe(30))


@dataclass(frozen=True, kw_only=True)
class Access:
    """The address of a running embedded AWS, and its keys.

    Attributes:
        endpoint: The address, as AWS_ENDPOINT_URL takes it.
        owner: Opens everything.
        export: Opens the two operations of an export, for the job that exports.
    """

    endpoint: str
    owner: Key = field(default_factory=Key.new)
    export: Key = field(default_factory=Key.new)

    def client(self, service: str, region: str, **config: Any) -> Any:  # noqa: ANN401  # a client of any service
        """A client with the owner's key.

        Args:
            service: The service, as boto3 names it.
            region: Where.
            **config: Arguments of botocore's Config.
        """
        import boto3
        from botocore.config import Config

        session: Any = boto3.Session(
            aws_access_key_id=self.owner.id, aws_secret_access_key=self.owner.secret, region_name=region
        )
        return session.client(service, endpoint_url=self.endpoint, config=Config(proxies={}, **config))


def environment(endpoint: str, region: str, key: Key) -> Mapping[str, str]:
    """What a client needs to find an embedded AWS, and to read nothing of the user's own."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ADDRESS,
        "no_proxy": ADDRESS,
    }
