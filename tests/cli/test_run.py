"""`build.py run`, `status`, `logs` and `stop` in one embedded AWS that was started before, as a user types them."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.cli_runner import CliRunner

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.engine
SHORT = ("--reference", "small.fa", "--shards", "2", "--local")


@pytest.fixture(scope="module", autouse=True)
def started(cli_runner: CliRunner) -> None:
    """The server that the commands of this module share; the copy of the checkout ends it."""
    cli_runner.ok("local", "start")


@pytest.fixture(scope="module")
def done(cli_runner: CliRunner) -> str:
    """A run that went well."""
    cli_runner.ok("run", "NA1.csv", *SHORT, "--name", "done")
    return "done"


@pytest.fixture
def slow(cli_runner: CliRunner, request: pytest.FixtureRequest) -> Iterator[str]:
    """A run that goes on for a while."""
    name = f"slow-{abs(hash(request.node.name)) % 10**6}"
    cli_runner.ok("run", "SLOW.csv", *SHORT, "--name", name, "--detach")
    yield name
    cli_runner.type("stop", name, "--local")


def until(look: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_prints_its_vcfs_and_nothing_else_on_stdout(cli_runner: CliRunner) -> None:
    said = cli_runner.type("run", "NA1.csv", *SHORT, "--name", "first")
    assert said.code == 0, said.err
    sample, _, vcf = said.out.partition("\t")
    assert sample == "NA1"
    bucket, _, key = vcf.strip().removeprefix("s3://").partition("/")
    assert key == "results/germline/first/NA1/NA1.vcf.gz"
    assert (cli_runner.checkout.local / "s3" / bucket / key).stat().st_size > 0
    assert "started run first: 1 sample, 1 lane, 8 jobs" in said.err
    assert "NA1 call 1: done in" in said.err
    assert "run first is done in 0:" in said.err


def test_a_detached_run_goes_on_and_is_followed_to_its_end(cli_runner: CliRunner) -> None:
    out = cli_runner.ok("run", "NA1.csv", *SHORT, "--name", "apart", "--detach")
    assert out == "apart\n"
    said = cli_runner.type("status", "apart", "--follow", "--local")
    assert said.code == 0, said.err
    assert said.out.endswith("/results/germline/apart/NA1/NA1.vcf.gz\n")


def test_a_dry_run_lists_every_job_and_starts_none(cli_runner: CliRunner) -> None:
    said = cli_runner.type("run", "NA1.csv", *SHORT, "--dry-run", "--name", "dry", "--aligner", "bwa")
    assert said.code == 0, said.err
    assert [tuple(line.split("\t")) for line in said.out.splitlines()] == [
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


def test_what_is_skipped_is_in_the_plan_and_in_the_input_in_one_order(cli_runner: CliRunner) -> None:
    words = ("--dry-run", "--inputs", "skipping.json", "--skip", "qc", "--skip", "duplicates")
    out = cli_runner.ok("run", "NA1.csv", *SHORT, *words)
    assert "\tqc\t" not in out
    assert json.loads((cli_runner.root / "skipping.json").read_text(encoding="ascii"))["skip"] == ["duplicates", "qc"]


def test_a_dry_run_writes_over_nothing_but_the_same(cli_runner: CliRunner) -> None:
    words = ("run", "NA1.csv", *SHORT, "--dry-run", "--inputs", "mine.json")
    assert cli_runner.ok(*words) == cli_runner.ok(*words)
    (cli_runner.root / "mine.json").write_text("mine", encoding="ascii")
    said = cli_runner.type(*words)
    assert (said.code, said.out) == (73, "")
    assert "cannot write mine.json: File exists. Name another file: --inputs FILE" in said.error
    assert (cli_runner.root / "mine.json").read_text(encoding="ascii") == "mine"


def test_status_lists_runs_and_shows_one(cli_runner: CliRunner, done: str) -> None:
    (row,) = (line for line in cli_runner.ok("status", "--local").splitlines() if line.split()[0] == done)
    assert row.split()[1] == "succeeded"
    shown = cli_runner.ok("status", done, "--local")
    assert "1 of 1 sample done" in shown
    assert f"NA1\ts3://{_results(cli_runner)}/results/germline/{done}/NA1/NA1.vcf.gz\n" in shown


def test_status_as_json_is_nothing_but_json(cli_runner: CliRunner, done: str) -> None:
    runs = json.loads(cli_runner.ok("status", "--json", "--local"))["runs"]
    assert {"run": done, "status": "SUCCEEDED"}.items() <= next(one for one in runs if one["run"] == done).items()
    one = json.loads(cli_runner.ok("status", done, "--json", "--local"))
    assert (one["run"], one["status"], one["error"]) == (done, "SUCCEEDED", "")
    assert one["vcfs"] == {"NA1": f"s3://{_results(cli_runner)}/results/germline/{done}/NA1/NA1.vcf.gz"}
    assert [(job["sample"], job["status"]) for job in one["jobs"] if job["step"] == "call 1"] == [("NA1", "SUCCEEDED")]
    assert len(one["jobs"]) == 8


def _results(cli_runner: CliRunner) -> str:
    outputs = json.loads((cli_runner.checkout.dist / "local" / "outputs.json").read_text(encoding="utf-8"))
    return str(outputs["ResultsBucket"])


def test_logs_are_each_line_after_its_job_s_name(cli_runner: CliRunner, done: str) -> None:
    lines = cli_runner.ok("logs", done, "--local").splitlines()
    assert {line.split(" | ")[0] for line in lines} >= {"index", "NA1 mem L001", "NA1 call 0", "NA1 call 1", "export"}
    one = cli_runner.ok("logs", done, "--sample", "NA1", "--step", "call 1", "--local").splitlines()
    assert one == [line for line in lines if line.startswith("NA1 call 1 | ")]
    both = cli_runner.ok("logs", done, "--step", "call", "--local").splitlines()
    assert {line.split(" | ")[0] for line in both} == {"NA1 call 0", "NA1 call 1"}


@pytest.mark.parametrize(
    ("words", "told"), [(("--sample", "NA2"), "it has NA1"), (("--step", "cal"), "it has index, mem, call, gather, qc")]
)
def test_logs_of_what_is_not_in_the_run_are_wrong_usage(
    cli_runner: CliRunner, done: str, words: tuple[str, ...], told: str
) -> None:
    said = cli_runner.type("logs", done, *words, "--local")
    assert said.code == 64
    assert told in said.error


def test_followed_logs_come_while_the_job_runs_and_end_with_the_run(cli_runner: CliRunner, slow: str) -> None:
    with cli_runner.begun("logs", slow, "-f", "--local") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert json.loads(cli_runner.ok("status", slow, "--json", "--local"))["status"] == "RUNNING"
        cli_runner.ok("stop", slow, "--local")
        _, err = process.communicate(timeout=60)
    assert " | " in first
    assert process.returncode == 0, err


def test_stop_says_what_was_running_and_leaves_no_container(
    cli_runner: CliRunner, slow: str, containers: Callable[[], list[Any]]
) -> None:
    until(lambda: any("mem" in one.attrs["Config"]["Cmd"] for one in containers()))
    said = cli_runner.type("stop", slow, "--cause", "wrong sample", "--local")
    assert said.code == 0, said.err
    assert "stopping SLOW mem L001 (" in said.err
    assert f"run {slow} is stopped; 1 job ended with it" in said.err
    assert containers() == []
    after = json.loads(cli_runner.ok("status", slow, "--json", "--local"))
    assert (after["status"], after["cause"]) == ("ABORTED", "wrong sample")
    again = cli_runner.type("stop", slow, "--local")
    assert (again.code, again.err.splitlines()[-1]) == (0, f"run {slow} has ended already: aborted")


def test_whoever_follows_a_run_that_is_stopped_is_told(cli_runner: CliRunner, slow: str) -> None:
    with cli_runner.begun("status", slow, "-f", "--local") as process:
        _line(process, "SLOW mem L001: running")
        cli_runner.ok("stop", slow, "--local")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert f"run {slow} was stopped: stopped by hand" in err


def test_ctrl_c_detaches_and_the_run_goes_on(cli_runner: CliRunner) -> None:
    with cli_runner.begun("run", "SLOW.csv", *SHORT, "--name", "interrupted") as process:
        _line(process, "SLOW mem L001: running")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "See it: python build.py status --follow interrupted --local" in err
    assert "Traceback" not in err
    assert json.loads(cli_runner.ok("status", "interrupted", "--json", "--local"))["status"] == "RUNNING"
    cli_runner.ok("stop", "interrupted", "--local")


def _line(process: "subprocess.Popen[str]", start: str) -> None:
    assert process.stderr is not None
    assert any(line.startswith(start) for line in process.stderr)


def test_bad_data_ends_with_its_own_code_and_the_step_s_own_words(cli_runner: CliRunner) -> None:
    said = cli_runner.type("run", "BAD.csv", *SHORT, "--name", "bad")
    assert (said.code, said.out) == (65, "")
    assert "run bad failed (BadData): " in said.error
    assert "sample BAD, step mem L001 found bad data (exit code 65)" in said.error
    assert "BAD_L001_R2.fastq.gz" in said.error
    assert "python build.py logs bad --local" in said.error
    after = cli_runner.type("status", "bad", "--local")
    assert after.code == 65
    assert "BAD mem L001: failed with exit code 65" in after.out


def test_one_bad_sample_leaves_the_other_one_whole(cli_runner: CliRunner) -> None:
    names = ("NA1", "BAD")
    cli_runner.sheet("both.csv", *(f"{name},{name}_L001_R1.fastq.gz,{name}_L001_R2.fastq.gz" for name in names))
    said = cli_runner.type("run", "both.csv", *SHORT, "--name", "both")
    assert said.code == 65
    assert "1 of 2 samples failed" in said.error
    exported = (
        cli_runner.checkout.local / "s3" / _results(cli_runner) / "results" / "germline" / "both" / "NA1" / "NA1.vcf.gz"
    )
    assert exported.stat().st_size > 0


def test_a_fastq_that_is_not_there_is_named(cli_runner: CliRunner) -> None:
    cli_runner.sheet("lost.csv", "NA9,lost_R1.fastq.gz,lost_R2.fastq.gz")
    said = cli_runner.type("run", "lost.csv", *SHORT, "--name", "lost")
    assert (said.code, said.out) == (66, "")
    assert "sample NA9, step mem L001" in said.error
    assert "lost_R1.fastq.gz" in said.error


def test_a_reference_that_is_not_there_is_named(cli_runner: CliRunner) -> None:
    said = cli_runner.type("run", "NA1.csv", "--reference", "hg99.fa", "--local", "--name", "nowhere")
    assert said.code == 66
    assert "no hg99.fa" in said.error


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("run", "NA1.csv", "--reference", "../small.fa"), 64, "bad reference '../small.fa'"),
        (("run", "NA1.csv", "--reference", "small.fa", "--name", "a b"), 64, "bad run name 'a b'"),
        (("run", "none.csv", "--reference", "small.fa"), 66, "cannot read none.csv"),
        (("run", "bad.csv", "--reference", "small.fa"), 65, "bad.csv, line 2 is wrong"),
        (("status", "nobody-s"), 66, "no run 'nobody-s'"),
        (("status", "no such name"), 66, "no run 'no such name'"),
        (("logs", "nobody-s"), 66, "no run 'nobody-s'"),
        (("stop", "nobody-s"), 66, "no run 'nobody-s'"),
        (("status", "--follow"), 64, "--follow without a run"),
    ],
)
def test_a_mistake_is_one_clear_error(
    cli_runner: CliRunner, done: str, words: tuple[str, ...], code: int, told: str
) -> None:
    cli_runner.sheet("bad.csv", "NA1,/data/1.fq,2.fq")
    before = json.loads(cli_runner.ok("status", "--json", "--local"))
    said = cli_runner.type(*words, "--local")
    assert (said.code, said.out) == (code, ""), said.err
    assert told in said.error
    assert json.loads(cli_runner.ok("status", "--json", "--local")) == before
    assert done in [one["run"] for one in before["runs"]]


def test_a_name_cannot_be_had_twice_and_the_first_run_s_results_stay(cli_runner: CliRunner, done: str) -> None:
    vcf = cli_runner.scratch / "working" / "germline" / done / "NA1" / "NA1.vcf.gz"
    before = (vcf.stat().st_mtime_ns, vcf.read_bytes())
    said = cli_runner.type("run", "NA1.csv", *SHORT, "--ploidy", "1", "--name", done)
    assert (said.code, said.out) == (64, "")
    assert f"a run '{done}' exists already" in said.error
    assert (vcf.stat().st_mtime_ns, vcf.read_bytes()) == before


def test_a_server_that_dies_under_a_command_is_one_clear_error(cli_runner: CliRunner) -> None:
    """The last of this module: the server is gone after it."""
    with cli_runner.begun("run", "SLOW.csv", *SHORT, "--name", "orphan") as process:
        _line(process, "SLOW mem L001: running")
        cli_runner.kill_server()
        _, err = process.communicate(timeout=110)
    assert process.returncode == 69
    assert "Traceback" not in err
    (error,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert "no longer following run orphan: the embedded AWS has ended (process " in error
    assert "status" not in error
    assert "Type: python build.py local start" in error
    cli_runner.ok("local", "start")
