"""The logs of a run's jobs, attempt by attempt."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from toolchain.aws import code, doing
from toolchain.runs.executions import ENDED, BatchJob, Run, Runs
from toolchain.runs.progress import label

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

PAUSE = 1.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a job's log."""

    job: str
    text: str


class Logs:
    """Reads the logs of jobs; each line once."""

    def __init__(self, runs: Runs) -> None:
        self._client: CloudWatchLogsClient = runs.account.logs()
        self._runs = runs
        self._tokens: dict[str, str] = {}

    def lines(self, run: Run, wanted: Callable[[BatchJob], bool]) -> Iterator[Line]:
        """The lines of the wanted jobs that were written since the last call."""
        jobs = {job.job_id: job for job in self._runs.jobs(run) if wanted(job)}
        for detail in self._runs.details(tuple(jobs)):
            job = jobs[detail["jobId"]]
            streams = [attempt.get("container", {}).get("logStreamName") for attempt in detail.get("attempts", [])]
            streams.append(detail.get("container", {}).get("logStreamName"))
            for stream in dict.fromkeys(name for name in streams if name):
                for text in self._new_lines(stream):
                    yield Line(job=label(job), text=text)

    def follow(
        self, run: Run, wanted: Callable[[BatchJob], bool], *, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[Line]:
        """All lines until the run and its jobs have ended."""
        while True:
            # Asked before the lines are read, so that none of the last ones is missed.
            over = self._runs.find(run.name).status != "RUNNING" and all(
                job.status in ENDED for job in self._runs.jobs(run)
            )
            yield from self.lines(run, wanted)
            if over:
                return
            sleep(PAUSE)

    def _new_lines(self, stream: str) -> Iterator[str]:
        group = self._runs.deployment.log_group
        while True:
            token = self._tokens.get(stream)
            with doing(f"reading log stream {stream}"):
                try:
                    response = self._client.get_log_events(
                        logGroupName=group, logStreamName=stream, startFromHead=True, **_after(token)
                    )
                except self._client.exceptions.ClientError as error:
                    if code(error) == "ResourceNotFoundException":  # the job has written nothing yet
                        return
                    raise
            for event in response["events"]:
                yield event["message"]
            self._tokens[stream] = response["nextForwardToken"]
            if token == response["nextForwardToken"] or not response["events"]:
                return


class _After(TypedDict, total=False):
    nextToken: str


def _after(token: str | None) -> _After:
    return _After(nextToken=token) if token else _After()
