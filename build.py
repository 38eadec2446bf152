#!/usr/bin/env python3
"""The door: `python build.py COMMAND`; everything behind it is in toolchain/."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv" / "bin" / "python"

if __name__ == "__main__":
    # The packages are in the project's own environment: whichever Python was typed, that one runs.
    if VENV.exists() and Path(sys.prefix) != VENV.parent.parent:
        os.execv(VENV, [str(VENV), str(HERE / "build.py"), *sys.argv[1:]])  # noqa: S606  # no shell is wanted
    try:
        from toolchain.cli.main import main
    except ModuleNotFoundError as missing:
        sys.exit(f"error: the Python package '{missing.name}' is not installed. Type: make setup")
    sys.exit(main(sys.argv[1:]))
