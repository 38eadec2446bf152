"""An HTTP proxy in front of a registry or an API, that fails as networks and services do."""

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from support.http_server import Handler, serve

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass(kw_only=True)
class Fault:
    """What goes wrong, with which requests, and how often.

    Attributes:
        method: A regular expression for the whole of it.
        path: A regular expression to search for.
        body: A regular expression to search for, in the body and X-Amz-Target: the paths of JSON APIs are all `/`.
        times: How many requests it hits, from the first that matches.
        status: What is answered instead; none to hang up without an answer.
        before: Called instead of failing; the request is then passed on.
        seconds: How long the request is held first; one without a status is then passed on.
    """

    method: str = ".*"
    path: str = ""
    body: str = ""
    times: int = 1
    status: int | None = None
    answer: bytes = b""
    content_type: str = "application/json"
    before: Callable[[], None] | None = None
    seconds: float = 0.0
    hits: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that came; `target` is the end of X-Amz-Target."""

    method: str
    path: str
    target: str


@dataclass
class FaultProxy:
    """A running proxy; `guard` may answer a request with a status and a body before it is passed on."""

    upstream: str
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    guard: Callable[[str, str, bytes], tuple[int, bytes] | None] = lambda _method, _path, _body: None
    # From the guard's look until a request was passed on, no other may be.
    writing: threading.Lock = field(default_factory=threading.Lock)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def reset(self) -> None:
        self.faults.clear()
        self.seen.clear()

    def fails(self, **options: object) -> Fault:
        """Adds a fault."""
        fault = Fault(**options)  # type: ignore[arg-type]  # checked by the dataclass
        self.faults.append(fault)
        return fault

    def due(self, method: str, path: str, body: bytes) -> Fault | None:
        """The fault that this request meets, counted."""
        with self._lock:
            for fault in self.faults:
                if (
                    fault.hits < fault.times
                    and re.fullmatch(fault.method, method)
                    and re.search(fault.path, path)
                    and re.search(fault.body.encode(), body)
                ):
                    fault.hits += 1
                    return fault
        return None

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.seen if request.method == method]


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Runs a proxy before `host:port` until the block ends."""
    proxy = FaultProxy(upstream)

    class ProxyHandler(_ProxyHandler):
        owner = proxy

    with serve(ProxyHandler) as proxy.url:
        yield proxy


class _ProxyHandler(Handler):
    # Headers and body in one packet: else each answer waits 40 ms for the acknowledgement of its first half.
    wbufsize = -1
    disable_nagle_algorithm = True
    owner: ClassVar[FaultProxy]

    def handle_any(self) -> None:
        body = b"".join(self._body())
        target = self.headers.get("X-Amz-Target", "")
        self.owner.seen.append(Request(method=self.command, path=self.path, target=target.rpartition(".")[2]))
        if fault := self.owner.due(self.command, self.path, body + target.encode()):
            time.sleep(fault.seconds)
            if fault.before is not None:
                fault.before()
            elif fault.status is not None:
                self._answer(fault.status, fault.answer, {"Content-Type": fault.content_type})
                return
            elif not fault.seconds:
                self.close_connection = True
                self.connection.close()
                return
        with self.owner.writing if self.command == "PUT" else nullcontext():
            if (refusal := self.owner.guard(self.command, self.path, body)) is not None:
                self._answer(*refusal, {"Content-Type": "application/json"})
            else:
                self._pass_on(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  # http.server's names

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _pass_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            if self.command in {"POST", "PUT", "PATCH"}:
                headers["Content-Length"] = str(len(body))
            # With the client's own Host, so that the registry's Location headers lead back here.
            connection.request(self.command, self.path, body=body or None, headers=headers)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            self._answer(answer.status, answer.read(), headers)
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
