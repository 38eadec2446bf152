"""Logs are in files: what a client reads of them is as if they were in memory, and they are not."""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.embedded_services import Embedded

_NUMBERS = count()


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


def put(logs: Any, group: str, stream: str, *messages: str, at: int | None = None) -> int:
    """Writes messages of one moment, and returns it."""
    moment = at or int(time.time() * 1000)
    events = [{"timestamp": moment, "message": message} for message in messages]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    return moment


def pages(logs: Any, group: str, *, backward: bool = False, **more: Any) -> Iterator[list[str]]:
    """What GetLogEvents gives, page by page, until nothing comes."""
    where = {"logGroupName": group, "logStreamName": "a", "startFromHead": not backward, **more}
    last = None
    while True:
        answer = logs.get_log_events(**where, **({"nextToken": last} if last else {}))
        if not answer["events"]:
            return
        yield [event["message"] for event in answer["events"]]
        last = answer["nextBackwardToken" if backward else "nextForwardToken"]


def test_events_are_read_from_either_end_a_page_at_a_time(logs: Any, group: str) -> None:
    messages = [f"line {number}" for number in range(1000)]
    for start in range(0, 1000, 100):
        put(logs, group, "a", *messages[start : start + 100])
    forward = list(pages(logs, group, limit=300))
    assert [len(page) for page in forward] == [300, 300, 300, 100]
    assert [message for page in forward for message in page] == messages
    backward = list(pages(logs, group, backward=True, limit=300))
    assert [message for page in reversed(backward) for message in page] == messages
    with pytest.raises(ClientError, match="nextToken"):
        logs.get_log_events(logGroupName=group, logStreamName="a", nextToken="nonsense")


def test_a_reader_that_was_at_the_end_finds_what_came_since(logs: Any, group: str) -> None:
    where = {"logGroupName": group, "logStreamName": "a", "startFromHead": True}
    before = logs.get_log_events(**where)["nextForwardToken"]
    put(logs, group, "a", "one")
    answer = logs.get_log_events(**where, nextToken=before)
    assert [event["message"] for event in answer["events"]] == ["one"]
    again = logs.get_log_events(**where, nextToken=answer["nextForwardToken"])
    assert (again["events"], again["nextForwardToken"]) == ([], answer["nextForwardToken"])
    put(logs, group, "a", "two")
    last = logs.get_log_events(**where, nextToken=again["nextForwardToken"])
    assert [event["message"] for event in last["events"]] == ["two"]


def test_a_page_has_a_megabyte_whatever_the_lines(logs: Any, group: str) -> None:
    for _ in range(8):
        put(logs, group, "a", "x" * 200_000)
    assert [len(page) for page in pages(logs, group)] == [5, 3]
    assert [len(page) for page in pages(logs, group, backward=True)] == [5, 3]
    found = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    assert [len(page["events"]) for page in found] == [5, 3]


def test_times_choose_and_what_came_late_stands_where_it_belongs(logs: Any, group: str) -> None:
    now = int(time.time() * 1000)
    for number in (1, 3, 2):
        put(logs, group, "a", str(number), at=now + number)
    assert list(pages(logs, group)) == [["1", "2", "3"]]
    assert list(pages(logs, group, startTime=now + 2)) == [["2", "3"]]
    assert list(pages(logs, group, endTime=now + 2)) == [["1", "2"]]
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="a")["logStreams"]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (now + 1, now + 3)


def test_streams_are_searched_together_in_the_order_of_time(logs: Any, group: str) -> None:
    now = int(time.time() * 1000)
    for number in range(6):
        put(logs, group, "ab"[number % 2], f"line {number}", "noise", at=now + number)
    found = logs.filter_log_events(logGroupName=group, filterPattern="line")["events"]
    assert [event["message"] for event in found] == [f"line {number}" for number in range(6)]
    assert [event["logStreamName"] for event in found] == ["a", "b"] * 3
    assert len({event["eventId"] for event in found}) == 6
    only = logs.filter_log_events(logGroupName=group, logStreamNames=["b"], startTime=now + 2, endTime=now + 4)[
        "events"
    ]
    assert [event["message"] for event in only] == ["line 3", "noise"]
    assert logs.filter_log_events(logGroupName=group, nextToken="other@1@1")["events"] == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=30),
    size=st.integers(1, 7),
)
def test_pages_of_a_search_hold_every_event_once(logs: Any, written: list[tuple[str, int]], size: int) -> None:
    group, now = made(logs), int(time.time() * 1000)
    for number, (stream, moment) in enumerate(written):
        put(logs, group, stream, str(number), at=now + moment)
    found = logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": size})
    events = [event for page in found for event in page["events"]]
    assert sorted(int(event["message"]) for event in events) == list(range(len(written)))
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)


MEASURED = """
import sys
from pathlib import Path
from moto.logs.models import logs_backends
from toolchain.localaws import logs
from toolchain.localaws.access import Access
from toolchain.localaws.batch.logs import Stream
from toolchain.localaws.world import World

logs.install(World(root=Path(sys.argv[1]), vcpus=1, memory=1), Access(endpoint="http://127.0.0.1:1"))
backend = logs_backends["123456789012"]["us-east-1"]
backend.create_log_group("g", {})
backend.create_log_stream("g", "s")
stream = Stream(backend, "g", "s")
def peak():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])
before = peak()
line = b"a line of a tool that says more than anybody reads\\n"
for _ in range(40):
    stream.feed(line * (1024 * 1024 // len(line)), None)
stream.end()
backend.get_log_events("g", None, "s", None, None, None, None, False)
backend.filter_log_events("g", [], None, None, None, None, "nothing", True)
print(peak() - before, backend.groups["g"].streams["s"].stored_bytes)
"""


def test_forty_megabytes_of_output_are_not_kept_in_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, stored = map(int, done.stdout.split())
    assert stored > 38 * 1024 * 1024
    assert grown < 40 * 1024, f"{grown} KiB"


def test_the_files_of_a_server_that_is_no_more_are_dropped(embedded: Embedded, logs: Any, group: str) -> None:
    put(logs, group, "a", "x")
    assert [file for file in (embedded.config.root / "logs").iterdir() if file.stat().st_size]
