"""How S3 refuses a call."""


class S3Error(Exception):
    """A refusal, with the service's code.

    Args:
        code: The code.
        message: What the caller reads.
        status: Of the HTTP answer.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
