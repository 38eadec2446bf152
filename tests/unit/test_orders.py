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


def test_every_job_of_a_run_is_listed_in_the_order_in_which_a_sample_meets_them() -> None:
    assert [(job.sample, job.step, job.tool) for job in ordered(lanes=2).jobs()] == [
        (None, "index", "bwa"),
        ("s0", "mem L001", "bwa"),
        ("s0", "mem L002", "bwa"),
        ("s0", "finish", "samtools"),
        ("s0", "call 0", "bcftools"),
        ("s0", "call 1", "bcftools"),
        ("s0", "gather", "bcftools"),
        ("s0", "qc", "samtools"),
        ("s0", "check", "samtools"),
        (None, "export", "fsx-export"),
    ]


def steps(one: order.RunInput) -> list[str]:
    return [job.step for job in one.jobs() if job.sample]


def test_a_sample_of_one_lane_has_no_job_that_finishes_it() -> None:
    assert steps(ordered()) == ["mem L001", "call 0", "call 1", "gather", "qc", "check"]


def test_a_run_without_qc_has_no_job_of_it_and_one_without_duplicates_has_every_job() -> None:
    assert steps(ordered(skip=("qc",))) == ["mem L001", "call 0", "call 1", "gather", "check"]
    assert steps(ordered(lanes=2, skip=("duplicates",))) == steps(ordered(lanes=2))


def test_an_order_survives_the_way_through_the_service() -> None:
    sent = ordered(samples=2, skip=("duplicates", "qc"))
    back = order.parse(sent.dump())
    assert (back.samples, back.reference, back.shards, back.ploidy) == (sent.samples, "hg38.fa", 2, 2)
    assert (back.skip, back.jobs()) == (("duplicates", "qc"), sent.jobs())


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


@pytest.mark.parametrize("text", ["{}", "[]", "null", "no json", '{"samples": [1], "reference": "x"}'])
def test_an_input_that_is_no_order_is_bad_data(text: str) -> None:
    with pytest.raises(BadDataError):
        order.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "-a", "x" * 41, "reference", "ü"])
def test_a_run_has_no_name_that_its_jobs_or_directories_cannot_have(name: str) -> None:
    with pytest.raises(WrongUsageError):
        order.check_name(name)


def test_a_new_name_may_be_had_and_is_not_had_twice() -> None:
    assert order.check_name(order.new_name()) != order.check_name(order.new_name())
