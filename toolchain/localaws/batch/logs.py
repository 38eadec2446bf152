"""What a container writes, as events of CloudWatch Logs, while it runs."""

import time
from typing import Any, Final

# An event of the awslogs driver; a longer line is cut:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LONGEST_EVENT: Final = 262_118


class Lines:
    """Bytes as they come, made into lines: a last one without an end counts, and blank ones do."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        whole = [piece for line in lines for piece in _pieces(line)]
        while len(self._rest) >= LONGEST_EVENT:
            whole.append(_text(self._rest[:LONGEST_EVENT]))
            self._rest = self._rest[LONGEST_EVENT:]
        return whole

    def end(self) -> list[str]:
        """What is left when nothing more comes."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


class Stream:
    """A log stream that takes stdout and stderr as they come."""

    def __init__(self, backend: Any, group: str, name: str) -> None:  # noqa: ANN401  # moto's LogsBackend
        self._backend = backend
        self._group = group
        self._name = name
        self._channels = (Lines(), Lines())

    def feed(self, *channels: bytes | None) -> None:
        """Takes what came on stdout, and what came on stderr."""
        for lines, data in zip(self._channels, channels, strict=True):
            if data:
                self._put(lines.feed(data))

    def end(self) -> None:
        """Writes lines that never ended."""
        for lines in self._channels:
            self._put(lines.end())

    def _put(self, messages: list[str]) -> None:
        if messages:
            now = time.time_ns() // 1_000_000
            events = [{"timestamp": now, "message": message} for message in messages]
            self._backend.put_log_events(self._group, self._name, events)


def _pieces(line: bytes) -> list[str]:
    return [_text(line[start : start + LONGEST_EVENT]) for start in range(0, max(1, len(line)), LONGEST_EVENT)]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
