"""The files of a file system: a directory, what came into it from S3, and what has gone there."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from toolchain.localaws.links import duplicate, regular_files

_LONGEST_KEY: Final = 1024
_LARGEST_FILE: Final = 5 * 1024**4
# As the hosts' user data does to the working directory: steps are another user than whoever runs this.
_OPEN: Final = 0o1777


@dataclass(frozen=True, kw_only=True)
class Linked:
    """A directory of a file system, and the keys that its files have in S3.

    Attributes:
        path: Within the file system; `/` for all of it.
        bucket: The directory that stands for the bucket.
        prefix: What the keys begin with.
    """

    path: PurePosixPath
    bucket: Path
    prefix: str

    def key(self, path: PurePosixPath) -> str:
        """The key of a file of the file system."""
        relative = path.relative_to(self.path)
        return str(PurePosixPath(self.prefix) / relative) if self.prefix else str(relative)


class ExportError(Exception):
    """A file cannot be exported; the text is FSx's code for it."""


@dataclass(kw_only=True)
class Tree:
    """A file system's directory.

    Attributes:
        root: The directory.
    """

    root: Path
    # What S3 has of it, each file's size and time: only what changed is exported.
    _known: dict[PurePosixPath, tuple[int, int]] = field(default_factory=dict)

    def prepare(self, path: PurePosixPath) -> None:
        """Makes a directory, open to the steps' user."""
        folder = self._at(path)
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(_OPEN)

    def bring(self, mapping: Linked, *, keep_keys: bool) -> int:
        """Brings the files of S3 that are beneath a mapping's prefix, and returns how many are new.

        Args:
            mapping: From where to where.
            keep_keys: Whether a file keeps its whole key as its path, as the older import path has it.
        """
        top = mapping.bucket / mapping.prefix
        brought = 0
        for source in regular_files(top):
            relative = PurePosixPath(source.relative_to(mapping.bucket if keep_keys else top))
            path = mapping.path / relative
            target = self._at(path)
            # What was changed here stays as it is.
            if not target.exists() or self._known.get(path) == _mark(target) != _mark(source):
                duplicate(source, target)
                self._known[path] = _mark(target)
                brought += 1
        return brought

    def follow(self, linked: Linked, key: str, *, there: bool) -> None:
        """Does to one file what was done to its object, unless the file was changed here."""
        path = linked.path / PurePosixPath(key).relative_to(linked.prefix)
        target = self._at(path)
        if target.exists() and self._known.get(path) != _mark(target):
            return
        source = linked.bucket / key
        if not there:
            target.unlink(missing_ok=True)
        elif source.is_file():
            duplicate(source, target)
            self._known[path] = _mark(target)

    def changed(self, path: PurePosixPath) -> list[PurePosixPath]:
        """The files at or beneath a path that S3 does not have as they are, in order.

        Raises:
            FileNotFoundError: There is nothing at the path.
        """
        top = self._at(path)
        if not top.exists():
            raise FileNotFoundError(str(path))
        found = [top] if top.is_file() else regular_files(top)
        paths = [(PurePosixPath("/") / one.relative_to(self.root), one) for one in found]
        return sorted(name for name, one in paths if self._known.get(name) != _mark(one))

    def export(self, path: PurePosixPath, mapping: Linked) -> None:
        """Puts one file into S3.

        Raises:
            ExportError: It cannot be.
        """
        key, source = mapping.key(path), self._at(path)
        if len(key.encode()) > _LONGEST_KEY:
            raise ExportError("PathSizeTooLong")
        if not mapping.bucket.is_dir():
            raise ExportError("S3BucketNotFound")
        try:
            if source.stat().st_size > _LARGEST_FILE:
                raise ExportError("FileSizeTooLarge")
            before = _mark(source)
            duplicate(source, mapping.bucket / key)
        except PermissionError as error:
            raise ExportError("S3AccessDenied") from error
        except OSError as error:
            raise ExportError("ResourceBusy" if source.exists() else "FileNotFound") from error
        # What was written meanwhile is not what was exported: it counts as changed.
        self._known[path] = before

    def remove(self, bin_: Path) -> None:
        """Takes the directory away: at once out of sight, and then as far as its files' owners let it."""
        if self.root.exists():
            bin_.parent.mkdir(parents=True, exist_ok=True)
            self.root.replace(bin_)
            shutil.rmtree(bin_, ignore_errors=True)

    def _at(self, path: PurePosixPath) -> Path:
        return self.root / path.relative_to("/")


def _mark(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns
