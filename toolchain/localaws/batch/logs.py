"""A container's output as events of CloudWatch Logs, while it runs."""

import time
from collections.abc import Sequence
from typing import Any, Final

from toolchain.localaws.batch.submission import Submission

# The awslogs driver splits longer lines:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
MAX_EVENT: Final = 262_118


class LogStream:
    """A log stream that takes stdout and stderr.

    moto 5.2.5: a definition's log group is ignored, and blank lines are lost.
    """

    def __init__(self, backend: Any, group: str, name: str) -> None:  # noqa: ANN401  # moto's LogsBackend
        self.group = group
        self.name = name
        self._backend = backend
        self._incomplete = [b"", b""]

    @classmethod
    def of_task(cls, backend: Any, submission: Submission, task: str) -> "LogStream":  # noqa: ANN401  # likewise
        """The stream that a job's logConfiguration gives to an ECS task."""
        options = (submission.properties.get("logConfiguration") or {}).get("options") or {}
        prefix = options.get("awslogs-stream-prefix", submission.definition["jobDefinitionName"])
        stream = cls(backend, options.get("awslogs-group", "/aws/batch/job"), f"{prefix}/default/{task}")
        if "awslogs-group" not in options or options.get("awslogs-create-group") == "true":
            backend.ensure_log_group(stream.group)
        return stream

    def create(self) -> None:
        """Creates the stream.

        Raises:
            ResourceNotFoundException: There is no such group.
        """
        self._backend.ensure_log_stream(self.group, self.name)

    def feed(self, *channels: bytes | None) -> None:
        """Takes what came on stdout and on stderr."""
        for number, data in enumerate(channels):
            if data:
                lines, self._incomplete[number] = split_lines(self._incomplete[number] + data)
                self._put(lines)

    def end(self) -> None:
        """Writes last lines without a newline."""
        self._put([line for line in self._incomplete if line])

    def _put(self, lines: Sequence[bytes]) -> None:
        if lines:
            now = time.time_ns() // 1_000_000
            events = [{"timestamp": now, "message": line.decode(errors="replace")} for line in lines]
            self._backend.put_log_events(self.group, self.name, events)


def split_lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Splits off the complete lines, blank ones too; those that are too long become several."""
    *pieces, rest = [piece for line in data.split(b"\n") for piece in _pieces(line)]
    return pieces, rest


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + MAX_EVENT] for start in range(0, max(1, len(line)), MAX_EVENT)]
