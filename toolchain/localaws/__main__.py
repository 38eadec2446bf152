"""A server in a process of its own: `python -m toolchain.localaws ROOT [--port N]`, until SIGTERM or Ctrl-C."""

import argparse
import json
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.lifecycle import exclusive_lock
from toolchain.localaws.server import serve


def main() -> int:
    """Serves until a signal; prints the address and the key, as JSON, once it answers."""
    parser = argparse.ArgumentParser(prog="python -m toolchain.localaws")
    parser.add_argument("root", type=Path, help="where it keeps its files")
    parser.add_argument("--port", type=int, default=0, help="on the loopback; any free one if none")
    arguments = parser.parse_args()
    config = LocalConfig.of_this_machine(arguments.root)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with exclusive_lock(config), serve(config, port=arguments.port) as server:
            print(json.dumps(asdict(server)), flush=True)  # noqa: T201  # for the process that started it
            stopped.wait()
    except ToolchainError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
