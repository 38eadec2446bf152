"""The WSGI application before every service: only what a client signed with the key goes further."""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.wrappers import Response

from toolchain.localaws import service_error, signature
from toolchain.localaws.access import Access, Key
from toolchain.localaws.service_error import (
    DENIED,
    INTERNAL,
    INVALID,
    NO_LENGTH,
    TOO_LARGE,
    UNKNOWN_OPERATION,
    Kind,
    ServiceError,
)
from toolchain.localaws.signature import Claim

_LOG: Final = logging.getLogger(__name__)
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
# The services that this AWS has, by their names in signatures, and moto's names of them. moto's other services are
# closed: its Lambda runs containers, say.
SERVICES: Final[Mapping[str, Any]] = {
    **{
        name: name
        for name in ("batch", "budgets", "cloudformation", "ec2", "ecr", "events", "fsx", "iam", "kms", "logs")
    },
    **{name: name for name in ("s3", "servicequotas", "sns", "sqs", "ssm", "sts")},
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
}
# What the export's key opens.
_EXPORT_TARGETS: Final = frozenset(
    f"AWSSimbaAPIService_v20180301.{operation}"
    for operation in ("CreateDataRepositoryTask", "DescribeDataRepositoryTasks")
)
# Of a call that is no object in S3.
_LARGEST_BODY: Final = 16 * 1024 * 1024
_LOCAL_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
_FIRST_ERROR: Final = 400


@dataclass(frozen=True, kw_only=True)
class Services:
    """The applications that answer for services: those given, and moto's for all others, made when first called."""

    applications: dict[str, Application] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, service: str) -> Application:
        """The application of a service, by its name in signatures."""
        with self._lock:
            if service not in self.applications:
                self.applications[service] = create_backend_app(SERVICES[service])
            return self.applications[service]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A WSGI application that passes on what is signed with one of some keys.

    Attributes:
        access: The address that clients know, and all keys.
        keys: Those of them that open this gate.
        services: What answers behind it.
    """

    access: Access
    keys: Sequence[Key]
    services: Services

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:  # noqa: ANN401  # as WSGI has it
        """Answers one request."""
        answer = self._answer(environ)
        for name in {name for name, _ in answer.headers if name.lower().startswith("access-control-")}:
            del answer.headers[name]  # no page of another origin is to read it
        return answer(environ, start)

    def _answer(self, environ: dict[str, Any]) -> Response:
        service: str | None = None

        def refusal(kind: Kind, message: str) -> Response:
            protocol = service_error.protocol(environ, service)
            return service_error.response(kind, message, protocol, head=environ["REQUEST_METHOD"] == "HEAD")

        try:
            self._check_source(environ)
            claim = Claim.of(environ)
            service = claim.service
            self._admit(environ, claim)
            answer = Response.from_app(self.services.of(service), environ)
        except (ServiceError, NotImplementedError) as error:
            return refusal(getattr(error, "kind", UNKNOWN_OPERATION), str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is: a caller gets an answer, and server.log the rest
            _LOG.exception("A call failed")
            return refusal(INTERNAL, f"The embedded AWS failed: {type(error).__name__}: {error}")
        if not _is_blank_error(answer, environ):
            return answer
        if answer.status_code >= INTERNAL.status:
            return refusal(INTERNAL, "The embedded AWS failed.")
        return refusal(UNKNOWN_OPERATION, "The embedded AWS has no such operation.")

    def _check_source(self, environ: Mapping[str, Any]) -> None:
        """Refuses what a web page can make a browser send: under another name of this address, or across origins."""
        host, uri = environ.get("HTTP_HOST", ""), environ["RAW_URI"]
        # Whatever the port: a tunnel has one of its own.
        if not _LOCAL_HOST.fullmatch(host.lower()) or not uri.startswith("/") or "#" in uri:
            raise ServiceError(DENIED, f"The embedded AWS is {self.access.endpoint}, and no other host.")
        is_own = environ.get("HTTP_ORIGIN", self.access.endpoint) == self.access.endpoint
        if not is_own or environ.get("HTTP_SEC_FETCH_SITE", "none") not in {"none", "same-origin"}:
            raise ServiceError(DENIED, "Requests of web pages are refused.")

    def _admit(self, environ: dict[str, Any], claim: Claim) -> None:
        key = claim.key_of(self.keys)
        if claim.service == "s3":
            # The body of an object comes as a stream, and is checked against its digest where it is read.
            payload = claim.payload or (signature.UNSIGNED_PAYLOAD if claim.expires is not None else "")
            if not payload:
                raise ServiceError(INVALID, "Missing required header for this request: x-amz-content-sha256")
            _content_length(environ)
        elif claim.expires is not None:
            raise ServiceError(DENIED, "Only addresses of S3 are signed in their query.")
        else:
            # Whatever the headers say of it: a signature covers the body that came.
            payload = signature.digest(_read_body(environ))
        signature.verify(environ, claim, key, payload)
        if key is not self.access.owner and not _is_export(environ, claim):
            raise ServiceError(DENIED, "The export's key opens the data repository tasks of FSx, and nothing else.")
        if claim.service not in SERVICES:
            raise ServiceError(DENIED, f"The embedded AWS has no service {claim.service}.")


def _is_blank_error(answer: Response, environ: Mapping[str, Any]) -> bool:
    """Whether an error says nothing, or is a web framework's page, where a service's own error is expected."""
    if answer.status_code < _FIRST_ERROR or environ["REQUEST_METHOD"] == "HEAD":
        return False
    start = answer.get_data().lstrip()[:15].lower()
    return not start or start.startswith((b"<!doctype html", b"<html"))


def _is_export(environ: Mapping[str, Any], claim: Claim) -> bool:
    is_task = claim.service == "fsx" and environ.get("HTTP_X_AMZ_TARGET") in _EXPORT_TARGETS
    return is_task and environ["REQUEST_METHOD"] == "POST" and environ["RAW_URI"] == "/"


def _content_length(environ: Mapping[str, Any]) -> int:
    text = environ.get("CONTENT_LENGTH") or None
    # A body of unknown length says how much its own chunks hold.
    chunked = "HTTP_TRANSFER_ENCODING" in environ and "HTTP_X_AMZ_DECODED_CONTENT_LENGTH" not in environ
    if chunked or (text is None and environ["REQUEST_METHOD"] == "PUT" and "HTTP_TRANSFER_ENCODING" not in environ):
        raise ServiceError(NO_LENGTH, "You must provide the Content-Length HTTP header.")
    if text is not None and not (text.isascii() and text.isdecimal()):
        raise ServiceError(INVALID, "Content-Length must be a number.")
    return int(text or 0)


def _read_body(environ: dict[str, Any]) -> bytes:
    """Reads a body, and puts it back."""
    length = _content_length(environ)
    if length > _LARGEST_BODY:
        raise ServiceError(TOO_LARGE, f"A request's body may have {_LARGEST_BODY} bytes.")
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = BytesIO(body)
    return body
