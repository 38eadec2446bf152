"""Ctrl-C in tests: what they start hears it, even where nothing that their own parent starts does."""

import signal
import subprocess
import sys
import time

from toolchain.paths import HERE

READY = "import time; print('ready', flush=True); time.sleep(60)"


def test_what_a_test_starts_ends_at_ctrl_c() -> None:
    with subprocess.Popen([sys.executable, "-c", READY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        try:
            process.wait(30)
        finally:
            process.kill()
    assert time.monotonic() - began < 30


def test_it_does_so_under_a_parent_that_ignores_ctrl_c() -> None:
    """As the background jobs of a shell script do, and some runners of continuous integration."""
    wanted = f"{__file__}::{test_what_a_test_starts_ends_at_ctrl_c.__name__}"
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    done = subprocess.run(
        [*ignoring, sys.executable, "-m", "pytest", "-q", wanted],
        cwd=HERE.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
