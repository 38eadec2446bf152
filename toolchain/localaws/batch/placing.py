"""Which job runs next, and where: queues in order of priority, each first in first out.

A job at the head of its queue that does not fit holds up those behind it, as in Batch. One that can never fit steps
aside, where Batch would let all others wait until the queue's time limit ends it.
"""

import threading
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

TOO_LARGE_FOR_ENVIRONMENTS: Final = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU "
    "requirement of the job."
)
TOO_LARGE_FOR_INSTANCES: Final = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A compute environment that takes jobs.

    Attributes:
        name: Its name.
        arn: Its ARN.
        vcpus: The most that its jobs may have together.
    """

    name: str
    arn: str
    vcpus: int


class Queue(Protocol):
    """A job queue, as it is now: it may change while jobs wait in it."""

    @property
    def priority(self) -> int:
        """The higher it is, the sooner its jobs are placed."""
        ...

    @property
    def environments(self) -> Sequence[Environment]:
        """The compute environments that take its jobs, the preferred one first."""
        ...


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a job asks for: vCPUs, and memory in MiB."""

    vcpus: int
    memory: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Ticket:
    """A job's place in a queue, and on the machine.

    Attributes:
        queue: The queue.
        need: What the job asks for.
        number: The lower it is, the sooner it is served.
        place: Is told where the job runs now; it must not take long.
        misfit: Is told why the job can never be placed, as things are; it must not take long.
    """

    queue: Queue
    need: Need
    number: tuple[int, int]
    place: Callable[[Environment], None]
    misfit: Callable[[str], None] = lambda _: None


class Placing:
    """The machine that all compute environments share, and the queues before it."""

    def __init__(self, *, vcpus: int, memory: int) -> None:
        self._whole = Need(vcpus=vcpus, memory=memory)
        self._guard = threading.Lock()
        self._waiting: dict[Queue, list[Ticket]] = {}
        self._aside: dict[Ticket, str] = {}
        self._placed: dict[Ticket, Environment] = {}

    def enter(self, ticket: Ticket) -> None:
        """Puts a job into its queue; it may be placed before this returns."""
        with self._guard:
            insort(self._waiting.setdefault(ticket.queue, []), ticket, key=lambda other: other.number)
        self.look()

    def leave(self, ticket: Ticket) -> None:
        """Takes a job out, from wherever it is; what it had goes to the next ones."""
        with self._guard:
            self._placed.pop(ticket, None)
            self._aside.pop(ticket, None)
            waiting = self._waiting.get(ticket.queue, [])
            if ticket in waiting:
                waiting.remove(ticket)
        self.look()

    def look(self) -> None:
        """Places what fits now: something ended, or a queue or an environment changed."""
        with self._guard:
            before = dict(self._aside)
            for ticket in before:
                if self._never_fits(ticket) is None:
                    del self._aside[ticket]
                    insort(self._waiting.setdefault(ticket.queue, []), ticket, key=lambda other: other.number)
            found = self._fitting()
            misfits = [(ticket, why) for ticket, why in self._aside.items() if ticket not in before]
        for ticket, environment in found:
            ticket.place(environment)
        for ticket, why in misfits:
            ticket.misfit(why)

    def stuck(self, ticket: Ticket) -> str | None:
        """Why a job can never be placed, as things are; none if it can, or it is not its turn yet."""
        with self._guard:
            return self._aside.get(ticket)

    def _never_fits(self, ticket: Ticket) -> str | None:
        if ticket.need.vcpus > max((one.vcpus for one in ticket.queue.environments), default=0):
            return TOO_LARGE_FOR_ENVIRONMENTS
        if ticket.need.vcpus > self._whole.vcpus or ticket.need.memory > self._whole.memory:
            return TOO_LARGE_FOR_INSTANCES
        return None

    def _fitting(self) -> list[tuple[Ticket, Environment]]:
        found = []
        for queue in sorted(self._waiting, key=lambda queue: -queue.priority):
            waiting = self._waiting[queue]
            while waiting:
                if why := self._never_fits(waiting[0]):
                    self._aside[waiting.pop(0)] = why
                    continue
                environment = self._room_for(waiting[0])
                if environment is None:
                    break
                ticket = waiting.pop(0)
                self._placed[ticket] = environment
                found.append((ticket, environment))
            if not waiting:
                del self._waiting[queue]
        return found

    def _room_for(self, ticket: Ticket) -> Environment | None:
        need = ticket.need
        vcpus = sum(other.need.vcpus for other in self._placed)
        memory = sum(other.need.memory for other in self._placed)
        if vcpus + need.vcpus > self._whole.vcpus or memory + need.memory > self._whole.memory:
            return None
        return next((one for one in ticket.queue.environments if self._used(one) + need.vcpus <= one.vcpus), None)

    def _used(self, environment: Environment) -> int:
        return sum(ticket.need.vcpus for ticket, placed in self._placed.items() if placed.arn == environment.arn)
