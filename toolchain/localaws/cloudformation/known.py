"""What Ref and Fn::GetAtt give while a stack is worked on, and while a change set looks ahead."""

from dataclasses import dataclass, field

from toolchain.localaws.cloudformation.errors import RefusalError
from toolchain.localaws.cloudformation.intrinsics import UnknownYetError
from toolchain.localaws.cloudformation.stack import Resource, Stack
from toolchain.localaws.cloudformation.template import Json


def _attribute(resource: Resource, attribute: str) -> Json:
    if attribute in resource.attributes:
        return resource.attributes[attribute]
    found: Json = resource.properties
    for word in attribute.split("."):
        if not isinstance(found, dict) or word not in found:
            raise RefusalError(
                f"Template error: resource {resource.name} does not support attribute type {attribute} in Fn::GetAtt"
            )
        found = found[word]
    return found


@dataclass(frozen=True, kw_only=True)
class Live:
    """What the stack has now."""

    stack: Stack

    def ref(self, name: str) -> str:
        """The physical id."""
        if name not in self.stack.resources:
            raise UnknownYetError(name)
        return self.stack.resources[name].physical_id

    def attribute(self, name: str, attribute: str) -> Json:
        """An attribute."""
        if name not in self.stack.resources:
            raise UnknownYetError(name)
        return _attribute(self.stack.resources[name], attribute)


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What the stack will have, as far as that is known: a change may change a resource's attributes too.

    Attributes:
        replaced: Resources that will be others.
        changed: Resources that will be changed.
    """

    stack: Stack
    replaced: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def ref(self, name: str) -> str:
        """The physical id."""
        if name not in self.stack.resources or name in self.replaced:
            raise UnknownYetError(name)
        return self.stack.resources[name].physical_id

    def attribute(self, name: str, attribute: str) -> Json:
        """An attribute."""
        if name not in self.stack.resources or name in self.replaced | self.changed:
            raise UnknownYetError(name)
        return _attribute(self.stack.resources[name], attribute)
