"""`step export`, run in this process against a fake FSx."""

import errno
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from support.fake_programs import image_commands
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
from support.tiny_sample import end, start, with_variables

from step.job import Job
from step.main import main
from toolchain.paths import HERE

FOLDER = HERE.images / "fsx-export"
FILE_SYSTEM = "fs-0123456789abcdef0"
SECRET = "not-to-be-printed"  # noqa: S105  # searched for in what is printed
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "FILE_SYSTEM_ID": FILE_SYSTEM,
    "EXPORT_POLL_SECONDS": "0.01",
    "EXPORT_PAUSE_SECONDS": "0.005",
}
SHORT = {f"EXPORT_{name}_SECONDS": "0.1" for name in ("FAULT", "BUSY", "WAIT")}
Export = Callable[..., tuple[int, str]]


@pytest.fixture
def run(job: Job) -> Path:
    """The directory of a run of two samples."""
    folder = job.root / "working" / "germline" / "run1"
    for name, content in {"S1/S1.bam": "reads", "S1/steps/finish.json": "{}", "S2/S2.vcf.gz": "variants"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="ascii")
    return folder


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """A session with credentials that loads the model of FSx once for all tests."""
    return boto3.Session(aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key=SECRET)


@pytest.fixture
def export(
    job: Job, run: Path, session: boto3.Session, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Export:
    """Runs the step with ENVIRONMENT and further variables; returns its exit code and what it printed."""
    monkeypatch.syspath_prepend(str(FOLDER))  # for imports within functions
    monkeypatch.setattr("boto3.DEFAULT_SESSION", session)
    monkeypatch.setattr("step.signals.SIGNALS", ())
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    def call(fsx: FsxEndpoint | None, *arguments: str, **variables: str) -> tuple[int, str]:
        variables = {**ENVIRONMENT, **({"AWS_ENDPOINT_URL_FSX": fsx.url} if fsx else {}), **variables}
        aws = {name: value for name, value in variables.items() if name.startswith("AWS_") and value}
        monkeypatch.setattr(os, "environ", inherited | aws)  # boto3 reads it
        commands = image_commands("fsx-export").COMMANDS
        code = main(commands, ["export", *arguments], with_variables(job, **variables))
        printed = capfd.readouterr()
        assert printed.out == ""
        assert SECRET not in printed.err
        assert "Traceback" not in printed.err
        assert not list((run.parents[1] / ".work").rglob("tmp.*"))
        return code, printed.err

    return call


def error_of(printed: str) -> str:
    """The last line, and only error."""
    errors = [line for line in printed.splitlines() if line.startswith("step: error: ")]
    assert len(errors) == 1, printed
    assert printed.splitlines()[-1] == errors[0]
    return errors[0]


# ---- the task and its receipt ----------------------------------------------------------------------------------------


def test_it_waits_for_the_task_and_writes_receipt_and_record(export: Export, run: Path) -> None:
    with fsx_endpoint(Outcome(looks=3, total=8)) as fsx:
        code, printed = export(fsx)
        requests = len(fsx.requests)
        again, printed_again = export(fsx)
    assert (code, again) == (0, 0), printed
    (creation,) = fsx.creations
    token = creation.pop("ClientRequestToken")
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", token)
    assert creation == {
        "Type": "EXPORT_TO_REPOSITORY",
        "FileSystemId": FILE_SYSTEM,
        "Paths": ["germline/run1"],
        "Report": {"Enabled": False},
    }
    for progress in ("PENDING: 0 of ? files, 0", "EXECUTING: 4 of 8 files, 0", "SUCCEEDED: 8 of 8 files, 0 failed"):
        assert progress in printed
    receipt: dict[str, Any] = json.loads((run / "export.json").read_text())
    assert receipt["task"] == fsx.task_ids[0]
    assert (receipt["lifecycle"], receipt["file_system"]) == ("SUCCEEDED", FILE_SYSTEM)
    assert receipt["files"] == {"total": 8, "succeeded": 8, "failed": 0}
    assert (receipt["paths"], receipt["report"]) == (["germline/run1"], None)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT(\d\d:){2}\d\dZ", receipt[name]) for name in ("created", "start", "end"))
    record = json.loads((run / "steps" / "export.json").read_text())
    assert record["command"][:6] == ["step", "export", "-", "-", f"FILE_SYSTEM_ID={FILE_SYSTEM}", "WORKING_PATH=-"]
    assert [output["path"] for output in record["outputs"]] == [str(run / "export.json")]
    assert [stage["name"] for stage in record["stages"]] == ["export"]
    assert "export is done already" in printed_again
    assert len(fsx.requests) == requests


DEFAULT = "germline/run1"
FAILURES_ONLY = {"Enabled": True, "Format": "REPORT_CSV_20191124", "Scope": "FAILED_FILES_ONLY"}
REQUESTS: dict[str, tuple[tuple[str, ...], dict[str, str], str, str | None, str]] = {
    "a sample": (("-", "S1"), {}, "germline/run1/S1", None, "us-east-1"),
    "a directory": ((), {"WORKING_PATH": "lab/working"}, "lab/working/germline/run1", None, "us-east-1"),
    "the root": ((), {"WORKING_PATH": "-"}, DEFAULT, None, "us-east-1"),
    "a report": ((), {"EXPORT_REPORT": "s3://bucket/reports"}, DEFAULT, "s3://bucket/reports", "us-east-1"),
    "a region": ((), {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, DEFAULT, None, "eu-west-1"),
}


@pytest.mark.parametrize("request_for", REQUESTS)
def test_request_and_receipt_follow_arguments_and_variables(export: Export, run: Path, request_for: str) -> None:
    arguments, variables, path, report, region = REQUESTS[request_for]
    with fsx_endpoint() as fsx:
        assert export(fsx, *arguments, **variables)[0] == 0
    (creation,) = fsx.creations
    (file,) = (file for file in run.rglob("export.json") if file.parent.name != "steps")
    receipt = json.loads(file.read_text())
    assert file.parent.name == path.rpartition("/")[2]
    assert creation["Paths"] == receipt["paths"] == [path]
    assert creation["Report"] == ({**FAILURES_ONLY, "Path": report} if report else {"Enabled": False})
    assert receipt["report"] == (f"{report}/{fsx.task_ids[0]}/failures.csv" if report else None)
    assert f"/{region}/fsx/" in fsx.requests[0].authorization


# ---- one task for the same content -----------------------------------------------------------------------------------


def test_the_same_content_is_exported_by_one_task(export: Export, run: Path) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx)[0] == 0
        for file in (run / "export.json", run / "steps" / "export.json"):
            file.unlink()
        fsx.age(60)
        code, printed = export(fsx)
    assert code == 0
    assert len(fsx.task_ids) == 1
    assert "of an earlier attempt is SUCCEEDED: taking it up" in printed


def test_changed_content_gets_another_task(export: Export, run: Path) -> None:
    file = run / "S2" / "S2.vcf.gz"
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: file.write_text("other"),
        lambda: os.utime(file, ns=(0, 1)),
        lambda: file.chmod(0o600),
        lambda: file.rename(file.with_name("S3.vcf.gz")),
        lambda: file.with_name("link").symlink_to("S3.vcf.gz"),
        lambda: (file.parent / "folder").symlink_to("."),
    ]
    with fsx_endpoint() as fsx:
        for change in changes:
            change()
            export(fsx)
        export(fsx, "-", "S2")
        export(fsx, FILE_SYSTEM_ID="fs-00000000000000000")
        export(fsx, EXPORT_REPORT="s3://bucket/results")
    tokens = {creation["ClientRequestToken"] for creation in fsx.creations}
    assert len(tokens) == len(fsx.creations) == len(changes) + 3


@pytest.mark.parametrize(
    "bad",
    [Outcome(lifecycle="FAILED"), Outcome(lifecycle="CANCELED"), Outcome(failed=1)],
    ids=["failed", "canceled", "files"],
)
def test_a_retry_after_a_task_that_ended_badly_makes_a_new_one(export: Export, bad: Outcome) -> None:
    with fsx_endpoint(bad, bad, Outcome()) as fsx:
        for attempt in range(1, 3):
            assert export(fsx)[0] != 0
            assert len(fsx.task_ids) == attempt
            fsx.age(60)
        code, printed = export(fsx)
    assert code == 0, printed
    assert len(fsx.task_ids) == 3
    assert "that was an earlier attempt: making another task" in printed


def test_after_many_tasks_that_ended_badly_it_gives_up(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.MAX_TASKS", 2)
    with fsx_endpoint(Outcome(looks=0, lifecycle="FAILED")) as fsx:
        for _ in range(3):
            code, printed = export(fsx)
            fsx.age(60)
    assert code == 70
    assert "2 tasks for the same files ended badly" in error_of(printed)
    assert len(fsx.task_ids) == 2


# ---- tasks and calls that fail ---------------------------------------------------------------------------------------

Case = tuple[Outcome, Sequence[Fault], dict[str, str], int, str]
FAILED = Outcome(lifecycle="FAILED", failure="The path germline/run1 is not valid.")
REPORT = {"EXPORT_REPORT": "s3://bucket/results"}
CREATE, DESCRIBE = "CreateDataRepositoryTask", "DescribeDataRepositoryTasks"
REASON = "because\nit is so."
WEB_PAGE = Fault(status=200, message="<html>Sign in to this network</html>")
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
CASES: list[Case] = [
    (FAILED, [], {}, 70, r"task-\w+ failed: The path germline/run1 is not valid\. "),
    (Outcome(lifecycle="CANCELED"), [], {}, 70, "was canceled"),
    (Outcome(total=9, failed=2), [], REPORT, 65, r"2 of 9 files were not .*s3://bucket/results/task-\w+/failures\.csv"),
    (Outcome(failed=2), [], {}, 65, "Set EXPORT_REPORT"),
    (Outcome(looks=9999), [], SHORT, 75, "is still EXECUTING.*EXPORT_WAIT_SECONDS"),
    (Outcome(), [busy()] * 999, SHORT, 75, "is busy.*EXPORT_BUSY_SECONDS"),
    *((Outcome(), [fault] * 999, SHORT, 75, f"answer {CREATE}") for fault in (throttled(), unavailable(), dropped())),
    *((Outcome(), [denied(name)], {}, 70, f"Allow fsx:{name} in the policy") for name in (CREATE, DESCRIBE)),
    (Outcome(), [WEB_PAGE], {}, 70, "DataRepositoryTask"),
    *(
        (Outcome(), [Fault(code=code, message=REASON)], {}, exit_code, message)
        for code, exit_code, message in (
            ("ExpiredTokenException", 75, "credentials have expired"),
            ("UnrecognizedClientException", 70, "does not accept the credentials"),
            ("FileSystemNotFound", 64, "Check FILE_SYSTEM_ID"),
            ("BadRequest", 70, f"FSx refuses {CREATE}: BadRequest: because it is so"),
            ("UnsupportedOperation", 70, "is linked to S3"),
            ("ServiceLimitExceeded", 75, "a limit of the account"),
        )
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[3]} {case[4]}")
def test_a_failure_has_an_exit_code_and_one_line_with_advice(export: Export, run: Path, case: Case) -> None:
    outcome, faults, variables, exit_code, message = case
    with fsx_endpoint(outcome, faults=faults) as fsx:
        code, printed = export(fsx, **variables)
    assert code == exit_code, printed
    assert re.search(message, error_of(printed))
    assert len(fsx.task_ids) <= 1
    assert not (run / "export.json").exists()
    if exit_code != 75 and faults and faults[0].operation != DESCRIBE:
        assert len(fsx.requests) == 1  # without a retry


@pytest.mark.parametrize(
    "fault",
    [throttled(), unavailable(), dropped(), busy(), Fault(status=500, code="InternalServerError", message="try again")],
)
def test_a_temporary_failure_is_retried_with_the_same_token(export: Export, fault: Fault) -> None:
    with fsx_endpoint(faults=[fault] * 3) as fsx:
        code, printed = export(fsx)
    assert code == 0, printed
    assert len(fsx.task_ids) == 1
    assert len({creation["ClientRequestToken"] for creation in fsx.creations}) == 1
    assert ": trying again for " in printed


def test_a_task_that_is_not_listed_is_a_temporary_failure(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    with fsx_endpoint() as fsx:
        monkeypatch.setattr(fsx, "_describe", lambda _: {"DataRepositoryTasks": []})
        code, printed = export(fsx)
    assert code == 75, printed
    assert "FSx does not list the task that it made" in error_of(printed)


@pytest.mark.parametrize(
    ("credentials", "exit_code", "message"),
    [
        ({}, 70, "no AWS credentials.*jobRoleArn"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/credentials"}, 75, "ECS agent"),
    ],
)
def test_missing_credentials_are_named(
    export: Export, credentials: dict[str, str], exit_code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with fsx_endpoint() as fsx:
        code, printed = export(fsx, **NO_KEYS, **credentials)
    assert code == exit_code
    assert re.search(message, error_of(printed))


# ---- arguments, environment and files --------------------------------------------------------------------------------

BAD_PATHS = ["/scratch/working", "working/", "..", "a/../b", "a\n", "--", "a b"]
USAGE: list[tuple[tuple[str, ...], dict[str, str], str]] = [
    (("-", "../S1"), {}, "bad sample name"),
    (("-", "S1/steps"), {}, "bad sample name"),
    (("/reference",), {}, "bad reference"),
    (("-", "S1", "more"), {}, "too many arguments"),
    ((), {"WORKFLOW_NAME": ""}, "WORKFLOW_NAME is not set"),
    ((), {"EXECUTION_ID": ""}, "EXECUTION_ID is not set"),
    *(((), {"EXECUTION_ID": value}, "bad EXECUTION_ID") for value in (".work", "run1/S1")),
    ((), {"FILE_SYSTEM_ID": ""}, "FILE_SYSTEM_ID is not set"),
    *(
        ((), {"FILE_SYSTEM_ID": value}, "bad FILE_SYSTEM_ID")
        for value in ("vol-0123", "fs-1234567", f"{FILE_SYSTEM}\n")
    ),
    *(((), {"EXPORT_REPORT": value}, "bad EXPORT_REPORT") for value in ("https://b/x", "s3://b/x/", 's3://bucket/"x')),
    *(((), {"WORKING_PATH": value}, "bad WORKING_PATH") for value in BAD_PATHS),
    ((), {"AWS_REGION": ""}, "AWS_REGION is not set"),
    ((), {"AWS_REGION": "not a region"}, "AWS_REGION"),
    ((), {"AWS_ENDPOINT_URL_FSX": "nowhere"}, "AWS_ENDPOINT_URL_FSX"),
    *(
        ((), {f"EXPORT_{name}_SECONDS": value}, f"bad EXPORT_{name}_SECONDS")
        for name, value in (("POLL", "0"), ("WAIT", "nan"))
    ),
    ((), {"EXPORT_BUSY_SECONDS": "soon"}, "bad EXPORT_BUSY_SECONDS"),
]


@pytest.mark.parametrize(("arguments", "variables", "message"), USAGE)
def test_bad_arguments_and_variables_are_refused_before_any_request(
    export: Export, arguments: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    with fsx_endpoint() as fsx:
        code, printed = export(fsx, *arguments, **variables)
    assert code == 64
    assert message in error_of(printed)
    assert fsx.requests == []


@pytest.mark.parametrize(
    ("prepare", "exit_code", "message"),
    [
        (lambda _: None, 66, "nothing to export: .* is not there"),
        (lambda folder: (folder / "S1" / "steps").mkdir(parents=True), 66, "nothing to export: .* holds no file"),
        (lambda folder: folder.write_text("a file"), 74, "cannot read /.*/run2"),
    ],
)
def test_a_run_without_files_is_refused(
    export: Export, run: Path, prepare: Callable[[Path], object], exit_code: int, message: str
) -> None:
    prepare(run.with_name("run2"))
    code, printed = export(None, EXECUTION_ID="run2")
    assert code == exit_code
    assert re.search(message, error_of(printed))


def test_a_run_that_changes_while_it_is_listed_is_a_temporary_failure(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda *args, **options: [*walk(*args, **options), (str(args[0]), [], ["gone"])])
    code, printed = export(None)
    assert code == 75
    assert "changes while it is listed" in error_of(printed)


def test_a_receipt_that_cannot_be_written_is_an_error(
    export: Export, monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    write_text = Path.write_text

    def write_to_full_disk(file: Path, *args: str, **options: str) -> int:
        if file.name == "export.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return write_text(file, *args, **options)

    monkeypatch.setattr(Path, "write_text", write_to_full_disk)
    with fsx_endpoint() as fsx:
        code, printed = export(fsx)
    assert code == 74
    assert re.search("No space left on device.* has ended well", error_of(printed))
    assert not (run / "steps" / "export.json").exists()


def test_a_signal_ends_it_at_once_and_the_next_attempt_resumes_its_task(export: Export, job: Job, run: Path) -> None:
    with fsx_endpoint(Outcome(looks=100_000)) as fsx:
        variables = {**ENVIRONMENT, "EXPORT_POLL_SECONDS": "30", "AWS_ENDPOINT_URL_FSX": fsx.url}
        process = start(with_variables(job, **variables), "fsx-export", "export")
        deadline = time.monotonic() + 30
        while len(fsx.requests) < 2 and time.monotonic() < deadline:  # it is created and polled
            time.sleep(0.02)
        process.terminate()
        terminated = time.monotonic()
        code, printed = end(process)
        assert code == 143, printed
        assert time.monotonic() - terminated < 5
        assert "Traceback" not in printed
        assert not (run / "export.json").exists()
        fsx.age(60)
        fsx.end_now()
        assert export(fsx)[0] == 0
    assert len(fsx.task_ids) == 1
