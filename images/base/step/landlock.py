"""Write access held to some directories, by the kernel's Landlock (landlock(7)), for this process and its programs.

All jobs are one user and mount one /scratch/working, so permissions keep no job from the files of another run. Landlock
needs no privilege, and what a process gives up it cannot have back.
"""

import os
from collections.abc import Iterable
from pathlib import Path

# Of linux/landlock.h.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_WRITES = sum(1 << bit for bit in (1, *range(4, 14)))  # to write, remove, and make anything; to move it elsewhere
_TRUNCATE = 1 << 14
_NO_NEW_PRIVILEGES = 38  # prctl(2)
# With the first version nothing can be moved between directories, not even where all is allowed.
_LEAST_VERSION, _TRUNCATE_VERSION = 2, 3


def hold_writes_to(folders: Iterable[Path]) -> str | None:
    """Takes from this process the right to write anywhere but below these directories, /tmp and /dev.

    The kernel before 6.2 goes on allowing truncate(2), and every kernel the change of modes and times.

    Returns:
        Why nothing was taken, if the kernel cannot do it or the container engine does not let it.

    Raises:
        OSError: A directory cannot be opened.
    """
    import ctypes  # not needed by a command that is refused

    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        return int(libc.syscall(ctypes.c_long(number), *arguments))

    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    if version < _LEAST_VERSION:
        return os.strerror(ctypes.get_errno()) if version < 0 else f"its version is {version}"
    rights = _WRITES | (_TRUNCATE if version >= _TRUNCATE_VERSION else 0)

    def check(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "landlock")
        return result

    ruleset = check(call(_CREATE_RULESET, rights.to_bytes(8, "little"), ctypes.c_size_t(8), ctypes.c_uint(0)))
    try:
        for folder in (*folders, Path("/tmp"), Path("/dev")):  # noqa: S108  # the container's own
            parent = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                rule = rights.to_bytes(8, "little") + parent.to_bytes(4, "little")
                check(call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0)))
            finally:
                os.close(parent)
        check(int(libc.prctl(*map(ctypes.c_ulong, (_NO_NEW_PRIVILEGES, 1, 0, 0, 0)))))
        check(call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)))
    finally:
        os.close(ruleset)
    return None
