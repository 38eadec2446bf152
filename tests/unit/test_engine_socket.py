"""Questions to the engine's plain socket, and when they are left to docker-py."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolchain.docker import engine_socket
from toolchain.docker.engine import Engine


class Answers(BaseHTTPRequestHandler):
    """An engine that holds `a/b:1`, and is at its end when asked for `broken`."""

    def do_GET(self) -> None:
        known = {"/_ping": b"OK", "/images/a/b%3A1/json": json.dumps({"Id": "sha256:1"}).encode()}
        status = HTTPStatus.INTERNAL_SERVER_ERROR if "broken" in self.path else HTTPStatus.NOT_FOUND
        self.send_response(HTTPStatus.OK if self.path in known else status)
        self.end_headers()
        self.wfile.write(known.get(self.path, b""))

    def log_message(self, *_: Any) -> None:  # noqa: ANN401  # as the parent has it
        """Says nothing."""

    def address_string(self) -> str:
        return "socket"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "s"
    with socketserver.ThreadingUnixStreamServer(str(path), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield path
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("there")
def test_an_image_is_found_without_docker_py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docker", None)  # its import would fail
    engine = Engine.connect()
    assert (engine.find("a/b:1"), engine.find("a/b:2")) == ("sha256:1", None)


@pytest.mark.usefixtures("there")
def test_what_is_no_answer_is_left_to_docker_py(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="no answer"):
        engine_socket.image("broken")
    client: Any = SimpleNamespace(
        ping=lambda: None, images=SimpleNamespace(get=lambda _: SimpleNamespace(attrs={"Id": "sha256:2"}))
    )
    monkeypatch.setattr("docker.from_env", lambda: client)
    assert Engine.connect().find("broken") == "sha256:2"


@pytest.mark.parametrize(
    "host", ["tcp://127.0.0.1:1", "ssh://nobody", "unix://relative", "unix:///there/is/none", "nonsense"]
)
def test_an_engine_that_is_not_at_a_socket_here_is_docker_py_s(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert not engine_socket.answers()
