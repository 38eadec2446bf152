"""What a run is asked to do."""

import json

import pytest

from toolchain.errors import BadDataError, WrongUsageError
from toolchain.workflow import run_input as order
from toolchain.workflow.samples import Lane, Sample, Skip


def ordered(samples: int = 1, lanes: int = 1, skip: tuple[Skip, ...] = ()) -> order.RunInput:
    return order.RunInput(
        reference="hg38.fa",
        samples=tuple(
            Sample(
                name=f"s{number}",
                lanes=tuple(
                    Lane(name=f"L00{lane}", r1=f"{number}_{lane}_1.fq", r2=f"{number}_{lane}_2.fq")
                    for lane in range(1, lanes + 1)
                ),
            )
            for number in range(samples)
        ),
        shards=2,
        ploidy=2,
        skip=skip,
        resources={"bwa": {"VCPU": 2, "MEMORY": 4000}},
    )


def test_an_order_that_does_without_nothing_says_nothing_of_it() -> None:
    assert "skip" not in ordered().as_json()


def test_resources_are_what_batch_takes_as_overrides() -> None:
    assert json.loads(ordered().dump())["resources"] == {
        "bwa": [{"Type": "MEMORY", "Value": "4000"}, {"Type": "VCPU", "Value": "2"}]
    }


def test_two_hundred_genomes_of_four_lanes_fit_into_one_run() -> None:
    lanes = tuple(
        Lane(name=f"L00{lane}", r1=f"run7/HG00{lane}_S1_L00{lane}_R1_001.fastq.gz", r2="x" * 40) for lane in range(4)
    )
    many = order.RunInput(
        reference="hg38.fa",
        samples=tuple(Sample(name=f"HG{number:05}", lanes=lanes) for number in range(200)),
        shards=24,
        ploidy=2,
    )
    assert len(many.dump()) < order.LARGEST_INPUT


def test_more_than_the_service_takes_is_said_before_it_is_sent() -> None:
    with pytest.raises(BadDataError, match="Split the sample sheet"):
        ordered(samples=5000).dump()


@pytest.mark.parametrize("name", ["", "a b", "a.b", "-a", "x" * 41, "reference", "ü"])
def test_a_run_has_no_name_that_its_jobs_or_directories_cannot_have(name: str) -> None:
    with pytest.raises(WrongUsageError):
        order.check_name(name)


def test_a_new_name_may_be_had_and_is_not_had_twice() -> None:
    assert order.check_name(order.new_name()) != order.check_name(order.new_name())
