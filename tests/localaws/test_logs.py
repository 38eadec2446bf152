"""Logs are in files: what a client reads of them is as if they were in memory, and they are not."""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded

_NUMBERS = count()
NOW = int(time.time() * 1000)


@pytest.fixture(scope="module")
def logs(embedded: Embedded) -> Any:
    return embedded.client("logs")


@pytest.fixture
def group(logs: Any) -> str:
    return made(logs)


def made(logs: Any) -> str:
    """A new group with two streams."""
    name = f"/group/{next(_NUMBERS)}"
    logs.create_log_group(logGroupName=name)
    for stream in ("a", "b"):
        logs.create_log_stream(logGroupName=name, logStreamName=stream)
    return name


def put(logs: Any, group: str, stream: str, *messages: str, at: int = NOW) -> None:
    """Writes messages of one moment."""
    events = [{"timestamp": at, "message": message} for message in messages]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def pages(logs: Any, group: str, *, backward: bool = False, **more: Any) -> Iterator[list[str]]:
    """What GetLogEvents gives, page by page, until nothing comes."""
    where = {"logGroupName": group, "logStreamName": "a", "startFromHead": not backward, **more}
    while (answer := logs.get_log_events(**where))["events"]:
        yield [event["message"] for event in answer["events"]]
        where["nextToken"] = answer["nextBackwardToken" if backward else "nextForwardToken"]


def test_events_are_read_from_either_end_a_page_at_a_time(logs: Any, group: str) -> None:
    messages = [f"line {number}" for number in range(1000)]
    for start in range(0, 1000, 100):
        put(logs, group, "a", *messages[start : start + 100])
    forward = list(pages(logs, group, limit=300))
    assert [len(page) for page in forward] == [300, 300, 300, 100]
    assert [message for page in forward for message in page] == messages
    backward = list(pages(logs, group, backward=True, limit=300))
    assert [message for page in reversed(backward) for message in page] == messages
    for token in ("nonsense", "f/x"):
        with pytest.raises(ClientError, match="nextToken"):
            logs.get_log_events(logGroupName=group, logStreamName="a", nextToken=token)


def test_a_reader_that_was_at_the_end_finds_what_came_since(logs: Any, group: str) -> None:
    where = {"logGroupName": group, "logStreamName": "a", "startFromHead": True}
    token = logs.get_log_events(**where)["nextForwardToken"]
    for message in ("one", "two"):
        put(logs, group, "a", message)
        answer = logs.get_log_events(**where, nextToken=token)
        assert [event["message"] for event in answer["events"]] == [message]
        token = answer["nextForwardToken"]
        again = logs.get_log_events(**where, nextToken=token)
        assert (again["events"], again["nextForwardToken"]) == ([], token)


def test_a_page_has_a_megabyte_whatever_the_lines(logs: Any, group: str) -> None:
    for size in (*[200_000] * 8, 3_000_000):
        put(logs, group, "a", "x" * size)
    assert [len(page) for page in pages(logs, group)] == [5, 3, 1]
    assert [len(page) for page in pages(logs, group, backward=True)] == [1, 5, 3]


def test_times_choose(logs: Any, group: str) -> None:
    for number in (1, 2, 3):
        put(logs, group, "a", str(number), at=NOW + number)
    for backward in (False, True):
        assert list(pages(logs, group, backward=backward)) == [["1", "2", "3"]]
        assert list(pages(logs, group, backward=backward, startTime=NOW + 2)) == [["2", "3"]]
        assert list(pages(logs, group, backward=backward, endTime=NOW + 2)) == [["1", "2"]]
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="a")["logStreams"]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (NOW + 1, NOW + 3)


def test_streams_are_searched_together_in_the_order_of_time(logs: Any, group: str) -> None:
    for number in range(6):
        put(logs, group, "ab"[number % 2], f"line {number}", "noise", at=NOW + number)
    whole = {"logGroupName": group, "filterPattern": "line", "interleaved": True}
    pages = logs.get_paginator("filter_log_events").paginate(**whole, PaginationConfig={"PageSize": 4})
    found = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in found] == [f"line {number}" for number in range(6)]
    assert [event["logStreamName"] for event in found] == ["a", "b"] * 3
    assert len({event["eventId"] for event in found}) == 6
    chosen = {"logStreamNames": ["b"], "startTime": NOW + 2, "endTime": NOW + 4}
    only = logs.filter_log_events(logGroupName=group, **chosen)["events"]
    assert [event["message"] for event in only] == ["line 3", "noise"]


MEASURED = """
import sys
import time
from pathlib import Path
from moto.logs.models import logs_backends
from toolchain.localaws import logs
from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig

logs.install(LocalConfig(root=Path(sys.argv[1]), vcpus=1, memory=1), Access(endpoint="http://127.0.0.1:1"))
backend = logs_backends["123456789012"]["us-east-1"]
backend.create_log_group("g", {})
backend.create_log_stream("g", "s")
def peak():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])
before = peak()
event = {"timestamp": int(time.time() * 1000), "message": "a line of a tool that says more than anybody reads"}
for _ in range(80):
    backend.put_log_events("g", "s", [event] * 2000)
backend.get_log_events("g", None, "s", None, None, None, None, False)
assert not backend.filter_log_events("g", [], None, None, None, None, "nothing", True)[0]
print(peak() - before, backend.groups["g"].streams["s"].stored_bytes)
"""


def test_output_is_not_kept_in_memory(embedded: Embedded) -> None:
    root = embedded.config.root / "measured"
    root.mkdir()
    done = subprocess.run([sys.executable, "-c", MEASURED, root], capture_output=True, text=True, check=True)
    grown, stored = map(int, done.stdout.split())
    assert stored > 7 * 1024 * 1024
    assert grown < 16 * 1024, f"{grown} KiB"
    assert sum(file.stat().st_size for file in (root / "logs").iterdir()) > stored
