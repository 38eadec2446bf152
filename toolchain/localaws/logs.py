"""CloudWatch Logs with events in files: jobs may write more than fits in memory.

moto 5.2.5: each event is an object for as long as the process lives, and pages have any size. Here a stream is a file
of JSON lines, tokens hold byte offsets, and a page of GetLogEvents holds 1 MiB as the service's do.
"""

import json
import shutil
import threading
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
_NUMBERS: Final = count()


@dataclass(frozen=True, slots=True)
class Event:
    """An event, with times in milliseconds, and where it begins and ends in its stream's file."""

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
        self.size = 0
        self.first: int | None = None
        self.last: int | None = None

    def __len__(self) -> int:
        """Their bytes; moto asks whether there are any."""
        return self.size

    def append(self, events: list[Mapping[str, Any]], ingestion_time: int) -> None:
        """Appends events, as PutLogEvents sends them."""
        with self._lock, self._file.open("ab") as out:
            for event in events:
                self.last = int(event["timestamp"])
                self.first = self.last if self.first is None else self.first
                self.size += out.write(json.dumps([self.last, ingestion_time, event["message"]]).encode() + b"\n")

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
        direction, offset = ("f", 0) if start_from_head else ("b", self.events.size)
        if next_token is not None:
            direction, _, digits = next_token.partition("/")
            if direction not in {"f", "b"} or not digits.isdecimal():
                raise InvalidParameterException("The specified nextToken is invalid.")
            offset = int(digits)
        events = self.events.read(offset) if direction == "f" else self.events.read_back(offset)
        page = _page((event for event in events if _is_between(event, start_time, end_time)), limit or _MOST_EVENTS)
        if direction == "b":
            page.reverse()
        first, last = (page[0].start, page[-1].end) if page else (offset, offset)
        return [event.to_response_dict() for event in page], f"b/{first:056d}", f"f/{last:056d}"

    def filter_log_events(
        self, start_time: int | None, end_time: int | None, filter_pattern: str | None
    ) -> list[dict[str, Any]]:
        """The events that match."""
        pattern: Any = EventMessageFilter(filter_pattern)  # type: ignore[arg-type]  # moto's type says less than it takes
        return [
            {
                **event.to_response_dict(),
                "eventId": f"{self.number:012d}{event.start:044d}",
                "logStreamName": self.log_stream_name,
            }
            for event in self.events.read()
            if _is_between(event, start_time, end_time) and pattern.matches(event.message)
        ]


def _is_between(event: Event, start_time: int | None, end_time: int | None) -> bool:
    return event.timestamp >= (start_time or 0) and (not end_time or event.timestamp <= end_time)


def _page(events: Iterator[Event], limit: int) -> list[Event]:
    """As many events as a page holds, one at least."""
    page: list[Event] = []
    size = 0
    for event in islice(events, limit):
        size += len(event.message.encode()) + _OVERHEAD
        if page and size > _PAGE:
            break
        page.append(event)
    return page


replace(models, "LogStream", FileStream)


def install(config: LocalConfig, _access: Access) -> None:
    """Removes the logs of an earlier server."""
    FileStream.folder = config.root / "logs"
    shutil.rmtree(FileStream.folder, ignore_errors=True)
    FileStream.folder.mkdir(parents=True)
