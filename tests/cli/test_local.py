"""`build.py local start|stop|status`, and `--local` without it."""

import re
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.cli_runner import SHORT, CliRunner, exports, wait_for_line
from support.local_aws import until

from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE

TOOLS = jobdefs.names(HERE.jobdefs)
pytestmark = pytest.mark.engine
RUN = ("run", "NA1.csv", *SHORT)
SLOW_RUN = ("run", "SLOW.csv", *SHORT)
Containers = Callable[[], list[Any]]


@pytest.fixture(autouse=True)
def stopped(cli_runner: CliRunner) -> Iterator[None]:
    """Each test begins and ends without a server."""
    yield
    cli_runner.type("local", "stop")


def test_without_a_server_status_says_how_to_start_one_and_stop_does_nothing(cli_runner: CliRunner) -> None:
    status = cli_runner.type("local", "status")
    assert (status.code, status.out) == (1, "")
    assert status.err == "no embedded AWS runs. Type: python build.py local start\n"
    assert cli_runner.type("local", "stop").err == "no embedded AWS was running\n"


def test_a_second_start_finds_the_server_of_the_first(cli_runner: CliRunner) -> None:
    first = cli_runner.ok("local", "start")
    assert cli_runner.ok("local", "start") == first
    assert cli_runner.ok("local", "status") == first
    server = cli_runner.server
    assert exports(first)["AWS_ENDPOINT_URL"] == server["endpoint"]
    assert cli_runner.type("local", "stop").err == f"stopped the embedded AWS (process {server['pid']})\n"
    assert cli_runner.type("local", "status").code == 1


def test_two_starts_at_once_give_one_server(cli_runner: CliRunner) -> None:
    with cli_runner.begun("local", "start") as first, cli_runner.begun("local", "start") as second:
        outs = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outs
    assert outs[0] == outs[1]


def test_the_region_is_the_one_that_is_set(cli_runner: CliRunner) -> None:
    started = cli_runner.type("local", "start", environment={"AWS_DEFAULT_REGION": "eu-west-1"})
    assert exports(started.out)["AWS_REGION"] == "eu-west-1"


def test_a_port_that_is_taken_is_one_error(cli_runner: CliRunner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started = cli_runner.type("local", "start", "--port", str(port))
    assert started.code == 69
    assert f"no embedded AWS on port {port}: Address already in use" in started.error
    assert cli_runner.type("local", "status").code == 1


def test_the_key_is_new_at_each_start_and_readable_by_its_user_only(cli_runner: CliRunner) -> None:
    variables = exports(cli_runner.ok("local", "start"))
    record = cli_runner.checkout.local / "server.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(cli_runner.checkout.local.stat().st_mode) == 0o700
    key = {"id": variables["AWS_ACCESS_KEY_ID"], "secret": variables["AWS_SECRET_ACCESS_KEY"]}
    assert cli_runner.server["key"] == key
    cli_runner.ok("local", "stop")
    assert not record.exists()
    assert exports(cli_runner.ok("local", "start"))["AWS_SECRET_ACCESS_KEY"] != key["secret"]


@pytest.mark.parametrize(
    "record", ["", "[]", '{"pid": "x", "endpoint": 1}', '{"pid": 1, "endpoint": "e", "region": "r"}']
)
def test_a_stale_record_of_a_server_is_ignored(cli_runner: CliRunner, record: str) -> None:
    cli_runner.checkout.local.mkdir(parents=True, exist_ok=True)
    (cli_runner.checkout.local / "server.json").write_text(record, encoding="ascii")
    assert cli_runner.type("local", "status").code == 1
    cli_runner.ok("local", "start")
    assert cli_runner.server["pid"] != 1


def test_while_a_command_has_its_own_server_others_are_refused(cli_runner: CliRunner) -> None:
    with cli_runner.begun(*SLOW_RUN) as first:
        wait_for_line(first, "started run")
        second = cli_runner.type("deploy", "--local")
        assert (second.code, second.out) == (75, "")
        assert "the embedded AWS is in use: another command runs it" in second.error
        assert "python build.py local start" in second.error
        assert cli_runner.type("local", "start").code == 75
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "ends with its embedded AWS" in err
    assert "Traceback" not in err


DEPLOY = ("deploy", "--local", "registry", "network", "results", "compute")


@pytest.mark.parametrize("commands", [(RUN, RUN, RUN), (DEPLOY, RUN, DEPLOY)], ids=["runs", "a run and deployments"])
def test_of_several_commands_at_once_one_deploys_and_the_others_wait_for_it(
    cli_runner: CliRunner, commands: tuple[tuple[str, ...], ...]
) -> None:
    cli_runner.ok("local", "start")
    with ExitStack() as stack:
        processes = [stack.enter_context(cli_runner.begun(*command)) for command in commands]
        errs = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errs
    if DEPLOY not in commands:
        assert sum("deployed registry, network, results, compute, workflow, watch, storage" in err for err in errs) == 1
        assert any("another command builds or deploys here: waiting for it" in err for err in errs)


def test_all_is_deployed_by_one_command_and_the_second_time_nothing(cli_runner: CliRunner) -> None:
    cli_runner.ok("local", "start")
    planned = cli_runner.type("deploy", "--all", "--dry-run", "--local")
    assert (planned.code, "SpotComputeEnvironment" in planned.out) == (0, True)
    first = cli_runner.type("deploy", "--all", "--local")
    assert first.out.splitlines()[-1] == "stack watch created"
    assert first.err.splitlines()[-1] == ("next: python build.py run SAMPLES.csv --reference NAME --local")
    again = cli_runner.type("deploy", "--all", "--local")
    assert again.err.splitlines()[-2] == "nothing changed: all is as this checkout says"


def test_doctor_runs_a_job_of_each_tool_and_a_run_to_its_vcf(cli_runner: CliRunner) -> None:
    done = cli_runner.type("doctor", "--deep", "--local")
    assert done.code == 0, done.out
    *jobs, run = done.out.splitlines()
    assert [line.split(":")[0] for line in jobs] == [f"✓ green  job of {tool}" for tool in TOOLS]
    cost = r"[\d.]+ vCPU hours of hosts \(0\.\d{4} USD on demand, by genomics.toml\)"
    assert re.search(rf"✓ green  tiny run: 8 jobs with bwa(-mem3)? took \d+ s, {cost}, .*/doctor/doctor.vcf.gz$", run)
    assert cli_runner.type("doctor", "--local").code == 64


def test_the_results_of_all_servers_are_in_one_bucket(cli_runner: CliRunner) -> None:
    for name in ("first", "second"):
        cli_runner.ok(*RUN, "--name", name)
    (bucket,) = (cli_runner.checkout.local / "s3").glob("*-resultsbucket-*")
    assert {"first", "second"} <= {folder.name for folder in bucket.glob("results/germline/*")}
    vcf = bucket / "results" / "germline" / "first" / "NA1" / "NA1.vcf.gz"
    before = vcf.stat().st_mtime_ns
    again = cli_runner.type(*RUN, "--ploidy", "1", "--name", "first")
    assert (again.code, again.out) == (64, "")
    assert f"a run 'first' exists already: its results are in {vcf.parent.parent}" in again.error
    assert vcf.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((*RUN, "--detach"), 64, "local start"),
        *((words, 69, "no embedded AWS runs") for words in (("status", "--local"), ("logs", "r", "--local"))),
        (("stop", "r", "--local"), 69, "no embedded AWS runs"),
    ],
)
def test_what_outlives_a_command_needs_a_started_server(
    cli_runner: CliRunner, words: tuple[str, ...], code: int, message: str
) -> None:
    result = cli_runner.type(*words)
    assert result.code == code
    assert message in result.error


def test_a_killed_server_leaves_no_container_after_the_next_start(
    cli_runner: CliRunner, containers: Containers
) -> None:
    cli_runner.ok("local", "start")
    cli_runner.ok(*SLOW_RUN, "--detach", "--name", "killed")
    until(lambda: any("mem" in container.attrs["Config"]["Cmd"] for container in containers()))
    cli_runner.kill_server()
    assert containers()
    assert cli_runner.type("local", "status").code == 1
    cli_runner.ok("local", "start")
    assert containers() == []
    # The run is forgotten, and what it wrote does not hinder another.
    assert cli_runner.type("status", "killed", "--local").code == 66
    cli_runner.ok(*RUN)


def test_the_jobs_of_a_killed_server_end_with_local_stop(cli_runner: CliRunner, containers: Containers) -> None:
    cli_runner.ok("local", "start")
    with cli_runner.begun(*SLOW_RUN) as run:
        wait_for_line(run, "SLOW mem L001: running")
        cli_runner.kill_server()
        _, err = run.communicate(timeout=60)
    assert run.returncode == 69
    # What ran there cannot be followed any more.
    assert "Type: python build.py local start; and start again what ran there." in err
    assert containers()
    cli_runner.ok("local", "stop")
    assert containers() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_and_its_jobs(cli_runner: CliRunner, containers: Containers, number: int) -> None:
    """As where its terminal is closed, or a runner of continuous integration gives up."""
    with cli_runner.begun(*SLOW_RUN) as process:
        wait_for_line(process, "SLOW mem L001: running")
        assert containers()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ends with its embedded AWS" in err
    assert containers() == []


def test_local_stop_ends_the_jobs_of_the_server(cli_runner: CliRunner, containers: Containers) -> None:
    cli_runner.ok("local", "start")
    cli_runner.ok(*SLOW_RUN, "--detach", "--name", "ended")
    until(containers)
    cli_runner.ok("local", "stop")
    assert containers() == []
    assert cli_runner.type("local", "status").code == 1
