"""FSx for Lustre: file systems that are directories, linked to the directory trees that stand for S3.

moto's own has no links to S3, no tasks, no mount names and no life cycle, and nothing of it can be built on: this one
is in its place. What is not here: other types than LUSTRE, backups, file caches, releasing of data, and automatic
export. Automatic import follows what is put through S3's API, and an import task brings the rest.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig


@dataclass(frozen=True, kw_only=True)
class FileSystems:
    """FSx in every region.

    Attributes:
        answer: A WSGI application.
        heard: Is to be told of objects in S3 that come and go: bucket, key, and whether it is there now.
    """

    answer: Any
    heard: Callable[[str, str, bool], None]


@contextmanager
def application(world: LocalConfig, access: Access) -> Iterator[FileSystems]:
    """FSx in every region, until the block ends.

    Args:
        world: Where the files are.
        access: Where EC2 answers, and the key.
    """
    from toolchain.localaws.fsx.api import response_class
    from toolchain.localaws.fsx.service import Services
    from toolchain.localaws.web import answering

    # The file systems of a server that is no more.
    for name in ("lustre", "removed"):
        shutil.rmtree(world.root / name, ignore_errors=True)
    services = Services(world, access)
    try:
        yield FileSystems(answer=answering("fsx", response_class(services)), heard=services.heard)
    finally:
        services.close()
