"""Which job is placed next, and in which compute environment."""

from types import SimpleNamespace
from typing import Any

from moto.batch.models import ComputeEnvironment

from toolchain.localaws.batch.scheduler import (
    TOO_LARGE_FOR_ENVIRONMENTS,
    TOO_LARGE_FOR_INSTANCES,
    Queue,
    ResourceRequest,
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

    def request(self, number: int, vcpus: int = 1, memory: int = 10) -> ResourceRequest:
        def place(environment: ComputeEnvironment) -> None:
            self.placed.append((number, environment.name))

        return ResourceRequest(queue=self.queue, vcpus=vcpus, memory=memory, order=(0, number), on_placed=place)

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.placed]


def entered(scheduler: Scheduler, *requests: ResourceRequest) -> Scheduler:
    for request in requests:
        scheduler.enter(request)
    return scheduler


def machine(vcpus: int = 4, memory: int = 100) -> Scheduler:
    return Scheduler(vcpus=vcpus, memory=memory)


def test_jobs_are_placed_in_their_order_as_far_as_there_is_room() -> None:
    line = Line()
    requests = [line.request(number) for number in range(4)]
    scheduler = entered(machine(), *requests)
    assert line.numbers == [0, 1]
    scheduler.leave(requests[1])
    assert line.numbers == [0, 1, 2]


def test_a_job_that_waits_holds_up_those_behind_it_until_it_leaves() -> None:
    for leaves, numbers in ((0, [0, 1]), (1, [0, 2])):
        line = Line()
        requests = [line.request(0), line.request(1, vcpus=2), line.request(2)]
        scheduler = entered(machine(), *requests)
        assert line.numbers == [0]
        scheduler.leave(requests[leaves])
        assert line.numbers == numbers


def test_a_retried_job_keeps_its_turn() -> None:
    line = Line()
    first, blocker = line.request(0), line.request(-1)
    scheduler = entered(machine(vcpus=1), first, line.request(1), blocker)
    scheduler.leave(first)
    scheduler.enter(first)
    scheduler.leave(blocker)
    assert line.numbers == [0, -1, 0]


def test_memory_counts_as_vcpus_do() -> None:
    line = Line()
    entered(machine(memory=100), line.request(0, memory=60), line.request(1, memory=60))
    assert line.numbers == [0]


def test_the_second_environment_takes_what_the_first_has_no_room_for() -> None:
    line = Line("spot", "on-demand")
    entered(machine(), *(line.request(number) for number in range(5)))
    assert line.placed == [(0, "spot"), (1, "spot"), (2, "on-demand"), (3, "on-demand")]


def test_a_disabled_environment_takes_none() -> None:
    line = Line("spot", "on-demand")
    line.queue.environments[0].state = "DISABLED"
    entered(machine(), line.request(0))
    assert line.placed == [(0, "on-demand")]


def test_queues_share_a_machine_and_the_higher_priority_goes_first() -> None:
    low, high = Line(priority=1), Line(priority=2)
    first = low.request(0)
    entered(machine(vcpus=1), first, low.request(1), high.request(2)).leave(first)
    assert (low.numbers, high.numbers) == ([0], [2])


def test_a_job_that_can_never_be_placed_holds_up_nobody() -> None:
    line = Line()
    many, much, behind = line.request(0, vcpus=3), line.request(1, memory=200), line.request(2)
    scheduler = entered(machine(), many, much, behind)
    assert line.numbers == [2]
    assert scheduler.misfit(many) == TOO_LARGE_FOR_ENVIRONMENTS
    assert scheduler.misfit(much) == TOO_LARGE_FOR_INSTANCES
    assert scheduler.misfit(behind) is None


def test_an_environment_that_grows_takes_more_at_once() -> None:
    line = Line()
    large = line.request(0, vcpus=3)
    scheduler = entered(machine(), large, line.request(1), line.request(2), line.request(3))
    assert line.numbers == [1, 2]
    line.resize(3)
    scheduler.schedule()
    assert line.numbers == [1, 2]  # the large one takes its turn, and holds up the last
    line.resize(8)
    scheduler.leave(large)
    assert line.numbers == [1, 2, 3]
