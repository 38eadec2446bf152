"""Requests as an attacker sends them, and how each is answered."""

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from xml.etree import ElementTree as ET  # of this machine's own server

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from toolchain.localaws.access import Key, Server

ATTACKER = "http://attacker.example"
FSX = "AWSSimbaAPIService_v20180301"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        """The code of the service's own error."""
        assert b"<html" not in self.body.lower(), self.body
        if self.body.startswith(b"{"):
            return str(json.loads(self.body)["__type"])
        root = ET.fromstring(self.body)  # noqa: S314  # likewise
        return next(element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Code")


class _S3Auth(S3SigV4Auth):
    """Signs the digest that the request names, if it names one."""

    def payload(self, request: Any) -> str:
        named = [value for name, value in request.headers.items() if name == "x-amz-content-sha256"]
        stock: Any = super()
        return str(named[0] if named else stock.payload(request))

    def _modify_request_before_signing(self, request: Any) -> None:
        payload = self.payload(request)
        stock: Any = super()
        stock._modify_request_before_signing(request)  # noqa: SLF001  # it has no other door
        del request.headers["X-Amz-Content-SHA256"]
        request.headers["X-Amz-Content-SHA256"] = payload


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that nobody has signed yet."""

    service: str
    method: str = "POST"
    path: str = "/"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def _request(self, server: Server) -> AWSRequest:
        return AWSRequest(
            method=self.method, url=server.endpoint + self.path, headers=dict(self.headers), data=self.body
        )

    def signed(self, server: Server, key: Key | None = None, *, region: str = "us-east-1") -> dict[str, str]:
        """The headers of the request, signed with a key: the server's if none."""
        request, chosen = self._request(server), key or server.key
        signer = _S3Auth if self.service == "s3" else SigV4Auth
        signer(Credentials(chosen.id, chosen.secret), self.service, region).add_auth(request)
        return dict(request.headers.items())

    def presigned(self, server: Server, key: Key | None = None, *, expires: int = 60) -> str:
        """The path of the request with a signature in its query, and no body."""
        request, chosen = AWSRequest(method=self.method, url=server.endpoint + self.path), key or server.key
        signer = S3SigV4QueryAuth if self.service == "s3" else SigV4QueryAuth
        signer(Credentials(chosen.id, chosen.secret), self.service, "us-east-1", expires).add_auth(request)
        return str(request.url).removeprefix(server.endpoint)

    def sent(self, server: Server, headers: Mapping[str, str] | None = None, *, path: str | None = None) -> Answer:
        """Sends it, by default as it is: unsigned."""
        connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=20)
        try:
            connection.putrequest(self.method, path or self.path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": server.endpoint.removeprefix("http://"), **(headers or self.headers)}
            given.setdefault("Content-Length", str(len(self.body)))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(self.body)
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()

    def owned(self, server: Server) -> Answer:
        """Sends it signed with the server's own key."""
        return self.sent(server, self.signed(server))


def raw(server: Server, data: bytes) -> Answer:
    """Sends bytes that need be no request, and reads what comes until the end."""
    host, _, port = server.endpoint.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Answer(status=response.status, headers=response.headers, body=response.read())


def json_call(service: str, target: str, **body: Any) -> Call:
    """A call of a service that speaks JSON."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    return Call(service=service, body=json.dumps(body).encode(), headers=headers)


def query_call(service: str, action: str) -> Call:
    """A call of a service that takes forms."""
    form = "application/x-www-form-urlencoded; charset=utf-8"
    return Call(service=service, body=f"Action={action}&Version=2010-05-08".encode(), headers={"Content-Type": form})


def register(**properties: Any) -> Call:
    """A call that registers a job definition."""
    definition = {
        "jobDefinitionName": "evil",
        "type": "container",
        "containerProperties": {
            "image": "evil",
            "command": ["sh"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            **properties,
        },
    }
    return Call(
        service="batch",
        path="/v1/registerjobdefinition",
        body=json.dumps(definition).encode(),
        headers={"Content-Type": "application/json"},
    )


# ---- the same attack on any call ------------------------------------------------------------------------------------


def with_key(change: Callable[[Key], Key]) -> Callable[[Server, Call], list[Answer]]:
    """Signs with another key, in the headers and in the query."""

    def attack(server: Server, call: Call) -> list[Answer]:
        key = change(server.key)
        return [call.sent(server, call.signed(server, key)), call.sent(server, path=call.presigned(server, key))]

    return attack


def signed_at(seconds: float) -> Callable[[Server, Call], list[Answer]]:
    """Signs with the right key, at a moment so many seconds from now."""

    class Clock:
        @staticmethod
        def strftime(_: str) -> str:
            return stamp(seconds)

    def attack(server: Server, call: Call) -> list[Answer]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: Clock())
            return [call.sent(server, call.signed(server)), call.sent(server, path=call.presigned(server))]

    return attack


def add_headers(**headers: str) -> Callable[[Server, Call], list[Answer]]:
    """Adds headers to a signed call; PORT stands for the server's."""

    def attack(server: Server, call: Call) -> list[Answer]:
        port = server.endpoint.rpartition(":")[2]
        added = {name: value.replace("PORT", port) for name, value in headers.items()}
        return [call.sent(server, {**call.signed(server), **added})]

    return attack


def stamp(seconds: float) -> str:
    """A moment so many seconds from now, as signatures have it."""
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
