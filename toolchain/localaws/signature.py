"""Checks AWS Signature Version 4, in a request's headers or in its query.

What was received is signed once more, by botocore's signer, and the two signatures are compared.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from toolchain.localaws.access import Key
from toolchain.localaws.service_error import MALFORMED, UNKNOWN_KEY, UNSIGNED, WRONG_SIGNATURE, WRONG_TIME, ServiceError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
# The key of a request's headers, as they came, in its WSGI environment.
HEADERS: Final = "localaws.headers"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_SIGNATURE: Final = "X-Amz-Signature"
_SKEW: Final = timedelta(minutes=15)
_LONGEST_EXPIRY: Final = 7 * 24 * 3600
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{{64}})"
)
_CREDENTIAL: Final = re.compile(
    r"(?P<id>[^/]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[A-Za-z0-9.-]+)/aws4_request"
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a request says of its signature; nothing of it is proven.

    Attributes:
        id: The access key's id.
        region: The region of its scope.
        service: The service of its scope.
        time: When it was signed.
        expires: How long a signature in the query holds; None for one in the headers.
        headers: The names of the headers that are signed, in lower case.
        signature: The signature.
        payload: The digest of the body that was signed, or the word in its place; None if the request names none.
    """

    id: str
    region: str
    service: str
    time: datetime
    expires: timedelta | None
    headers: Sequence[str]
    signature: str
    payload: str | None

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> "Claim":
        """Reads it from a request's WSGI environment.

        Raises:
            ServiceError: The request is not signed, or in no form that is known.
        """
        header = environ.get("HTTP_AUTHORIZATION")
        pairs = (pair.partition("=") for pair in environ["QUERY_STRING"].split("&") if pair)
        query = {unquote(name): unquote(value) for name, _, value in pairs}
        if header is None and _SIGNATURE not in query:
            raise ServiceError(UNSIGNED, "The request is not signed: this embedded AWS answers to its own key only.")
        if header is not None and _SIGNATURE in query:
            raise ServiceError(MALFORMED, "Only one auth mechanism allowed.")
        expires = _expiry(query) if header is None else None
        fields = query if header is None else _header_fields(header)
        credential = _CREDENTIAL.fullmatch(fields.get("X-Amz-Credential", ""))
        if credential is None:
            raise ServiceError(MALFORMED, "The credential must have the form KEY/DATE/REGION/SERVICE/aws4_request.")
        time = query.get("X-Amz-Date", "") if header is None else environ.get("HTTP_X_AMZ_DATE", "")
        try:
            moment = datetime.strptime(time, _TIME).replace(tzinfo=UTC)
        except ValueError:
            raise ServiceError(MALFORMED, "X-Amz-Date must be given, as in 20300102T030405Z.") from None
        if time[:8] != credential["date"]:
            raise ServiceError(MALFORMED, "The credential's date is not that of the request.")
        return cls(
            id=credential["id"],
            region=credential["region"],
            service=credential["service"].lower(),
            time=moment,
            expires=expires,
            headers=fields.get("X-Amz-SignedHeaders", "").lower().split(";"),
            signature=fields[_SIGNATURE],
            payload=environ.get("HTTP_X_AMZ_CONTENT_SHA256"),
        )

    def key_of(self, keys: Iterable[Key]) -> Key:
        """The key that it names.

        Raises:
            ServiceError: None of the keys.
        """
        # All are compared, so that the time taken says nothing.
        named = [key for key in keys if hmac.compare_digest(key.id.encode(), self.id.encode())]
        if not named:
            raise ServiceError(
                UNKNOWN_KEY,
                "The access key is not one of this embedded AWS: each start makes another, which "
                "`python build.py local status` prints.",
            )
        return named[0]


def _header_fields(header: str) -> dict[str, str]:
    """The fields of an Authorization header, by their names in a query."""
    if not header.startswith(ALGORITHM):
        raise ServiceError(UNSIGNED, f"Only {ALGORITHM} is a signature here.")
    fields = _AUTHORIZATION.fullmatch(header.strip())
    if fields is None:
        raise ServiceError(MALFORMED, "The authorization header is not that of Signature Version 4.")
    return dict(zip(("X-Amz-Credential", "X-Amz-SignedHeaders", _SIGNATURE), fields.groups(), strict=True))


def _expiry(query: Mapping[str, str]) -> timedelta:
    seconds = query.get("X-Amz-Expires", "")
    if query.get("X-Amz-Algorithm") != ALGORITHM or not re.fullmatch(r"\d{1,6}", seconds):
        raise ServiceError(MALFORMED, "The query's parameters are not those of Signature Version 4.")
    if int(seconds) > _LONGEST_EXPIRY:
        raise ServiceError(MALFORMED, "X-Amz-Expires must be less than a week (in seconds).")
    return timedelta(seconds=int(seconds))


def verify(environ: Mapping[str, Any], claim: Claim, key: Key, payload: str) -> None:
    """Checks a request's signature.

    Args:
        environ: The request's WSGI environment.
        claim: What the request says of its signature.
        key: The key that it names.
        payload: The body's SHA-256, or the word in its place.

    Raises:
        ServiceError: It was not signed with this key, too long ago, or without a header that must be signed.
    """
    # With an underscore for a dash, too: to WSGI it is the same.
    names = {name.lower() for name, _ in environ[HEADERS]}
    required = {name for name in names if name.replace("_", "-").startswith("x-amz-")} | {"host"}
    if unsigned := sorted(required - set(claim.headers)):
        raise ServiceError(WRONG_SIGNATURE, f"There were headers present that are not signed: {', '.join(unsigned)}.")
    expected = _sign_again(environ, claim, key, payload)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise ServiceError(WRONG_SIGNATURE, "The request's signature is not the one that its content and its key give.")
    now = datetime.now(UTC)
    if claim.time > now + _SKEW:
        raise ServiceError(WRONG_TIME, "The request was signed in the future.")
    if now > claim.time + (_SKEW if claim.expires is None else claim.expires):
        raise ServiceError(WRONG_TIME, "The request has expired.")


def _sign_again(environ: Mapping[str, Any], claim: Claim, key: Key, payload: str) -> str:
    path, _, query = environ["RAW_URI"].partition("?")
    # As they were sent, which is as they were signed.
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    url = f"http://localhost{path}?" + "&".join(f"{name}={value}" for name, value in pairs if name != _SIGNATURE)
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url)
    for name, value in environ[HEADERS]:
        if name.lower() != "x-amz-content-sha256":
            request.headers.add_header(name, value)
    request.headers["X-Amz-Content-SHA256"] = payload
    request.context["timestamp"] = claim.time.strftime(_TIME)
    signer = _Signer(claim, key)
    signature: str = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return signature


class _Signer(SigV4Auth):
    """botocore's signer, for the headers and the scope of a claim."""

    def __init__(self, claim: Claim, key: Key) -> None:
        super().__init__(Credentials(key.id, key.secret), claim.service, claim.region)
        self._claim = claim

    def headers_to_sign(self, request: Any) -> Any:  # noqa: ANN401  # botocore's
        chosen = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() in self._claim.headers:
                chosen.add_header(name.lower(), value)
        return chosen

    def _normalize_url_path(self, path: str) -> str:
        # A key of S3 is signed as it is: `a//b` and `a/../b` are others than `a/b` and `b`.
        stock: Any = super()
        return path if self._claim.service == "s3" else str(stock._normalize_url_path(path))  # noqa: SLF001


def digest(body: bytes) -> str:
    """A body's SHA-256, as it is signed."""
    return hashlib.sha256(body).hexdigest()
