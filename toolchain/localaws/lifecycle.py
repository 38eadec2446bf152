"""The embedded AWS of a checkout: the server that `local start` left running, or one for the block."""

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
from typing import Final

from toolchain import files
from toolchain.errors import TryAgainError, UnavailableError
from toolchain.localaws.access import Key, environment
from toolchain.localaws.config import LocalConfig, chosen_region
from toolchain.localaws.server import Server, serve
from toolchain.paths import Checkout

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 60.0
_PAUSE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that `local start` left running.

    Attributes:
        pid: Its process.
        endpoint: Its address.
        region: What its clients use.
        key: What opens it.
    """

    pid: int
    endpoint: str
    region: str
    key: Key

    @property
    def answers(self) -> bool:
        """Whether it does."""
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


def world(checkout: Checkout) -> LocalConfig:
    """Where a checkout's embedded AWS keeps what it holds, with all that this machine has for jobs."""
    return LocalConfig.of_this_machine(checkout.local)


def running(checkout: Checkout) -> Running | None:
    """The server that `local start` left running; none if it is gone."""
    try:
        data = json.loads(_record(checkout).read_text(encoding="utf-8"))
        found = Running(pid=data["pid"], endpoint=data["endpoint"], region=data["region"], key=Key(**data["key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if _is_ours(found.pid) else None


def answering(checkout: Checkout) -> Running | None:
    """The same, if it answers."""
    there = running(checkout)
    return there if there is not None and there.answers else None


@contextmanager
def connected(checkout: Checkout) -> Iterator[Connected]:
    """Makes the block's AWS the embedded one of a checkout: every client that is made in it goes there.

    Raises:
        TryAgainError: Another command runs a server of its own on this checkout.
    """
    here = world(checkout)
    there = answering(checkout)
    if there is not None:
        server = Server(endpoint=there.endpoint, region=there.region, key=there.key)
        with _environment(server), _watched(checkout, there):
            yield Connected(config=here, is_persistent=True)
        return
    with exclusive_lock(here), serve(here) as server, _environment(server):
        yield Connected(config=here, is_persistent=False)


@contextmanager
def _watched(checkout: Checkout, there: Running) -> Iterator[None]:
    """Says of a server that has ended under the block that it has: nothing of it can be followed or asked for again."""
    try:
        yield
    except UnavailableError as error:
        if running(checkout) == there:
            raise
        raise UnavailableError(
            error.what,
            why=f"the embedded AWS has ended (process {there.pid}), and its stacks, runs and logs with it",
            fix="Type: python build.py local start; and start again what ran there.",
        ) from error


@contextmanager
def attached(checkout: Checkout) -> Iterator[Connected]:
    """The same, where only what an earlier command left can be meant.

    Raises:
        UnavailableError: No `local start` left a server running.
    """
    if answering(checkout) is None:
        raise UnavailableError(
            "no embedded AWS runs",
            why="it forgets its stacks and runs when it ends, and a plain --local ends with its command",
            fix="Type: python build.py local start, and then what is to be kept.",
        )
    with connected(checkout) as there:
        yield there


@contextmanager
def exclusive_lock(here: LocalConfig) -> Iterator[None]:
    """Holds a world against other servers of the same root: each would take the other's containers for leftovers.

    Raises:
        TryAgainError: Another server has it.
    """
    _check_writable(here)
    with (here.root / ".lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise TryAgainError(
                "the embedded AWS is in use",
                why=f"another command runs it in {here.root}",
                fix="Wait for it; or end it, and type: python build.py local start, which serves many commands.",
            ) from error
        yield


def _check_writable(here: LocalConfig) -> None:
    """Makes the root, shut to others, and passes if all that a server writes to is this user's to write.

    Raises:
        CannotCreateError: Something is another user's.
    """
    try:
        here.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unwritable(here.root, error) from error
    for path in (here.root, *here.root.glob("*"), *here.scratch.glob("*"), *here.buckets.glob("*")):
        if not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
            raise files.unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    files.make_private(here.root)


def start(checkout: Checkout, port: int) -> Running:
    """Starts a server that outlives this command; does nothing where one runs.

    Raises:
        TryAgainError: Another command runs a server of its own on this checkout.
        UnavailableError: It does not come up.
    """
    here = world(checkout)
    _check_writable(here)
    # Of two starts at once, the second finds the first one's server.
    with (here.root / ".starting").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return answering(checkout) or _started(checkout, here, port)


def _started(checkout: Checkout, here: LocalConfig, port: int) -> Running:
    with exclusive_lock(here):  # the server would say it where nobody looks
        pass
    log = here.root / "server.log"
    _record(checkout).unlink(missing_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "toolchain.localaws", str(here.root), "--port", str(port)],
            cwd=checkout.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,
        )
    line = _first_line(process)
    if not line:
        process.wait(_END_SECONDS)
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise UnavailableError(
            "the embedded AWS did not start",
            why=lines[-1].removeprefix("error: ").rstrip(".") if lines else f"it ended with {process.returncode}",
            fix=f"See {log}.",
        )
    told = json.loads(line)
    found = Running(pid=process.pid, endpoint=told["endpoint"], region=chosen_region(), key=Key(**told["key"]))
    files.write(_record(checkout), json.dumps(asdict(found)), mode=0o600)
    return found


def stop(checkout: Checkout) -> Running | None:
    """Ends the server that `local start` left running, and its jobs with it; or the jobs of one that was killed.

    Returns:
        What ran; none if nothing did.
    """
    there = running(checkout)
    if there is not None:
        os.kill(there.pid, signal.SIGTERM)
        end = time.monotonic() + _END_SECONDS
        while _is_ours(there.pid):
            if time.monotonic() > end:
                raise UnavailableError(
                    "the embedded AWS does not end", why=f"process {there.pid} is still there", fix="Look at it."
                )
            time.sleep(_PAUSE)
    elif _record(checkout).exists():
        _clear_away(checkout)
    _record(checkout).unlink(missing_ok=True)
    return there


def _clear_away(checkout: Checkout) -> None:
    """Ends the jobs of a server that was killed, unless another one has its root by now: that one did it."""
    from toolchain.localaws.access import Access
    from toolchain.localaws.batch.host import Host

    here = world(checkout)
    with suppress(TryAgainError), exclusive_lock(here):
        host = Host(here, Access(endpoint=""))
        host.sweep()
        host.close()


def shell_exports(there: Running) -> str:
    """What a shell needs to use a server, as `export` lines."""
    values = environment(there.endpoint, there.region, there.key)
    wanted = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")
    return "\n".join(f"export {name}={values[name]}" for name in wanted)


def _record(checkout: Checkout) -> Path:
    return checkout.local / "server.json"


def _first_line(process: "subprocess.Popen[bytes]") -> str:
    """The address and key that a server prints once it answers; nothing if it ended before."""
    if process.stdout is None:
        return ""
    with process.stdout as out:
        return out.readline().decode().strip()


def _is_ours(pid: int) -> bool:
    """Whether a process is a server of ours: another may have its number by now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return b"toolchain.localaws" in words and state != "Z"


@contextmanager
def _environment(server: Server) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.pop("AWS_PROFILE", None)
    os.environ.update(server.environment)
    # A server of this machine that does not answer is gone, as a rule.
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "4")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
