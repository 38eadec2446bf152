"""Why a push was refused, from the engine's words, which come without codes.

They are the engine's own (github.com/moby/moby, distribution/), with the registry's error codes
(https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes) and ECR's messages in them.
"""

from enum import Enum, auto


class PushError(Enum):
    """A kind of refusal."""

    TEMPORARY = auto()
    """Throttling, 5xx, a dropped connection, and anything unknown: retrying may succeed."""
    LOGIN = auto()
    """The token has expired, or was not accepted: log in again, and retry."""
    TAG_TAKEN = auto()
    """The tag exists by now, and is immutable."""
    NO_REPOSITORY = auto()
    """The repository does not exist."""
    FORBIDDEN = auto()
    """This user may not push."""


# The first match decides. ECR's "denied: Your authorization token has expired" is about the login, its
# "denied: User: … is not authorized to perform: ecr:…" is not.
_SIGNS = (
    (PushError.TAG_TAKEN, ("cannot be overwritten", "tag is immutable", "repository is immutable")),
    (PushError.LOGIN, ("token has expired", "no basic auth credentials", "authentication required", "unauthorized:")),
    (PushError.NO_REPOSITORY, ("name unknown", "does not exist in the registry")),
    (PushError.FORBIDDEN, ("is not authorized to perform", "denied:", "unsupported:")),
)


def classify(text: str) -> PushError:
    """The kind of an error in the engine's stream."""
    lowered = text.lower()
    return next((kind for kind, signs in _SIGNS if any(sign in lowered for sign in signs)), PushError.TEMPORARY)
