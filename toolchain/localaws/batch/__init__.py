"""AWS Batch: moto's, with jobs that run through toolchain/docker/container.py on the Docker engine of this machine."""

from moto.batch import models, urls

from toolchain.localaws.access import Access
from toolchain.localaws.batch.api import LocalBatchResponse
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.scheduler import Queue
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.moto_patch import replace

replace(models, "JobQueue", Queue)
replace(models.batch_backends, "backend", LocalBatchBackend)
replace(urls, "url_paths", dict.fromkeys(urls.url_paths, LocalBatchResponse.dispatch))


def install(config: LocalConfig, access: Access) -> None:
    """Removes the containers that a dead server of the same root left."""
    LocalBatchBackend.host = Host(config, access)
    LocalBatchBackend.host.sweep()
    LocalBatchBackend.host.close()
