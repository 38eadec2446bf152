"""Runs in an export's container, as its first process: `PORT SOCKET COMMAND...`.

The container has no network. A port of its loopback stands for the socket that is mounted into it, and then the
command takes this process's place.
"""

import os
import socket
import sys
import threading

_PIECE = 65536


def copy(source: socket.socket, target: socket.socket) -> None:
    """Sends on what comes until nothing more does."""
    try:
        while data := source.recv(_PIECE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the other side is gone, and the program hears of it
        source.close()


def serve(listener: socket.socket, path: str) -> None:
    """Joins each connection to one with the socket."""
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
    """Starts to listen before the command runs."""
    port, path, *command = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", int(port)))
    if os.fork():
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    serve(listener, path)


if __name__ == "__main__":
    main()
