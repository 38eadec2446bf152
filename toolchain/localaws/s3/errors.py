"""How S3 refuses a call."""

from moto.core.exceptions import ServiceException


class S3Error(ServiceException):
    """An error of the API: its code, its message and its HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status
