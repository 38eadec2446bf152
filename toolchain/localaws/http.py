"""The HTTP of the embedded AWS: every request gets an answer, also one that is none, and an end ends connections."""

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from toolchain.localaws import service_error
from toolchain.localaws.signature import HEADERS

_END_SECONDS: Final = 5
_DRAIN_SECONDS: Final = 1
_MOST_DRAINED: Final = 1000
_PIECE: Final = 65536


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
        """Says in S3's words that a request is none: no service can be told from it."""
        if self._is_refused:
            return
        self._is_refused = True
        self.request_version, self.close_connection = "HTTP/1.1", True
        kind = replace(service_error.INVALID, status=code)
        answer = service_error.response(kind, message or "The request is not valid HTTP.", "s3")
        self.send_response(code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.get_data())
        self.wfile.flush()
        self._drain()

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # the parent's name for it
        """Keeps quiet."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Likewise; the parent reads the path for it, which may be none."""

    def _drain(self) -> None:
        """Reads what is left of a request: closing before that would reset the connection under the answer."""
        with suppress(OSError):
            self.connection.settimeout(_DRAIN_SECONDS)
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(_MOST_DRAINED):
                if not self.connection.recv(_PIECE):
                    break


def _is_address(path: str) -> bool:
    try:
        urlsplit(path)
    except ValueError:
        return False
    return True


class LocalHandler(Handler):
    """The same at a socket of the file system, which knows nothing of TCP."""

    disable_nagle_algorithm = False


class HttpServer(ThreadedWSGIServer):
    """A server that ends its connections when it ends: a client may keep one open as long as it likes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # handed on
        self._open: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        super().__init__(*args, **kwargs)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Answers one connection."""
        with self._guard:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                del self._open[request]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Says nothing: a client hung up. What goes wrong in a service is an answer of its own."""

    def hang_up(self) -> None:
        """Ends the connections that are left."""
        with self._guard:
            left = list(self._open.items())
        for connection, _ in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side was first
                continue
        for _, thread in left:
            thread.join(_END_SECONDS)
