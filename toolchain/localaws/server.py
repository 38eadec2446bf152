"""Runs the embedded AWS: moto's application behind a loopback port of this process."""

import importlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from toolchain.errors import UnavailableError
from toolchain.localaws import cloudformation, ecr, fsx, once, s3
from toolchain.localaws.world import World, chosen_region

ADDRESS: Final = "127.0.0.1"
ACCOUNT: Final = "123456789012"
# What adds to moto, a module of this package for each service; each has `install(world)`. CloudFormation, FSx
# and S3's objects are not moto's at all.
SERVICES: Final = ("once", "batch", "ecr", "environments", "stepfunctions")
_POLL_SECONDS: Final = 0.02
_END_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running embedded AWS.

    Attributes:
        endpoint: Its address, as AWS_ENDPOINT_URL takes it.
        region: The region that its clients use.
    """

    endpoint: str
    region: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs to find this AWS, and to read nothing of the user's own."""
        return environment(self.endpoint, self.region)


def environment(endpoint: str, region: str) -> Mapping[str, str]:
    """What a client needs to find an embedded AWS, and to read nothing of the user's own."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ADDRESS,
        "no_proxy": ADDRESS,
    }


@contextmanager
def serve(world: World, *, port: int = 0) -> Iterator[Server]:
    """Runs an embedded AWS that holds nothing yet, until the block ends. One at a time in a process.

    Args:
        world: Where it keeps files, and what its jobs may use.
        port: Where it listens on the loopback; 0 for any free port.

    Raises:
        UnavailableError: The port is taken.
    """
    for folder in (world.scratch, world.buckets):
        folder.mkdir(parents=True, exist_ok=True)
    with _listening(port) as listener:
        number: int = listener.getsockname()[1]
        # moto calls itself by this address: Step Functions calls Batch so.
        with _variables({"MOTO_PORT": str(number), **_MOTO}):
            _install(world)
            server = Server(endpoint=f"http://{ADDRESS}:{number}", region=chosen_region())
            with _answering(world, listener, server.endpoint):
                yield server


# The policies of AWS itself, which roles attach, and no images to pick from, which take a second to read.
_MOTO: Final = {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError as error:
            raise UnavailableError(
                f"no embedded AWS on port {port}",
                why=str(error.strerror),
                fix="Give another port, or end what listens there.",
            ) from error
        listener.listen()
        yield listener


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process's environment, and puts back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _install(world: World) -> None:
    for service in SERVICES:
        importlib.import_module(f"toolchain.localaws.{service}").install(world)
    # A backend that an earlier server of this process made knows nothing of what was installed now.
    once.forget()


@contextmanager
def _answering(world: World, listener: socket.socket, endpoint: str) -> Iterator[None]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    dispatcher = DomainDispatcherApplication(create_backend_app)
    server = _server_class()(ADDRESS, 0, dispatcher, handler=_handler_class(), fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="embedded AWS", daemon=True)
    thread.start()
    try:
        with (
            cloudformation.application(endpoint) as stacks,
            fsx.application(world, endpoint) as file_systems,
            s3.application(world, file_systems.heard) as buckets,
            ecr.pushable(world),
        ):
            # The dispatcher has them already when it looks for them, and asks moto for none.
            own = {"cloudformation": stacks, "fsx": file_systems.answer, "s3": buckets}
            dispatcher.app_instances.update(own)
            yield
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        once.forget()


def _handler_class() -> type[Any]:
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    class Handler(MotoRequestHandler):
        # Else each answer's body waits for the acknowledgement of its head: 40 ms a call.
        disable_nagle_algorithm = True

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # the parent's name for it
            """Keeps quiet."""

    return Handler


def _server_class() -> type[Any]:
    from werkzeug.serving import ThreadedWSGIServer

    class Embedded(ThreadedWSGIServer):
        """A server that ends its connections when it ends: a client may keep one open as long as it likes."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # handed on
            self._open: dict[socket.socket, threading.Thread] = {}
            self._guard = threading.Lock()
            super().__init__(*args, **kwargs)

        def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
            with self._guard:
                self._open[request] = threading.current_thread()
            try:
                super().process_request_thread(request, client_address)
            finally:
                with self._guard:
                    del self._open[request]

        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
            """Says nothing: a client hung up. What goes wrong in moto is an answer of its own."""

        def hang_up(self) -> None:
            with self._guard:
                left = list(self._open.items())
            for connection, _ in left:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was first
                    continue
            for _, thread in left:
                thread.join(_END_SECONDS)

    return Embedded
