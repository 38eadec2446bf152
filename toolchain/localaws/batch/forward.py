"""Runs as the first process of a container that exports: `PORT SOCKET COMMAND...`.

The container has no network. This forwards a port of its loopback to a mounted unix socket, and the command takes
this process's place.
"""

import os
import socket
import sys
import threading

_CHUNK = 65536


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copies until the source ends."""
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the other side is gone, and the program hears of it
        source.close()


def serve(listener: socket.socket, path: str) -> None:
    """Connects each client to the socket."""
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(path)
        except OSError:
            client.close()
            continue
        for pair in ((client, server), (server, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def main() -> None:
    """Listens before the command starts."""
    port, path, *command = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", int(port)))
    if os.fork():
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    serve(listener, path)


if __name__ == "__main__":
    main()
