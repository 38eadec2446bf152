"""Copies files between buckets and file systems without moving the bytes of large ones.

Where the disk's file system can clone, a large file becomes a clone. Where it cannot, it becomes a hard link: a copy
would take minutes and the room twice. A hard link shares later writes in place too; nothing here writes large files in
place, as steps and uploads write a new file and rename it. A small file may be a log that a program appends to: it is
copied.
"""

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from typing import BinaryIO, Final

from toolchain.localaws.safe_path import SafePath

_LARGE: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
# FICLONE of linux/fs.h.
_CLONE: Final = 0x40049409
_NO_CLONES: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.ENOSYS})


def copy_file(source: SafePath, target: SafePath) -> None:
    """Replaces a file by a copy of another, atomically; makes the folders above it.

    Raises:
        OSError: It cannot be read or written, or a symbolic link is on the way.
    """
    with source.open() as old:
        is_large = os.fstat(old.fileno()).st_size >= _LARGE
        if is_large and _clone(old, target):
            return
        # Hard links fail across file systems, and for files of other users: those are copied.
        with suppress(OSError):
            if is_large:
                with target.replacing(linked=old):
                    return
        with target.replacing() as new:
            shutil.copyfileobj(old, new, _CHUNK)
            _copy_times_and_mode(old, new)


def _clone(old: BinaryIO, target: SafePath) -> bool:
    try:
        with target.replacing() as new:
            fcntl.ioctl(new.fileno(), _CLONE, old.fileno())
            _copy_times_and_mode(old, new)
    except OSError as error:
        if error.errno not in _NO_CLONES:
            raise
        return False
    return True


def _copy_times_and_mode(old: BinaryIO, new: BinaryIO) -> None:
    status = os.fstat(old.fileno())
    new.flush()
    # Jobs run as another user and have to read it.
    os.fchmod(new.fileno(), 0o644 | (status.st_mode & 0o111))
    os.utime(new.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
