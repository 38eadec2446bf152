"""An array job: one submission, many children that differ in their index."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from toolchain.localaws.batch.job import STATUSES, Job, Status
from toolchain.localaws.batch.submission import Submission


class ArrayJob:
    """The parent: it runs nothing itself, and is what its children are together."""

    def __init__(self, *, submission: Submission, children: Sequence[Job], job_id: str, arn: str) -> None:
        self.job_id = job_id
        self.arn = arn
        self.submission = submission
        self.children = tuple(children)
        self.setting = children[0].setting
        self.created = time.time_ns() // 1_000_000
        self._terminated: str | None = None

    @property
    def summary(self) -> dict[str, int]:
        """How many children there are in each status."""
        found = Counter(child.status for child in self.children)
        return {status: found[status] for status in STATUSES}

    @property
    def status(self) -> Status:
        """PENDING until the last child has ended."""
        summary = self.summary
        if summary["SUCCEEDED"] == len(self.children):
            return "SUCCEEDED"
        if summary["SUCCEEDED"] + summary["FAILED"] == len(self.children):
            return "FAILED"
        return "SUBMITTED" if summary["SUBMITTED"] == len(self.children) else "PENDING"

    @property
    def status_reason(self) -> str | None:
        """Why it failed."""
        return (self._terminated or "Array Child Job failed") if self.status == "FAILED" else None

    @property
    def started(self) -> int | None:
        """When its first child started."""
        return min((child.started for child in self.children if child.started is not None), default=None)

    @property
    def stopped(self) -> int | None:
        """When its last child ended."""
        if self.status not in {"SUCCEEDED", "FAILED"}:
            return None
        return max((child.stopped for child in self.children if child.stopped is not None), default=None)

    def when_ended(self, tell: Callable[[object], None]) -> None:
        """Tells someone when the last child has ended."""
        left = len(self.children)
        guard = threading.Lock()

        def one_ended(_: Job) -> None:
            nonlocal left
            with guard:
                left -= 1
                last = not left
            if last:
                tell(self)

        for child in self.children:
            child.when_ended(one_ended)

    def cancel(self, reason: str) -> None:
        """Ends the children that do not start or run already."""
        self._terminated = reason
        for child in self.children:
            child.cancel(reason)

    def terminate(self, reason: str) -> None:
        """Ends every child."""
        self._terminated = reason
        for child in self.children:
            child.terminate(reason)
