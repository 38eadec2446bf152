"""Commands as a user types them, in a copy of this checkout that keeps its files to itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.paths import HERE, Checkout

SECONDS = 120
SHORT = ("--reference", "small.fa", "--shards", "1", "--local")


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error that it ended with; there is no traceback."""
        assert "Traceback" not in self.err, self.err
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        return errors[0]


@dataclass(frozen=True, kw_only=True)
class CliRunner:
    """A copy of this checkout in which commands are typed."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> "CliRunner":
        """Copies what git knows of, as it is now."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.root, check=True, capture_output=True, text=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (HERE.root / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(HERE.root / name, root / name)
        return cls(root=root)

    @property
    def checkout(self) -> Checkout:
        return Checkout(root=self.root)

    @property
    def scratch(self) -> Path:
        return self.checkout.local / "scratch"

    @property
    def environment(self) -> dict[str, str]:
        """The environment without the variables that would lead a command to an AWS."""
        return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    def words(self, *words: str) -> list[str]:
        return [sys.executable, str(self.root / "build.py"), *words]

    def type(self, *words: str, environment: Mapping[str, str] | None = None) -> CommandResult:
        """Types a command and waits for its end."""
        done = subprocess.run(
            self.words(*words),
            cwd=self.root,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return CommandResult(code=done.returncode, out=done.stdout, err=done.stderr)

    def status(self, run: str) -> dict[str, Any]:
        """A run, as `status --json` prints it."""
        status: dict[str, Any] = json.loads(self.ok("status", run, "--json", "--local"))
        return status

    def ok(self, *words: str) -> str:
        """Types a command that must succeed, and returns what it printed."""
        done = self.type(*words)
        assert done.code == 0, done.err
        return done.out

    @contextmanager
    def begun(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """Starts a command; it is killed if nobody ends it."""
        with subprocess.Popen(
            self.words(*words),
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @property
    def server(self) -> dict[str, Any]:
        """The record that `local start` wrote."""
        record: dict[str, Any] = json.loads((self.checkout.local / "server.json").read_text(encoding="ascii"))
        return record

    @property
    def results(self) -> Path:
        """The directory of the bucket in which each run has a folder."""
        [folder] = (self.checkout.local / "s3").glob("*/results/germline")
        return folder

    def kill_server(self) -> None:
        """As the out-of-memory killer does."""
        pid = self.server["pid"]
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + SECONDS
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            assert time.monotonic() < end
            time.sleep(0.01)

    def sheet(self, name: str, *lines: str) -> str:
        """Writes a sample sheet and returns its name."""
        (self.root / name).write_text("\n".join(("sample,r1,r2", *lines, "")), encoding="ascii")
        return name


def wait_for_line(process: "subprocess.Popen[str]", start: str) -> None:
    """Reads what a command says until a line begins so."""
    assert process.stderr is not None
    assert any(line.startswith(start) for line in process.stderr), start


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def exports(text: str) -> dict[str, str]:
    """The variables that a shell has after `eval`."""
    return dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())
