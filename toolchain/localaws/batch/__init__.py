"""AWS Batch: moto's, with jobs that run through toolchain/docker/container.py on the Docker engine of this machine."""

from typing import Any

import moto.batch.urls
from moto.batch import models

from toolchain.localaws.access import Access
from toolchain.localaws.batch.api import LocalBatchResponse
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.host import Host
from toolchain.localaws.batch.scheduler import Queue
from toolchain.localaws.config import LocalConfig


def install(config: LocalConfig, access: Access) -> None:
    """Puts ours in the place of moto's, and removes the containers that a dead server of the same root left."""
    LocalBatchBackend.host = Host(config, access)
    LocalBatchBackend.host.sweep()
    LocalBatchBackend.host.close()
    batch: Any = models
    batch.JobQueue = Queue
    batch.batch_backends.backend = LocalBatchBackend
    for path in moto.batch.urls.url_paths:
        moto.batch.urls.url_paths[path] = LocalBatchResponse.dispatch
