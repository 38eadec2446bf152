"""FSx for Lustre on this machine: file systems are directories, and S3 is the directory of the buckets.

moto 5.2.5: file systems have neither a life cycle nor a mount name, and there are no data repository associations or
tasks. Not emulated: other types than LUSTRE, backups, file caches, release of data and automatic export.
"""

import shutil

from moto.fsx import urls

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.fsx.api import LocalFsxResponse
from toolchain.localaws.fsx.backend import LocalFsxBackend, fsx_backends
from toolchain.localaws.moto_patch import replace

replace(urls, "url_paths", dict.fromkeys(urls.url_paths, LocalFsxResponse.dispatch))


def install(config: LocalConfig, _access: Access) -> None:
    """Removes the file systems of an earlier server."""
    for folder in ("lustre", "removed"):
        shutil.rmtree(config.root / folder, ignore_errors=True)
    LocalFsxBackend.config = config


def object_changed(bucket: str, key: str, *, exists: bool) -> None:
    """Imports an object that was put, or removes the file of one that was deleted, where an association says so."""
    for regions in list(fsx_backends.values()):
        for backend in list(regions.values()):
            backend.object_changed(bucket, key, exists=exists)
