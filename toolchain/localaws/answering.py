"""What the services that are not moto's have in common: how a call is refused over HTTP."""

from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from toolchain.localaws.refusing import RefusalError


class _ApiError(ServiceException):
    """An error of the API; moto looks up the service of an error by its module, and this is none of moto's."""


class Api(BaseResponse):
    """A service's API, by moto's own reading of requests and writing of answers."""

    def call_action(self) -> Any:  # noqa: ANN401  # as the parent's
        """Answers one request."""
        try:
            return super().call_action()
        except RefusalError as error:
            status, headers, body = self.serialized(ActionResult(_ApiError(error.code, error.message)))
            # As every other answer: with an id of the request.
            return status, *self._enrich_response(headers, body)
