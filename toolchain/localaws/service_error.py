"""Errors in the words and the format of the service that was called, before any service has seen the call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import uuid4
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

_FORBIDDEN: Final = 403
Protocol = Literal["s3", "ec2", "query", "json"]
# Services that speak JSON and name the operation by the path.
_REST_JSON: Final = frozenset({"batch"})
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An error that every service knows, and its code in each protocol."""

    s3: str
    query: str
    json: str
    status: int = _FORBIDDEN

    def code(self, protocol: Protocol) -> str:
        """Its code."""
        return {"s3": self.s3, "json": self.json}.get(protocol, self.query)


UNSIGNED: Final = Kind(
    s3="AccessDenied", query="MissingAuthenticationToken", json="MissingAuthenticationTokenException"
)
MALFORMED: Final = Kind(
    s3="AuthorizationHeaderMalformed", query="IncompleteSignature", json="IncompleteSignatureException"
)
UNKNOWN_KEY: Final = Kind(s3="InvalidAccessKeyId", query="InvalidClientTokenId", json="UnrecognizedClientException")
WRONG_SIGNATURE: Final = Kind(
    s3="SignatureDoesNotMatch", query="SignatureDoesNotMatch", json="InvalidSignatureException"
)
WRONG_TIME: Final = Kind(s3="RequestTimeTooSkewed", query="RequestExpired", json="InvalidSignatureException")
DENIED: Final = Kind(s3="AccessDenied", query="AccessDenied", json="AccessDeniedException")
INVALID: Final = Kind(s3="InvalidRequest", query="ValidationError", json="ValidationException", status=400)
NO_JSON: Final = Kind(s3="InvalidRequest", query="MalformedInput", json="SerializationException", status=400)
NO_LENGTH: Final = Kind(s3="MissingContentLength", query="ValidationError", json="ValidationException", status=411)
CUT_OFF: Final = Kind(s3="IncompleteBody", query="ValidationError", json="ValidationException", status=400)
TOO_LARGE: Final = Kind(
    s3="EntityTooLarge", query="RequestEntityTooLarge", json="RequestEntityTooLargeException", status=413
)
WRONG_DIGEST: Final = Kind(
    s3="XAmzContentSHA256Mismatch", query="SignatureDoesNotMatch", json="InvalidSignatureException", status=400
)
UNKNOWN_OPERATION: Final = Kind(
    s3="MethodNotAllowed", query="InvalidAction", json="UnknownOperationException", status=400
)
INTERNAL: Final = Kind(s3="InternalError", query="InternalFailure", json="InternalFailure", status=500)


class ServiceError(Exception):
    """A call that is refused before its service sees it.

    Args:
        kind: What is wrong.
        message: What the caller reads.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def protocol(environ: Mapping[str, Any], service: str | None) -> Protocol:
    """The protocol that a caller expects an answer in.

    Args:
        environ: The request's WSGI environment.
        service: The service that its signature names, if any.
    """
    content = environ.get("CONTENT_TYPE", "")
    if service == "s3":
        return "s3"
    if "HTTP_X_AMZ_TARGET" in environ or "json" in content or service in _REST_JSON:
        return "json"
    if "x-www-form-urlencoded" in content or "Action=" in environ.get("QUERY_STRING", ""):
        return "ec2" if service == "ec2" else "query"
    if environ.get("REQUEST_METHOD") == "POST" and environ.get("PATH_INFO", "").startswith("/v1/"):
        return "json"
    return "s3" if service is None else "query"


def response(kind: Kind, message: str, spoken: Protocol, *, head: bool = False) -> "Response":
    """The answer that says it.

    Args:
        kind: What is wrong.
        message: What the caller reads.
        spoken: The protocol.
        head: Whether the request was a HEAD, whose answer has no body.
    """
    from werkzeug.wrappers import Response

    code, request_id = kind.code(spoken), str(uuid4())
    content = "application/x-amz-json-1.1" if spoken == "json" else "application/xml"
    headers = {"x-amzn-RequestId": request_id, "x-amz-request-id": request_id}
    if spoken == "json":
        headers["x-amzn-ErrorType"] = code
    body = "" if head else _body(code, message, spoken, request_id)
    return Response(body, status=kind.status, headers=headers, content_type=content)


def _body(code: str, message: str, spoken: Protocol, request_id: str) -> str:
    if spoken == "json":
        return json.dumps({"__type": code, "message": message})
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    match spoken:
        case "s3":
            return f"{_XML}<Error>{error}<RequestId>{request_id}</RequestId></Error>"
        case "ec2":
            return (
                f"{_XML}<Response><Errors><Error>{error}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
            )
        case _:
            return (
                f"{_XML}<ErrorResponse><Error><Type>Sender</Type>{error}</Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
