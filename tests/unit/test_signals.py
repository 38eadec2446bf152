"""Ctrl-C reaches what tests start, even where their own parent ignores it."""

import os
import subprocess
import sys

from toolchain.paths import HERE

READY = "import time; print('ready', flush=True); time.sleep(20)"
INTERRUPT = f"""
import signal, subprocess, sys
import conftest
with subprocess.Popen([sys.executable, "-c", {READY!r}], stdout=subprocess.PIPE) as process:
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(10)
"""


def test_what_a_test_starts_ends_at_ctrl_c_under_a_parent_that_ignores_it() -> None:
    """As the background jobs of a shell script do, and some runners of continuous integration."""
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    done = subprocess.run(
        [*ignoring, sys.executable, "-c", INTERRUPT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.root, HERE.root / "tests")))},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert "KeyboardInterrupt" in done.stderr
