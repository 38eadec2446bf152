"""Checks the signature of a request: Signature Version 4, in its headers or in its query.

botocore signs requests; here the same code signs what was received once more, and the two signatures are compared.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
# Where a request's headers are found as they came, in their order: list of name and value.
HEADERS: Final = "localaws.headers"
# Where what signs the chunks of a body is found.
CHUNKS: Final = "localaws.chunks"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_SIGNATURE: Final = "X-Amz-Signature"
_SKEW: Final = timedelta(minutes=15)
_LONGEST_EXPIRY: Final = 7 * 24 * 3600
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} +Credential=(?P<credential>[^,\s]+), *SignedHeaders=(?P<headers>[^,\s]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
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
        expires: For how long it holds; none where it stands in the headers.
        headers: The names of the headers that are signed, in lower case.
        signature: The signature.
        payload: The digest of the body that was signed, or the word in its place; none where the body itself tells.
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
            ServiceError: It is not signed, or in no form that is known.
        """
        header = environ.get("HTTP_AUTHORIZATION")
        query = dict(_pairs(environ["QUERY_STRING"]))
        if header is None and _SIGNATURE not in query:
            raise ServiceError(UNSIGNED, "The request is not signed: this embedded AWS answers to its own key only.")
        if header is not None and _SIGNATURE in query:
            raise ServiceError(MALFORMED, "Only one auth mechanism allowed.")
        return cls._of_header(header, environ) if header is not None else cls._of_query(query, environ)

    @classmethod
    def _of_header(cls, header: str, environ: Mapping[str, Any]) -> "Claim":
        if not header.startswith(ALGORITHM):
            raise ServiceError(UNSIGNED, "Only AWS4-HMAC-SHA256 is a signature here.")
        found = _AUTHORIZATION.fullmatch(header.strip())
        if found is None:
            raise ServiceError(MALFORMED, "The authorization header is not that of Signature Version 4.")
        return cls._made(
            found["credential"],
            environ.get("HTTP_X_AMZ_DATE", ""),
            None,
            found["headers"],
            found["signature"],
            environ.get("HTTP_X_AMZ_CONTENT_SHA256"),
        )

    @classmethod
    def _of_query(cls, query: Mapping[str, str], environ: Mapping[str, Any]) -> "Claim":
        seconds = query.get("X-Amz-Expires", "")
        if query.get("X-Amz-Algorithm") != ALGORITHM or not re.fullmatch(r"\d{1,6}", seconds):
            raise ServiceError(MALFORMED, "The query's parameters are not those of Signature Version 4.")
        if int(seconds) > _LONGEST_EXPIRY:
            raise ServiceError(MALFORMED, "X-Amz-Expires must be less than a week (in seconds).")
        return cls._made(
            query.get("X-Amz-Credential", ""),
            query.get("X-Amz-Date", ""),
            timedelta(seconds=int(seconds)),
            query.get("X-Amz-SignedHeaders", ""),
            query[_SIGNATURE],
            environ.get("HTTP_X_AMZ_CONTENT_SHA256"),
        )

    @classmethod
    def _made(
        cls, credential: str, time: str, expires: timedelta | None, headers: str, signature: str, payload: str | None
    ) -> "Claim":
        found = _CREDENTIAL.fullmatch(credential)
        if found is None:
            raise ServiceError(MALFORMED, "The credential must have the form KEY/DATE/REGION/SERVICE/aws4_request.")
        try:
            moment = datetime.strptime(time, _TIME).replace(tzinfo=UTC)
        except ValueError:
            raise ServiceError(MALFORMED, "X-Amz-Date must be given, as in 20300102T030405Z.") from None
        if time[:8] != found["date"]:
            raise ServiceError(MALFORMED, "The credential's date is not that of the request.")
        return cls(
            id=found["id"],
            region=found["region"],
            service=found["service"].lower(),
            time=moment,
            expires=expires,
            headers=headers.lower().split(";"),
            signature=signature,
            payload=payload,
        )

    @property
    def as_header(self) -> str:
        """The Authorization header of the same claim."""
        scope = f"{self.time:%Y%m%d}/{self.region}/{self.service}/aws4_request"
        signed = ";".join(self.headers)
        return f"{ALGORITHM} Credential={self.id}/{scope}, SignedHeaders={signed}, Signature={self.signature}"

    def key_of(self, keys: Iterable[Key]) -> Key:
        """Which of some keys it names.

        Raises:
            ServiceError: None of them.
        """
        # All are compared, so that the time taken says nothing.
        found = [key for key in keys if hmac.compare_digest(key.id.encode(), self.id.encode())]
        if not found:
            raise ServiceError(
                UNKNOWN_KEY,
                "The access key is not one of this embedded AWS: each start makes another, which "
                "`python build.py local status` prints.",
            )
        return found[0]


def verify(environ: Mapping[str, Any], claim: Claim, key: Key, payload: str, *, now: datetime | None = None) -> None:
    """Holds a request against its signature.

    Args:
        environ: The request's WSGI environment.
        claim: What it says of its signature.
        key: The key that it names.
        payload: The body's SHA-256, or the word that stands in its place.
        now: The time; that of this machine if none.

    Raises:
        ServiceError: It was not signed with this key, or too long ago, or less of it than must be.
    """
    headers: list[tuple[str, str]] = environ[HEADERS]
    # With a line for a dash, too: to WSGI it is the same.
    names = {name.lower() for name, _ in headers}
    must = {name for name in names if name.replace("_", "-").startswith("x-amz-")} | {"host"}
    if unsigned := sorted(must - set(claim.headers)):
        raise ServiceError(WRONG_SIGNATURE, f"There were headers present that are not signed: {', '.join(unsigned)}.")
    signer = _Signer(claim, key)
    expected = signer.again(environ["REQUEST_METHOD"], environ["RAW_URI"], headers, payload)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise ServiceError(WRONG_SIGNATURE, "The request's signature is not the one that its content and its key give.")
    _check_time(claim, now or datetime.now(UTC))


def _check_time(claim: Claim, now: datetime) -> None:
    if claim.time > now + _SKEW:
        raise ServiceError(WRONG_TIME, "The request was signed in the future.")
    if now > claim.time + (_SKEW if claim.expires is None else claim.expires):
        raise ServiceError(WRONG_TIME, "The request has expired.")


@dataclass
class _Signer:
    """Signs a request that was received as its sender did."""

    claim: Claim
    key: Key
    _auth: "_Auth" = field(init=False)

    def __post_init__(self) -> None:
        self._auth = _Auth(Credentials(self.key.id, self.key.secret), self.claim.service, self.claim.region)
        self._auth.is_s3 = self.claim.service == "s3"
        self._auth.signed = frozenset(self.claim.headers)

    def again(self, method: str, uri: str, headers: Iterable[tuple[str, str]], payload: str) -> str:
        path, _, query = uri.partition("?")
        # As they were sent, which is as they were signed.
        pairs = (pair.partition("=") for pair in query.split("&") if pair)
        told = sorted((name, value) for name, _, value in pairs if name != _SIGNATURE)
        url = f"http://localhost{path}?" + "&".join(f"{name}={value}" for name, value in told)
        request = AWSRequest(method=method, url=url)
        for name, value in headers:
            if name.lower() != "x-amz-content-sha256":
                request.headers.add_header(name, value)
        request.headers["X-Amz-Content-SHA256"] = payload
        request.context["timestamp"] = self.claim.time.strftime(_TIME)
        text = self._auth.string_to_sign(request, self._auth.canonical_request(request))
        signature: str = self._auth.signature(text, request)
        return signature


class ChunkSigner:
    """Checks the signatures of a body's chunks, each of which covers the one before.

    Args:
        claim: What the request says of its own signature, which is the first.
        key: The key that it names.
    """

    def __init__(self, claim: Claim, key: Key) -> None:
        self._claim = claim
        self._auth = _Auth(Credentials(key.id, key.secret), claim.service, claim.region)
        self._last = claim.signature

    def is_next(self, chunk: str, signature: str) -> bool:
        """Whether a signature is that of the next chunk, whose SHA-256 is given."""
        return self._is_signed(f"{ALGORITHM}-PAYLOAD", (digest(b""), chunk), signature)

    def is_trailer(self, text: str, signature: str) -> bool:
        """Whether a signature is that of the trailers after the last chunk."""
        return self._is_signed("AWS4-HMAC-SHA256-TRAILER", (digest(text.encode("latin-1")),), signature)

    def _is_signed(self, algorithm: str, digests: tuple[str, ...], signature: str) -> bool:
        request = AWSRequest()
        request.context["timestamp"] = moment = self._claim.time.strftime(_TIME)
        scope = self._auth.credential_scope(request)
        text = "\n".join((algorithm, moment, scope, self._last, *digests))
        self._last = self._auth.signature(text, request)
        return hmac.compare_digest(self._last.encode(), signature.encode())


class _Auth(SigV4Auth):
    """botocore's signer, told which headers to sign."""

    signed: frozenset[str] = frozenset()
    is_s3 = False

    def headers_to_sign(self, request: Any) -> Any:  # noqa: ANN401  # botocore's
        chosen = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() in self.signed:
                chosen.add_header(name.lower(), value)
        return chosen

    def _normalize_url_path(self, path: str) -> str:
        # A key is signed as it is: `a//b` and `a/../b` are others than `a/b` and `b`.
        if self.is_s3:
            return path
        stock: Any = super()
        return str(stock._normalize_url_path(path))  # noqa: SLF001  # it has no other door


def digest(body: bytes) -> str:
    """A body's SHA-256, as it is signed."""
    return hashlib.sha256(body).hexdigest()


def _pairs(query: str) -> list[tuple[str, str]]:
    """A query's names and values, decoded."""
    split = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in split]
