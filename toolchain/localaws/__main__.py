"""Keeps an embedded AWS until it is told to end: `python -m toolchain.localaws ROOT --port N`.

Its address is the one line on stdout, written when it answers. What an earlier one left that died is removed: its
containers, and the records of its file systems, which nobody knows any more. Buckets stay, as they do in AWS.
"""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.localaws.server import serve
from toolchain.localaws.world import World
from toolchain.machine import Machine

# What is of use to the server that made it only.
_OF_ONE_SERVER = ("fsx", "lustre", "removed", "uploads")


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT comes."""
    here = Machine.here()
    parser = argparse.ArgumentParser(prog="python -m toolchain.localaws", description=__doc__)
    parser.add_argument("root", type=Path, help="everything that it holds is below this directory")
    parser.add_argument("--port", type=int, default=0, help="of the loopback; by default any free one")
    parser.add_argument("--vcpus", type=int, default=here.cores, help="what jobs may use; by default all cores")
    parser.add_argument("--memory", type=int, default=here.memory, help="likewise in MiB; by default most of it")
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    for name in _OF_ONE_SERVER:
        shutil.rmtree(root / name, ignore_errors=True)
    # Before anything is started: a signal that came earlier would leave what was started behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        with serve(World(root=root, vcpus=options.vcpus, memory=options.memory), port=options.port) as server:
            sys.stdout.write(f"{server.endpoint}\n")
            sys.stdout.flush()
            signal.sigwait(_ENDING)
    except ToolchainError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


_ENDING = frozenset({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    sys.exit(main())
