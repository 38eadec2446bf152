"""A client that nobody here wrote works against `local start`: the AWS command line."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cli_runner import CliRunner, exports
from support.job_runner import BuiltImages

from toolchain.paths import HERE
from toolchain.workflow.aligners import ALIGNERS

pytestmark = pytest.mark.engine
PROGRAM = Path(sys.executable).parent / "aws"


@dataclass(frozen=True, kw_only=True)
class Aws:
    """The `aws` command with what `local start` printed, and where it runs."""

    folder: Path
    environment: Mapping[str, str]

    def text(self, *words: str) -> str:
        """What a command prints that must succeed."""
        done = subprocess.run(
            [PROGRAM, *words], cwd=self.folder, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:  # noqa: ANN401  # each operation's own
        return json.loads(self.text(*words, "--output", "json"))


@pytest.fixture(scope="module")
def aws(cli_runner: CliRunner) -> Aws:
    """A server that `local start` started, with everything deployed."""
    told = exports(cli_runner.ok("local", "start"))
    cli_runner.ok("run", "NA1.csv", "--reference", "small.fa", "--shards", "1", "--local", "--name", "before")
    return Aws(folder=cli_runner.root, environment={**cli_runner.environment, **told})


@pytest.fixture(scope="module")
def outputs(cli_runner: CliRunner, aws: Aws) -> dict[str, str]:
    """What is deployed."""
    assert aws
    found: dict[str, str] = json.loads(
        (cli_runner.checkout.dist / "local" / "outputs.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture(scope="module")
def execution(cli_runner: CliRunner, aws: Aws, outputs: dict[str, str]) -> str:
    """An execution that was started from what a dry run wrote, at its end."""
    cli_runner.ok("run", "NA1.csv", "--reference", "small.fa", "--shards", "1", "--local", "--dry-run")
    machine = outputs["StateMachineArn"]
    words = ("--state-machine-arn", machine, "--name", "by-aws", "--input", "file://inputs.json")
    arn: str = aws.json("stepfunctions", "start-execution", *words)["executionArn"]
    described = _ended(lambda: aws.json("stepfunctions", "describe-execution", "--execution-arn", arn))
    assert described["status"] == "SUCCEEDED", described
    return arn


def _ended(look: Any) -> Any:  # noqa: ANN401  # a description
    end = time.monotonic() + 90
    while (found := look())["status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


README = HERE.root / "toolchain" / "localaws" / "README.md"
COMMANDS = [line.strip() for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    aws ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme_find_something(aws: Aws, command: str) -> None:
    _, *words = command.split()
    assert re.search(r"genomics|example-lab|germline", aws.text(*words))


def test_what_a_dry_run_wrote_starts_the_same_run(cli_runner: CliRunner, execution: str) -> None:
    assert execution.endswith(":by-aws")
    shown = json.loads(cli_runner.ok("status", "by-aws", "--json", "--local"))
    assert shown["status"] == "SUCCEEDED"
    before = json.loads(cli_runner.ok("status", "before", "--json", "--local"))
    # What goes side by side has no order.
    assert sorted(job["step"] for job in shown["jobs"]) == sorted(job["step"] for job in before["jobs"])


def test_get_execution_history_tells_the_states_in_their_order(aws: Aws, execution: str) -> None:
    events = aws.json("stepfunctions", "get-execution-history", "--execution-arn", execution)["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    assert entered[:3] == ["Read input", "Prepare reference", "Samples"]
    assert entered[-1] == "Done"


def test_batch_submit_job_runs_a_job_and_describe_jobs_tells_of_it(aws: Aws, outputs: dict[str, str]) -> None:
    overrides = {
        "command": ["samtools", "--version"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}],
    }
    words = ("--job-name", "by-hand", "--job-queue", outputs["JobQueueName"], "--job-definition", "genomics-samtools")
    job_id = aws.json("batch", "submit-job", *words, "--container-overrides", json.dumps(overrides))["jobId"]
    job = _ended(lambda: aws.json("batch", "describe-jobs", "--jobs", job_id)["jobs"][0])
    assert (job["status"], job["container"]["exitCode"]) == ("SUCCEEDED", 0)
    assert job["startedAt"] <= job["stoppedAt"]
    assert len(job["attempts"]) == 1
    listed = aws.json("batch", "list-jobs", "--job-queue", outputs["JobQueueName"], "--job-status", "SUCCEEDED")
    assert job_id in [one["jobId"] for one in listed["jobSummaryList"]]


def test_filter_log_events_finds_what_jobs_wrote_as_logs_tail_asks_for_it(
    aws: Aws, outputs: dict[str, str], execution: str
) -> None:
    """`logs tail` is of the AWS CLI's second version, which is no package: this is what it sends."""
    assert execution
    assert outputs["JobLogGroup"] == "/genomics/jobs"
    since = str(int((time.time() - 600) * 1000))
    words = ("logs", "filter-log-events", "--log-group-name", "/genomics/jobs", "--interleaved", "--start-time")
    events = aws.json(*words, since)["events"]
    said = {event["logStreamName"].split("/")[0] for event in events}
    assert said >= {"samtools", "bcftools", "fsx-export"}
    assert said & set(ALIGNERS)
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    assert aws.json(*words, str(int((time.time() + 600) * 1000)))["events"] == []


def test_fsx_describe_data_repository_tasks_tells_of_the_exports(
    aws: Aws, outputs: dict[str, str], execution: str
) -> None:
    assert execution
    words = f"Name=file-system-id,Values={outputs['WorkingFileSystemId']}"
    tasks = aws.json("fsx", "describe-data-repository-tasks", "--filters", words)["DataRepositoryTasks"]
    exported = next(task for task in tasks if "germline/by-aws" in task["Paths"])
    assert (exported["Type"], exported["Lifecycle"]) == ("EXPORT_TO_REPOSITORY", "SUCCEEDED")
    assert exported["Status"]["FailedCount"] == 0
    assert exported["Status"]["SucceededCount"] == exported["Status"]["TotalCount"] > 0


def test_s3_ls_lists_and_s3_cp_copies_a_vcf(aws: Aws, outputs: dict[str, str], execution: str, tmp_path: Path) -> None:
    assert execution
    folder = f"{outputs['ExportPath']}/germline/by-aws/NA1/"
    names = {line.split()[-1] for line in aws.text("s3", "ls", folder).splitlines()}
    assert {"NA1.bam", "NA1.bam.bai", "NA1.vcf.gz", "NA1.vcf.gz.tbi"} <= names
    aws.text("s3", "cp", f"{folder}NA1.vcf.gz", str(tmp_path / "it.vcf.gz"))
    bucket, _, key = folder.removeprefix("s3://").partition("/")
    kept = aws.folder / ".cache" / "local" / "s3" / bucket / key / "NA1.vcf.gz"
    assert (tmp_path / "it.vcf.gz").read_bytes() == kept.read_bytes()


def test_what_is_put_into_the_bucket_of_reads_is_found_by_steps(
    aws: Aws, cli_runner: CliRunner, built_images: BuiltImages, tmp_path: Path
) -> None:
    assert built_images.images
    for number in (1, 2):
        reads = cli_runner.scratch / "data" / f"NA1_L001_R{number}.fastq.gz"
        (tmp_path / f"R{number}.fastq.gz").write_bytes(reads.read_bytes())
    aws.text("s3", "cp", "--recursive", str(tmp_path), "s3://example-lab-reads/new/")
    cli_runner.sheet("put.csv", "PUT,new/R1.fastq.gz,new/R2.fastq.gz")
    out = cli_runner.ok("run", "put.csv", "--reference", "small.fa", "--shards", "1", "--local", "--name", "put")
    assert out.endswith("/germline/put/PUT/PUT.vcf.gz\n")
