"""The HTTP server of the embedded AWS; its connections end with it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from flask import Flask
from moto.core.utils import convert_to_flask_response
from moto.moto_server.werkzeug_app import BackendRequest, MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from toolchain.localaws.signature import HEADERS

_END_SECONDS: Final = 5
_POLL_SECONDS: Final = 0.02


class Handler(MotoRequestHandler):
    """Reads a request and writes its answer."""

    # Else each answer's body waits for the acknowledgement of its head: 40 ms a call.
    disable_nagle_algorithm = True

    def make_environ(self) -> dict[str, Any]:
        """A request, with its headers as they came."""
        return {**super().make_environ(), HEADERS: list(self.headers.items())}

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # the parent's name for it
        """Logs nothing."""


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
        """Says nothing of a client that hung up, or sent no HTTP; what fails in a service is an answer."""

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


def application_of(service: str, response_class: type[Any]) -> Flask:
    """A WSGI application that answers for a service by a subclass of moto's responses."""
    application = Flask(service)
    application.request_class = BackendRequest
    # What goes wrong is the gate's to answer for.
    application.config["PROPAGATE_EXCEPTIONS"] = True
    view = convert_to_flask_response(response_class.dispatch)
    application.add_url_rule("/", "dispatch", view_func=view, methods=["GET", "POST"])
    return application
