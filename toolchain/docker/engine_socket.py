"""Questions to the Docker engine over its plain socket: docker-py takes longer to import than most commands to answer.

Only what is asked to no effect, and only where the engine is at a socket of this machine; all else is docker-py's.
"""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

_SOCKET = "unix:///var/run/docker.sock"
_SECONDS = 60.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def answers() -> bool:
    """Whether an engine answers at the socket."""
    try:
        return _asked("/_ping")[0] == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def image(reference: str) -> dict[str, Any] | None:
    """What the engine knows of an image; none if it holds no such image.

    Raises:
        OSError: It did not answer so.
    """
    try:
        status, body = _asked(f"/images/{quote(reference)}/json")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    if status == http.HTTPStatus.NOT_FOUND:
        return None
    if status != http.HTTPStatus.OK:
        raise OSError(status, "no answer about an image")
    known: dict[str, Any] = json.loads(body)
    return known


def _asked(path: str) -> tuple[int, bytes]:
    where = os.environ.get("DOCKER_HOST") or _SOCKET
    kind, _, at = where.partition("://")
    if kind != "unix" or not Path(at).is_absolute():
        raise OSError(where)
    connection = _Connection(at)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
