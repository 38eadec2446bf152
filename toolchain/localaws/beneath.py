"""Files beneath a directory, to which no link leads.

What lies in a file system of jobs was put there by jobs. A path that is looked at and then opened may be another by
then; so each directory on the way is opened in the one above it, and a link is never followed.
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


class LinkError(OSError):
    """There is a symbolic link on the way, or in the place of the file."""


@dataclass(frozen=True)
class Beneath:
    """A path beneath a directory.

    Attributes:
        top: The directory; how it is reached is its owner's business.
        path: Relative to it.
    """

    top: Path
    path: PurePosixPath

    def __truediv__(self, name: str | PurePosixPath) -> "Beneath":
        """A path beneath this one."""
        return Beneath(self.top, self.path / name)

    @contextmanager
    def folder(self, *, make: bool = False) -> Iterator[int]:
        """Opens this directory, and gives its descriptor.

        Args:
            make: Whether directories that are not there are made.

        Raises:
            LinkError: There is a link on the way.
            OSError: It is no directory, or cannot be opened.
        """
        if self.path.is_absolute() or ".." in self.path.parts:
            raise LinkError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path))
        descriptor = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in self.path.parts:
                below = _entered(descriptor, name, make=make)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self) -> os.stat_result:
        """What the file system knows of it.

        Raises:
            LinkError: It is a link, or beneath one.
            OSError: It is not there.
        """
        with self._parent() as parent:
            found = os.stat(self.path.name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise LinkError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path))
        return found

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file; a link on the way is an error."""
        return self._is(stat.S_ISREG)

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory; a link on the way is an error."""
        return self._is(stat.S_ISDIR)

    def open(self) -> BinaryIO:
        """Opens a regular file to be read.

        Raises:
            LinkError: It is a link, or beneath one.
            OSError: It is no regular file, or cannot be opened.
        """
        with self._parent() as parent:
            # Not to wait for the other end of a pipe.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                descriptor = os.open(self.path.name, flags, dir_fd=parent)
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
        """Writes it: a reader sees the old file, or all of the new one when the block has ended.

        Args:
            linked: A file of which it becomes a hard link; what the block is given is that file.

        Raises:
            OSError: It cannot be written, or linked.
        """
        name = HIDDEN + secrets.token_hex(8)
        with self._parent(make=True) as parent:
            try:
                if linked is not None:
                    # The open file, whatever has its name by now.
                    os.link(f"/proc/self/fd/{linked.fileno()}", name, dst_dir_fd=parent, follow_symlinks=True)
                    yield linked
                else:
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                    with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "w+b") as out:
                        os.fchmod(out.fileno(), 0o644)
                        yield out
                os.rename(name, self.path.name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                # It is there after a failure, and where both are links of one file.
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)

    def remove(self) -> None:
        """Removes a file; one that is not there is removed."""
        with suppress(FileNotFoundError, NotADirectoryError), self._parent() as parent:
            os.unlink(self.path.name, dir_fd=parent)

    def remove_folder(self) -> bool:
        """Removes a directory if it is empty, and says whether it was."""
        try:
            with self._parent() as parent:
                os.rmdir(self.path.name, dir_fd=parent)
        except OSError:
            return False
        return True

    def files(self) -> Iterator[tuple["Beneath", os.stat_result]]:
        """The regular files beneath this directory, in order; writes in progress are none of them."""
        try:
            with self.folder() as descriptor:
                for folder, folders, names, opened in os.fwalk(".", dir_fd=descriptor):
                    folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
                    for name in sorted(name for name in names if not name.startswith(HIDDEN)):
                        with suppress(FileNotFoundError):
                            found = os.stat(name, dir_fd=opened, follow_symlinks=False)
                            if stat.S_ISREG(found.st_mode):
                                yield self / PurePosixPath(folder) / name, found
        except (FileNotFoundError, NotADirectoryError):
            return

    def _is(self, kind: Callable[[int], bool]) -> bool:
        try:
            return kind(self.status().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _parent(self, *, make: bool = False) -> AbstractContextManager[int]:
        return Beneath(self.top, self.path.parent).folder(make=make)


def _entered(parent: int, name: str, *, make: bool) -> int:
    """A directory in another one, opened."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            made = os.open(name, _FOLDER, dir_fd=parent)
            # Jobs are another user, and this user's umask may let no other in.
            os.fchmod(made, 0o755)
            return made
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError as error:
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise LinkError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
        raise
