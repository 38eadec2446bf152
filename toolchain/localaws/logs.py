"""CloudWatch Logs whose events are in files: what jobs write may be more than there is memory.

moto's keeps every event as an object, at several times its size, for as long as the process lives, and gives pages of
any size. Here a stream is a file of JSON lines below the embedded AWS's root, read from where a page begins, and a page
holds 1 MiB as the service's do.
"""

import heapq
import json
import shutil
import threading
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, ClassVar, Final

from moto.core.utils import unix_time_millis, utcnow
from moto.logs import models
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogGroup, LogStream
from moto.logs.utils import EventMessageFilter

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetEvents.html
_MOST_EVENTS: Final = 10_000
_PAGE: Final = 1024 * 1024
_OVERHEAD: Final = 26
_BLOCK: Final = 256 * 1024
# Of so many events, one's place is remembered.
_STEP: Final = 256
# The time of a page's last event, and how many of that time were given.
_TOKEN_PARTS: Final = 2
_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Event:
    """An event: when it was said and when it came, in milliseconds, and its number in its stream."""

    timestamp: int
    ingestion_time: int
    message: str
    number: int

    @property
    def size(self) -> int:
        """What it counts for in a page."""
        return len(self.message.encode()) + _OVERHEAD

    def to_response_dict(self) -> dict[str, Any]:
        """It as GetLogEvents gives it."""
        return {"ingestionTime": self.ingestion_time, "message": self.message, "timestamp": self.timestamp}


class Events:
    """A stream's events, in the order in which they came.

    Args:
        file: Where they are.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._guard = threading.Lock()
        self._count = 0
        self._size = 0
        self._offsets = array("q")
        self._times = array("q")
        self.first: int | None = None
        self.last: int | None = None
        # Whether none came that is older than one before it.
        self.in_order = True

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def append(self, events: Iterable[Mapping[str, Any]], ingestion_time: int) -> None:
        """Appends some, as PutLogEvents sends them."""
        with self._guard, self._file.open("ab") as out:
            for event in events:
                time = int(event["timestamp"])
                if self._count % _STEP == 0:
                    self._offsets.append(self._size)
                    self._times.append(time)
                self.in_order = self.in_order and (self.last is None or time >= self.last)
                self.first = time if self.first is None else min(self.first, time)
                self.last = time if self.last is None else max(self.last, time)
                self._size += out.write(json.dumps([time, ingestion_time, event["message"]]).encode() + b"\n")
                self._count += 1

    def __iter__(self) -> Iterator[Event]:
        """All of them."""
        return self.read(0)

    def read(self, first: int) -> Iterator[Event]:
        """All from one on, by its number."""
        if first >= self._count:
            return iter(())
        mark = first // _STEP
        return islice(self._from(self._offsets[mark], mark * _STEP), first - mark * _STEP, None)

    def since(self, time: int) -> Iterator[Event]:
        """All that are not older than a time, the oldest first."""
        if not self.in_order:
            return iter(sorted((event for event in self if event.timestamp >= time), key=_time))
        mark = max(0, bisect_left(self._times, time) - 1)
        return (event for event in self.read(mark * _STEP) if event.timestamp >= time)

    def _from(self, offset: int, number: int) -> Iterator[Event]:
        # In blocks: there may be more streams than a process may have files open.
        while True:
            with self._guard:
                end = self._size
            if offset >= end:
                return
            with self._file.open("rb") as data:
                data.seek(offset)
                lines = data.readlines(min(_BLOCK, end - offset))
                offset = data.tell()
            for line in lines:
                time, ingestion_time, message = json.loads(line)
                yield Event(time, ingestion_time, message, number)
                number += 1


class FileStream(LogStream):
    """moto's stream, with its events in a file."""

    folder: ClassVar[Path]

    def __init__(self, log_group: LogGroup, name: str) -> None:
        super().__init__(log_group, name)
        self.number = next(_NUMBERS)
        self.events: Any = Events(self.folder / f"{self.number}.jsonl")

    def put_log_events(self, log_events: list[dict[str, Any]]) -> str:
        """Takes events."""
        stream: Any = self
        stream.last_ingestion_time = utcnow()
        self.stored_bytes += sum(len(event["message"]) for event in log_events)
        self.events.append(log_events, int(unix_time_millis(stream.last_ingestion_time)))
        self.upload_sequence_token += 1
        return f"{self.upload_sequence_token:056d}"

    def _update(self) -> None:
        stream: Any = self
        stream.first_event_timestamp, stream.last_event_timestamp = self.events.first, self.events.last

    def get_log_events(  # type: ignore[override]  # moto's own types are those of no caller
        self,
        start_time: int | None,
        end_time: int | None,
        limit: int | None,
        next_token: str | None,
        start_from_head: bool,  # noqa: FBT001  # moto's
    ) -> tuple[list[dict[str, Any]], str | None, str | None]:
        """A page of events, and the tokens of the pages before and after it."""
        direction, index = _place(next_token)
        most = limit or _MOST_EVENTS
        whole = self.events.in_order and not start_time and not end_time
        last = (len(self.events) if whole else sum(1 for _ in self._chosen(start_time, end_time))) - 1
        forward = direction == "f" or (direction is None and start_from_head)
        if forward:
            first = index + 1 if direction else 0
            end = min(last, first + most - 1)
        else:
            end = min(last, index - 1) if direction else last
            first = max(0, end - most + 1)
        if first > last or end < 0:
            edge = 0 if direction == "b" else last
            return [], f"b/{edge:056d}", f"f/{edge:056d}"
        found = self.events.read(first) if whole else islice(self._chosen(start_time, end_time), first, None)
        page = _head(islice(found, end - first + 1)) if forward else _tail(islice(found, end - first + 1))
        first, end = (first, first + len(page) - 1) if forward else (end - len(page) + 1, end)
        return [event.to_response_dict() for event in page], f"b/{first:056d}", f"f/{end:056d}"

    def filter_log_events(self, start_time: int, end_time: int, filter_pattern: str) -> list[dict[str, Any]]:
        """All events that match."""
        return [self.shown(event) for event in self.matching(start_time, end_time, filter_pattern)]

    def matching(self, start_time: int | None, end_time: int | None, pattern: str | None) -> Iterator[Event]:
        """Those that match, the oldest first."""
        wanted: Any = EventMessageFilter
        chosen = wanted(pattern)
        return (event for event in self._chosen(start_time, end_time) if chosen.matches(event.message))

    def shown(self, event: Event) -> dict[str, Any]:
        """An event as FilterEvents gives it."""
        number = f"{self.number:012d}{event.number:044d}"
        return {**event.to_response_dict(), "eventId": number, "logStreamName": self.log_stream_name}

    def _chosen(self, start_time: int | None, end_time: int | None) -> Iterator[Event]:
        return (event for event in self.events.since(start_time or 0) if not end_time or event.timestamp <= end_time)


def _filtered(  # noqa: PLR0913, PLR0917  # as moto calls it
    self: LogGroup,
    log_group_name: str,
    log_stream_names: list[str],
    start_time: int | None,
    end_time: int | None,
    limit: int | None,
    next_token: str | None,
    filter_pattern: str | None,
    interleaved: bool,  # noqa: ARG001, FBT001  # moto's; the service takes it for true, whatever it is
) -> tuple[list[dict[str, Any]], str | None, list[dict[str, Any]]]:
    """A page of the events of several streams, the oldest first."""
    streams: list[Any] = [
        stream for name, stream in self.streams.items() if not log_stream_names or name in log_stream_names
    ]
    searched = [{"logStreamName": stream.log_stream_name, "searchedCompletely": True} for stream in streams]
    since, skipped = start_time or 0, 0
    if next_token:
        group, *rest = next_token.rsplit("@", 2)
        if group != log_group_name or len(rest) != _TOKEN_PARTS or not all(part.isdecimal() for part in rest):
            # As the service does with a token that is none.
            return [], None, searched
        since, skipped = int(rest[0]), int(rest[1])
    found: Iterator[tuple[Event, Any]] = heapq.merge(
        *(_with(stream, stream.matching(since, end_time, filter_pattern)) for stream in streams),
        key=lambda pair: pair[0].timestamp,
    )
    found = islice(found, skipped, None)
    page: list[tuple[Event, Any]] = []
    size = 0
    for event, stream in islice(found, limit or _MOST_EVENTS):
        size += event.size
        if page and size > _PAGE:
            break
        page.append((event, stream))
    token = None
    if page and (size > _PAGE or next(found, None) is not None):
        last = page[-1][0].timestamp
        same = sum(1 for event, _ in page if event.timestamp == last)
        token = f"{log_group_name}@{last}@{same + (skipped if last == since else 0)}"
    return [stream.shown(event) for event, stream in page], token, searched


def install(world: LocalConfig, _access: Access) -> None:
    """Gives moto's groups these streams, once, and drops those of a server that is no more."""
    FileStream.folder = world.root / "logs"
    shutil.rmtree(FileStream.folder, ignore_errors=True)
    FileStream.folder.mkdir(parents=True)
    stock: Any = models
    stock.LogStream = FileStream
    group: Any = LogGroup
    group.filter_log_events = _filtered


def _with(stream: Any, events: Iterable[Event]) -> Iterator[tuple[Event, Any]]:  # noqa: ANN401  # a stream, which moto has no type for
    return ((event, stream) for event in events)


def _time(event: Event) -> int:
    return int(event.timestamp)


def _place(token: str | None) -> tuple[str | None, int]:
    """The direction of a token, and the number of the event that it is about."""
    if token is None:
        return None, 0
    try:
        direction, number = token[0], int(token[2:])
    except (IndexError, ValueError):
        direction, number = "", 0
    if direction not in {"f", "b"}:
        raise InvalidParameterException("The specified nextToken is invalid.")
    return direction, number


def _head(events: Iterable[Event]) -> list[Event]:
    """As many of the first as a page holds; one at least."""
    page: list[Event] = []
    size = 0
    for event in events:
        size += event.size
        if page and size > _PAGE:
            break
        page.append(event)
    return page


def _tail(events: Iterable[Event]) -> list[Event]:
    """Likewise of the last."""
    page: deque[Event] = deque()
    size = 0
    for event in events:
        page.append(event)
        size += event.size
        while size > _PAGE and len(page) > 1:
            size -= page.popleft().size
    return list(page)
