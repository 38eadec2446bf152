"""Puts a file's content in a second place at little cost: what stands for the copies between Lustre and S3.

A clone shares the blocks and nothing else, where the file system can make one. Where it cannot, a large file becomes a
hard link, since its copy would take minutes and the room twice. A link shares later writes in place too, and no large
file here is ever written so: steps write a new file and rename it, and so does whatever is put into a bucket. A small
file may well be a log or a table that a program appends to: it is copied.
"""

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from typing import BinaryIO, Final

from toolchain.localaws.beneath import Beneath

_LINKED_FROM: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
# From linux/fs.h: FICLONE.
_CLONE: Final = 0x40049409
_NO_CLONES: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.ENOSYS})


def duplicate(source: Beneath, target: Beneath) -> None:
    """Makes a file the same as another, in place of what is there: a reader sees the old one or the new.

    Args:
        source: A regular file.
        target: Its folder is made if need be.

    Raises:
        OSError: It cannot be read or written, or a link leads to it.
    """
    with source.open() as old:
        large = os.fstat(old.fileno()).st_size >= _LINKED_FROM
        if large and _is_cloned(old, target):
            return
        # Another file system, or a file of somebody else's that the kernel lets nobody link: a copy does.
        with suppress(OSError):
            if large:
                with target.replacing(linked=old):
                    return
        with target.replacing() as new:
            shutil.copyfileobj(old, new, _CHUNK)
            _dress(old, new)


def _is_cloned(old: BinaryIO, target: Beneath) -> bool:
    try:
        with target.replacing() as new:
            fcntl.ioctl(new.fileno(), _CLONE, old.fileno())
            _dress(old, new)
    except OSError as error:
        if error.errno not in _NO_CLONES:
            raise
        return False
    return True


def _dress(old: BinaryIO, new: BinaryIO) -> None:
    """Gives a file the times of another, and a mode with which jobs can read it."""
    status = os.fstat(old.fileno())
    new.flush()
    os.fchmod(new.fileno(), 0o644 | (status.st_mode & 0o111))
    os.utime(new.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
