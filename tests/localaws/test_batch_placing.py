"""Queues before a machine: who is placed, where, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from toolchain.localaws.batch.placing import (
    TOO_LARGE_FOR_ENVIRONMENTS,
    TOO_LARGE_FOR_INSTANCES,
    Environment,
    Need,
    Placing,
    Ticket,
)

SPOT = Environment(name="spot", arn="arn:spot", vcpus=2)
ON_DEMAND = Environment(name="on-demand", arn="arn:on-demand", vcpus=2)


@dataclass(eq=False)
class Line:
    """A queue, and who was placed from it."""

    environments: Sequence[Environment] = (SPOT,)
    priority: int = 1
    placed: list[tuple[int, str]] = field(default_factory=list)
    misfits: list[tuple[int, str]] = field(default_factory=list)

    def ticket(self, number: int, vcpus: int = 1, memory: int = 10) -> Ticket:
        def place(environment: Environment) -> None:
            self.placed.append((number, environment.name))

        def misfit(why: str) -> None:
            self.misfits.append((number, why))

        need = Need(vcpus=vcpus, memory=memory)
        return Ticket(queue=self, need=need, number=(0, number), place=place, misfit=misfit)

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.placed]


def machine(vcpus: int = 4, memory: int = 100) -> Placing:
    return Placing(vcpus=vcpus, memory=memory)


def test_jobs_are_placed_in_the_order_they_came_in_as_far_as_there_is_room() -> None:
    placing, line = machine(), Line()
    tickets = [line.ticket(number) for number in range(4)]
    for ticket in tickets:
        placing.enter(ticket)
    assert line.numbers == [0, 1]
    placing.leave(tickets[1])
    assert line.numbers == [0, 1, 2]


def test_one_that_does_not_fit_holds_up_those_behind_it() -> None:
    placing, line = machine(), Line()
    first = line.ticket(0)
    for ticket in (first, line.ticket(1, vcpus=2), line.ticket(2)):
        placing.enter(ticket)
    assert line.numbers == [0]
    placing.leave(first)
    assert line.numbers == [0, 1]


def test_one_that_is_tried_again_keeps_its_turn() -> None:
    placing, line = machine(vcpus=1), Line()
    first = line.ticket(0)
    for ticket in (first, line.ticket(1), line.ticket(2)):
        placing.enter(ticket)
    blocker = line.ticket(-1)
    placing.enter(blocker)
    placing.leave(first)
    placing.enter(first)
    placing.leave(blocker)
    assert line.numbers == [0, -1, 0]


def test_memory_counts_as_vcpus_do() -> None:
    placing, line = machine(memory=100), Line()
    placing.enter(line.ticket(0, memory=60))
    placing.enter(line.ticket(1, memory=60))
    assert line.numbers == [0]


def test_the_second_environment_takes_what_the_first_has_no_room_for() -> None:
    placing, line = machine(), Line(environments=(SPOT, ON_DEMAND))
    for number in range(5):
        placing.enter(line.ticket(number))
    assert line.placed == [(0, "spot"), (1, "spot"), (2, "on-demand"), (3, "on-demand")]


def test_queues_share_a_machine_and_the_higher_priority_goes_first() -> None:
    placing, low, high = machine(vcpus=1), Line(priority=1), Line(priority=2)
    first = low.ticket(0)
    for ticket in (first, low.ticket(1), high.ticket(2)):
        placing.enter(ticket)
    placing.leave(first)
    assert (low.numbers, high.numbers) == ([0], [2])


def test_one_that_leaves_while_it_waits_lets_others_pass() -> None:
    placing, line = machine(), Line()
    first, large = line.ticket(0), line.ticket(1, vcpus=2)
    for ticket in (first, large, line.ticket(2)):
        placing.enter(ticket)
    assert line.numbers == [0]
    placing.leave(large)
    assert line.numbers == [0, 2]


def test_one_that_can_never_be_placed_is_told_why_and_holds_up_nobody() -> None:
    placing, line = machine(vcpus=1, memory=100), Line()
    many, much, behind = line.ticket(0, vcpus=3), line.ticket(1, memory=200), line.ticket(2)
    for ticket in (many, much, behind):
        placing.enter(ticket)
    assert line.numbers == [2]
    assert line.misfits == [(0, TOO_LARGE_FOR_ENVIRONMENTS), (1, TOO_LARGE_FOR_INSTANCES)]
    assert placing.stuck(many) == TOO_LARGE_FOR_ENVIRONMENTS
    assert placing.stuck(much) == TOO_LARGE_FOR_INSTANCES
    assert placing.stuck(behind) is None
    placing.leave(many)
    assert placing.stuck(many) is None


def test_one_that_stepped_aside_takes_its_turn_when_an_environment_has_room_for_it() -> None:
    placing, line = machine(), Line()
    large = line.ticket(0, vcpus=4)
    placing.enter(large)
    placing.enter(line.ticket(1))
    assert line.numbers == [1]
    line.environments = (Environment(name="spot", arn="arn:spot", vcpus=6),)
    placing.look()
    assert line.numbers == [1]
    assert placing.stuck(large) is None  # it waits for the other one's vCPU, as any job does


def test_an_environment_that_grows_takes_more_at_the_next_look() -> None:
    placing, line = machine(), Line()
    for number in range(3):
        placing.enter(line.ticket(number))
    line.environments = (Environment(name="spot", arn="arn:spot", vcpus=4),)
    placing.look()
    assert line.numbers == [0, 1, 2]
