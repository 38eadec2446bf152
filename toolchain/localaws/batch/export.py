"""How the job that exports reaches FSx: through a socket that is mounted into its container, which has no network."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from toolchain.docker.container import Container, Mount
from toolchain.localaws.access import Access
from toolchain.localaws.batch import forward
from toolchain.localaws.config import EXPORT_SOCKET, LocalConfig

_DOOR: Final = "/run/embedded-aws"


def with_fsx(container: Container, world: LocalConfig, access: Access) -> Container:
    """A job's container, with what opens FSx: in the cloud its role's credentials come from the ECS agent.

    Args:
        container: The container. Its image must have python3.
        world: Where the socket is.
        access: The keys, and the port that clients know.
    """
    if not container.command:
        return container
    program = Path(forward.__file__).read_text(encoding="utf-8")
    port = access.endpoint.rpartition(":")[2]
    return replace(
        container,
        command=("python3", "-I", "-c", program, port, f"{_DOOR}/{EXPORT_SOCKET}", *container.command),
        environment={
            "AWS_ENDPOINT_URL": access.endpoint,
            "AWS_ACCESS_KEY_ID": access.export.id,
            "AWS_SECRET_ACCESS_KEY": access.export.secret,
            "AWS_EC2_METADATA_DISABLED": "true",
            # An export is done here in milliseconds, and a look costs nobody anything.
            "EXPORT_POLL_SECONDS": "0.05",
            **container.environment,
        },
        mounts=(*container.mounts, Mount(source=str(world.door.resolve()), target=_DOOR, read_only=True)),
    )
