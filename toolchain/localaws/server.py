"""Runs the embedded AWS: its services behind a loopback port of this process, and FSx behind a socket for exports."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.models import DEFAULT_ACCOUNT_ID

from toolchain import files
from toolchain.errors import UnavailableError
from toolchain.localaws import (
    batch,
    ecr,
    environments,  # noqa: F401  # replaces parts of moto
    fsx,
    logs,
    s3,
    stepfunctions,
)
from toolchain.localaws.access import ADDRESS, Access, Server, environment_variables
from toolchain.localaws.cloudformation.api import cloudformation_application
from toolchain.localaws.config import EXPORT_SOCKET, LocalConfig, chosen_region
from toolchain.localaws.gate import Gate, Services
from toolchain.localaws.http import answering

_MOTO: Final = {
    # Else moto looks for the caller's account among the users of every partition.
    "MOTO_ACCOUNT_ID": DEFAULT_ACCOUNT_ID,
    # The policies of AWS itself, which roles attach.
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    # Images to pick from, which take a second to read.
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}


@contextmanager
def serve(config: LocalConfig, *, port: int = 0) -> Iterator[Server]:
    """Runs an embedded AWS that holds nothing yet, until the block ends; one at a time in a process.

    Args:
        config: Where it keeps files, and what its jobs may use.
        port: Where it listens on the loopback; 0 for any free port.

    Raises:
        UnavailableError: The port is taken.
        CannotCreateError: The directory is somebody else's.
    """
    # References, reads, results and the key are their owner's only. Docker mounts what jobs may see all the same.
    files.make_private(config.root)
    for folder in (config.scratch, config.buckets):
        folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        listener = stack.enter_context(_listening(port))
        access = Access(endpoint=f"http://{ADDRESS}:{listener.getsockname()[1]}")
        stack.enter_context(environment_variables(_MOTO))
        for service in (batch, fsx, logs, stepfunctions):
            service.install(config, access)
        # A backend that an earlier server of this process made knows nothing of what was installed now.
        _drop_backends()
        stack.callback(_drop_backends)
        services = Services()
        owner = Gate(access=access, keys=(access.owner, access.export), services=services)
        stack.enter_context(answering(listener, ADDRESS, owner))
        exports = stack.enter_context(_listening_for_exports(config))
        gate = Gate(access=access, keys=(access.export,), services=services)
        stack.enter_context(answering(exports, f"unix://{EXPORT_SOCKET}", gate))
        # These call other services: they end before the HTTP servers do.
        services.applications["cloudformation"] = cloudformation_application(access)
        services.applications["s3"] = s3.S3Application(config, fsx.object_changed)
        stack.enter_context(ecr.serve_registry(config))
        yield Server(endpoint=access.endpoint, region=chosen_region(), key=access.owner)


def _drop_backends() -> None:
    """Ends what runs in moto's backends and drops them; its own reset makes each of them anew, which takes seconds."""
    backend_dict: Any = BackendDict
    for backends in backend_dict._instances:  # noqa: SLF001  # where moto itself looks for them
        for _, _, backend in backends.iter_backends():
            if type(backend).reset is not BaseBackend.reset:
                backend.reset()
        backends.clear()
    BackendDict.reset()


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
def _listening_for_exports(config: LocalConfig) -> Iterator[socket.socket]:
    """The socket that is mounted into the containers of exports, which have no network."""
    config.door.mkdir(exist_ok=True)
    config.door.chmod(0o755)
    file = config.door / EXPORT_SOCKET
    file.unlink(missing_ok=True)
    folder = os.open(config.door, os.O_PATH | os.O_DIRECTORY)
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
