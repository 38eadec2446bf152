"""A container's output as events of CloudWatch Logs, while it runs."""

import time
from typing import Any, Final

from toolchain.localaws.batch.submission import Submission

# The awslogs driver splits longer lines:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
MAX_EVENT: Final = 262_118


class LineSplitter:
    """Splits bytes into lines as they come; blank lines and a last one without a newline count."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        pieces = [piece for line in lines for piece in _pieces(line)]
        if len(self._rest) > MAX_EVENT:
            *full, self._rest = _pieces(self._rest)
            pieces += full
        return [piece.decode(errors="replace") for piece in pieces]

    def end(self) -> list[str]:
        """What is left when nothing more comes."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []


class LogStream:
    """A log stream that takes stdout and stderr.

    moto 5.2.5: a definition's log group is ignored, and blank lines are lost.
    """

    def __init__(self, backend: Any, group: str, name: str) -> None:  # noqa: ANN401  # moto's LogsBackend
        self.group = group
        self.name = name
        self._backend = backend
        self._channels = (LineSplitter(), LineSplitter())

    @classmethod
    def of_task(cls, backend: Any, submission: Submission, task: str) -> "LogStream":  # noqa: ANN401  # likewise
        """The stream that a job's logConfiguration gives to an ECS task."""
        options = (submission.properties.get("logConfiguration") or {}).get("options") or {}
        prefix = options.get("awslogs-stream-prefix", submission.definition["jobDefinitionName"])
        stream = cls(backend, options.get("awslogs-group", "/aws/batch/job"), f"{prefix}/default/{task}")
        if "awslogs-group" not in options or options.get("awslogs-create-group") == "true":
            backend.ensure_log_group(stream.group)
        return stream

    def create(self) -> bool:
        """Creates the stream; false if there is no such group."""
        if self.group not in self._backend.groups:
            return False
        self._backend.ensure_log_stream(self.group, self.name)
        return True

    def feed(self, stdout: bytes | None, stderr: bytes | None) -> None:
        """Takes what was written now."""
        for channel, data in zip(self._channels, (stdout, stderr), strict=True):
            if data:
                self._put(channel.feed(data))

    def end(self) -> None:
        """Writes the lines that never ended."""
        for channel in self._channels:
            self._put(channel.end())

    def _put(self, messages: list[str]) -> None:
        if messages:
            now = time.time_ns() // 1_000_000
            events = [{"timestamp": now, "message": message} for message in messages]
            self._backend.put_log_events(self.group, self.name, events)


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + MAX_EVENT] for start in range(0, max(1, len(line)), MAX_EVENT)]
