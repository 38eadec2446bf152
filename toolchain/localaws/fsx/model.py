"""File systems, their links to S3, and the tasks on them, as the service keeps them."""

import re
import secrets
import string
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from toolchain.localaws.refusing import RefusalError

Json = Any
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def bad(message: str) -> RefusalError:
    """What the service says of most mistakes."""
    return RefusalError("BadRequest", message)


def identifier(prefix: str) -> str:
    """A new id, as in `fs-0123456789abcdef0`."""
    return f"{prefix}-0{secrets.token_hex(8)}"


def mount_name(deployment: str) -> str:
    """A new file system's mount name: `fsx` on SCRATCH_1 only."""
    if deployment == "SCRATCH_1":
        return "fsx"
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in S3.

    Attributes:
        bucket: The bucket.
        prefix: The keys' beginning, without slashes at its ends.
    """

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Reads `s3://bucket/prefix`.

        Raises:
            RefusalError: It is none.
        """
        if not text.startswith("s3://") or not text.removeprefix("s3://").split("/", 1)[0]:
            raise bad(f"The data repository path {text} is not valid: it must be s3://bucket/prefix.")
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket) or any(part in {".", ".."} for part in prefix.split("/")):
            raise bad(f"The data repository path {text} is not valid.")
        return cls(bucket=bucket, prefix=prefix.strip("/"))

    def key(self, relative: PurePosixPath) -> str:
        """The key of something beneath it."""
        return str(PurePosixPath(self.prefix) / relative) if self.prefix else str(relative)

    def holds(self, other: "Place") -> bool:
        """Whether another place is this one or beneath it."""
        return self.bucket == other.bucket and f"{other.prefix}/".startswith(f"{self.prefix}/" if self.prefix else "")


@dataclass(kw_only=True)
class FileSystem:
    """A file system.

    Attributes:
        given: What it was made with.
    """

    id: str
    arn: str
    dns: str
    mount: str
    given: dict[str, Json]
    tags: dict[str, str]
    vpc: str | None
    created: datetime = field(default_factory=now)

    @property
    def lustre(self) -> dict[str, Json]:
        """Its Lustre configuration."""
        configuration: dict[str, Json] = self.given.get("LustreConfiguration") or {}
        return configuration

    @property
    def deployment(self) -> str:
        """Its deployment type, which is SCRATCH_1 unless it is told."""
        return str(self.lustre.get("DeploymentType", "SCRATCH_1"))


@dataclass(kw_only=True)
class Association:
    """A link between a directory and a place in S3."""

    id: str
    arn: str
    file_system: str
    path: PurePosixPath
    place: Place
    given: dict[str, Json]
    tags: dict[str, str]
    created: datetime = field(default_factory=now)

    @property
    def events(self) -> frozenset[str]:
        """The events in S3 that the directory follows."""
        return frozenset(((self.given.get("S3") or {}).get("AutoImportPolicy") or {}).get("Events") or ())


Lifecycle = Literal["PENDING", "EXECUTING", "CANCELING", "SUCCEEDED", "FAILED", "CANCELED"]
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


@dataclass(kw_only=True)
class Task:
    """A data repository task."""

    id: str
    arn: str
    file_system: str
    kind: str
    paths: tuple[str, ...]
    report: Mapping[str, Json]
    tags: dict[str, str]
    lifecycle: Lifecycle = "PENDING"
    created: datetime = field(default_factory=now)
    started: datetime | None = None
    ended: datetime | None = None
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    failure: str | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
