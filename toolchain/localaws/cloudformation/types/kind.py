"""What every resource type must know: to make, change and delete one through the API of its service."""

import hashlib
import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from toolchain.localaws.cloudformation.region import Region
from toolchain.localaws.cloudformation.template import Json

_LETTERS = string.ascii_uppercase + string.digits
_RANDOM = 12


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done to one resource.

    Attributes:
        region: Where.
        stack_id: Whose it is.
        stack_name: Likewise.
        name: Its logical id.
        type_name: Its type.
        properties: Those that it shall have, or has.
    """

    region: Region
    stack_id: str
    stack_name: str
    name: str
    type_name: str
    properties: Mapping[str, Json]

    def client(self, service: str) -> Any:  # noqa: ANN401  # a client of any service
        """The client of a service."""
        return self.region.client(service)

    def get(self, name: str) -> Json:
        """A property; none if it is not given."""
        return self.properties.get(name)

    def only(self, *names: str, rename: Callable[[str], str] = str) -> dict[str, Json]:
        """Those of some properties that are given, as arguments for a call."""
        return {rename(name): self.properties[name] for name in names if name in self.properties}

    def unique(self, *, limit: int = 128) -> str:
        """A name that no other resource has, as CloudFormation makes one."""
        return self._named("".join(secrets.choice(_LETTERS) for _ in range(_RANDOM)), limit)

    def lasting(self, *, limit: int = 128) -> str:
        """The name of what outlives the server on disk: the next server gives the same, and goes on with it."""
        identity = f"{self.region.name} {self.stack_name} {self.name}"
        return self._named(hashlib.sha256(identity.encode()).hexdigest()[:_RANDOM], limit)

    def _named(self, end: str, limit: int) -> str:
        ending = f"-{self.name}-{end}"
        return f"{self.stack_name[: max(1, limit - len(ending))]}{ending}"[-limit:]

    @property
    def tags(self) -> dict[str, str]:
        """The tags, those that CloudFormation adds included."""
        given = self.properties.get("Tags") or []
        own = given if isinstance(given, dict) else {one["Key"]: one["Value"] for one in given}
        return {
            **{key: str(value) for key, value in own.items()},
            "aws:cloudformation:stack-name": self.stack_name,
            "aws:cloudformation:stack-id": self.stack_id,
            "aws:cloudformation:logical-id": self.name,
        }

    def tag_list(self, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
        """The tags, each as a pair that a service's API names so."""
        return [{key: name, value: text} for name, text in self.tags.items()]


class Kind(ABC):
    """A resource type.

    Attributes:
        type_name: As in `AWS::S3::Bucket`.
        name_property: The property that names it, for as long as a template gives one.
    """

    type_name: ClassVar[str]
    name_property: ClassVar[str | None] = None

    @abstractmethod
    def create(self, work: Work) -> str:
        """Makes one, and returns its physical id."""

    def settle(self, work: Work, physical_id: str) -> None:  # noqa: B027  # most have nothing left to do
        """Does what is left to do to one that was made: if it fails, there is something to delete."""

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        """What Fn::GetAtt gives of one, beside its properties."""
        return {}

    @abstractmethod
    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        """Changes one in place.

        Args:
            work: What it shall be.
            physical_id: Which.
            before: Its properties until now.
        """

    @abstractmethod
    def delete(self, work: Work, physical_id: str) -> None:
        """Deletes one; `work` has the properties that it has."""


class Unchanging(Kind):
    """A type of which every change means another resource."""

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        """Has nothing to change."""


def camel(value: Json) -> Json:
    """Properties with names as the JSON services spell them: `jobQueueName`."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel(one) for key, one in value.items()}
    return [camel(one) for one in value] if isinstance(value, list) else value


def document(value: Json) -> str:
    """A policy or the like as the text that an API takes."""
    import json

    return value if isinstance(value, str) else json.dumps(value)
