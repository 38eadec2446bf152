"""A stand-in for what hands out credentials: the agent of ECS by HTTP, and STS; and certificates for HTTPS.

with credentials_endpoint(tls) as url:
    ...  # with AWS_ENDPOINT_URL_STS=url, or AWS_CONTAINER_CREDENTIALS_FULL_URI
"""

import ipaddress
import json
import ssl
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.http_server import Handler, serve

KEY_ID = "ASIAEXAMPLE"
_KEYS = {"AccessKeyId": KEY_ID, "SecretAccessKey": "secret", "Expiration": "2099-01-01T00:00:00Z"}


class _Credentials(Handler):
    def do_GET(self) -> None:  # noqa: N802  # the name that http.server has for it
        self.reply(200, "application/json", json.dumps({**_KEYS, "Token": "token"}))

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server has for it
        """Answers any AssumeRole, with or without a web identity."""
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = parse_qs(sent)["Action"][0]
        keys = "".join(f"<{name}>{value}</{name}>" for name, value in {**_KEYS, "SessionToken": "token"}.items())
        result = f"<{action}Result><Credentials>{keys}</Credentials></{action}Result>"
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        self.reply(200, "text/xml", f'<{action}Response xmlns="{namespace}">{result}</{action}Response>')


def credentials_endpoint(tls: ssl.SSLContext | None = None) -> AbstractContextManager[str]:
    """Serves until the block ends, and gives the address."""
    return serve(_Credentials, tls)


def make_certificate(file: Path) -> ssl.SSLContext:
    """A server's context for 127.0.0.1 that vouches for itself; clients are to trust the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = file.with_suffix(".key")
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    private.unlink()
    return context
