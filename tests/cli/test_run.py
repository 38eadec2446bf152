"""`build.py run`, `status`, `logs` and `stop` in one embedded AWS that was started before, as a user types them."""

import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cli_runner import CliRunner, CommandResult, wait_for_line
from support.local_aws import until

pytestmark = pytest.mark.engine
TWO_SHARDS = ("--reference", "small.fa", "--shards", "2", "--local")


@pytest.fixture(scope="module", autouse=True)
def started(cli_runner: CliRunner) -> None:
    """The server that the commands of this module share; the copy of the checkout ends it."""
    cli_runner.ok("local", "start")


@pytest.fixture(scope="module")
def done(cli_runner: CliRunner) -> CommandResult:
    """The run `done`, which went well."""
    return cli_runner.type("run", "NA1.csv", *TWO_SHARDS, "--name", "done")


@pytest.fixture
def slow(cli_runner: CliRunner, request: pytest.FixtureRequest) -> Iterator[str]:
    """A run that takes a while."""
    name = f"slow-{abs(hash(request.node.name)) % 10**6}"
    cli_runner.ok("run", "SLOW.csv", *TWO_SHARDS, "--name", name, "--detach")
    yield name
    cli_runner.type("stop", name, "--local")


def vcf_of(cli_runner: CliRunner, run: str) -> str:
    """Where the VCF of NA1 is in S3."""
    return f"s3://{cli_runner.results.relative_to(cli_runner.checkout.local / 's3')}/{run}/NA1/NA1.vcf.gz"


def test_a_run_prints_its_vcfs_and_nothing_else_on_stdout(cli_runner: CliRunner, done: CommandResult) -> None:
    assert done.code == 0, done.err
    assert done.out == f"NA1\t{vcf_of(cli_runner, 'done')}\n"
    assert (cli_runner.results / "done" / "NA1" / "NA1.vcf.gz").stat().st_size > 0
    assert "started run done: 1 sample, 1 lane, 8 jobs" in done.err
    assert "NA1 call 1: done in" in done.err
    assert "run done is done in 0:" in done.err


def test_a_detached_run_goes_on_and_is_followed_to_its_end(cli_runner: CliRunner) -> None:
    assert cli_runner.ok("run", "NA1.csv", *TWO_SHARDS, "--name", "apart", "--detach") == "apart\n"
    result = cli_runner.type("status", "apart", "--follow", "--local")
    assert result.code == 0, result.err
    assert result.out.endswith(f"NA1\t{vcf_of(cli_runner, 'apart')}\n")


def test_a_dry_run_lists_every_job_and_starts_none(cli_runner: CliRunner) -> None:
    result = cli_runner.type("run", "NA1.csv", *TWO_SHARDS, "--dry-run", "--name", "dry", "--aligner", "bwa")
    assert result.code == 0, result.err
    assert [tuple(line.split("\t")) for line in result.out.splitlines()] == [
        ("-", "index", "bwa"),
        ("NA1", "mem L001", "bwa"),
        ("NA1", "call 0", "bcftools"),
        ("NA1", "call 1", "bcftools"),
        ("NA1", "gather", "bcftools"),
        ("NA1", "qc", "samtools"),
        ("NA1", "check", "samtools"),
        ("-", "export", "fsx-export"),
    ]
    assert json.loads((cli_runner.root / "inputs.json").read_text(encoding="ascii"))["reference"] == "small.fa"
    assert cli_runner.type("status", "dry", "--local").code == 66


def test_a_dry_run_writes_what_is_skipped_in_one_order_and_overwrites_no_other_file(cli_runner: CliRunner) -> None:
    inputs = cli_runner.root / "mine.json"
    words = (
        "run",
        "NA1.csv",
        *TWO_SHARDS,
        "--dry-run",
        "--inputs",
        "mine.json",
        "--skip",
        "qc",
        "--skip",
        "duplicates",
    )
    assert cli_runner.ok(*words) == cli_runner.ok(*words)
    assert json.loads(inputs.read_text(encoding="ascii"))["skip"] == ["duplicates", "qc"]
    inputs.write_text("mine", encoding="ascii")
    result = cli_runner.type(*words)
    assert (result.code, result.out) == (73, "")
    assert "cannot write mine.json: File exists. Name another file: --inputs FILE" in result.error
    assert inputs.read_text(encoding="ascii") == "mine"


@pytest.mark.usefixtures("done")
def test_status_lists_runs_and_shows_one(cli_runner: CliRunner) -> None:
    (row,) = (line for line in cli_runner.ok("status", "--local").splitlines() if line.split()[0] == "done")
    assert row.split()[1] == "succeeded"
    shown = cli_runner.ok("status", "done", "--local")
    assert "1 of 1 sample done" in shown
    assert f"NA1\t{vcf_of(cli_runner, 'done')}\n" in shown
    (listed,) = (run for run in runs(cli_runner) if run["run"] == "done")
    assert listed["status"] == "SUCCEEDED"
    status = cli_runner.status("done")
    assert (status["run"], status["status"], status["error"]) == ("done", "SUCCEEDED", "")
    assert status["vcfs"] == {"NA1": vcf_of(cli_runner, "done")}
    assert len(status["jobs"]) == 8
    calls = [(job["sample"], job["status"]) for job in status["jobs"] if job["step"] == "call 1"]
    assert calls == [("NA1", "SUCCEEDED")]


def runs(cli_runner: CliRunner) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(cli_runner.ok("status", "--json", "--local"))["runs"]
    return listed


@pytest.mark.usefixtures("done")
def test_logs_are_each_line_after_its_job_s_name(cli_runner: CliRunner) -> None:
    lines = cli_runner.ok("logs", "done", "--local").splitlines()
    assert {line.split(" | ")[0] for line in lines} >= {"index", "NA1 mem L001", "NA1 call 0", "NA1 call 1", "export"}
    job = cli_runner.ok("logs", "done", "--sample", "NA1", "--step", "call 1", "--local").splitlines()
    assert job == [line for line in lines if line.startswith("NA1 call 1 | ")]
    step = cli_runner.ok("logs", "done", "--step", "call", "--local").splitlines()
    assert {line.split(" | ")[0] for line in step} == {"NA1 call 0", "NA1 call 1"}


def test_stop_ends_the_jobs_of_a_run_and_whoever_follows_it(
    cli_runner: CliRunner, slow: str, containers: Callable[[], list[Any]]
) -> None:
    with (
        cli_runner.begun("logs", slow, "-f", "--local") as logs,
        cli_runner.begun("status", slow, "-f", "--local") as status,
    ):
        wait_for_line(status, "SLOW mem L001: running")
        assert logs.stdout is not None
        assert " | " in logs.stdout.readline()
        until(containers)
        stopped = cli_runner.type("stop", slow, "--cause", "wrong sample", "--local")
        _, logs_err = logs.communicate(timeout=60)
        _, status_err = status.communicate(timeout=60)
    assert stopped.code == 0, stopped.err
    # On a busy machine the lane may be done by now.
    assert re.search(r"^stopping SLOW (mem L001|call \d) \(running", stopped.err, flags=re.MULTILINE)
    assert re.search(rf"^run {slow} is stopped; \d jobs? ended with it$", stopped.err, flags=re.MULTILINE)
    assert containers() == []
    after = cli_runner.status(slow)
    assert (after["status"], after["cause"]) == ("ABORTED", "wrong sample")
    assert logs.returncode == 0, logs_err
    assert status.returncode == 75
    assert f"run {slow} was stopped: wrong sample" in status_err
    again = cli_runner.type("stop", slow, "--local")
    assert (again.code, again.err.splitlines()[-1]) == (0, f"run {slow} has ended already: aborted")


def test_ctrl_c_detaches_and_the_run_goes_on(cli_runner: CliRunner) -> None:
    with cli_runner.begun("run", "SLOW.csv", *TWO_SHARDS, "--name", "interrupted") as process:
        wait_for_line(process, "SLOW mem L001: running")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "See it: python build.py status --follow interrupted --local" in err
    assert "Traceback" not in err
    assert cli_runner.status("interrupted")["status"] == "RUNNING"
    cli_runner.ok("stop", "interrupted", "--local")


def test_bad_data_ends_with_the_error_of_the_step_and_leaves_the_other_sample_whole(cli_runner: CliRunner) -> None:
    sheet = cli_runner.sheet(
        "both.csv", *(f"{name},{name}_L001_R1.fastq.gz,{name}_L001_R2.fastq.gz" for name in ("NA1", "BAD"))
    )
    result = cli_runner.type("run", sheet, *TWO_SHARDS, "--name", "both")
    assert (result.code, result.out) == (65, "")
    assert "run both failed (BadData): 1 of 2 samples failed" in result.error
    assert "sample BAD, step mem L001 found bad data (exit code 65)" in result.error
    assert "BAD_L001_R2.fastq.gz" in result.error
    assert "python build.py logs both --local" in result.error
    after = cli_runner.type("status", "both", "--local")
    assert after.code == 65
    assert "BAD mem L001: failed with exit code 65" in after.out
    assert (cli_runner.results / "both" / "NA1" / "NA1.vcf.gz").stat().st_size > 0


@pytest.mark.parametrize(
    ("line", "reference", "missing"),
    [
        ("NA9,lost_R1.fastq.gz,lost_R2.fastq.gz", "small.fa", ("lost_R1.fastq.gz", "lost_R2.fastq.gz")),
        ("NA1,NA1_L001_R1.fastq.gz,NA1_L001_R2.fastq.gz", "hg99.fa", ("hg99.fa",)),
    ],
    ids=["FASTQ", "reference"],
)
def test_a_missing_input_is_named(cli_runner: CliRunner, line: str, reference: str, missing: tuple[str, ...]) -> None:
    sheet = cli_runner.sheet("missing.csv", line)
    result = cli_runner.type("run", sheet, "--reference", reference, "--shards", "2", "--local")
    assert (result.code, result.out) == (66, "")
    assert all(f"error: {name} does not exist: " in result.err for name in missing)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("run NA1.csv --reference ../small.fa", 64, "bad reference '../small.fa'"),
        ("run NA1.csv --reference small.fa --name 'a b'", 64, "bad run name 'a b'"),
        ("run NA1.csv --reference small.fa --ploidy 1 --name done", 64, "a run 'done' exists already"),
        ("run none.csv --reference small.fa", 66, "cannot read none.csv"),
        ("run wrong.csv --reference small.fa", 65, "wrong.csv, line 2 is wrong"),
        ("status missing", 66, "no run 'missing'"),
        ("status 'no such name'", 66, "no run 'no such name'"),
        ("status --follow", 64, "--follow without a run"),
        ("logs missing", 66, "no run 'missing'"),
        ("logs done --sample NA2", 64, "it has NA1"),
        ("logs done --step cal", 64, "it has index, mem, call, gather, qc"),
        ("stop missing", 66, "no run 'missing'"),
    ],
)
@pytest.mark.usefixtures("done")
def test_a_mistake_is_one_clear_error_and_starts_nothing(
    cli_runner: CliRunner, command: str, code: int, message: str
) -> None:
    cli_runner.sheet("wrong.csv", "NA1,/data/1.fq,2.fq")
    vcf = cli_runner.scratch / "working" / "germline" / "done" / "NA1" / "NA1.vcf.gz"
    before = (runs(cli_runner), vcf.stat().st_mtime_ns)
    result = cli_runner.type(*shlex.split(command), "--local")
    assert (result.code, result.out) == (code, ""), result.err
    assert message in result.error
    assert (runs(cli_runner), vcf.stat().st_mtime_ns) == before


def test_a_server_that_dies_under_a_command_is_one_clear_error(cli_runner: CliRunner) -> None:
    """The last of this module: the server is gone after it."""
    with cli_runner.begun("run", "SLOW.csv", *TWO_SHARDS, "--name", "orphan") as process:
        wait_for_line(process, "SLOW mem L001: running")
        cli_runner.kill_server()
        out, err = process.communicate(timeout=110)
    result = CommandResult(code=process.returncode, out=out, err=err)
    assert result.code == 69
    assert "no longer following run orphan: the embedded AWS has ended (process " in result.error
    assert "status" not in result.error
    assert "Type: python build.py local start" in result.error
    cli_runner.ok("local", "start")
