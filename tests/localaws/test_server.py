"""The embedded AWS as a process's own: it starts, answers, and leaves nothing behind."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from support.aws_clients import lead

from toolchain.errors import UnavailableError
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


def test_a_process_of_its_own_tells_its_address_and_key_answers_and_ends_when_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "toolchain.localaws", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        client = boto3.client(
            "s3",
            endpoint_url=told["endpoint"],
            aws_access_key_id=told["key"]["id"],
            aws_secret_access_key=told["key"]["secret"],
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="kept-by-it")
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert (tmp_path / "s3" / "kept-by-it").is_dir()


def test_a_process_whose_port_is_taken_says_so_in_one_line(world: LocalConfig, tmp_path: Path) -> None:
    with serve(world) as server:
        port = server.endpoint.rpartition(":")[2]
        command = [sys.executable, "-m", "toolchain.localaws", str(tmp_path / "other"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == UnavailableError.exit_code
    assert done.stderr.startswith(f"error: no embedded AWS on port {port}: Address already in use")
    assert "Traceback" not in done.stderr
