"""`build.py local start|stop|status`, and `--local` without it."""

import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.cli_runner import CliRunner, exports

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def stopped(cli_runner: CliRunner) -> Iterator[None]:
    """Each test begins and ends without a server."""
    yield
    cli_runner.type("local", "stop")


def test_where_none_runs_status_says_how_to_start_one_and_stop_does_nothing(cli_runner: CliRunner) -> None:
    status = cli_runner.type("local", "status")
    assert (status.code, status.out) == (1, "")
    assert status.err == "no embedded AWS runs. Type: python build.py local start\n"
    assert cli_runner.type("local", "stop").err == "no embedded AWS was running\n"


def test_a_second_start_finds_the_first_one_s_server(cli_runner: CliRunner) -> None:
    first = cli_runner.ok("local", "start")
    assert cli_runner.ok("local", "start") == first
    assert cli_runner.ok("local", "status") == first
    assert exports(first)["AWS_ENDPOINT_URL"] == cli_runner.server["endpoint"]
    stopped = cli_runner.type("local", "stop")
    assert stopped.err == f"stopped the embedded AWS (process {_pid(stopped.err)})\n"
    assert cli_runner.type("local", "status").code == 1


def _pid(text: str) -> str:
    return text.rpartition("process ")[2].rstrip(")\n")


def test_two_starts_at_once_give_one_server(cli_runner: CliRunner) -> None:
    with cli_runner.begun("local", "start") as first, cli_runner.begun("local", "start") as second:
        outs = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outs
    assert outs[0] == outs[1]


def test_it_uses_the_region_that_was_set(cli_runner: CliRunner) -> None:
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


def test_the_key_is_for_whoever_started_it_and_nobody_else(cli_runner: CliRunner) -> None:
    started = cli_runner.ok("local", "start")
    record = cli_runner.checkout.local / "server.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(cli_runner.checkout.local.stat().st_mode) == 0o700
    told = exports(started)
    assert cli_runner.server["key"] == {"id": told["AWS_ACCESS_KEY_ID"], "secret": told["AWS_SECRET_ACCESS_KEY"]}
    cli_runner.ok("local", "stop")
    assert not record.exists()
    assert exports(cli_runner.ok("local", "start"))["AWS_SECRET_ACCESS_KEY"] != told["AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize(
    "record", ["", "[]", '{"pid": "x", "endpoint": 1}', '{"pid": 1, "endpoint": "e", "region": "r"}']
)
def test_a_stale_record_of_a_server_is_none(cli_runner: CliRunner, record: str) -> None:
    cli_runner.checkout.local.mkdir(parents=True, exist_ok=True)
    (cli_runner.checkout.local / "server.json").write_text(record, encoding="ascii")
    assert cli_runner.type("local", "status").code == 1
    cli_runner.ok("local", "start")
    assert cli_runner.server["pid"] != 1


def test_a_second_command_with_a_server_of_its_own_is_told_who_has_it(cli_runner: CliRunner) -> None:
    words = ("run", "SLOW.csv", "--reference", "small.fa", "--local", "--shards", "1")
    with cli_runner.begun(*words) as first:
        _line(first, "started run")
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


def _line(process: "subprocess.Popen[str]", start: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(start):
            return line
    raise AssertionError(start)


def test_of_several_first_runs_at_once_one_deploys_and_the_others_wait_for_it(cli_runner: CliRunner) -> None:
    cli_runner.ok("local", "start")
    words = ("run", "NA1.csv", "--reference", "small.fa", "--local", "--shards", "1")
    with ExitStack() as stack:
        processes = [stack.enter_context(cli_runner.begun(*words)) for _ in range(3)]
        errs = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errs
    assert sum("deployed registry, network, storage, compute, workflow" in err for err in errs) == 1
    assert sum("another command builds or deploys here: waiting for it" in err for err in errs) >= 1


def test_a_run_waits_for_a_deployment_that_goes_on(cli_runner: CliRunner) -> None:
    cli_runner.ok("local", "start")
    words = ("run", "NA1.csv", "--reference", "small.fa", "--local", "--shards", "1")
    deploys = ("deploy", "--local", "registry", "network", "storage", "compute")
    with cli_runner.begun(*deploys) as deployment, cli_runner.begun(*words) as run, cli_runner.begun(*deploys) as again:
        errs = [process.communicate(timeout=120)[1] for process in (deployment, run, again)]
    assert [process.returncode for process in (deployment, run, again)] == [0, 0, 0], errs


def test_the_results_of_all_servers_are_in_one_bucket(cli_runner: CliRunner) -> None:
    for name in ("one", "two"):
        cli_runner.ok("run", "NA1.csv", "--reference", "small.fa", "--local", "--shards", "1", "--name", name)
    (bucket,) = (cli_runner.checkout.local / "s3").glob("*-resultsbucket-*")
    assert {"one", "two"} <= {folder.name for folder in bucket.glob("results/germline/*")}
    vcf = bucket / "results" / "germline" / "one" / "NA1" / "NA1.vcf.gz"
    before = vcf.stat().st_mtime_ns
    again = cli_runner.type("run", "NA1.csv", "--reference", "small.fa", "--local", "--ploidy", "1", "--name", "one")
    assert (again.code, again.out) == (64, "")
    assert f"a run 'one' exists already: its results are in {vcf.parent.parent}" in again.error
    assert vcf.stat().st_mtime_ns == before


def test_a_run_that_would_end_with_its_command_is_not_detached(cli_runner: CliRunner) -> None:
    tried = cli_runner.type("run", "NA1.csv", "--reference", "small.fa", "--local", "--detach")
    assert tried.code == 64
    assert "local start" in tried.error


@pytest.mark.parametrize("words", [("status",), ("logs", "r"), ("stop", "r")])
def test_what_an_earlier_command_left_needs_a_server_that_was_kept(
    cli_runner: CliRunner, words: tuple[str, ...]
) -> None:
    tried = cli_runner.type(*words, "--local")
    assert tried.code == 69
    assert "no embedded AWS runs" in tried.error


def test_a_killed_server_leaves_no_container_after_the_next_start(
    cli_runner: CliRunner, containers: Callable[[], list[Any]]
) -> None:
    cli_runner.ok("local", "start")
    cli_runner.ok(
        "run", "SLOW.csv", "--reference", "small.fa", "--local", "--shards", "1", "--detach", "--name", "killed"
    )
    end = time.monotonic() + 60
    while not any("mem" in container.attrs["Config"]["Cmd"] for container in containers()):
        assert time.monotonic() < end
        time.sleep(0.05)
    cli_runner.kill_server()
    assert containers()
    assert cli_runner.type("local", "status").code == 1
    cli_runner.ok("local", "start")
    assert containers() == []
    # Nothing of the run is known any more, and nothing of what it wrote hinders another.
    assert cli_runner.type("status", "killed", "--local").code == 66
    assert cli_runner.type("run", "NA1.csv", "--reference", "small.fa", "--local", "--shards", "1").code == 0


def test_the_jobs_of_a_killed_server_end_with_local_stop(
    cli_runner: CliRunner, containers: Callable[[], list[Any]]
) -> None:
    cli_runner.ok("local", "start")
    words = ("run", "SLOW.csv", "--reference", "small.fa", "--local", "--shards", "1")
    with cli_runner.begun(*words) as run:
        _line(run, "SLOW mem L001: running")
        cli_runner.kill_server()
        _, err = run.communicate(timeout=60)
    assert run.returncode == 69
    # What ran there is not to be followed any more.
    assert "Type: python build.py local start; and start again what ran there." in err
    assert containers()
    assert cli_runner.type("local", "stop").code == 0
    assert containers() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_takes_its_jobs_with_it(
    cli_runner: CliRunner, containers: Callable[[], list[Any]], number: int
) -> None:
    """As where its terminal is closed, or a runner of continuous integration gives up."""
    with cli_runner.begun("run", "SLOW.csv", "--reference", "small.fa", "--local", "--shards", "1") as process:
        _line(process, "SLOW mem L001: running")
        assert containers()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ends with its embedded AWS" in err
    assert containers() == []


def test_a_server_that_is_told_to_end_takes_its_jobs_with_it(
    cli_runner: CliRunner, containers: Callable[[], list[Any]]
) -> None:
    cli_runner.ok("local", "start")
    cli_runner.ok(
        "run", "SLOW.csv", "--reference", "small.fa", "--local", "--shards", "1", "--detach", "--name", "ended"
    )
    while not containers():
        time.sleep(0.02)
    cli_runner.ok("local", "stop")
    assert containers() == []
    assert cli_runner.type("local", "status").code == 1
