"""Where an embedded AWS answers, the keys that open it, and the environment that leads clients to it."""

import base64
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any, Final

import boto3
from botocore.config import Config

ADDRESS: Final = "127.0.0.1"
_SESSIONS: Final = Lock()


@dataclass(frozen=True, kw_only=True)
class Key:
    """An access key pair."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> "Key":
        """A random key."""
        return cls(id="LOCAL" + base64.b32encode(secrets.token_bytes(10)).decode(), secret=secrets.token_urlsafe(30))


@dataclass(frozen=True, kw_only=True)
class Access:
    """The address of an embedded AWS, the key that opens everything, and the one of the job that exports."""

    endpoint: str
    owner: Key = field(default_factory=Key.new)
    export: Key = field(default_factory=Key.new)

    def client(self, service: str, region: str, **config: Any) -> Any:  # noqa: ANN401  # a client of any service
        """A boto3 client with the owner's key; `config` is for botocore's Config."""
        # A session makes one client at a time.
        with _SESSIONS:
            session = _session(self.owner, region)
            return session.client(service, endpoint_url=self.endpoint, config=Config(proxies={}, **config))


@cache
def _session(key: Key, region: str) -> Any:  # noqa: ANN401  # boto3's
    """One session for all clients: each would read the list of all endpoints again."""
    return boto3.Session(aws_access_key_id=key.id, aws_secret_access_key=key.secret, region_name=region)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running embedded AWS: its endpoint, the region that its clients use, and the owner's key."""

    endpoint: str
    region: str
    key: Key

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads a client to this AWS, and keeps it from the user's own files and credentials."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key.id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": ADDRESS,
            "no_proxy": ADDRESS,
        }


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process while the block lasts."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
