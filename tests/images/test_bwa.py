"""The bwa image, and what bwa-mem3 does alike, through testcontainers: what their job definitions run."""

import hashlib
import shutil
from dataclasses import replace
from datetime import datetime

from support.job_runner import EXECUTION, WORKFLOW, JobRunner, each_aligner, step_record, under_testcontainers
from support.tiny_genome import Small, fastq, gzipped

from toolchain.workflow.aligners import Aligner

# The files that each aligner's index consists of, where they differ.
INDEX: dict[Aligner, set[str]] = {"bwa": {".bwt", ".sa"}, "bwa-mem3": {".bwt.2bit.64"}}


@each_aligner
def test_a_job_definition_s_container_runs_under_testcontainers(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    with under_testcontainers(job_runner.container(aligner, **small.mem())) as running:
        assert running.get_wrapped_container().wait()["StatusCode"] == 0
    assert (job_runner.folder("NA1") / "lanes" / "L001.bam").exists()


@each_aligner
def test_index_prepares_a_reference_once_beside_the_runs(job_runner: JobRunner, small: Small, aligner: Aligner) -> None:
    fasta = (job_runner.scratch / "reference" / "small.fa").read_bytes()
    folder = job_runner.working / WORKFLOW / "reference" / hashlib.sha256(fasta).hexdigest()
    made = {file.name for file in (folder / aligner).iterdir()}
    assert made == {"manifest.json", *(f"reference.fa{suffix}" for suffix in {".amb", ".ann", ".pac"} | INDEX[aligner])}
    assert (folder / "fasta" / "reference.fa").read_bytes() == fasta
    again = job_runner.ok(aligner, words=["step", "index", small.reference])
    assert "is done already" in again.stderr


@each_aligner
def test_a_reference_in_a_folder_is_prepared_and_found(job_runner: JobRunner, aligner: Aligner) -> None:
    small = Small.make(job_runner.scratch)
    folder = job_runner.scratch / "reference" / "hg99"
    folder.mkdir()
    (job_runner.scratch / "reference" / "small.fa").rename(folder / "genome.fa")
    job_runner.ok(aligner, words=["step", "index", "hg99/genome.fa"])
    job_runner.ok(aligner, **small.mem() | {"reference": "hg99/genome.fa"})
    assert (job_runner.folder("NA1") / "lanes" / "L001.bam").exists()


@each_aligner
def test_an_index_that_came_with_the_reference_is_used_if_it_provably_belongs_to_it(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    fasta = job_runner.scratch / "reference" / "small.fa"
    prepared = job_runner.working / WORKFLOW / "reference" / hashlib.sha256(fasta.read_bytes()).hexdigest()
    shutil.copytree(prepared, fasta.with_name("small.fa.prepared"))
    index = ["step", "index", small.reference]
    said = job_runner.ok(aligner, environment={"WORKFLOW_NAME": "other"}, words=index).stderr
    assert "[bwa_index]" not in said
    job_runner.ok(aligner, environment={"WORKFLOW_NAME": "other"}, **small.mem())
    assert (job_runner.working / "other" / EXECUTION / "NA1" / "lanes" / "L001.bam").exists()


@each_aligner
def test_what_lies_beside_a_reference_is_not_trusted_by_its_name(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    job_runner.ok(aligner, **small.mem())
    records = job_runner.records("NA1", "lanes/L001.bam")
    for suffix in {".fai", ".amb", ".ann", ".pac", ".64.bwt", *INDEX[aligner]}:
        (job_runner.scratch / "reference" / f"small.fa{suffix}").write_bytes(b"of another genome")
    job_runner.ok(aligner, environment={"EXECUTION_ID": "run2"}, words=["step", "index", small.reference])
    job_runner.ok(aligner, environment={"EXECUTION_ID": "run2"}, **small.mem())
    assert job_runner.records("NA1", "lanes/L001.bam", "run2") == records


@each_aligner
def test_the_bam_is_sorted_and_ready_for_duplicate_marking(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    job_runner.ok(aligner, **small.mem())
    lines = job_runner.records("NA1", "lanes/L001.bam", header=True)
    assert any(line.startswith("@HD") and "SO:coordinate" in line for line in lines)
    records = [line.split("\t") for line in lines if not line.startswith("@")]
    assert len(records) == 2 * len(small.reads)
    assert all(any(field.startswith("ms:i:") for field in record[11:]) for record in records)


@each_aligner
def test_the_record_names_inputs_and_outputs_with_what_was_known_of_them(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    job_runner.ok(aligner, **small.mem())
    record = step_record(job_runner, "NA1", "mem.L001")
    inputs = {entry["path"]: entry for entry in record["inputs"]}
    assert inputs[f"/scratch/data/{small.r1.name}"]["size"] == small.r1.stat().st_size
    assert inputs[f"/scratch/data/{small.r1.name}"]["sha256"] == hashlib.sha256(small.r1.read_bytes()).hexdigest()
    fasta = (job_runner.scratch / "reference" / "small.fa").read_bytes()
    assert record["reference"] == {"name": "small.fa", "sha256": hashlib.sha256(fasta).hexdigest()}
    (output,) = record["outputs"]
    assert output["path"] == f"/scratch/working/{WORKFLOW}/{EXECUTION}/NA1/lanes/L001.bam"
    assert output["sha256"] == job_runner.ok(aligner, words=["sha256sum", output["path"]]).stdout.split()[0]
    assert record["image"].startswith(f"{aligner}:")
    assert record["threads"] == 2
    assert record["memory_mib"] == 2048
    began, ended = (datetime.fromisoformat(record[moment]) for moment in ("start", "end"))
    assert abs((ended - began).total_seconds() - record["wall_seconds"]) < 0.1
    assert record["peak_memory_bytes"] > 1_000_000
    assert {stage["name"] for stage in record["stages"]} == {"reads", aligner, "fixmate", "sort"}


@each_aligner
def test_reads_that_are_not_compressed_are_taken_as_they_are(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    job_runner.ok(aligner, **small.mem())
    packed = job_runner.records("NA1", "lanes/L001.bam")
    for file, side in ((small.r1, 0), (small.r2, 1)):
        file.write_text("".join(pair[side].fastq for pair in small.reads), encoding="ascii")
    job_runner.ok(aligner, environment={"EXECUTION_ID": "plain"}, **small.mem())
    assert job_runner.records("NA1", "lanes/L001.bam", "plain") == packed


@each_aligner
def test_threads_are_the_job_s_vcpus_as_far_as_the_machine_has_them(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    job_runner.ok(aligner, vcpus=1, memory=700, **small.mem())
    record = step_record(job_runner, "NA1", "mem.L001")
    assert (record["threads"], record["memory_mib"]) == (1, 700)


@each_aligner
def test_reads_of_which_trimming_left_nothing_are_kept_and_unmapped(
    job_runner: JobRunner, small: Small, aligner: Aligner
) -> None:
    firsts, seconds = ([pair[side] for pair in small.reads] for side in (0, 1))
    firsts[3], seconds[5] = (replace(read, bases="", quality="") for read in (firsts[3], seconds[5]))
    small.r1.write_bytes(gzipped(fastq(firsts)))
    small.r2.write_bytes(gzipped(fastq(seconds)))
    job_runner.ok(aligner, **small.mem())
    records = [line.split("\t") for line in job_runner.records("NA1", "lanes/L001.bam")]
    assert len(records) == 2 * len(small.reads)
    assert {(record[0], int(record[1]) & 0xC4) for record in records if record[9] == "*"} == {
        (firsts[3].name.split()[0], 0x44),
        (seconds[5].name.split()[0], 0x84),
    }
