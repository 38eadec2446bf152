"""Threads and memory of a job, from its container's limits."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from step.arguments import check_number

SHARES_PER_VCPU = 1024
MIB = 1024 * 1024
METADATA = "ECS_CONTAINER_METADATA_URI_V4"
_UNLIMITED = 1 << 53  # cgroup v1 gives "no limit" as a number near 2^63


def threads(environment: Mapping[str, str], root: Path = Path("/")) -> int:
    """The job's vCPUs, at least 1 and at most the machine's cores.

    Batch assigns 1024 CPU shares a vCPU. STEP_VCPUS gives the number where the shares cannot be read back, since cgroup
    v2 keeps only a rounded weight.

    Args:
        environment: The job's environment.
        root: The directory that holds `sys/fs/cgroup`.
    """
    cores = len(os.sched_getaffinity(0))
    shares = _ecs_limit(environment.get(METADATA, ""), "CPU")
    if shares is None and environment.get("STEP_VCPUS"):
        shares = check_number("STEP_VCPUS", environment["STEP_VCPUS"], 1, 1024) * SHARES_PER_VCPU
    if shares is None:
        shares = _read_number(root / "sys/fs/cgroup/cpu/cpu.shares")
    if shares is None:
        weight = _read_number(root / "sys/fs/cgroup/cpu.weight") or 39
        shares = 2 + (weight - 1) * 262142 // 9999
    return min(max((shares + SHARES_PER_VCPU // 2) // SHARES_PER_VCPU, 1), cores)


def memory_mib(root: Path = Path("/")) -> int:
    """The job's memory in MiB: the container's limit, or the machine's memory if that is less."""
    text = (root / "proc/meminfo").read_text(encoding="ascii")
    total = re.search(r"MemTotal:\s*(\d+) kB", text)
    machine = int(total[1]) // 1024 if total else 0
    limits = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
    limit = next((value for name in limits if (value := _read_number(root / name)) is not None), None)
    if limit is None or limit >= _UNLIMITED:
        return machine
    return min(limit // MIB, machine) if machine else limit // MIB


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # cgroup v2 has "max" for no limit
        return None


def _ecs_limit(address: str, name: str) -> int | None:
    """One of this container's limits from the ECS metadata endpoint; None without ECS, or if it does not answer."""
    if not address:
        return None
    answer = b""
    try:
        parts = urlsplit(address)
        request = f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n"
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=2) as connection:
            connection.sendall(request.encode())
            while chunk := connection.recv(65536):
                answer += chunk
    except (OSError, ValueError):
        return None
    limit = re.search(rf'"Limits":\{{[^}}]*"{name}":(\d+)'.encode(), answer)
    return int(limit[1]) if limit else None
