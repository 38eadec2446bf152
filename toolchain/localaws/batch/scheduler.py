"""Places jobs on this machine by vCPUs and memory: the queue of higher priority first, each first in, first out.

In a queue with a scheduling policy the share that has the fewest vCPUs at the time goes first; Batch also counts what
a share had before, and weighs shares.

A job at the head of its queue that has to wait holds up those behind it, as in Batch. One that can never be placed
does not, where Batch would let all others wait until the queue's time limit cancels it.
"""

import threading
from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from moto.batch.models import ComputeEnvironment, JobQueue

TOO_LARGE_FOR_ENVIRONMENTS: Final = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU "
    "requirement of the job."
)
TOO_LARGE_FOR_INSTANCES: Final = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)


class Queue(JobQueue):
    """A job queue that keeps its time limits. moto 5.2.5: jobStateTimeLimitActions are dropped."""

    time_limits: Sequence[Mapping[str, Any]] = ()

    def describe(self) -> dict[str, Any]:
        """The queue as DescribeJobQueues shows it."""
        return {**super().describe(), "jobStateTimeLimitActions": list(self.time_limits)}

    def time_limit(self, status_reason: str) -> tuple[float, str] | None:
        """Seconds that a job may be RUNNABLE for a reason, and the reason that it is cancelled with."""
        for action in self.time_limits:
            if action["state"] == "RUNNABLE" and status_reason.startswith(action["reason"]):
                return action["maxTimeSeconds"], action["reason"]
        return None

    def enabled_environments(self) -> Sequence[ComputeEnvironment]:
        """Its enabled compute environments, the preferred one first."""
        return [environment for environment in self.environments if environment.state != "DISABLED"]


class Schedulable(Protocol):
    """A job that waits for room.

    Attributes:
        memory: MiB.
        share: Whose it is; jobs of a queue without a scheduling policy are all of one.
        order: Jobs of a share are placed by it, the lowest first.
    """

    queue: Queue
    vcpus: int
    memory: int
    share: str
    order: tuple[int, int]

    def place(self, environment: ComputeEnvironment) -> None:
        """Starts it; must return at once."""
        ...


class Scheduler:
    """The machine that all compute environments share, and the queues before it.

    Args:
        vcpus: What the machine has for jobs.
        memory: Likewise, in MiB.
    """

    def __init__(self, *, vcpus: int, memory: int) -> None:
        self._vcpus = vcpus
        self._memory = memory
        self._lock = threading.Lock()
        self._waiting: dict[Queue, list[Schedulable]] = {}
        self._placed: dict[Schedulable, ComputeEnvironment] = {}

    def enter(self, job: Schedulable) -> None:
        """Queues a job; it may be placed before this returns."""
        with self._lock:
            insort(self._waiting.setdefault(job.queue, []), job, key=lambda other: other.order)
        self.schedule()

    def leave(self, job: Schedulable) -> None:
        """Withdraws a job, waiting or placed, and places what fits then."""
        with self._lock:
            self._placed.pop(job, None)
            waiting = self._waiting.get(job.queue, [])
            if job in waiting:
                waiting.remove(job)
        self.schedule()

    def schedule(self) -> None:
        """Places every job that fits now."""
        with self._lock:
            before = len(self._placed)
            for queue in sorted(self._waiting, key=lambda queue: -int(queue.priority)):
                while (job := self._next(queue)) and (environment := self._room(job)):
                    self._waiting[queue].remove(job)
                    self._placed[job] = environment
                if not self._waiting[queue]:
                    del self._waiting[queue]
            placed = list(self._placed.items())[before:]
        for job, environment in placed:
            job.place(environment)

    def _next(self, queue: Queue) -> Schedulable | None:
        """The job at the head of a queue."""
        used = Counter[str]()
        for job in self._placed:
            used[job.share] += job.vcpus if job.queue is queue else 0
        fitting = (job for job in self._waiting[queue] if not self.misfit(job))
        return min(fitting, key=lambda job: (used[job.share], job.order), default=None)

    def misfit(self, job: Schedulable) -> str | None:
        """Why a job can never be placed, as queues and environments are now."""
        if job.vcpus > max(map(_max_vcpus, job.queue.enabled_environments()), default=0):
            return TOO_LARGE_FOR_ENVIRONMENTS
        if job.vcpus > self._vcpus or job.memory > self._memory:
            return TOO_LARGE_FOR_INSTANCES
        return None

    def _room(self, job: Schedulable) -> ComputeEnvironment | None:
        vcpus = sum(other.vcpus for other in self._placed)
        memory = sum(other.memory for other in self._placed)
        if vcpus + job.vcpus > self._vcpus or memory + job.memory > self._memory:
            return None
        for environment in job.queue.enabled_environments():
            used = sum(other.vcpus for other, placed in self._placed.items() if placed is environment)
            if used + job.vcpus <= _max_vcpus(environment):
                return environment
        return None


def _max_vcpus(environment: ComputeEnvironment) -> int:
    return int((environment.compute_resources or {}).get("maxvCpus", 0))
