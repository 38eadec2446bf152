"""The input of a run."""

import json

import pytest

from toolchain.errors import BadDataError, WrongUsageError
from toolchain.workflow import run_input
from toolchain.workflow.samples import Lane, Sample


def run_of(samples: int, lanes: int) -> run_input.RunInput:
    """A run of samples with long names of files."""
    pairs = tuple(
        Lane(name=f"L00{lane}", r1=f"run7/HG00{lane}_S1_L00{lane}_R1_001.fastq.gz", r2="x" * 40)
        for lane in range(lanes)
    )
    return run_input.RunInput(
        reference="hg38.fa",
        samples=tuple(Sample(name=f"HG{number:05}", lanes=pairs) for number in range(samples)),
        shards=24,
        ploidy=2,
        resources={"bwa": {"VCPU": 2, "MEMORY": 4000}},
    )


def test_resources_are_overrides_of_batch_and_what_is_not_skipped_is_not_named() -> None:
    dumped = json.loads(run_of(1, 1).dump())
    assert dumped["resources"] == {"bwa": [{"Type": "MEMORY", "Value": "4000"}, {"Type": "VCPU", "Value": "2"}]}
    assert not {"skip", "countOrphans"} & dumped.keys()


def test_two_hundred_genomes_of_four_lanes_fit_into_one_run() -> None:
    assert len(run_of(200, 4).dump()) < run_input.LARGEST_INPUT


def test_more_than_step_functions_takes_is_an_error() -> None:
    with pytest.raises(BadDataError, match="Split the sample sheet"):
        run_of(1000, 4).dump()


@pytest.mark.parametrize("name", ["", "a b", "a.b", "-a", "x" * 41, "reference", "ü"])
def test_a_run_name_must_be_one_that_its_jobs_and_directories_can_have(name: str) -> None:
    with pytest.raises(WrongUsageError):
        run_input.check_name(name)


def test_a_new_name_is_valid_and_unique() -> None:
    assert run_input.check_name(run_input.new_name()) != run_input.check_name(run_input.new_name())
