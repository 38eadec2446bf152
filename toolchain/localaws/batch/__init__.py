"""AWS Batch: every job is run through toolchain/docker/container.py on the Docker engine of this machine.

moto keeps queues, compute environments and job definitions; what becomes of a job is decided here.
"""

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig


def install(world: LocalConfig, access: Access) -> None:
    """Gives moto these jobs, and removes the containers that a dead server of the same root left."""
    from moto.batch.models import batch_backends

    from toolchain.localaws.batch import api
    from toolchain.localaws.batch.backend import LocalBatchBackend
    from toolchain.localaws.batch.host import Host

    LocalBatchBackend.host = Host(world, access)
    LocalBatchBackend.host.sweep()
    LocalBatchBackend.host.close()
    batch_backends.backend = LocalBatchBackend
    api.install()
