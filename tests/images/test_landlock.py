"""A step's programs write where their own run is, and nowhere else on the file system that all jobs share."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.job_runner import EXECUTION, WORKFLOW, JobRunner, step_record
from support.tiny_genome import Small

from toolchain.docker.container import Mount

# In place of SAMtools, which a damaged file may have taken over.
INTRUDER = """#!/bin/sh
exec 1>&2 2> /dev/null
cd /scratch/working
for path in . reference reference/names other other/NA1 {run} {run}/NA2 {run}/NA1 {run}/NA1/steps; do
    file={workflow}/$path/intruder
    if echo > $file; then echo "wrote $path"; rm $file; fi
done
mv {workflow}/other {workflow}/moved && echo "moved other"
mv {workflow}/other/NA1/mine {workflow}/{run}/NA1/theirs && echo "took mine"
rm -rf {workflow}/reference/names {workflow}/other; [ -e {workflow}/other/NA1/mine ] || echo "removed mine"
echo > {workflow}/other/NA1/mine && echo "emptied mine"
echo > .work/intruder && echo "wrote .work"
echo > /tmp/intruder && echo "wrote /tmp"
exit 1
"""


@pytest.fixture
def intruder(job_runner: JobRunner, tmp_path: Path) -> Mount:
    """A program that tries to write everywhere, mounted over SAMtools; beside the run is another, with a file."""
    program = tmp_path / "samtools"
    program.write_text(INTRUDER.format(workflow=WORKFLOW, run=EXECUTION), encoding="ascii")
    program.chmod(0o755)
    job_runner.ok(
        "samtools",
        words=[
            "sh",
            "-c",
            f"cd /scratch/working/{WORKFLOW} && mkdir -p other/NA1 {EXECUTION}/NA2 && echo x > other/NA1/mine",
        ],
    )
    return Mount(source=str(program), target="/usr/bin/samtools", read_only=True)


def wrote(job_runner: JobRunner, intruder: Mount, tool: str, parameters: dict[str, Any]) -> list[str]:
    container = job_runner.container(tool, **parameters)
    result = job_runner.built_images.builder.engine.run(replace(container, mounts=(*container.mounts, intruder)))
    assert result.exit_code != 0
    assert (job_runner.working / WORKFLOW / "other" / "NA1" / "mine").read_text(encoding="ascii") == "x\n"
    return [
        line
        for line in (result.stdout + result.stderr).splitlines()
        if line.split()[0] in {"wrote", "moved", "took", "removed", "emptied"}
    ]


def test_a_sample_s_step_writes_to_its_sample_and_to_no_other_run_or_prepared_reference(
    job_runner: JobRunner, small: Small, intruder: Mount
) -> None:
    job_runner.ok("bwa", **small.mem())
    assert step_record(job_runner, "NA1", "mem.L001")["notes"] == []
    found = wrote(job_runner, intruder, "samtools", small.job("finish", lanes="L001"))
    assert set(found) == {f"wrote {EXECUTION}/NA1", f"wrote {EXECUTION}/NA1/steps", "wrote /tmp"}


def test_only_preparing_a_reference_writes_to_prepared_references(
    job_runner: JobRunner, small: Small, intruder: Mount
) -> None:
    fasta = job_runner.scratch / "reference" / small.reference
    fasta.with_name("other.fa").write_text(">chrC\nACGTACGTACGT\n", encoding="ascii")
    found = wrote(job_runner, intruder, "bwa", {"command": "index", "reference": "other.fa"})
    expected = ("reference", "reference/names", EXECUTION, f"{EXECUTION}/NA2", "/tmp")  # noqa: S108  # the container's
    assert set(found) == {f"wrote {name}" for name in expected}
