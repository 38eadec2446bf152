"""Starts, stops and connects to the embedded AWS of a checkout."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from toolchain import files
from toolchain.errors import TryAgainError, UnavailableError
from toolchain.localaws.access import Access, Key, Server, environment_variables
from toolchain.localaws.config import LocalConfig
from toolchain.paths import Checkout

_END_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_EXPORTED: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)


@dataclass(frozen=True, kw_only=True)
class ServerRecord(Server):
    """What `local start` wrote down of the server that it left running."""

    pid: int

    @property
    def is_answering(self) -> bool:
        """Whether the server answers."""
        try:
            with urllib.request.urlopen(self.endpoint, timeout=5):  # noqa: S310  # the loopback
                return True
        except urllib.error.HTTPError as error:  # it is not signed: what answers refuses it
            error.close()
            return True
        except OSError:
            return False


@dataclass(frozen=True, kw_only=True)
class Connected:
    """An embedded AWS that every client goes to.

    Attributes:
        config: Where it keeps files, and what its jobs may use.
        is_persistent: Whether it is still there when the block has ended.
    """

    config: LocalConfig
    is_persistent: bool


def read_record(checkout: Checkout) -> ServerRecord | None:
    """The server that `local start` left running; None if its process is gone."""
    try:
        data = json.loads(_record_file(checkout).read_text(encoding="utf-8"))
        record = ServerRecord(**{**data, "key": Key(**data["key"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if _is_server(record.pid) else None


def find_server(checkout: Checkout) -> ServerRecord | None:
    """The server that `local start` left running; None if it does not answer."""
    record = read_record(checkout)
    return record if record is not None and record.is_answering else None


@contextmanager
def connect(checkout: Checkout) -> Iterator[Connected]:
    """Leads every client made in the block to the server that `local start` left, or to one for the block.

    Raises:
        TryAgainError: Another command runs a server of its own on this checkout.
    """
    # moto, which it is made of, takes a second to import, and a server that runs has done that.
    from toolchain.localaws.server import serve

    config = LocalConfig.of_this_machine(checkout.local)
    record = find_server(checkout)
    if record is not None:
        with _client_environment(record), _naming_its_end(checkout, record):
            yield Connected(config=config, is_persistent=True)
        return
    with exclusive_lock(config), serve(config) as server, _client_environment(server):
        yield Connected(config=config, is_persistent=False)


@contextmanager
def attach(checkout: Checkout) -> Iterator[Connected]:
    """Leads every client made in the block to the server that `local start` left.

    Raises:
        UnavailableError: There is none.
    """
    if find_server(checkout) is None:
        raise UnavailableError(
            "no embedded AWS runs",
            why="it forgets its stacks and runs when it ends, and a plain --local ends with its command",
            fix="Type: python build.py local start, and then what is to be kept.",
        )
    with connect(checkout) as connected:
        yield connected


@contextmanager
def _client_environment(server: Server) -> Iterator[None]:
    # A server of this machine that does not answer is gone, as a rule.
    attempts = os.environ.get("AWS_MAX_ATTEMPTS", "4")
    with environment_variables({**server.environment, "AWS_MAX_ATTEMPTS": attempts}):
        os.environ.pop("AWS_PROFILE", None)
        yield


@contextmanager
def _naming_its_end(checkout: Checkout, record: ServerRecord) -> Iterator[None]:
    """Says of a server that ended under the block that it did: nothing of it can be asked for again."""
    try:
        yield
    except UnavailableError as error:
        if read_record(checkout) == record:
            raise
        raise UnavailableError(
            error.what,
            why=f"the embedded AWS has ended (process {record.pid}), and its stacks, runs and logs with it",
            fix="Type: python build.py local start; and start again what ran there.",
        ) from error


@contextmanager
def exclusive_lock(config: LocalConfig) -> Iterator[None]:
    """Keeps other servers from the same root: each would take the other's containers for leftovers.

    Raises:
        TryAgainError: Another server has it.
        CannotCreateError: Something below the root is another user's.
    """
    _check_writable(config)
    with (config.root / ".lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise TryAgainError(
                "the embedded AWS is in use",
                why=f"another command runs it in {config.root}",
                fix="Wait for it; or end it, and type: python build.py local start, which serves many commands.",
            ) from error
        yield


def _check_writable(config: LocalConfig) -> None:
    """Makes the root, closed to other users, if all that a server writes to is this user's."""
    try:
        config.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unwritable(config.root, error) from error
    for path in (config.root, *config.root.glob("*"), *config.scratch.glob("*"), *config.buckets.glob("*")):
        if not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
            raise files.unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    files.make_private(config.root)


def start(checkout: Checkout, port: int) -> ServerRecord:
    """Starts a server that outlives this command; returns the one that runs already.

    Raises:
        TryAgainError: Another command runs a server of its own on this checkout.
        UnavailableError: It does not come up.
    """
    config = LocalConfig.of_this_machine(checkout.local)
    _check_writable(config)
    # Of two starts at once, the second finds the first one's server.
    with (config.root / ".starting").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return find_server(checkout) or _start_process(checkout, config, port)


def _start_process(checkout: Checkout, config: LocalConfig, port: int) -> ServerRecord:
    with exclusive_lock(config):  # the server would say it where nobody looks
        pass
    log = config.root / "server.log"
    _record_file(checkout).unlink(missing_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "toolchain.localaws", str(config.root), "--port", str(port)],
            cwd=checkout.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,
        )
    stdout: Any = process.stdout
    with stdout:
        line = stdout.readline()
    if not line:
        process.wait(_END_SECONDS)
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise UnavailableError(
            "the embedded AWS did not start",
            why=lines[-1].removeprefix("error: ").rstrip(".") if lines else f"it ended with {process.returncode}",
            fix=f"See {log}.",
        )
    printed = json.loads(line)
    record = ServerRecord(pid=process.pid, **{**printed, "key": Key(**printed["key"])})
    files.write(_record_file(checkout), json.dumps(asdict(record)), mode=0o600)
    return record


def stop(checkout: Checkout) -> ServerRecord | None:
    """Ends the server that `local start` left running, and its jobs; or the jobs of one that was killed.

    Returns:
        What ran; None if nothing did.
    """
    record = read_record(checkout)
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while _is_server(record.pid):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    "the embedded AWS does not end", why=f"process {record.pid} is still there", fix="Look at it."
                )
            time.sleep(_POLL_SECONDS)
    elif _record_file(checkout).exists():
        _remove_containers(checkout)
    _record_file(checkout).unlink(missing_ok=True)
    return record


def _remove_containers(checkout: Checkout) -> None:
    """Ends the jobs of a server that was killed, unless another one has its root by now, which did it then."""
    from toolchain.localaws.batch.host import Host  # of moto, as above

    config = LocalConfig.of_this_machine(checkout.local)
    with suppress(TryAgainError), exclusive_lock(config):
        host = Host(config, Access(endpoint=""))
        host.sweep()
        host.close()


def shell_exports(server: Server) -> str:
    """What a shell needs to use a server, as `export` lines."""
    return "\n".join(f"export {name}={server.environment[name]}" for name in _EXPORTED)


def _record_file(checkout: Checkout) -> Path:
    return checkout.local / "server.json"


def _is_server(pid: int) -> bool:
    """Whether a process is a server of ours: another may have its number by now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return b"toolchain.localaws" in words and state != "Z"
