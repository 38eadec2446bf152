"""Keeps moto's buckets and the directories the same."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from toolchain.localaws.beneath import Beneath
from toolchain.localaws.s3.objects import is_bucket_name
from toolchain.localaws.s3.xml import Node, text, written

ACCOUNT = "123456789012"


class Buckets:
    """The buckets, of which moto keeps all but the objects.

    Args:
        root: The directory of their directories.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def meet(self) -> None:
        """Tells moto of directories that somebody made."""
        backend = self._backend()
        for folder in self._root.iterdir():
            # A link leads to a directory that is not below the embedded AWS's own.
            is_own = folder.is_dir() and not folder.is_symlink()
            if is_own and is_bucket_name(folder.name) and folder.name not in backend.buckets:
                backend.create_bucket(folder.name, "us-east-1")

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Makes and takes away the directories of the buckets that moto makes and deletes in the block."""
        buckets = self._backend().buckets
        before = set(buckets)
        yield
        for name in set(buckets) - before:
            (self._root / name).mkdir(exist_ok=True)
        for name in before - set(buckets):
            _remove_empty(self._root / name)

    def empty(self, name: str) -> bool:
        """Whether a bucket has no objects, or is none."""
        return next(Beneath(self._root, PurePosixPath(name)).files(), None) is None

    @staticmethod
    def not_empty(name: str) -> bytes:
        """What the deletion of a bucket with objects is answered."""
        nodes = [
            text("Code", "BucketNotEmpty"),
            text("Message", "The bucket you tried to delete is not empty"),
            text("BucketName", name),
        ]
        return written(Node("Error", nodes))

    @staticmethod
    def _backend() -> Any:  # noqa: ANN401  # moto's, whose classes have no types that hold here
        from moto.s3.models import s3_backends

        return s3_backends[ACCOUNT]["aws"]


def _remove_empty(folder: Path) -> None:
    # Links are no objects: they go with their bucket, and what they lead to stays.
    if folder.is_symlink():
        folder.unlink()
        return
    shutil.rmtree(folder, ignore_errors=True)
