"""images/fsx-export/export.py, run in this process against a stand-in for FSx."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from fsx_endpoint import (
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

if TYPE_CHECKING:
    from types import ModuleType

PROGRAM = Path(__file__).parents[2] / "images" / "fsx-export" / "export.py"
FILE_SYSTEM = "fs-0123456789abcdef0"
CONTENTS = "0" * 64
SECRET = "not-to-be-printed"  # noqa: S105  # a word to look for in what is printed


class Export(Protocol):
    """Runs the program: its exit code and what it wrote to stderr."""

    def __call__(self, fsx: FsxEndpoint | None, *more: str) -> tuple[int, str]: ...


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The program as a module. It lies in an image's folder, which is no package."""
    spec = importlib.util.spec_from_file_location("fsx_export_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    """Where the receipt goes."""
    return tmp_path / "export.json"


@pytest.fixture
def export(
    program: ModuleType, receipt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Export:
    """The program with quick bounds, in an environment of its own."""
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "EXPORT_POLL_SECONDS": "0.01",
        "EXPORT_PAUSE_SECONDS": "0.005",
        "EXPORT_FAULT_SECONDS": "0.3",
        "EXPORT_BUSY_SECONDS": "0.3",
        "EXPORT_WAIT_SECONDS": "0.3",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "WORKING_PATH"):
        monkeypatch.delenv(name, raising=False)

    def run(fsx: FsxEndpoint | None, *more: str) -> tuple[int, str]:
        if fsx is not None:
            monkeypatch.setenv("AWS_ENDPOINT_URL_FSX", fsx.url)
        given = ["--file-system", FILE_SYSTEM, "--path", "wf/run/S1", "--contents", CONTENTS]
        code: int = program.main([*given, "--receipt", str(receipt), *more])
        said = capsys.readouterr()
        assert said.out == ""
        assert SECRET not in said.err
        assert "Traceback" not in said.err
        return code, said.err

    return run


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
    assert written["paths"] == ["wf/run/S1"]
    assert written["file_system"] == FILE_SYSTEM
    assert written["report"] is None
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written[name]) for name in ("created", "start", "end"))


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
    assert creation["Paths"] == ["wf/run/S1"]


@pytest.mark.parametrize("path", ["/scratch/working/wf", "wf/../other", "wf//run", "wf/", "", "."])
def test_refuses_a_path_that_is_not_relative(export: Export, path: str) -> None:
    with fsx_endpoint() as fsx:
        code, said = export(fsx, "--path", path)
    assert code == 64
    assert "argument --path" in error_of(said)
    assert fsx.requests == []


@pytest.mark.parametrize(
    ("working", "path"),
    [("working", "working/wf/run/S1"), ("lab/working", "lab/working/wf/run/S1"), ("-", "wf/run/S1"), ("", "wf/run/S1")],
)
def test_puts_the_working_directory_s_own_path_before_it(
    export: Export, monkeypatch: pytest.MonkeyPatch, receipt: Path, working: str, path: str
) -> None:
    monkeypatch.setenv("WORKING_PATH", working)
    with fsx_endpoint() as fsx:
        assert export(fsx)[0] == 0
    assert fsx.creations[0]["Paths"] == json.loads(receipt.read_text())["paths"] == [path]


@pytest.mark.parametrize("working", ["/scratch/working", "working/", "..", "a/../b", "a\n", "--", "a b"])
def test_refuses_a_working_directory_that_is_no_relative_path(
    export: Export, monkeypatch: pytest.MonkeyPatch, working: str
) -> None:
    monkeypatch.setenv("WORKING_PATH", working)
    with fsx_endpoint() as fsx:
        code, said = export(fsx)
    assert code == 64
    assert "bad WORKING_PATH" in error_of(said)
    assert fsx.requests == []


def test_without_a_report_says_so_since_the_member_is_required(export: Export) -> None:
    with fsx_endpoint() as fsx:
        export(fsx)
    assert fsx.creations[0]["Report"] == {"Enabled": False}


def test_asks_for_a_report_of_failures_where_it_is_told(export: Export, receipt: Path) -> None:
    with fsx_endpoint() as fsx:
        export(fsx, "--report", "s3://bucket/results/reports")
    assert fsx.creations[0]["Report"] == {
        "Enabled": True,
        "Path": "s3://bucket/results/reports",
        "Format": "REPORT_CSV_20191124",
        "Scope": "FAILED_FILES_ONLY",
    }
    report = f"s3://bucket/results/reports/{fsx.task_ids[0]}/failures.csv"
    assert json.loads(receipt.read_text())["report"] == report


def test_the_same_content_is_exported_by_one_task(export: Export) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx)[0] == 0
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


def test_other_content_is_another_task(export: Export) -> None:
    with fsx_endpoint() as fsx:
        export(fsx)
        export(fsx, "--contents", "1" * 64)
        export(fsx, "--path", "wf/run/S2")
        export(fsx, "--file-system", "fs-00000000000000000")
        export(fsx, "--report", "s3://bucket/results")
    tokens = {creation["ClientRequestToken"] for creation in fsx.creations}
    assert len(tokens) == 5
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
    with fsx_endpoint(Outcome(lifecycle="FAILED", failure="The path wf/run/S1 is not valid.")) as fsx:
        code, said = export(fsx)
    assert code == 70
    assert f"{fsx.task_ids[0]} failed: The path wf/run/S1 is not valid. " in error_of(said)
    assert not receipt.exists()


def test_a_task_that_succeeded_with_failed_files_is_bad_data(export: Export, receipt: Path) -> None:
    with fsx_endpoint(Outcome(total=9, failed=2)) as fsx:
        code, said = export(fsx, "--report", "s3://bucket/results")
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


def test_nobody_at_the_endpoint_is_for_another_time(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_FSX", f"http://127.0.0.1:{unused.getsockname()[1]}")
        code, said = export(None)
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
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps the credentials that it found
    with fsx_endpoint() as fsx:
        code, said = export(fsx)
    assert code == 70
    assert "no AWS credentials" in error_of(said)
    assert "jobRoleArn" in error_of(said)


def test_credentials_that_do_not_come_are_for_another_time(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/credentials")
    with fsx_endpoint() as fsx:
        code, said = export(fsx)
    assert code == 75
    assert "ECS agent" in error_of(said)


def test_without_a_region_asks_for_one(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    code, said = export(None)
    assert code == 64
    assert "AWS_REGION is not set" in error_of(said)


def test_takes_the_region_by_its_other_name(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with fsx_endpoint() as fsx:
        assert export(fsx)[0] == 0
    assert "/eu-west-1/fsx/" in fsx.requests[0].authorization


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_REGION", "not a region"), ("AWS_ENDPOINT_URL_FSX", "nowhere"), ("EXPORT_POLL_SECONDS", "0")],
)
def test_an_environment_that_makes_no_sense_is_a_usage_error(
    export: Export, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    code, said = export(None)
    assert code == 64
    assert name in error_of(said)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--file-system", "vol-0123"),
        ("--file-system", "fs-0123456789abcdef0\n"),
        ("--report", "https://bucket/x"),
        ("--report", "s3://bucket/x/"),
        ("--contents", "abc"),
        ("--tidy", "yes"),
    ],
)
def test_a_bad_argument_is_a_usage_error_before_anything_is_sent(export: Export, argument: str, value: str) -> None:
    with fsx_endpoint() as fsx:
        code, said = export(fsx, argument, value)
    assert code == 64
    assert argument in error_of(said)
    assert fsx.requests == []


def test_a_receipt_that_cannot_be_written_is_an_error_of_its_own(export: Export, receipt: Path) -> None:
    with fsx_endpoint() as fsx:
        code, said = export(fsx, "--receipt", str(receipt / "none" / "export.json"))
    assert code == 74
    assert "has ended well" in error_of(said)
