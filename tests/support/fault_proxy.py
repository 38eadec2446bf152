"""An HTTP proxy in front of a registry or an API, that fails as networks and services do."""

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}
_CHUNK = 64 * 1024


@dataclass(kw_only=True)
class Fault:
    """What goes wrong, with which requests, and how often.

    Attributes:
        method: Of the requests, a regular expression.
        path: Of the requests, a regular expression that is searched for.
        body: In the requests' bodies, a regular expression; for APIs, whose paths all are `/`.
        times: How many requests it hits, from the first that matches.
        status: What is answered instead; none to hang up without an answer.
        answer: The body of that answer.
        content_type: Its type.
        before: Is called instead of failing; the request is then passed on.
        seconds: How long the request is held first.
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
class Seen:
    """A request that came."""

    method: str
    path: str
    target: str
    """X-Amz-Target, for APIs of the JSON protocol."""
    status: int
    at: float


@dataclass
class FaultProxy:
    """A running proxy."""

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    # Asked before a request is passed on; an answer of its own is (status, body).
    guard: Callable[[str, str, bytes], tuple[int, bytes] | None] = lambda _method, _path, _body: None
    port: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

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

    def sent(self, method: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method]


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Runs a proxy on a free port of the loopback.

    Args:
        upstream: `host:port` that requests are passed on to.
    """
    proxy = FaultProxy(upstream)

    class Handler(_Handler):
        owner = proxy

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients hang up, and are hung up on: that is what this is for."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: else each answer waits 40 ms for the acknowledgement of its first half.
    wbufsize = -1
    disable_nagle_algorithm = True
    owner: ClassVar[FaultProxy]

    def log_message(self, *_: object) -> None:
        """The tests look at `seen`."""

    def handle_any(self) -> None:
        body = b"".join(self._body())
        fault = self.owner.due(self.command, self.path, body + self.headers.get("X-Amz-Target", "").encode())
        if fault is not None:
            time.sleep(fault.seconds)
            if fault.before is not None:
                fault.before()
            elif fault.status is None and not fault.seconds:
                self._note(0)
                self.close_connection = True
                self.connection.close()
                return
            elif fault.status is not None:
                self._reply(fault.status, fault.answer, fault.content_type)
                return
        # One write at a time: between what the guard saw and what is passed on, nothing else may come.
        with self.owner.writing if self.command == "PUT" else nullcontext():
            if (own := self.owner.guard(self.command, self.path, body)) is not None:
                self._reply(*own, "application/json")
            else:
                self._pass_on(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  # http.server's names

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, _CHUNK))
            left -= len(piece)
            yield piece

    def _pass_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            if self.command in {"POST", "PUT", "PATCH"}:
                headers["Content-Length"] = str(len(body))
            # With the client's own Host, so that the registry's Location headers lead back here.
            connection.request(self.command, self.path, body=body or None, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            self._note(answer.status)
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)
        finally:
            connection.close()

    def _reply(self, status: int, body: bytes, content_type: str) -> None:
        self._note(status)
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _note(self, status: int) -> None:
        self.owner.seen.append(
            Seen(
                method=self.command,
                path=self.path,
                target=self.headers.get("X-Amz-Target", "").rpartition(".")[2],
                status=status,
                at=time.monotonic(),
            )
        )
