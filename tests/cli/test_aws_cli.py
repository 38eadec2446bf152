"""The AWS command line works against `local start`."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cli_runner import SHORT, CliRunner, exports
from support.local_aws import until

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

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of all stacks."""
        stacks = self.json("cloudformation", "describe-stacks")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for stack in stacks for output in stack.get("Outputs", ())}

    def json(self, *words: str) -> Any:  # noqa: ANN401  # each operation's own
        return json.loads(self.text(*words, "--output", "json"))


@pytest.fixture(scope="module")
def aws(cli_runner: CliRunner) -> Aws:
    """A server that `local start` started, with everything deployed."""
    variables = exports(cli_runner.ok("local", "start"))
    cli_runner.ok("run", "NA1.csv", *SHORT, "--name", "before")
    return Aws(folder=cli_runner.root, environment={**cli_runner.environment, **variables})


@pytest.fixture(scope="module")
def execution(cli_runner: CliRunner, aws: Aws) -> str:
    """The ARN of an execution that was started from what a dry run wrote, at its end."""
    cli_runner.ok("run", "NA1.csv", *SHORT, "--dry-run")
    words = ("--state-machine-arn", aws.outputs["StateMachineArn"], "--name", "by-aws")
    started = aws.json("stepfunctions", "start-execution", *words, "--input", "file://inputs.json")
    arn: str = started["executionArn"]
    described = ended(lambda: aws.json("stepfunctions", "describe-execution", "--execution-arn", arn))
    assert described["status"] == "SUCCEEDED", described
    return arn


def ended(describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The description of a job or an execution, when it has ended."""
    return until(lambda: described if (described := describe())["status"] in ("SUCCEEDED", "FAILED") else None)


README = HERE.root / "toolchain" / "localaws" / "README.md"
COMMANDS = [line.strip() for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    aws ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme_find_something(aws: Aws, command: str) -> None:
    _, *words = command.split()
    assert re.search(r"genomics|example-lab|germline", aws.text(*words))


def test_what_a_dry_run_wrote_starts_the_same_run(cli_runner: CliRunner, execution: str) -> None:
    assert execution.endswith(":by-aws")
    # Jobs that run in parallel have no order.
    by_aws, before = (sorted(job["step"] for job in cli_runner.status(run)["jobs"]) for run in ("by-aws", "before"))
    assert by_aws == before


def test_get_execution_history_lists_the_states_in_their_order(aws: Aws, execution: str) -> None:
    events = aws.json("stepfunctions", "get-execution-history", "--execution-arn", execution)["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    assert entered[:4] == ["Read input", "Find storage", "Prepare reference", "Samples"]
    assert entered[-1] == "Done"


def test_batch_submit_job_runs_a_job(aws: Aws) -> None:
    overrides = {
        "command": ["samtools", "--version"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}],
    }
    queue = ("--job-queue", aws.outputs["JobQueueName"])
    share = ("--share-identifier", "byhand", "--scheduling-priority-override", "1")
    words = (*queue, *share, "--job-name", "by-hand", "--job-definition", "genomics-samtools")
    job_id = aws.json("batch", "submit-job", *words, "--container-overrides", json.dumps(overrides))["jobId"]
    job = ended(lambda: aws.json("batch", "describe-jobs", "--jobs", job_id)["jobs"][0])
    assert (job["status"], job["container"]["exitCode"]) == ("SUCCEEDED", 0)
    assert job["startedAt"] <= job["stoppedAt"]
    assert len(job["attempts"]) == 1
    listed = aws.json("batch", "list-jobs", *queue, "--job-status", "SUCCEEDED")
    assert job_id in [job["jobId"] for job in listed["jobSummaryList"]]


@pytest.mark.usefixtures("execution")
def test_filter_log_events_finds_what_jobs_wrote(aws: Aws) -> None:
    """The request of `logs tail`, which only version 2 of the AWS CLI has."""
    assert aws.outputs["JobLogGroup"] == "/genomics/jobs"
    since = str(int((time.time() - 600) * 1000))
    words = ("logs", "filter-log-events", "--log-group-name", "/genomics/jobs", "--interleaved", "--start-time")
    events = aws.json(*words, since)["events"]
    tools = {event["logStreamName"].split("/")[0] for event in events}
    assert tools >= {"samtools", "bcftools", "fsx-export"}
    assert tools & set(ALIGNERS)
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    assert aws.json(*words, str(int((time.time() + 600) * 1000)))["events"] == []


@pytest.mark.usefixtures("execution")
def test_fsx_describe_data_repository_tasks_lists_the_exports(aws: Aws) -> None:
    words = f"Name=file-system-id,Values={aws.outputs['WorkingFileSystemId']}"
    tasks = aws.json("fsx", "describe-data-repository-tasks", "--filters", words)["DataRepositoryTasks"]
    exported = next(task for task in tasks if "germline/by-aws" in task["Paths"])
    assert (exported["Type"], exported["Lifecycle"]) == ("EXPORT_TO_REPOSITORY", "SUCCEEDED")
    assert exported["Status"]["FailedCount"] == 0
    assert exported["Status"]["SucceededCount"] == exported["Status"]["TotalCount"] > 0


@pytest.mark.usefixtures("execution")
def test_s3_ls_lists_and_s3_cp_copies_a_vcf(aws: Aws, tmp_path: Path) -> None:
    folder = f"{aws.outputs['ExportPath']}/germline/by-aws/NA1/"
    names = {line.split()[-1] for line in aws.text("s3", "ls", folder).splitlines()}
    assert {"NA1.bam", "NA1.bam.bai", "NA1.vcf.gz", "NA1.vcf.gz.tbi"} <= names
    aws.text("s3", "cp", f"{folder}NA1.vcf.gz", str(tmp_path / "it.vcf.gz"))
    bucket, _, key = folder.removeprefix("s3://").partition("/")
    kept = aws.folder / ".cache" / "local" / "s3" / bucket / key / "NA1.vcf.gz"
    assert (tmp_path / "it.vcf.gz").read_bytes() == kept.read_bytes()


def test_reads_that_s3_cp_puts_into_their_bucket_can_be_run(aws: Aws, cli_runner: CliRunner, tmp_path: Path) -> None:
    for number in (1, 2):
        reads = cli_runner.scratch / "data" / f"NA1_L001_R{number}.fastq.gz"
        (tmp_path / f"R{number}.fastq.gz").write_bytes(reads.read_bytes())
    aws.text("s3", "cp", "--recursive", str(tmp_path), "s3://example-lab-reads/new/")
    cli_runner.sheet("put.csv", "PUT,new/R1.fastq.gz,new/R2.fastq.gz")
    out = cli_runner.ok("run", "put.csv", *SHORT, "--name", "put")
    assert out.endswith("/germline/put/PUT/PUT.vcf.gz\n")
