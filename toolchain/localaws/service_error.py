"""Refusals of calls before any service has seen them, in the words and the format of the service that was called."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

Protocol = Literal["s3", "ec2", "query", "json"]
# Services that speak JSON and name the operation by the path.
_REST_JSON: Final = frozenset({"batch"})
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


class Kind(NamedTuple):
    """An error's code in S3, in the query protocols and in the JSON protocols, and its HTTP status."""

    s3: str
    query: str
    json: str
    status: int = 403

    def code(self, protocol: Protocol) -> str:
        """Its code in a protocol."""
        return {"s3": self.s3, "json": self.json}.get(protocol, self.query)


UNSIGNED: Final = Kind("AccessDenied", "MissingAuthenticationToken", "MissingAuthenticationTokenException")
MALFORMED: Final = Kind("AuthorizationHeaderMalformed", "IncompleteSignature", "IncompleteSignatureException")
UNKNOWN_KEY: Final = Kind("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException")
WRONG_SIGNATURE: Final = Kind("SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException")
WRONG_TIME: Final = Kind("RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException")
DENIED: Final = Kind("AccessDenied", "AccessDenied", "AccessDeniedException")
INVALID: Final = Kind("InvalidRequest", "ValidationError", "ValidationException", 400)
NO_LENGTH: Final = Kind("MissingContentLength", "ValidationError", "ValidationException", 411)
TOO_LARGE: Final = Kind("EntityTooLarge", "RequestEntityTooLarge", "RequestEntityTooLargeException", 413)
UNKNOWN_OPERATION: Final = Kind("MethodNotAllowed", "InvalidAction", "UnknownOperationException", 400)
INTERNAL: Final = Kind("InternalError", "InternalFailure", "InternalFailure", 500)


class ServiceError(Exception):
    """A call that is refused before its service sees it."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def protocol(environ: Mapping[str, Any], service: str | None) -> Protocol:
    """The protocol that a caller expects an answer in; the service is the one its signature names, if any."""
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


def response(kind: Kind, message: str, protocol: Protocol, *, head: bool = False) -> Response:
    """The answer that refuses a call; one to a HEAD request has no body."""
    code, request_id = kind.code(protocol), str(uuid4())
    content = "application/x-amz-json-1.1" if protocol == "json" else "application/xml"
    headers = {"x-amzn-RequestId": request_id, "x-amz-request-id": request_id}
    if protocol == "json":
        headers["x-amzn-ErrorType"] = code
    body = "" if head else _body(code, message, protocol, request_id)
    return Response(body, status=kind.status, headers=headers, content_type=content)


def _body(code: str, message: str, protocol: Protocol, request_id: str) -> str:
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    match protocol:
        case "json":
            return json.dumps({"__type": code, "message": message})
        case "s3":
            return f"{_XML}<Error>{error}<RequestId>{request_id}</RequestId></Error>"
        case "ec2":
            errors = f"<Errors><Error>{error}</Error></Errors>"
            return f"{_XML}<Response>{errors}<RequestID>{request_id}</RequestID></Response>"
        case "query":
            error = f"<Error><Type>Sender</Type>{error}</Error>"
            return f"{_XML}<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
