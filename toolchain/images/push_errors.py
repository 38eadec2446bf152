"""Why a push did not go through, read from what the engine says: it has words, and no codes.

The words are the engine's (github.com/moby/moby, distribution/) around the registry's error codes
(https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes) and ECR's messages.
"""

from enum import Enum, auto


class Kind(Enum):
    """What to do about a refusal."""

    PASSING = auto()
    """Throttling, 5xx, a dropped connection, and whatever else is not known to stay: try again."""
    LOGIN = auto()
    """The token has ended, or was not taken: log in anew, and try again."""
    TAKEN = auto()
    """The tag is there by now, and cannot be moved: look what it holds."""
    NO_REPOSITORY = auto()
    """There is no such repository."""
    FORBIDDEN = auto()
    """This user may not push."""


# The first that is found decides. ECR's "denied: Your authorization token has expired" is a matter of login,
# its "denied: User: … is not authorized to perform: ecr:…" is not.
_SIGNS = (
    (Kind.TAKEN, ("cannot be overwritten", "tag is immutable", "repository is immutable")),
    (Kind.LOGIN, ("token has expired", "no basic auth credentials", "authentication required", "unauthorized:")),
    (Kind.NO_REPOSITORY, ("name unknown", "does not exist in the registry")),
    (Kind.FORBIDDEN, ("is not authorized to perform", "denied:", "unsupported:")),
)


def kind(text: str) -> Kind:
    """Classifies what the engine said.

    Args:
        text: The error in its stream.
    """
    lowered = text.lower()
    for sort, signs in _SIGNS:
        if any(sign in lowered for sign in signs):
            return sort
    return Kind.PASSING
