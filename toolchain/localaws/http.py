"""The HTTP server: every connection gets an answer, also what is no request, and none outlives the server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask
from moto.core.utils import convert_to_flask_response
from moto.moto_server.werkzeug_app import BackendRequest, MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from toolchain.localaws import service_error
from toolchain.localaws.signature import HEADERS

_END_SECONDS: Final = 5
_DRAIN_SECONDS: Final = 1
_MOST_DRAINED: Final = 1000
_PIECE: Final = 65536
_POLL_SECONDS: Final = 0.02


class Handler(MotoRequestHandler):
    """Reads a request and writes its answer."""

    # Else each answer's body waits for the acknowledgement of its head: 40 ms a call.
    disable_nagle_algorithm = True
    _is_refused = False

    def make_environ(self) -> dict[str, Any]:
        """A request, with its headers as they came."""
        return {**super().make_environ(), HEADERS: list(self.headers.items())}

    def parse_request(self) -> bool:
        """Reads a request's head; one of HTTP/0.9 could not be answered with a status."""
        is_read = bool(super().parse_request())
        # The parent says nothing of a line that is empty.
        if not is_read or self.request_version == "HTTP/0.9" or not _is_address(self.path):
            self.send_error(400)
        return is_read and not self._is_refused

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002  # the parent's
        """Refuses what is no request, in S3's words: no service can be told from it."""
        if self._is_refused:
            return
        self._is_refused = True
        self.request_version, self.close_connection = "HTTP/1.1", True
        kind = service_error.INVALID._replace(status=code)
        answer = service_error.response(kind, message or "The request is not valid HTTP.", "s3")
        self.send_response(code)
        for name, value in (*answer.headers.items(), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.get_data())
        self.wfile.flush()
        # Closing before the rest of the request is read would reset the connection under the answer.
        with suppress(OSError):
            self.connection.settimeout(_DRAIN_SECONDS)
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(_MOST_DRAINED):
                if not self.connection.recv(_PIECE):
                    break

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # the parent's name for it
        """Logs nothing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs nothing; the parent reads the path for it, which may be none."""


def _is_address(path: str) -> bool:
    try:
        urlsplit(path)
    except ValueError:
        return False
    return True


class UnixHandler(Handler):
    """The same at a socket of the file system, which knows nothing of TCP."""

    disable_nagle_algorithm = False


class HttpServer(ThreadedWSGIServer):
    """A server whose connections end with it: a client may keep one open as long as it likes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # handed on
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Answers one connection."""
        with self._lock:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._open[request]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Says nothing of a client that hung up; what fails in a service is an answer."""

    def end(self) -> None:
        """Ends the server and its connections."""
        self.shutdown()
        with self._lock:
            connections = list(self._open.items())
        for connection, _ in connections:
            with suppress(OSError):  # the other side was first
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            thread.join(_END_SECONDS)


def application_of(service: str, response_class: type[Any]) -> Flask:
    """A WSGI application that answers for a service by a subclass of moto's responses."""
    application = Flask(service)
    application.request_class = BackendRequest
    # What goes wrong is the gate's to answer for.
    application.config["PROPAGATE_EXCEPTIONS"] = True
    view = convert_to_flask_response(response_class.dispatch)
    application.add_url_rule("/", "dispatch", view_func=view, methods=["GET", "POST"])
    return application


@contextmanager
def answering(listener: socket.socket, host: str, application: Any) -> Iterator[None]:  # noqa: ANN401  # a WSGI application
    """Answers what comes at a socket until the block ends."""
    handler = UnixHandler if listener.family == socket.AF_UNIX else Handler
    server = HttpServer(host, 0, application, handler=handler, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="embedded AWS", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.end()
        thread.join()
