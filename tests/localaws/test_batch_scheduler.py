"""Which job is placed next, and in which compute environment."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from moto.batch.models import ComputeEnvironment

from toolchain.localaws.batch.scheduler import (
    TOO_LARGE_FOR_ENVIRONMENTS,
    TOO_LARGE_FOR_INSTANCES,
    Queue,
    Scheduler,
)


class Line:
    """A queue, and the jobs that were placed from it."""

    def __init__(self, *names: str, priority: int = 1) -> None:
        queue: Any = Queue
        environment: Any = ComputeEnvironment
        region = {"account_id": "123456789012", "region_name": "us-east-1"}
        environments = [
            environment(name, "MANAGED", "ENABLED", {"maxvCpus": 2}, "role", **region) for name in names or ("spot",)
        ]
        self.queue: Queue = queue("q", str(priority), "ENABLED", environments, [], None, SimpleNamespace(**region))
        self.placed: list[tuple[int, str]] = []

    def resize(self, vcpus: int) -> None:
        self.queue.environments[0].compute_resources["maxvCpus"] = vcpus

    def job(self, number: int, vcpus: int = 1, memory: int = 10) -> Any:
        def place(environment: ComputeEnvironment) -> None:
            self.placed.append((number, environment.name))

        job = Mock(queue=self.queue, vcpus=vcpus, memory=memory, order=(0, number))
        job.place = place
        return job

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.placed]


def entered(scheduler: Scheduler, *jobs: Any) -> Scheduler:
    for job in jobs:
        scheduler.enter(job)
    return scheduler


def machine(vcpus: int = 4, memory: int = 100) -> Scheduler:
    return Scheduler(vcpus=vcpus, memory=memory)


def test_jobs_are_placed_in_their_order_as_far_as_there_is_room() -> None:
    line = Line()
    jobs = [line.job(number) for number in range(4)]
    scheduler = entered(machine(), *jobs)
    assert line.numbers == [0, 1]
    scheduler.leave(jobs[1])
    assert line.numbers == [0, 1, 2]


def test_a_job_that_waits_holds_up_those_behind_it_until_it_leaves() -> None:
    for leaves, numbers in ((0, [0, 1]), (1, [0, 2])):
        line = Line()
        jobs = [line.job(0), line.job(1, vcpus=2), line.job(2)]
        scheduler = entered(machine(), *jobs)
        assert line.numbers == [0]
        scheduler.leave(jobs[leaves])
        assert line.numbers == numbers


def test_a_retried_job_keeps_its_turn() -> None:
    line = Line()
    first, blocker = line.job(0), line.job(-1)
    scheduler = entered(machine(vcpus=1), first, line.job(1), blocker)
    scheduler.leave(first)
    scheduler.enter(first)
    scheduler.leave(blocker)
    assert line.numbers == [0, -1, 0]


def test_memory_counts_as_vcpus_do() -> None:
    line = Line()
    entered(machine(memory=100), line.job(0, memory=60), line.job(1, memory=60))
    assert line.numbers == [0]


def test_the_second_environment_takes_what_the_first_has_no_room_for() -> None:
    line = Line("spot", "on-demand")
    entered(machine(), *(line.job(number) for number in range(5)))
    assert line.placed == [(0, "spot"), (1, "spot"), (2, "on-demand"), (3, "on-demand")]


def test_a_disabled_environment_takes_none() -> None:
    line = Line("spot", "on-demand")
    line.queue.environments[0].state = "DISABLED"
    entered(machine(), line.job(0))
    assert line.placed == [(0, "on-demand")]


def test_queues_share_a_machine_and_the_higher_priority_goes_first() -> None:
    low, high = Line(priority=1), Line(priority=2)
    first = low.job(0)
    entered(machine(vcpus=1), first, low.job(1), high.job(2)).leave(first)
    assert (low.numbers, high.numbers) == ([0], [2])


def test_a_job_that_can_never_be_placed_holds_up_nobody() -> None:
    line = Line()
    many, much, behind = line.job(0, vcpus=3), line.job(1, memory=200), line.job(2)
    scheduler = entered(machine(), many, much, behind)
    assert line.numbers == [2]
    assert scheduler.misfit(many) == TOO_LARGE_FOR_ENVIRONMENTS
    assert scheduler.misfit(much) == TOO_LARGE_FOR_INSTANCES
    assert scheduler.misfit(behind) is None


def test_an_environment_that_grows_takes_more_at_once() -> None:
    line = Line()
    large = line.job(0, vcpus=3)
    scheduler = entered(machine(), large, line.job(1), line.job(2), line.job(3))
    assert line.numbers == [1, 2]
    line.resize(3)
    scheduler.schedule()
    assert line.numbers == [1, 2]  # the large one takes its turn, and holds up the last
    line.resize(8)
    scheduler.leave(large)
    assert line.numbers == [1, 2, 3]
