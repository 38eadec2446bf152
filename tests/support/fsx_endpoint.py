"""A stand-in for Amazon FSx: the two operations of data repository tasks, over HTTP, with scripted outcomes.

    with fsx_endpoint(Outcome(lifecycle="FAILED", failure="no such path")) as fsx:
        ...  # with AWS_ENDPOINT_URL_FSX=fsx.url
    assert fsx.creations[0]["Paths"] == ["wf/run"]

It speaks JSON 1.1 as the service does, keeps to ClientRequestToken, and records every request.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

TARGET: Final = "AWSSimbaAPIService_v20180301."
ACCOUNT: Final = "123456789012"
CREATE: Final = "CreateDataRepositoryTask"
DESCRIBE: Final = "DescribeDataRepositoryTasks"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An answer that is given in place of the right one. A status of 0 drops the connection."""

    status: int = 400
    code: str = ""
    message: str = ""
    operation: str | None = None  # None: whichever comes next


def busy() -> Fault:
    """Another task runs on the file system."""
    message = "An existing data repository task is currently executing on the file system."
    return Fault(code="DataRepositoryTaskExecuting", message=message, operation=CREATE)


def throttled() -> Fault:
    """Too many calls."""
    return Fault(code="ThrottlingException", message="Rate exceeded")


def unavailable() -> Fault:
    """A load balancer's answer, which is not the service's."""
    return Fault(status=503, message="<html>503 Service Temporarily Unavailable</html>")


def dropped() -> Fault:
    """No answer at all."""
    return Fault(status=0)


def denied(operation: str) -> Fault:
    """The role's policy does not allow it."""
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/job/i-0"
    message = (
        f"User: {who} is not authorized to perform: fsx:{operation} on resource: "
        f"arn:aws:fsx:us-east-1:{ACCOUNT}:file-system/fs-0123456789abcdef0 "
        f"because no identity-based policy allows the fsx:{operation} action"
    )
    return Fault(code="AccessDeniedException", message=message, operation=operation)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task goes: after that many looks at it (the first shows it PENDING), it ends like this."""

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
    parameters: dict[str, Any]
    outcome: Outcome
    created: float
    looked: int = 0

    def described(self) -> dict[str, Any]:
        ended = self.looked >= self.outcome.looks
        lifecycle = self.outcome.lifecycle if ended else "EXECUTING" if self.looked else "PENDING"
        answer: dict[str, Any] = {
            "TaskId": self.id,
            "Lifecycle": lifecycle,
            "Type": self.parameters["Type"],
            "CreationTime": self.created,
            "ResourceARN": f"arn:aws:fsx:us-east-1:{ACCOUNT}:task/{self.id}",
            "FileSystemId": self.parameters["FileSystemId"],
            "Paths": self.parameters["Paths"],
            "Report": self.parameters["Report"],
        }
        if self.looked:
            total, failed = self.outcome.total, self.outcome.failed
            counts = (total - failed, failed) if ended else (total // 2, 0)
            answer["StartTime"] = self.created + 1
            answer["Status"] = {"TotalCount": total, "SucceededCount": counts[0], "FailedCount": counts[1]}
        if ended:
            answer["EndTime"] = self.created + 2
            if self.outcome.failure:
                answer["FailureDetails"] = {"Message": self.outcome.failure}
        return answer


@dataclass(kw_only=True)
class FsxEndpoint:
    """The running stand-in: where it listens, and what came."""

    outcomes: list[Outcome]  # of the tasks in the order in which they are made; the last serves all further ones
    faults: list[Fault]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def creations(self) -> list[dict[str, Any]]:
        """The bodies of all requests to create a task, faulty answers included."""
        return [request.body for request in self.requests if request.operation == CREATE]

    @property
    def task_ids(self) -> list[str]:
        """The tasks that were made, in order."""
        return [task.id for task in self._tasks.values()]

    def age(self, seconds: float) -> None:
        """Let all tasks be older, as if an earlier attempt had made them."""
        for task in self._tasks.values():
            task.created -= seconds

    def end_now(self) -> None:
        """Let all tasks end at the next look."""
        for task in self._tasks.values():
            task.outcome = replace(task.outcome, looks=0)

    def answer(self, request: Request) -> tuple[int, dict[str, Any] | str]:
        """Return the status and the body for a request; the status 0 says to hang up."""
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.operation in {None, request.operation}:
                    self.faults.remove(fault)
                    return fault.status, self._error(fault.code, fault.message) if fault.code else fault.message
            if request.operation == CREATE:
                return self._create(request.body)
            if request.operation == DESCRIBE:
                return self._describe(request.body)
            return 400, self._error("UnknownOperationException", request.operation)

    @staticmethod
    def _error(code: str, message: str) -> dict[str, Any]:
        return {"__type": f"com.amazonaws.fsx#{code}", "Message": message}

    def _create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        token = body["ClientRequestToken"]
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", token) or "Report" not in body:
            return 400, self._error("BadRequest", "1 validation error detected")
        if token not in self._tasks:
            number = len(self._tasks)
            self._tasks[token] = _Task(
                id=f"task-{number:017x}",
                parameters=body,
                outcome=self.outcomes[min(number, len(self.outcomes) - 1)],
                created=time.time(),
            )
        task = self._tasks[token]
        if task.parameters != body:
            return 400, self._error("IncompatibleParameterError", "the same token with other parameters")
        return 200, {"DataRepositoryTask": task.described()}

    def _describe(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        tasks = {task.id: task for task in self._tasks.values()}
        described = []
        for task_id in body["TaskIds"]:
            if task_id not in tasks:
                return 400, self._error("DataRepositoryTaskNotFound", task_id)
            described.append(tasks[task_id].described())
            tasks[task_id].looked += 1
        return 200, {"DataRepositoryTasks": described}


def _handler(endpoint: FsxEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            content = self.rfile.read(length)
            if len(content) < length:  # a client that was killed
                self.close_connection = True
                return
            body = json.loads(content)
            operation = self.headers["X-Amz-Target"].removeprefix(TARGET)
            request = Request(operation=operation, body=body, authorization=self.headers.get("Authorization", ""))
            status, answer = endpoint.answer(request)
            if status == 0:
                self.close_connection = True
                return
            encoded = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response_only(status)
            self.send_header("Date", formatdate(usegmt=True))
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hung up; anything else is a fault of the stand-in, and shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextlib.contextmanager
def fsx_endpoint(
    *outcomes: Outcome, faults: Sequence[Fault] = (), host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[FsxEndpoint]:
    """Serve until the block ends. The faults are used up in their order, each by a request of its operation."""
    endpoint = FsxEndpoint(outcomes=list(outcomes) or [Outcome()], faults=list(faults))
    server = _Server((host, 0), _handler(endpoint))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    endpoint.url = f"{'https' if tls else 'http'}://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
