"""How CloudFormation refuses: at once, as an error of the API, or later, as the reason of an event."""

from toolchain.localaws import refusing


class RefusalError(refusing.RefusalError):
    """A call that is refused, with the service's code and message.

    Args:
        message: What the caller reads.
        code: The service's code.
    """

    def __init__(self, message: str, *, code: str = "ValidationError") -> None:
        super().__init__(code, message)


class ResourceFailedError(Exception):
    """A resource cannot be made, changed or deleted; the text is the reason of its event."""
