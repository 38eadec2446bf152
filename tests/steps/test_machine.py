"""Threads and memory of a job, as kernels and ECS tell them."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from step import machine
from step.errors import UsageError

V2_WEIGHT, V1_SHARES = "sys/fs/cgroup/cpu.weight", "sys/fs/cgroup/cpu/cpu.shares"
V2_MEMORY, V1_MEMORY = "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))


@pytest.fixture
def kernel(tmp_path: Path) -> Callable[..., Path]:
    """Writes the kernel's files; arguments are their contents by path."""

    def write(files: dict[str, str]) -> Path:
        for name, content in ({"proc/meminfo": "MemTotal:       8000000 kB\nMemFree: 1 kB\n"} | files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path

    return write


@contextmanager
def ecs(answer: bytes) -> Iterator[str]:
    """The address of what answers as ECS's metadata endpoint does, once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v4/abc"
        thread.join()


@pytest.mark.parametrize(("shares", "threads"), [(2, 1), (1024, 1), (2048, 2), (16384, 16), (65536, 32)])
def test_threads_are_the_job_s_shares_and_at_most_the_machine_s_cores(
    kernel: Callable[..., Path], shares: int, threads: int
) -> None:
    assert machine.threads({}, kernel({V1_SHARES: f"{shares}\n"})) == threads


@pytest.mark.parametrize("vcpus", range(1, 33))
def test_threads_are_read_back_from_a_weight(kernel: Callable[..., Path], vcpus: int) -> None:
    weight = 1 + (vcpus * 1024 - 2) * 9999 // 262142
    assert machine.threads({}, kernel({V2_WEIGHT: f"{weight}\n"})) == vcpus


def test_threads_are_one_where_no_kernel_tells(kernel: Callable[..., Path]) -> None:
    assert machine.threads({}, kernel({})) == 1


def test_a_variable_stands_in_for_shares(kernel: Callable[..., Path]) -> None:
    root = kernel({V1_SHARES: "1024"})
    assert machine.threads({"STEP_VCPUS": "6"}, root) == 6
    assert machine.threads({"STEP_VCPUS": ""}, root) == 1
    with pytest.raises(UsageError, match="bad STEP_VCPUS 'many'"):
        machine.threads({"STEP_VCPUS": "many"}, root)


def test_ecs_knows_best(kernel: Callable[..., Path]) -> None:
    body = b'{"DockerId":"x","Labels":{"CPU":"9"},"Limits":{"Memory":512,"CPU":4096},"Networks":[{}]}'
    with ecs(b"HTTP/1.1 200 OK\r\n\r\n" + body) as address:
        environment = {machine.METADATA: address, "STEP_VCPUS": "6"}
        assert machine.threads(environment, kernel({V1_SHARES: "1024"})) == 4


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 500\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n" + b'{"Limits":{"Memory":5}}']
)
def test_where_ecs_does_not_tell_the_kernel_does(kernel: Callable[..., Path], answer: bytes) -> None:
    with ecs(answer) as address:
        assert machine.threads({machine.METADATA: address}, kernel({V1_SHARES: "2048"})) == 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/v4", "http://127.0.0.1:port/", "nonsense", "http://[::1"])
def test_where_there_is_no_ecs_the_kernel_tells(kernel: Callable[..., Path], address: str) -> None:
    assert machine.threads({machine.METADATA: address}, kernel({V1_SHARES: "2048"})) == 2


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({V2_MEMORY: f"{2048 << 20}\n"}, 2048),
        ({V1_MEMORY: f"{512 << 20}\n"}, 512),
        ({V2_MEMORY: "max\n"}, 7812),
        ({V1_MEMORY: "9223372036854771712\n"}, 7812),
        ({V2_MEMORY: f"{1 << 40}\n"}, 7812),
        ({}, 7812),
        ({"proc/meminfo": "nothing\n", V2_MEMORY: f"{2048 << 20}"}, 2048),
    ],
)
def test_memory_is_the_container_s_limit_and_at_most_the_machine_s(
    kernel: Callable[..., Path], files: dict[str, str], mib: int
) -> None:
    assert machine.memory_mib(kernel(files)) == mib
