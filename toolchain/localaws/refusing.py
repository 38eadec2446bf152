"""How a service that is not moto's refuses a call."""


class RefusalError(Exception):
    """A call that is refused.

    Attributes:
        code: The service's code.
        message: What the caller reads.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
