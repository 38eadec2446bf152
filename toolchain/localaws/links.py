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
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_LINKED_FROM: Final = 16 * 1024 * 1024
# What a write in progress is beneath.
HIDDEN: Final = ".new-"
# From linux/fs.h: FICLONE.
_CLONE: Final = 0x40049409


def duplicate(source: Path, target: Path) -> None:
    """Makes a file the same as another, in place of what is there: a reader sees the old one or the new.

    Args:
        source: A regular file.
        target: Its folder is made if need be.

    Raises:
        OSError: It cannot be read or written.
    """
    open_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=HIDDEN) as folder:
        new = Path(folder) / "file"
        large = source.stat().st_size >= _LINKED_FROM
        if not large or not (_cloned(source, new) or _linked(source, new)):
            _copied(source, new)
        new.replace(target)


def open_folder(folder: Path) -> None:
    """Makes a directory that steps, which are another user, may read, whatever the umask is."""
    missing = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for level in missing:
        level.chmod(0o755)


def _linked(source: Path, new: Path) -> bool:
    # Another file system, or a file of somebody else's that the kernel lets nobody link: a copy does.
    with suppress(OSError):
        new.hardlink_to(source)
        return True
    return False


def _cloned(source: Path, new: Path) -> bool:
    with source.open("rb") as old, new.open("wb") as out:
        try:
            fcntl.ioctl(out.fileno(), _CLONE, old.fileno())
        except OSError as error:
            if error.errno not in {
                errno.EOPNOTSUPP,
                errno.ENOTTY,
                errno.EXDEV,
                errno.EINVAL,
                errno.EPERM,
                errno.ENOSYS,
            }:
                raise
        else:
            shutil.copystat(source, new)
            return True
    new.unlink()
    return False


def _copied(source: Path, new: Path) -> None:
    # In the kernel, where it can; never the whole file at once.
    shutil.copyfile(source, new)
    shutil.copystat(source, new)
    os.chmod(new, 0o644 | (source.stat().st_mode & 0o111))  # noqa: PTH101


def regular_files(top: Path) -> Iterator[Path]:
    """The regular files beneath a directory; what a write in progress keeps out of sight is none of them."""
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(one for one in folders if not one.startswith(HIDDEN))
        for name in sorted(names):
            one = Path(folder) / name
            if one.is_file() and not one.is_symlink():
                yield one
