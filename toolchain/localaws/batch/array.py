"""Array jobs: one submission, many children that differ in their index."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from toolchain.localaws.batch.job import STATUSES, Job, Status


class ArrayJob:
    """The parent: it runs nothing itself, and its status follows from its children's."""

    def __init__(self, job_id: str, children: Sequence[Job]) -> None:
        self.job_id = job_id
        self.arn = children[0].arn.removesuffix(":0")
        self.children = tuple(children)
        self.queue = children[0].queue
        self.submission = children[0].submission
        self.created = children[0].created
        self.index = None
        self.attempts: tuple[()] = ()
        self.is_cancelled = False
        self.is_terminated = False
        self._reason = "Array Child Job failed"

    @property
    def status(self) -> Status:
        """PENDING until the last child has ended."""
        if not all(child.has_ended for child in self.children):
            return "PENDING"
        return "FAILED" if any(child.status == "FAILED" for child in self.children) else "SUCCEEDED"

    @property
    def status_reason(self) -> str | None:
        """Why it failed."""
        return self._reason if self.status == "FAILED" else None

    @property
    def started(self) -> int | None:
        """When its first child started."""
        return min((child.started for child in self.children if child.started), default=None)

    @property
    def stopped(self) -> int | None:
        """When its last child ended."""
        if self.status == "PENDING":
            return None
        return max(child.stopped or 0 for child in self.children)

    @property
    def array_properties(self) -> dict[str, Any]:
        """DescribeJobs' arrayProperties, with how many children are in each status."""
        counts = Counter(child.status for child in self.children)
        return {"size": len(self.children), "statusSummary": {status: counts[status] for status in STATUSES}}

    def cancel(self, reason: str) -> None:
        """Ends the children that wait."""
        self.is_cancelled = True
        self._reason = reason
        for child in self.children:
            child.cancel(reason)

    def terminate(self, reason: str) -> None:
        """Ends every child."""
        self.is_terminated = True
        self._reason = reason
        for child in self.children:
            child.terminate(reason)
