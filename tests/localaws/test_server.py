"""The embedded AWS as a process's own: it starts, answers, and leaves nothing behind."""

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from support.aws_clients import lead

from toolchain.errors import UnavailableError
from toolchain.localaws.__main__ import main
from toolchain.localaws.access import Server
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve


@pytest.fixture
def world(tmp_path: Path) -> LocalConfig:
    return LocalConfig(root=tmp_path, vcpus=2, memory=1024)


def roles(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lead(monkeypatch, server.environment)
    client = boto3.client("iam")
    client.create_role(RoleName="one", AssumeRolePolicyDocument="{}")
    return [role["RoleName"] for role in client.list_roles()["Roles"]]


def test_each_server_begins_empty(world: LocalConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with serve(world) as server:
            assert roles(server, monkeypatch) == ["one"]


def test_it_listens_on_the_loopback_only(world: LocalConfig) -> None:
    with serve(world) as server, socket.socket() as probe:
        port = int(server.endpoint.rpartition(":")[2])
        with pytest.raises(OSError, match=r"refused|unreachable"):
            probe.connect((_outward_address(), port))


def _outward_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: the kernel only picks the address that it would send from.
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has the loopback only")
        return str(probe.getsockname()[0])


def test_a_connection_that_a_client_keeps_open_does_not_outlive_it(world: LocalConfig) -> None:
    threads = threading.active_count()
    with serve(world) as server:
        kept = socket.create_connection(("127.0.0.1", int(server.endpoint.rpartition(":")[2])), timeout=5)
        kept.sendall(b"GET /")
        while threading.active_count() < threads + 3:  # the server's own two, and this connection's
            time.sleep(0.01)
    assert threading.active_count() == threads
    with kept, suppress(ConnectionResetError):
        assert kept.recv(1) == b""


def test_the_environment_of_the_process_is_as_before(world: LocalConfig) -> None:
    before = dict(os.environ)
    with serve(world):
        assert os.environ["MOTO_ACCOUNT_ID"]
    assert dict(os.environ) == before


def test_a_port_that_is_taken_is_an_error_that_says_so(world: LocalConfig) -> None:
    with serve(world) as server:
        port = int(server.endpoint.rpartition(":")[2])
        with pytest.raises(UnavailableError, match=f"port {port}: Address already in use"), serve(world, port=port):
            pass


def test_a_process_whose_port_is_taken_says_so_in_one_line(
    world: LocalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("toolchain.localaws.__main__.signal.signal", lambda *_: None)
    with serve(world) as server:
        port = server.endpoint.rpartition(":")[2]
        monkeypatch.setattr(sys, "argv", ["localaws", str(tmp_path / "other"), "--port", port])
        assert main() == UnavailableError.exit_code
    out, err = capsys.readouterr()
    assert err.startswith(f"error: no embedded AWS on port {port}: Address already in use")
    assert (out, err.count("\n")) == ("", 1)
