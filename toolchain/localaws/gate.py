"""Stands before every service: what did not come from a client with the key goes no further."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from werkzeug.wrappers import Response

from toolchain.localaws import service_error, signature
from toolchain.localaws.access import EXPORT_SERVICE, EXPORT_TARGETS, Access, Key
from toolchain.localaws.service_error import (
    CUT_OFF,
    DENIED,
    INTERNAL,
    INVALID,
    NO_JSON,
    NO_LENGTH,
    TOO_LARGE,
    UNKNOWN_OPERATION,
    WRONG_DIGEST,
    ServiceError,
)
from toolchain.localaws.signature import Claim

_LOG: Final = logging.getLogger(__name__)
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
# By the names that signatures use. What moto has beside them is not for this AWS: its Lambda runs containers, say.
SERVICES: Final = frozenset(
    {
        "batch",
        "cloudformation",
        "ec2",
        "ecr",
        "events",
        "fsx",
        "iam",
        "kms",
        "logs",
        "monitoring",
        "s3",
        "servicequotas",
        "sns",
        "sqs",
        "ssm",
        "states",
        "sts",
    }
)
# Of a call that is no object in S3.
_LARGEST_BODY: Final = 16 * 1024 * 1024
_LOCAL_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A WSGI application that passes on what is signed with a key.

    Attributes:
        access: The address that clients know, and the keys.
        keys: Those of them that open this door.
        s3: Answers for S3.
        services: Answers for all others.
    """

    access: Access
    keys: Sequence[Key]
    s3: Application
    services: Application

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:  # noqa: ANN401  # as WSGI has it
        """Answers one request."""
        answer = self._answer(environ)
        for name in {name for name, _ in answer.headers if name.lower().startswith("access-control-")}:
            del answer.headers[name]  # no page of another origin is to read it
        return answer(environ, start)

    def _answer(self, environ: dict[str, Any]) -> Response:
        service: str | None = None
        head = environ["REQUEST_METHOD"] == "HEAD"
        try:
            self._check_source(environ)
            claim = Claim.of(environ)
            service = claim.service
            self._admit(environ, claim)
            answer = Response.from_app(self.s3 if service == "s3" else self.services, environ)
        except ServiceError as error:
            return service_error.response(
                error.kind, error.message, service_error.protocol(environ, service), head=head
            )
        except NotImplementedError as error:
            return service_error.response(
                UNKNOWN_OPERATION, str(error), service_error.protocol(environ, service), head=head
            )
        except Exception as error:  # noqa: BLE001  # whatever it is: a caller gets an answer, and server.log the rest
            _LOG.exception("A call failed")
            message = f"The embedded AWS failed: {type(error).__name__}: {error}"
            return service_error.response(INTERNAL, message, service_error.protocol(environ, service), head=head)
        if answer.status_code >= 400 and not head:  # noqa: PLR2004  # the first of errors
            return _in_words(answer, service_error.protocol(environ, service))
        return answer

    def _check_source(self, environ: Mapping[str, Any]) -> None:
        """Refuses what a web page can make a browser send: under another name of this address, or across origins."""
        host, uri = environ.get("HTTP_HOST", ""), environ["RAW_URI"]
        # Whatever the port: a tunnel has one of its own.
        if not _LOCAL_HOST.fullmatch(host.lower()) or not uri.startswith("/") or "#" in uri:
            raise ServiceError(DENIED, f"The embedded AWS is {self.access.endpoint}, and no other host.")
        if environ.get("HTTP_ORIGIN", self.access.endpoint) != self.access.endpoint:
            raise ServiceError(DENIED, "Requests of web pages are refused.")
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in {"none", "same-origin"}:
            raise ServiceError(DENIED, "Requests of web pages are refused.")

    def _admit(self, environ: dict[str, Any], claim: Claim) -> None:
        key = claim.key_of(self.keys)
        if claim.service == "s3":
            # The body of an object comes as a stream, and is held against its digest where it is read.
            payload = claim.payload or (signature.UNSIGNED_PAYLOAD if claim.expires is not None else "")
            if not payload:
                raise ServiceError(INVALID, "Missing required header for this request: x-amz-content-sha256")
            _check_length(environ)
            environ[signature.CHUNKS] = signature.ChunkSigner(claim, key)
        else:
            payload = _read(environ, claim.payload)
        signature.verify(environ, claim, key, payload)
        if claim.expires is not None:
            # moto's dispatcher looks for the service in this header; without it, it guesses by the path and the body.
            environ["HTTP_AUTHORIZATION"] = claim.as_header
        if service_error.protocol(environ, claim.service) == "json":
            _check_json(environ["wsgi.input"])
        _check_allowed(environ, claim, owner=key is self.access.owner)


def _check_allowed(environ: Mapping[str, Any], claim: Claim, *, owner: bool) -> None:
    is_export = claim.service == EXPORT_SERVICE and environ.get("HTTP_X_AMZ_TARGET") in EXPORT_TARGETS
    if not owner and not (is_export and environ["REQUEST_METHOD"] == "POST" and environ["RAW_URI"] == "/"):
        raise ServiceError(DENIED, "The export's key opens the data repository tasks of FSx, and nothing else.")
    if claim.service not in SERVICES:
        raise ServiceError(DENIED, f"The embedded AWS has no service {claim.service}.")
    # moto's dispatcher goes by these paths before it looks at the service.
    if claim.service != "s3" and environ["PATH_INFO"].startswith(("/moto-api", "/favicon.ico", "/latest/")):
        raise ServiceError(DENIED, "The embedded AWS has no such path.")


def _check_length(environ: Mapping[str, Any]) -> int:
    """The length of a request's body.

    Raises:
        ServiceError: It is not told, or no number.
    """
    text = environ.get("CONTENT_LENGTH") or None
    # A body of unknown length says how much its own chunks hold.
    chunked = "HTTP_TRANSFER_ENCODING" in environ and "HTTP_X_AMZ_DECODED_CONTENT_LENGTH" not in environ
    if chunked or (text is None and environ["REQUEST_METHOD"] == "PUT" and "HTTP_TRANSFER_ENCODING" not in environ):
        raise ServiceError(NO_LENGTH, "You must provide the Content-Length HTTP header.")
    if text is not None and not (text.isascii() and text.isdecimal()):
        raise ServiceError(INVALID, "Content-Length must be a number.")
    return int(text or 0)


def _read(environ: dict[str, Any], claimed: str | None) -> str:
    """Reads a body that every service's signature covers, puts it back, and returns its digest."""
    length = _check_length(environ)
    if length > _LARGEST_BODY:
        raise ServiceError(TOO_LARGE, f"A request's body may have {_LARGEST_BODY} bytes.")
    body = environ["wsgi.input"].read(length) if length else b""
    if len(body) < length:
        raise ServiceError(CUT_OFF, "The body is shorter than its Content-Length.")
    environ["wsgi.input"] = BytesIO(body)
    found = signature.digest(body)
    if claimed is not None and claimed != found:
        raise ServiceError(WRONG_DIGEST, "The body's SHA-256 is not the one that x-amz-content-sha256 names.")
    return found


def _check_json(body: BytesIO) -> None:
    try:
        is_object = isinstance(json.loads(body.getvalue() or b"{}"), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise ServiceError(NO_JSON, "The body must be a JSON object.")


def _in_words(answer: Response, spoken: service_error.Protocol) -> Response:
    """The service's own error in the place of a web framework's page, or of nothing."""
    body = answer.get_data()
    if body and not body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        answer.set_data(body)
        return answer
    if answer.status_code >= INTERNAL.status:
        return service_error.response(INTERNAL, "The embedded AWS failed.", spoken)
    return service_error.response(UNKNOWN_OPERATION, "The embedded AWS has no such operation.", spoken)
