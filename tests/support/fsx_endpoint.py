"""Amazon FSx's two operations of data repository tasks over HTTP, with scripted outcomes and faults.

with fsx_endpoint(Outcome(lifecycle="FAILED", failure="no such path")) as fsx:
...  # with AWS_ENDPOINT_URL_FSX=fsx.url
assert fsx.creations[0]["Paths"] == ["wf/run"]
"""

import json
import re
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from support.http_server import Handler, serve

ACCOUNT: Final = "123456789012"
CREATE: Final = "CreateDataRepositoryTask"
DESCRIBE: Final = "DescribeDataRepositoryTasks"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is answered to one request instead; a status of 0 drops the connection."""

    status: int = 400
    code: str = ""
    message: str = ""
    operation: str | None = None  # None: whichever comes next

    @property
    def body(self) -> str:
        """An error of FSx; without a code the bare message, as of a load balancer."""
        error = {"__type": f"com.amazonaws.fsx#{self.code}", "Message": self.message}
        return json.dumps(error) if self.code else self.message


def busy() -> Fault:
    message = "An existing data repository task is currently executing on the file system."
    return Fault(code="DataRepositoryTaskExecuting", message=message, operation=CREATE)


def throttled() -> Fault:
    return Fault(code="ThrottlingException", message="Rate exceeded")


def unavailable() -> Fault:
    return Fault(status=503, message="<html>503 Service Temporarily Unavailable</html>")


def dropped() -> Fault:
    return Fault(status=0)


def denied(operation: str) -> Fault:
    message = (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/job/i-0 is not authorized to perform: fsx:{operation} on resource: "
        f"arn:aws:fsx:us-east-1:{ACCOUNT}:file-system/fs-0123456789abcdef0 "
        f"because no identity-based policy allows the fsx:{operation} action"
    )
    return Fault(code="AccessDeniedException", message=message, operation=operation)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ends, after so many looks at it, of which the first shows it PENDING."""

    looks: int = 2
    lifecycle: str = "SUCCEEDED"
    total: int = 4
    failed: int = 0
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came."""

    operation: str
    body: dict[str, Any]
    authorization: str


@dataclass(kw_only=True)
class _Task:
    id: str
    request: dict[str, Any]
    outcome: Outcome
    created: float = field(default_factory=time.time)
    looked: int = 0

    def described(self) -> dict[str, Any]:
        has_ended = self.looked >= self.outcome.looks
        lifecycle = self.outcome.lifecycle if has_ended else "EXECUTING" if self.looked else "PENDING"
        answer = {**self.request, "TaskId": self.id, "Lifecycle": lifecycle, "CreationTime": self.created}
        if self.looked:
            total, failed = self.outcome.total, self.outcome.failed
            succeeded, failed = (total - failed, failed) if has_ended else (total // 2, 0)
            answer["StartTime"] = self.created + 1
            answer["Status"] = {"TotalCount": total, "SucceededCount": succeeded, "FailedCount": failed}
        if has_ended:
            answer["EndTime"] = self.created + 2
            if self.outcome.failure:
                answer["FailureDetails"] = {"Message": self.outcome.failure}
        return answer


@dataclass(kw_only=True)
class FsxEndpoint:
    """The running endpoint, and what came to it."""

    outcomes: Sequence[Outcome]  # of the tasks in the order in which they are made; the last is that of all others
    faults: list[Fault]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def creations(self) -> list[dict[str, Any]]:
        """The requests to create a task, with those that met a fault."""
        return [request.body for request in self.requests if request.operation == CREATE]

    @property
    def task_ids(self) -> list[str]:
        """The tasks that were made, in order."""
        return [task.id for task in self._tasks.values()]

    def age(self, seconds: float) -> None:
        """Makes all tasks older, as if an earlier attempt had made them."""
        for task in self._tasks.values():
            task.created -= seconds

    def end_now(self) -> None:
        """Lets all tasks end at the next look."""
        for task in self._tasks.values():
            task.outcome = replace(task.outcome, looks=0)

    def answer(self, request: Request) -> tuple[int, str]:
        """Status and body for a request."""
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.operation in {None, request.operation}), None)
            if fault:
                self.faults.remove(fault)
                return fault.status, fault.body
            answer = self._create(request.body) if request.operation == CREATE else self._describe(request.body)
            return (answer.status, answer.body) if isinstance(answer, Fault) else (200, json.dumps(answer))

    def _create(self, request: dict[str, Any]) -> Fault | dict[str, Any]:
        token, number = request["ClientRequestToken"], len(self._tasks)
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", token) or "Report" not in request:
            return Fault(code="BadRequest", message="1 validation error detected")
        outcome = self.outcomes[min(number, len(self.outcomes) - 1)]
        task = self._tasks.setdefault(token, _Task(id=f"task-{number:017x}", request=request, outcome=outcome))
        if task.request != request:
            return Fault(code="IncompatibleParameterError", message="the same token with other parameters")
        return {"DataRepositoryTask": task.described()}

    def _describe(self, request: dict[str, Any]) -> Fault | dict[str, Any]:
        [task] = [task for task in self._tasks.values() if task.id in request["TaskIds"]]
        described = task.described()
        task.looked += 1
        return {"DataRepositoryTasks": [described]}


@contextmanager
def fsx_endpoint(
    *outcomes: Outcome, faults: Sequence[Fault] = (), tls: ssl.SSLContext | None = None
) -> Iterator[FsxEndpoint]:
    """Serves until the block ends. The faults are used up in their order, each by a request of its operation."""
    endpoint = FsxEndpoint(outcomes=outcomes or (Outcome(),), faults=list(faults))

    class FsxHandler(Handler):
        def do_POST(self) -> None:  # noqa: N802  # the name that http.server has for it
            length = int(self.headers["Content-Length"])
            content = self.rfile.read(length)
            status = 0
            if len(content) == length:  # else its client was killed
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                authorization = self.headers.get("Authorization", "")
                request = Request(operation=operation, body=json.loads(content), authorization=authorization)
                status, text = endpoint.answer(request)
            if status:
                self.reply(status, "application/x-amz-json-1.1", text)
            else:
                self.close_connection = True

    with serve(FsxHandler, tls) as endpoint.url:
        yield endpoint
