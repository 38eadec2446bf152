"""Paths in a directory that jobs write to, opened without following symbolic links.

A path that is checked and then opened may be another by then: each directory on the way is opened in the one above it.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

# What the names of writes in progress begin with.
HIDDEN: Final = ".new-"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not to wait for a pipe's other end
_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LinkError(OSError):
    """There is a symbolic link on the way, or in the place of the file."""


@dataclass(frozen=True)
class SafePath:
    """A path relative to a directory; every method raises LinkError if a symbolic link is met on the way.

    Attributes:
        top: The directory, which may itself be reached by links.
        path: Relative to it.
    """

    top: Path
    path: PurePosixPath

    def __truediv__(self, name: str | PurePosixPath) -> "SafePath":
        return SafePath(self.top, self.path / name)

    @contextmanager
    def folder(self, *, make: bool = False) -> Iterator[int]:
        """Opens this directory and gives its descriptor; with `make`, creates what is missing."""
        if self.path.is_absolute() or ".." in self.path.parts:
            raise LinkError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path))
        descriptor = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in self.path.parts:
                child = _open_folder(descriptor, name, make=make)
                os.close(descriptor)
                descriptor = child
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self) -> os.stat_result:
        """The file's status."""
        with self._parent() as parent:
            status = os.stat(self.path.name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise LinkError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path))
        return status

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self._is(stat.S_ISREG)

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory."""
        return self._is(stat.S_ISDIR)

    def open(self) -> BinaryIO:
        """Opens a regular file for reading."""
        with self._parent() as parent:
            try:
                descriptor = os.open(self.path.name, _READ, dir_fd=parent)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise LinkError(*error.args, str(self.path)) from error
                raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "It is no regular file", str(self.path))
        return os.fdopen(descriptor, "rb")

    @contextmanager
    def replacing(self, linked: BinaryIO | None = None) -> Iterator[BinaryIO]:
        """Writes the file atomically: a reader sees the old one, or all of the new one when the block has ended.

        Args:
            linked: An open file that it becomes a hard link of; the block is given that file.
        """
        name = HIDDEN + secrets.token_hex(8)
        with self._parent(make=True) as parent:
            try:
                if linked is not None:
                    # The open file, whatever has its name by now.
                    os.link(f"/proc/self/fd/{linked.fileno()}", name, dst_dir_fd=parent, follow_symlinks=True)
                    yield linked
                else:
                    with os.fdopen(os.open(name, _WRITE, 0o600, dir_fd=parent), "w+b") as out:
                        os.fchmod(out.fileno(), 0o644)
                        yield out
                os.rename(name, self.path.name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                # It is there after a failure, and where both are links of one file.
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)

    def remove(self) -> None:
        """Removes the file, if there is one."""
        with suppress(FileNotFoundError, NotADirectoryError), self._parent() as parent:
            os.unlink(self.path.name, dir_fd=parent)

    def remove_folder(self) -> bool:
        """Removes the directory if it is empty, and says whether it was."""
        try:
            with self._parent() as parent:
                os.rmdir(self.path.name, dir_fd=parent)
        except OSError:
            return False
        return True

    def files(self) -> Iterator[tuple["SafePath", os.stat_result]]:
        """The regular files below this directory, in order, without writes in progress."""
        with suppress(FileNotFoundError, NotADirectoryError), self.folder() as descriptor:
            for folder, folders, names, opened in os.fwalk(".", dir_fd=descriptor):
                folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
                for name in sorted(name for name in names if not name.startswith(HIDDEN)):
                    with suppress(FileNotFoundError):
                        status = os.stat(name, dir_fd=opened, follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield self / PurePosixPath(folder) / name, status

    def _is(self, kind: Callable[[int], bool]) -> bool:
        try:
            return kind(self.status().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _parent(self, *, make: bool = False) -> AbstractContextManager[int]:
        return SafePath(self.top, self.path.parent).folder(make=make)


def _open_folder(parent: int, name: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            made = os.open(name, _FOLDER, dir_fd=parent)
            os.fchmod(made, 0o755)  # jobs are another user, and this user's umask may let no other in
            return made
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError as error:
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise LinkError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
        raise
