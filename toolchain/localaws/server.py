"""Runs the embedded AWS: its services behind a loopback port of this process, and FSx behind a socket for exports."""

import importlib
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from toolchain import files
from toolchain.errors import UnavailableError
from toolchain.localaws import ecr, fsx, once, s3
from toolchain.localaws.access import ADDRESS, Access, Key, environment
from toolchain.localaws.config import EXPORT_SOCKET, LocalConfig, chosen_region

ACCOUNT: Final = "123456789012"
# What adds to moto, a module of this package for each service; each has `install(world, access)`. CloudFormation and
# S3's objects are not moto's at all.
SERVICES: Final = ("once", "batch", "ecr", "environments", "fsx", "logs", "stepfunctions")
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running embedded AWS.

    Attributes:
        endpoint: Its address, as AWS_ENDPOINT_URL takes it.
        region: The region that its clients use.
        key: The key that opens it.
    """

    endpoint: str
    region: str
    key: Key

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs to find this AWS, and to read nothing of the user's own."""
        return environment(self.endpoint, self.region, self.key)


@contextmanager
def serve(world: LocalConfig, *, port: int = 0) -> Iterator[Server]:
    """Runs an embedded AWS that holds nothing yet, until the block ends. One at a time in a process.

    Args:
        world: Where it keeps files, and what its jobs may use.
        port: Where it listens on the loopback; 0 for any free port.

    Raises:
        UnavailableError: The port is taken.
        CannotCreateError: The directory is somebody else's.
    """
    _make_folders(world)
    with _listening(port) as listener:
        number: int = listener.getsockname()[1]
        # moto calls itself by this address: Step Functions calls Batch so.
        with _variables({"MOTO_PORT": str(number), **_MOTO}):
            access = Access(endpoint=f"http://{ADDRESS}:{number}")
            _install(world, access)
            with _answering(world, listener, access):
                yield Server(endpoint=access.endpoint, region=chosen_region(), key=access.owner)


# The policies of AWS itself, which roles attach, and no images to pick from, which take a second to read.
_MOTO: Final = {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}


def _make_folders(world: LocalConfig) -> None:
    """Makes the directories. What is below the root is its owner's only: references, reads, results and the key.

    Jobs find theirs all the same, since Docker mounts them and needs no way through the directories above.
    """
    files.make_private(world.root)
    for folder in (world.scratch, world.buckets):
        folder.mkdir(exist_ok=True)


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


def _install(world: LocalConfig, access: Access) -> None:
    for service in SERVICES:
        importlib.import_module(f"toolchain.localaws.{service}").install(world, access)
    # A backend that an earlier server of this process made knows nothing of what was installed now.
    once.forget()


@contextmanager
def _answering(world: LocalConfig, listener: socket.socket, access: Access) -> Iterator[None]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from toolchain.localaws.cloudformation.api import cloudformation_application
    from toolchain.localaws.gate import Gate

    dispatcher = DomainDispatcherApplication(create_backend_app)
    # The dispatcher has these already when it looks for them, and asks moto for none.
    own: dict[str, Any] = dispatcher.app_instances

    def buckets(environ: dict[str, Any], start: Any) -> Iterable[bytes]:  # noqa: ANN401  # as WSGI has it
        answer: Iterable[bytes] = own["s3"](environ, start)
        return answer

    gate = partial(Gate, access=access, s3=buckets, services=dispatcher)
    with ExitStack() as stack:
        # Last of all: nothing calls a backend any more.
        stack.callback(once.forget)
        stack.enter_context(_serving(listener, ADDRESS, gate(keys=(access.owner, access.export))))
        exports = stack.enter_context(_listening_for_exports(world))
        stack.enter_context(_serving(exports, f"unix://{EXPORT_SOCKET}", gate(keys=(access.export,))))
        # These call each other through the door: they end before it is shut.
        own["cloudformation"] = stack.enter_context(cloudformation_application(access))
        own["s3"] = s3.S3Application(world, fsx.object_changed)
        stack.enter_context(ecr.pushable(world))
        yield


@contextmanager
def _listening_for_exports(world: LocalConfig) -> Iterator[socket.socket]:
    """The socket that is mounted into the containers of exports, which have no network."""
    world.door.mkdir(exist_ok=True)
    world.door.chmod(0o755)
    file = world.door / EXPORT_SOCKET
    file.unlink(missing_ok=True)
    folder = os.open(world.door, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            # The path of a socket may have 107 characters, and that of a checkout more.
            listener.bind(f"/proc/self/fd/{folder}/{EXPORT_SOCKET}")
            file.chmod(0o666)
            listener.listen()
            yield listener
    finally:
        os.close(folder)
        file.unlink(missing_ok=True)


@contextmanager
def _serving(listener: socket.socket, host: str, application: Any) -> Iterator[None]:  # noqa: ANN401  # WSGI's, which is any callable
    """Answers what comes at a socket until the block ends."""
    from toolchain.localaws.http import Handler, HttpServer, LocalHandler

    handler = LocalHandler if listener.family == socket.AF_UNIX else Handler
    server = HttpServer(host, 0, application, handler=handler, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="embedded AWS", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
