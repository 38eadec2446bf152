"""Which job is placed next, and in which compute environment."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from moto.batch.models import ComputeEnvironment

from toolchain.localaws.batch.scheduler import (
    TOO_LARGE_FOR_ENVIRONMENTS,
    TOO_LARGE_FOR_INSTANCES,
    Queue,
    Scheduler,
)

REGION = {"account_id": "123456789012", "region_name": "us-east-1"}


def queue_of(*names: str, priority: int = 1) -> Queue:
    """A queue with compute environments of 2 vCPUs."""
    queue: Any = Queue
    environment: Any = ComputeEnvironment
    environments = [environment(name, "MANAGED", "ENABLED", {"maxvCpus": 2}, "role", **REGION) for name in names]
    made: Queue = queue("q", str(priority), "ENABLED", environments, [], None, SimpleNamespace(**REGION))
    return made


class Machine:
    """A scheduler, and the numbers of the jobs that it placed, by environment."""

    def __init__(self, *, vcpus: int = 4, memory: int = 100) -> None:
        self.scheduler = Scheduler(vcpus=vcpus, memory=memory)
        self.placed: list[tuple[int, str]] = []

    def enter(self, queue: Queue, number: int, vcpus: int = 1, memory: int = 10, share: str = "") -> Any:
        job = Mock(queue=queue, vcpus=vcpus, memory=memory, share=share, order=(0, number))
        job.place = lambda environment: self.placed.append((number, environment.name))
        self.scheduler.enter(job)
        return job

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.placed]


@pytest.mark.parametrize(
    ("jobs", "leaves", "before", "after"),
    [
        pytest.param([(1, 10)] * 4, 1, [0, 1], [0, 1, 2], id="in their order as far as there is room"),
        pytest.param([(1, 10), (2, 10), (1, 10)], 0, [0], [0, 1], id="one that waits holds up those behind it"),
        pytest.param([(1, 10), (2, 10), (1, 10)], 1, [0], [0, 2], id="and no longer when it leaves"),
        pytest.param([(1, 60), (1, 60)], 0, [0], [0, 1], id="memory counts as vCPUs do"),
        pytest.param([(3, 10), (1, 10)], 1, [1], [1], id="one that can never be placed holds up nobody"),
    ],
)
def test_jobs_are_placed(jobs: list[tuple[int, int]], leaves: int, before: list[int], after: list[int]) -> None:
    machine, queue = Machine(), queue_of("spot")
    entered = [machine.enter(queue, number, *needs) for number, needs in enumerate(jobs)]
    assert machine.numbers == before
    machine.scheduler.leave(entered[leaves])
    assert machine.numbers == after


def test_runs_that_share_a_queue_take_turns_however_many_jobs_one_of_them_has() -> None:
    machine, queue = Machine(vcpus=2), queue_of("spot")
    runs = ["long", "long", "long", "long", "short", "short"]
    jobs = [machine.enter(queue, number, share=run) for number, run in enumerate(runs)]
    for number in (0, 1, 4):
        machine.scheduler.leave(jobs[number])
    assert machine.numbers == [0, 1, 4, 2, 5]


def test_a_retried_job_keeps_its_turn() -> None:
    machine, queue = Machine(vcpus=1), queue_of("spot")
    first, _, blocker = (machine.enter(queue, number) for number in (0, 1, -1))
    machine.scheduler.leave(first)
    machine.scheduler.enter(first)
    machine.scheduler.leave(blocker)
    assert machine.numbers == [0, -1, 0]


def test_the_second_environment_takes_what_the_first_has_no_room_for_or_is_disabled() -> None:
    machine, queue = Machine(), queue_of("spot", "on-demand")
    for number in range(3):
        machine.enter(queue, number)
    queue.environments[0].state = "DISABLED"
    machine.enter(queue, 3)
    assert machine.placed == [(0, "spot"), (1, "spot"), (2, "on-demand"), (3, "on-demand")]


def test_queues_share_a_machine_and_the_higher_priority_goes_first() -> None:
    machine, low, high = Machine(vcpus=1), queue_of("spot", priority=1), queue_of("spot", priority=2)
    first, *_ = (machine.enter(queue, number) for number, queue in enumerate((low, low, high)))
    machine.scheduler.leave(first)
    assert machine.numbers == [0, 2]


def test_a_job_that_can_never_be_placed_has_a_reason_until_an_environment_grows() -> None:
    machine, queue = Machine(), queue_of("spot")
    many, much, little = machine.enter(queue, 0, 3), machine.enter(queue, 1, 1, 200), machine.enter(queue, 2)
    reasons = [TOO_LARGE_FOR_ENVIRONMENTS, TOO_LARGE_FOR_INSTANCES, None]
    assert [machine.scheduler.misfit(job) for job in (many, much, little)] == reasons
    assert queue.time_limit(TOO_LARGE_FOR_INSTANCES) is None
    queue.environments[0].compute_resources["maxvCpus"] = 4
    assert machine.scheduler.misfit(many) is None
    machine.scheduler.schedule()
    assert machine.numbers == [2, 0]
