"""The jobs of a run, as the state machine of stack/workflow.yaml has them."""

from dataclasses import replace
from typing import Any

import pytest

from toolchain.paths import HERE
from toolchain.stacks.template import state_machine
from toolchain.workflow import plan
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Lane, Sample

WORKFLOW = state_machine(HERE.stacks)
LANES = (Lane(name="L001", r1="1.fq", r2="2.fq"), Lane(name="L002", r1="3.fq", r2="4.fq"))
ONE_LANE = RunInput(reference="hg38.fa", samples=(Sample(name="s0", lanes=LANES[:1]),), shards=2, ploidy=2)
TWO_LANES = replace(ONE_LANE, samples=(Sample(name="s0", lanes=LANES),), aligner="bwa-mem3")
OWN = frozenset({"index", "mem", "finish", "call", "gather", "qc", "check", "export"})


def jobs(run_input: RunInput) -> list[tuple[str | None, str, str]]:
    """The planned jobs, without those of steps that a lab has added to the workflow."""
    planned = plan.jobs(WORKFLOW, run_input.as_json())
    return [(job.sample, job.step, job.tool) for job in planned if job.step.split()[0] in OWN]


def test_jobs_are_in_the_order_in_which_a_sample_meets_them() -> None:
    assert jobs(TWO_LANES) == [
        (None, "index", "bwa-mem3"),
        ("s0", "mem L001", "bwa-mem3"),
        ("s0", "mem L002", "bwa-mem3"),
        ("s0", "finish", "samtools"),
        ("s0", "call 0", "bcftools"),
        ("s0", "call 1", "bcftools"),
        ("s0", "gather", "bcftools"),
        ("s0", "qc", "samtools"),
        ("s0", "check", "samtools"),
        (None, "export", "fsx-export"),
    ]
    assert jobs(replace(TWO_LANES, skip=("duplicates",))) == jobs(TWO_LANES)


@pytest.mark.parametrize(
    ("run_input", "steps"),
    [
        (ONE_LANE, ["mem L001", "call 0", "call 1", "gather", "qc", "check"]),
        (replace(ONE_LANE, skip=("qc",)), ["mem L001", "call 0", "call 1", "gather", "check"]),
        (replace(ONE_LANE, shards=1), ["mem L001", "call 0", "gather", "qc", "check"]),
    ],
    ids=["one lane", "without qc", "one shard"],
)
def test_a_sample_of_one_lane_needs_no_finish_and_a_run_without_qc_no_qc(run_input: RunInput, steps: list[str]) -> None:
    assert [step for sample, step, _ in jobs(run_input) if sample] == steps


@pytest.mark.parametrize("run_input", [{}, [], None, "text", {"samples": [1], "reference": "x"}, {"samples": {}}])
def test_an_input_that_the_workflow_refuses_leads_to_no_job(run_input: Any) -> None:  # noqa: ANN401  # any JSON
    assert plan.jobs(WORKFLOW, run_input) == ()
