"""`step export`, run in this process against a stand-in for FSx."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from support.fsx_endpoint import (
    Fault,
    FsxEndpoint,
    Outcome,
    busy,
    denied,
    dropped,
    fsx_endpoint,
    throttled,
    unavailable,
)
from support.standins import commands

from step.job import Job
from step.main import main
from toolchain.paths import HERE

FOLDER = HERE.images / "fsx-export"
FILE_SYSTEM = "fs-0123456789abcdef0"
SECRET = "not-to-be-printed"  # noqa: S105  # a word to look for in what is printed
QUICK = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "FILE_SYSTEM_ID": FILE_SYSTEM,
    "EXPORT_POLL_SECONDS": "0.01",
    "EXPORT_PAUSE_SECONDS": "0.005",
    "EXPORT_FAULT_SECONDS": "0.3",
    "EXPORT_BUSY_SECONDS": "0.3",
    "EXPORT_WAIT_SECONDS": "0.3",
}


class Export(Protocol):
    """Runs the step, with what the environment has beyond QUICK: its exit code and what it wrote to stderr."""

    def __call__(self, fsx: FsxEndpoint | None, *arguments: str, **variables: str) -> tuple[int, str]: ...


@pytest.fixture
def run(job: Job) -> Path:
    """The directory of a run of two samples."""
    folder = job.root / "working" / "germline" / "run1"
    for name, content in {"S1/S1.bam": "reads", "S1/steps/finish.json": "{}", "S2/S2.vcf.gz": "variants"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="ascii")
    return folder


@pytest.fixture
def receipt(run: Path) -> Path:
    """Where the run's receipt goes."""
    return run / "export.json"


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The handlers of signals as they were: a step sets its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """A session with credentials, which has read FSx's model once for all tests."""
    return boto3.Session(aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key=SECRET)


@pytest.fixture
def export(
    make_job: Callable[..., Job],
    run: Path,
    session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Export:
    """The step with quick bounds, in an environment of its own."""
    monkeypatch.syspath_prepend(str(FOLDER))  # it imports what takes long when it needs it
    monkeypatch.setattr("boto3.DEFAULT_SESSION", session)
    known = commands("fsx-export").COMMANDS
    root = run.parents[1]

    def call(fsx: FsxEndpoint | None, *arguments: str, **variables: str) -> tuple[int, str]:
        environment = {**QUICK, **({"AWS_ENDPOINT_URL_FSX": fsx.url} if fsx else {}), **variables}
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():  # boto3 reads that of the process
            if name.startswith("AWS_") and value:
                monkeypatch.setenv(name, value)
        code = main(known, ["export", *arguments], make_job(**environment))
        said = capfd.readouterr()
        assert said.out == ""
        assert SECRET not in said.err
        assert "Traceback" not in said.err
        assert not list((root / ".work").rglob("tmp.*"))
        return code, said.err

    return call


def forget(run: Path) -> None:
    """Takes away what an export leaves when it is done, as if it had died before."""
    for file in (run / "export.json", run / "steps" / "export.json"):
        file.unlink()


def error_of(said: str) -> str:
    """The one line that says what went wrong."""
    errors = [line for line in said.splitlines() if line.startswith("step: error: ")]
    assert len(errors) == 1, said
    assert said.splitlines()[-1] == errors[0]
    return errors[0]


def test_waits_for_the_task_and_writes_a_receipt(export: Export, receipt: Path) -> None:
    with fsx_endpoint(Outcome(looks=3, total=7)) as fsx:
        code, said = export(fsx)
    assert code == 0, said
    written: dict[str, Any] = json.loads(receipt.read_text())
    assert written["task"] == fsx.task_ids[0]
    assert written["lifecycle"] == "SUCCEEDED"
    assert written["files"] == {"total": 7, "succeeded": 7, "failed": 0}
    assert written["paths"] == ["germline/run1"]
    assert written["file_system"] == FILE_SYSTEM
    assert written["report"] is None
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written[name]) for name in ("created", "start", "end"))


def test_exports_one_sample_alone(export: Export, run: Path) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx, "-", "S1")[0] == 0
    assert fsx.creations[0]["Paths"] == ["germline/run1/S1"]
    assert (run / "S1" / "export.json").exists()
    assert (run / "S1" / "steps" / "export.json").exists()
    assert not (run / "export.json").exists()


def test_tells_the_progress(export: Export) -> None:
    with fsx_endpoint(Outcome(looks=3, total=8)) as fsx:
        _, said = export(fsx)
    assert "PENDING: 0 of ? files, 0 failed" in said
    assert "EXECUTING: 4 of 8 files, 0 failed" in said
    assert "SUCCEEDED: 8 of 8 files, 0 failed" in said


def test_sends_the_path_relative_to_the_file_system(export: Export) -> None:
    with fsx_endpoint() as fsx:
        export(fsx)
    (creation,) = fsx.creations
    assert creation["Type"] == "EXPORT_TO_REPOSITORY"
    assert creation["FileSystemId"] == FILE_SYSTEM
    assert creation["Paths"] == ["germline/run1"]


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (("-", "../S1"), {}, "bad sample name"),
        (("-", "S1/steps"), {}, "bad sample name"),
        (("/reference",), {}, "bad reference"),
        (("-", "S1", "more"), {}, "too many arguments"),
        ((), {"WORKFLOW_NAME": ""}, "WORKFLOW_NAME is not set"),
        ((), {"EXECUTION_ID": ""}, "EXECUTION_ID is not set"),
        ((), {"EXECUTION_ID": ".work"}, "bad EXECUTION_ID"),
        ((), {"EXECUTION_ID": "run1/S1"}, "bad EXECUTION_ID"),
        ((), {"FILE_SYSTEM_ID": ""}, "FILE_SYSTEM_ID is not set"),
        ((), {"FILE_SYSTEM_ID": "vol-0123"}, "bad FILE_SYSTEM_ID"),
        ((), {"FILE_SYSTEM_ID": "fs-1234567"}, "bad FILE_SYSTEM_ID"),
        ((), {"FILE_SYSTEM_ID": f"{FILE_SYSTEM}\n"}, "bad FILE_SYSTEM_ID"),
        ((), {"EXPORT_REPORT": "https://bucket/x"}, "bad EXPORT_REPORT"),
        ((), {"EXPORT_REPORT": "s3://bucket/x/"}, "bad EXPORT_REPORT"),
        ((), {"EXPORT_REPORT": 's3://bucket/"x'}, "bad EXPORT_REPORT"),
    ],
)
def test_refuses_arguments_and_variables_that_make_no_sense_before_anything_is_sent(
    export: Export, arguments: tuple[str, ...], variables: dict[str, str], says: str
) -> None:
    with fsx_endpoint() as fsx:
        code, said = export(fsx, *arguments, **variables)
    assert code == 64
    assert says in error_of(said)
    assert fsx.requests == []


@pytest.mark.parametrize(
    ("working", "path"),
    [
        ("working", "working/germline/run1"),
        ("lab/working", "lab/working/germline/run1"),
        ("-", "germline/run1"),
        ("", "germline/run1"),
    ],
)
def test_puts_the_working_directory_s_own_path_before_it(
    export: Export, receipt: Path, working: str, path: str
) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx, WORKING_PATH=working)[0] == 0
    assert fsx.creations[0]["Paths"] == json.loads(receipt.read_text())["paths"] == [path]


@pytest.mark.parametrize("working", ["/scratch/working", "working/", "..", "a/../b", "a\n", "--", "a b"])
def test_refuses_a_working_directory_that_is_no_relative_path(export: Export, working: str) -> None:
    with fsx_endpoint() as fsx:
        code, said = export(fsx, WORKING_PATH=working)
    assert code == 64
    assert "bad WORKING_PATH" in error_of(said)
    assert fsx.requests == []


def test_without_a_report_says_so_since_the_member_is_required(export: Export) -> None:
    with fsx_endpoint() as fsx:
        export(fsx)
    assert fsx.creations[0]["Report"] == {"Enabled": False}


def test_asks_for_a_report_of_failures_where_it_is_told(export: Export, receipt: Path) -> None:
    with fsx_endpoint() as fsx:
        export(fsx, EXPORT_REPORT="s3://bucket/results/reports")
    assert fsx.creations[0]["Report"] == {
        "Enabled": True,
        "Path": "s3://bucket/results/reports",
        "Format": "REPORT_CSV_20191124",
        "Scope": "FAILED_FILES_ONLY",
    }
    report = f"s3://bucket/results/reports/{fsx.task_ids[0]}/failures.csv"
    assert json.loads(receipt.read_text())["report"] == report


def test_leaves_a_record_by_which_it_is_known_to_be_done(export: Export, run: Path) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx)[0] == 0
        asked = len(fsx.requests)
        code, said = export(fsx)
    assert code == 0
    assert "export is done already" in said
    assert len(fsx.requests) == asked
    record = json.loads((run / "steps" / "export.json").read_text())
    assert record["command"][:6] == ["step", "export", "-", "-", f"FILE_SYSTEM_ID={FILE_SYSTEM}", "WORKING_PATH=-"]
    assert [output["path"] for output in record["outputs"]] == [str(run / "export.json")]
    assert [stage["name"] for stage in record["stages"]] == ["export"]


def test_the_same_content_is_exported_by_one_task(export: Export, run: Path) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx)[0] == 0
        forget(run)
        fsx.age(60)
        code, said = export(fsx)
    assert code == 0
    assert len(fsx.task_ids) == 1
    assert "of an earlier attempt is SUCCEEDED: taking it up" in said


def test_takes_up_the_running_task_of_an_attempt_that_died(export: Export) -> None:
    with fsx_endpoint(Outcome(looks=1000)) as fsx:
        assert export(fsx)[0] == 75
        fsx.age(60)
        fsx.end_now()
        code, _ = export(fsx)
    assert code == 0
    assert len(fsx.task_ids) == 1


def test_other_content_is_another_task(export: Export, run: Path) -> None:
    with fsx_endpoint() as fsx:
        export(fsx)
        export(fsx, "-", "S2")
        export(fsx, FILE_SYSTEM_ID="fs-00000000000000000")
        export(fsx, EXPORT_REPORT="s3://bucket/results")
        for change in (
            lambda file: file.write_text("other"),
            lambda file: os.utime(file, ns=(0, 1)),
            lambda file: file.chmod(0o600),
            lambda file: file.rename(file.with_name("S3.vcf.gz")),
            lambda file: file.with_name("link").symlink_to("S3.vcf.gz"),
            lambda file: (file.parent / "folder").symlink_to("."),
        ):
            change(run / "S2" / "S2.vcf.gz")
            export(fsx)
    tokens = {creation["ClientRequestToken"] for creation in fsx.creations}
    assert len(tokens) == len(fsx.creations) == 10
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", token) for token in tokens)


@pytest.mark.parametrize(
    "bad",
    [Outcome(lifecycle="FAILED"), Outcome(lifecycle="CANCELED"), Outcome(failed=1)],
    ids=lambda bad: bad.lifecycle,
)
def test_a_retry_after_a_task_that_ended_badly_makes_a_new_one(export: Export, bad: Outcome) -> None:
    with fsx_endpoint(bad, bad, Outcome()) as fsx:
        assert export(fsx)[0] != 0
        fsx.age(60)
        assert export(fsx)[0] != 0
        fsx.age(60)
        code, said = export(fsx)
    assert code == 0, said
    assert len(fsx.task_ids) == 3
    assert "that was an earlier attempt: making another task" in said


def test_one_attempt_makes_one_task_however_fast_that_fails(export: Export) -> None:
    with fsx_endpoint(Outcome(looks=0, lifecycle="FAILED")) as fsx:
        assert export(fsx)[0] == 70
    assert len(fsx.task_ids) == 1


def test_a_failed_task_is_an_error_with_the_reason_of_the_service(export: Export, receipt: Path) -> None:
    with fsx_endpoint(Outcome(lifecycle="FAILED", failure="The path germline/run1 is not valid.")) as fsx:
        code, said = export(fsx)
    assert code == 70
    assert f"{fsx.task_ids[0]} failed: The path germline/run1 is not valid. " in error_of(said)
    assert not receipt.exists()


def test_a_task_that_succeeded_with_failed_files_is_bad_data(export: Export, receipt: Path) -> None:
    with fsx_endpoint(Outcome(total=9, failed=2)) as fsx:
        code, said = export(fsx, EXPORT_REPORT="s3://bucket/results")
    assert code == 65
    assert "2 of 9 files were not exported" in error_of(said)
    assert f"s3://bucket/results/{fsx.task_ids[0]}/failures.csv" in error_of(said)
    assert not receipt.exists()


def test_failed_files_without_a_report_lead_to_a_report(export: Export) -> None:
    with fsx_endpoint(Outcome(failed=2)) as fsx:
        code, said = export(fsx)
    assert code == 65
    assert "Set EXPORT_REPORT" in error_of(said)


def test_a_canceled_task_is_an_error(export: Export) -> None:
    with fsx_endpoint(Outcome(lifecycle="CANCELED")) as fsx:
        code, said = export(fsx)
    assert code == 70
    assert "was canceled" in error_of(said)


@pytest.mark.parametrize("operation", ["CreateDataRepositoryTask", "DescribeDataRepositoryTasks"])
def test_a_missing_permission_is_named_and_not_tried_again(export: Export, operation: str) -> None:
    with fsx_endpoint(faults=[denied(operation)]) as fsx:
        code, said = export(fsx)
    assert code == 70
    assert f"Allow fsx:{operation} in the policy" in error_of(said)
    assert [request.operation for request in fsx.requests].count(operation) == 1


def test_waits_while_another_task_runs(export: Export) -> None:
    with fsx_endpoint(faults=[busy()] * 3) as fsx:
        code, said = export(fsx)
    assert code == 0
    assert len(fsx.creations) == 4
    assert len({creation["ClientRequestToken"] for creation in fsx.creations}) == 1
    assert "another data repository task runs" in said


def test_a_file_system_that_stays_busy_is_for_another_time(export: Export) -> None:
    with fsx_endpoint(faults=[busy()] * 1000) as fsx:
        code, said = export(fsx)
    assert code == 75
    assert "is busy" in error_of(said)
    assert "EXPORT_BUSY_SECONDS" in error_of(said)


@pytest.mark.parametrize(
    "fault", [throttled(), unavailable(), dropped(), Fault(status=500, code="InternalServerError", message="try again")]
)
def test_a_passing_fault_is_waited_out(export: Export, fault: Fault) -> None:
    with fsx_endpoint(faults=[fault] * 4) as fsx:
        code, said = export(fsx)
    assert code == 0, said
    assert len(fsx.task_ids) == 1


@pytest.mark.parametrize("fault", [throttled(), unavailable(), dropped()])
def test_a_fault_that_does_not_pass_is_for_another_time(export: Export, fault: Fault) -> None:
    with fsx_endpoint(faults=[fault] * 1000) as fsx:
        code, said = export(fsx)
    assert code == 75
    assert "FSx does not answer CreateDataRepositoryTask" in error_of(said)


def test_nobody_at_the_endpoint_is_for_another_time(export: Export) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code, said = export(None, AWS_ENDPOINT_URL_FSX=f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert code == 75
    assert "Could not connect to the endpoint URL" in error_of(said)


def test_a_task_that_takes_too_long_is_for_another_time(export: Export) -> None:
    with fsx_endpoint(Outcome(looks=10000)) as fsx:
        code, said = export(fsx)
    assert code == 75
    assert "is still EXECUTING" in error_of(said)
    assert "EXPORT_WAIT_SECONDS" in error_of(said)


@pytest.mark.parametrize(
    ("code", "exit_code", "says"),
    [
        ("ExpiredTokenException", 75, "credentials have expired"),
        ("UnrecognizedClientException", 70, "does not accept the credentials"),
        ("FileSystemNotFound", 64, "Check FILE_SYSTEM_ID"),
        ("BadRequest", 70, "FSx refuses CreateDataRepositoryTask: BadRequest: because"),
        ("UnsupportedOperation", 70, "is linked to S3"),
        ("ServiceLimitExceeded", 75, "a limit of the account"),
    ],
)
def test_an_error_of_the_service_is_one_line_with_a_way_out(
    export: Export, code: str, exit_code: int, says: str
) -> None:
    with fsx_endpoint(faults=[Fault(code=code, message="because\nit is so.")]) as fsx:
        exited, said = export(fsx)
    assert exited == exit_code
    assert says in error_of(said)
    assert len(fsx.requests) == 1


def test_an_answer_that_is_none_of_the_service_is_an_error_not_a_traceback(export: Export) -> None:
    with fsx_endpoint(faults=[Fault(status=200, message="<html>Sign in to this network</html>")]) as fsx:
        code, said = export(fsx)
    assert code == 70
    assert "DataRepositoryTask" in error_of(said)


def test_without_credentials_asks_for_a_role(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with fsx_endpoint() as fsx:
        code, said = export(fsx, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert code == 70
    assert "no AWS credentials" in error_of(said)
    assert "jobRoleArn" in error_of(said)


def test_credentials_that_do_not_come_are_for_another_time(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/credentials"}
    with fsx_endpoint() as fsx:
        code, said = export(fsx, AWS_SECRET_ACCESS_KEY="", **nobody)
    assert code == 75
    assert "ECS agent" in error_of(said)


def test_without_a_region_asks_for_one(export: Export) -> None:
    code, said = export(None, AWS_REGION="")
    assert code == 64
    assert "AWS_REGION is not set" in error_of(said)


def test_takes_the_region_by_its_other_name(export: Export) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx, AWS_REGION="", AWS_DEFAULT_REGION="eu-west-1")[0] == 0
    assert "/eu-west-1/fsx/" in fsx.requests[0].authorization


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REGION", "not a region"),
        ("AWS_ENDPOINT_URL_FSX", "nowhere"),
        ("EXPORT_POLL_SECONDS", "0"),
        ("EXPORT_WAIT_SECONDS", "nan"),
        ("EXPORT_BUSY_SECONDS", "soon"),
    ],
)
def test_an_environment_that_makes_no_sense_is_a_usage_error(export: Export, name: str, value: str) -> None:
    code, said = export(None, **{name: value})
    assert code == 64
    assert name in error_of(said)


def test_a_run_that_is_not_there_or_holds_no_file_is_missing_input(export: Export, run: Path) -> None:
    (run.parent / "run2" / "S1" / "steps").mkdir(parents=True)
    for execution, says in (("none", "is not there"), ("run2", "holds no file")):
        code, said = export(None, EXECUTION_ID=execution)
        assert code == 66
        assert "nothing to export" in error_of(said)
        assert says in error_of(said)


def test_a_run_that_cannot_be_listed_is_an_error_of_the_file_system(export: Export, run: Path) -> None:
    (run.parent / "run2").write_text("a file", encoding="ascii")
    code, said = export(None, EXECUTION_ID="run2")
    assert code == 74
    assert f"cannot read {run.parent / 'run2'}" in error_of(said)


def test_a_run_that_changes_while_it_is_listed_is_for_another_time(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda *given, **more: [*walk(*given, **more), (str(given[0]), [], ["gone"])])
    code, said = export(None)
    assert code == 75
    assert "changes while it is listed" in error_of(said)


def test_a_receipt_that_cannot_be_written_is_an_error_of_its_own(
    export: Export, monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    write = Path.write_text

    def full(file: Path, *given: str, **more: str) -> int:
        if file.name == "export.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return write(file, *given, **more)

    monkeypatch.setattr(Path, "write_text", full)
    with fsx_endpoint() as fsx:
        code, said = export(fsx)
    assert code == 74
    assert "has ended well" in error_of(said)
    assert "No space left on device" in error_of(said)
    assert not (run / "steps" / "export.json").exists()


STEP = """
import sys
from pathlib import Path
from step.job import Job
from step.main import main
import commands
import os
root, mounts = map(Path, sys.argv[1:])
job = Job(environment=os.environ, root=root, mounts=mounts, threads=1, memory_mib=512)
sys.exit(main(commands.COMMANDS, ["export"], job))
"""


def test_told_to_end_it_ends_at_once_and_the_next_attempt_takes_up_its_task(
    export: Export, job: Job, receipt: Path
) -> None:
    with fsx_endpoint(Outcome(looks=100_000)) as fsx:
        environment = {
            **job.environment,
            **QUICK,
            "EXPORT_WAIT_SECONDS": "60",
            "EXPORT_POLL_SECONDS": "30",
            "AWS_ENDPOINT_URL_FSX": fsx.url,
            "PYTHONPATH": f"{HERE.images / 'base'}{os.pathsep}{FOLDER}",
        }
        command = [sys.executable, "-c", STEP, str(job.root), str(job.mounts)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 30
            while len(fsx.requests) < 3 and time.monotonic() < deadline:  # it is made, and looked at twice
                time.sleep(0.02)
            process.terminate()
            told = time.monotonic()
            _, said = process.communicate(timeout=30)
        assert process.returncode == 143, said
        assert time.monotonic() - told < 5
        assert "Traceback" not in said
        assert not receipt.exists()
        assert not list((job.root / "working" / ".work").rglob("tmp.*"))
        fsx.age(60)
        fsx.end_now()
        code, _ = export(fsx)
    assert code == 0
    assert len(fsx.task_ids) == 1
