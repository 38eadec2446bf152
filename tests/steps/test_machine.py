"""Threads and memory of a job, from the kernel and from ECS."""

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
Kernel = Callable[..., Path]


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Writes files of the kernel, given as path to content."""

    def write(files: dict[str, str]) -> Path:
        for name, content in ({"proc/meminfo": "MemTotal:       8000000 kB\nMemFree: 1 kB\n"} | files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path

    return write


@contextmanager
def ecs(answer: bytes) -> Iterator[str]:
    """The address of a fake ECS metadata endpoint, which answers once."""
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


WEIGHTS = {vcpus: 1 + (vcpus * 1024 - 2) * 9999 // 262142 for vcpus in range(1, 33)}  # as runc converts shares


@pytest.mark.parametrize(
    ("files", "environment", "threads"),
    [
        *(({V1_SHARES: f"{n}\n"}, {}, t) for n, t in ((2, 1), (1024, 1), (2048, 2), (16384, 16), (65536, 32))),
        *(({V2_WEIGHT: f"{weight}\n"}, {}, vcpus) for vcpus, weight in WEIGHTS.items()),
        ({}, {}, 1),
        ({V1_SHARES: "1024"}, {"STEP_VCPUS": "6"}, 6),
        ({V1_SHARES: "1024"}, {"STEP_VCPUS": ""}, 1),
        *(
            ({V1_SHARES: "2048"}, {machine.METADATA: address}, 2)
            for address in ("http://127.0.0.1:1/v4", "http://127.0.0.1:port/", "nonsense", "http://[::1")
        ),
    ],
)
def test_threads_are_the_job_s_vcpus_and_at_most_the_machine_s_cores(
    kernel: Kernel, files: dict[str, str], environment: dict[str, str], threads: int
) -> None:
    assert machine.threads(environment, kernel(files)) == threads


def test_a_bad_number_of_vcpus_is_refused(kernel: Kernel) -> None:
    with pytest.raises(UsageError, match="bad STEP_VCPUS 'many'"):
        machine.threads({"STEP_VCPUS": "many"}, kernel({}))


@pytest.mark.parametrize(
    ("answer", "threads"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"Labels":{"CPU":"9"},"Limits":{"Memory":512,"CPU":4096},"Networks":[{}]}', 4),
        (b'HTTP/1.1 200 OK\r\n\r\n{"Limits":{"Memory":5}}', 2),
        (b"HTTP/1.1 500\r\n\r\n{}", 2),
        (b"", 2),
    ],
)
def test_ecs_comes_first_and_the_kernel_where_it_does_not_answer(kernel: Kernel, answer: bytes, threads: int) -> None:
    with ecs(answer) as address:
        assert machine.threads({machine.METADATA: address}, kernel({V1_SHARES: "2048"})) == threads


def test_ecs_comes_before_the_variable(kernel: Kernel) -> None:
    with ecs(b'HTTP/1.1 200 OK\r\n\r\n{"Limits":{"CPU":4096}}') as address:
        assert machine.threads({machine.METADATA: address, "STEP_VCPUS": "6"}, kernel({})) == 4


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
    kernel: Kernel, files: dict[str, str], mib: int
) -> None:
    assert machine.memory_mib(kernel(files)) == mib
