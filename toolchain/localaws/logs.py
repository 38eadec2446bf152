"""CloudWatch Logs with events in files: jobs may write more than fits in memory.

moto keeps each event as an object for as long as the process lives, and gives pages of any size. Here a stream is a
file of JSON lines, tokens hold byte offsets, and a page holds 1 MiB as the service's do.
"""

import heapq
import json
import shutil
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
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
from toolchain.localaws.moto_patch import replace

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetEvents.html
_MOST_EVENTS: Final = 10_000
_PAGE: Final = 1024 * 1024
_OVERHEAD: Final = 26
_BLOCK: Final = 256 * 1024
_TAIL: Final = 2 * _PAGE
# Every so many events, time and offset are kept in memory, to begin a search near its start time.
_MARK_EVERY: Final = 256
_TOKEN: Final = 2  # parts of a search's token beside the group: a time, and how many events of that time were given
_NUMBERS: Final = count()


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a stream, with times in milliseconds, and where it begins and ends in the stream's file."""

    timestamp: int
    ingestion_time: int
    message: str
    start: int
    end: int

    def to_response_dict(self) -> dict[str, Any]:
        """The event as GetLogEvents gives it."""
        return {"ingestionTime": self.ingestion_time, "message": self.message, "timestamp": self.timestamp}


class Events:
    """A stream's events, in the order in which they came, which for jobs is that of their times."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._count = 0
        self._marks: list[tuple[int, int]] = []
        self.size = 0
        self.first: int | None = None
        self.last: int | None = None

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def append(self, events: list[Mapping[str, Any]], ingestion_time: int) -> None:
        """Appends events, as PutLogEvents sends them."""
        with self._lock, self._file.open("ab") as out:
            for event in events:
                timestamp = int(event["timestamp"])
                if self._count % _MARK_EVERY == 0:
                    self._marks.append((timestamp, self.size))
                self.first = timestamp if self.first is None else self.first
                self.last = timestamp
                self.size += out.write(json.dumps([timestamp, ingestion_time, event["message"]]).encode() + b"\n")
                self._count += 1

    def read(self, start: int = 0, end: int | None = None) -> Iterator[Event]:
        """The events between two offsets."""
        end = self.size if end is None else end
        # In blocks: there may be more streams than a process may have files open.
        while start < end:
            with self._file.open("rb") as data:
                data.seek(start)
                lines = data.readlines(min(_BLOCK, end - start))
            for line in lines:
                if start >= end:
                    return
                timestamp, ingestion_time, message = json.loads(line)
                yield Event(timestamp, ingestion_time, message, start, start + len(line))
                start += len(line)

    def read_back(self, end: int) -> Iterator[Event]:
        """The events before an offset, the last first."""
        while end > 0:
            start = self._next_line(end - _TAIL)
            start = start if start < end else 0  # one line that is longer
            yield from reversed(list(self.read(start, end)))
            end = start

    def _next_line(self, offset: int) -> int:
        """Where the next line begins."""
        if offset <= 0:
            return 0
        with self._file.open("rb") as data:
            data.seek(offset)
            data.readline()
            return data.tell()

    def since(self, time: int) -> Iterator[Event]:
        """The events that are not older than a time."""
        mark = bisect_left(self._marks, (time, 0)) - 1
        events = self.read(self._marks[mark][1] if mark >= 0 else 0)
        return (event for event in events if event.timestamp >= time)


class FileStream(LogStream):
    """moto's stream, with its events in a file."""

    folder: ClassVar[Path]

    def __init__(self, log_group: LogGroup, name: str) -> None:
        super().__init__(log_group, name)
        self.number = next(_NUMBERS)
        self.events: Any = Events(self.folder / f"{self.number}.jsonl")

    def put_log_events(self, log_events: list[dict[str, Any]]) -> str:
        """Appends events."""
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
        direction, offset = _read_token(next_token)
        if direction is None:
            direction, offset = ("f", 0) if start_from_head else ("b", self.events.size)
        events = self.events.read(offset) if direction == "f" else self.events.read_back(offset)
        pairs, _ = _page(((event, self) for event in events if _is_between(event, start_time, end_time)), limit)
        page = [event for event, _ in (pairs if direction == "f" else reversed(pairs))]
        first, last = (page[0].start, page[-1].end) if page else (offset, offset)
        return [event.to_response_dict() for event in page], f"b/{first:056d}", f"f/{last:056d}"

    def matching(self, start_time: int, end_time: int | None, pattern: str | None) -> Iterator[tuple[Event, Any]]:
        """The events that match, each with its stream."""
        chosen: Any = EventMessageFilter(pattern)  # type: ignore[arg-type]  # moto's own type says less than it takes
        return (
            (event, self)
            for event in self.events.since(start_time)
            if _is_between(event, None, end_time) and chosen.matches(event.message)
        )


def _read_token(token: str | None) -> tuple[str | None, int]:
    """The direction of a page, and the offset that it begins at."""
    if token is None:
        return None, 0
    direction, _, offset = token.partition("/")
    if direction not in {"f", "b"} or not offset.isdecimal():
        raise InvalidParameterException("The specified nextToken is invalid.")
    return direction, int(offset)


def _is_between(event: Event, start_time: int | None, end_time: int | None) -> bool:
    return event.timestamp >= (start_time or 0) and (not end_time or event.timestamp <= end_time)


def _page(events: Iterator[tuple[Event, Any]], limit: int | None) -> tuple[list[tuple[Event, Any]], bool]:
    """As many events as a page holds, one at least, and whether there are more; each event is with its stream."""
    page: list[tuple[Event, Any]] = []
    size = 0
    for event, stream in events:
        size += len(event.message.encode()) + _OVERHEAD
        if len(page) == (limit or _MOST_EVENTS) or (page and size > _PAGE):
            return page, True
        page.append((event, stream))
    return page, False


def _filter_log_events(  # noqa: PLR0913, PLR0917  # as moto calls it
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
        group, *place = next_token.rsplit("@", _TOKEN)
        if group != log_group_name or len(place) != _TOKEN or not all(part.isdecimal() for part in place):
            return [], None, searched  # as the service does with a token that is none
        since, skipped = map(int, place)
    found = heapq.merge(
        *(stream.matching(since, end_time, filter_pattern) for stream in streams), key=lambda pair: pair[0].timestamp
    )
    page, is_full = _page(islice(found, skipped, None), limit)
    token = None
    if is_full:
        last = page[-1][0].timestamp
        given = sum(1 for event, _ in page if event.timestamp == last) + (skipped if last == since else 0)
        token = f"{log_group_name}@{last}@{given}"
    events = [
        {
            **event.to_response_dict(),
            "eventId": f"{stream.number:012d}{event.start:044d}",
            "logStreamName": stream.log_stream_name,
        }
        for event, stream in page
    ]
    return events, token, searched


replace(models, "LogStream", FileStream)
replace(LogGroup, "filter_log_events", _filter_log_events)


def install(config: LocalConfig, _access: Access) -> None:
    """Drops the logs of an earlier server."""
    FileStream.folder = config.root / "logs"
    shutil.rmtree(FileStream.folder, ignore_errors=True)
    FileStream.folder.mkdir(parents=True)
