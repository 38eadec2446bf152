"""The fsx-export image: `step export` as a job, against a stand-in for FSx.

What an export does is tried by tests/steps/test_fsx_export.py. Here: that the image holds what it takes, whichever way
its credentials come, since of boto3 and of Python it holds what an export imports and no more.
"""

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.credentials_endpoint import KEY_ID, credentials_endpoint, make_certificate
from support.fsx_endpoint import FsxEndpoint, Outcome, fsx_endpoint
from support.job_runner import EXECUTION, WORKFLOW, JobRunner

from toolchain.docker.engine import Result

FILE_SYSTEM = "fs-0123456789abcdef0"
SECRET = "not-to-be-printed"  # noqa: S105  # a word to look for in what is printed
ENVIRONMENT = {
    "FILE_SYSTEM_ID": FILE_SYSTEM,
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "EXPORT_POLL_SECONDS": "0.05",
    "EXPORT_PAUSE_SECONDS": "0.02",
    "EXPORT_FAULT_SECONDS": "1",
    "EXPORT_BUSY_SECONDS": "1",
    "EXPORT_WAIT_SECONDS": "2",
}

Export = Callable[..., Result]


@pytest.fixture
def run_folder(job_runner: JobRunner) -> Path:
    """A run of two samples, whose files belong to the steps' user as those of earlier steps do."""
    root = f"/scratch/working/{WORKFLOW}/{EXECUTION}"
    script = f"""
        mkdir -p {root}/S1/steps {root}/S2/steps
        echo reads > {root}/S1/S1.bam
        echo variants > {root}/S2/S2.vcf.gz
        echo '{{}}' > {root}/S1/steps/finish.json
    """
    job_runner.ok("fsx-export", words=["sh", "-euc", script])
    return job_runner.working / WORKFLOW / EXECUTION


@pytest.fixture
def export(job_runner: JobRunner) -> Export:
    """`step export` with these arguments, against a stand-in."""

    def run(fsx: FsxEndpoint | None, *arguments: str, **environment: str) -> Result:
        endpoint = {"AWS_ENDPOINT_URL_FSX": fsx.url} if fsx else {}
        result = job_runner.run(
            "fsx-export",
            words=["step", "export", *arguments],
            environment={**ENVIRONMENT, **endpoint, **environment},
            memory=512,
            extra={"network_mode": "host"},
        )
        assert SECRET not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        assert job_runner.left_over() == []
        return result

    return run


def read(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(file.read_text(encoding="ascii"))
    return data


def error_of(result: Result) -> str:
    (error,) = (line for line in result.stderr.splitlines() if line.startswith("step: error: "))
    return error


def test_exports_the_run_and_leaves_a_receipt_and_a_record(export: Export, run_folder: Path) -> None:
    with fsx_endpoint(Outcome(total=5)) as fsx:
        result = export(fsx, "-", "-")
    assert result.exit_code == 0, result.stderr
    assert [creation["Paths"] for creation in fsx.creations] == [[f"{WORKFLOW}/{EXECUTION}"]]
    receipt = read(run_folder / "export.json")
    assert receipt["task"] == fsx.task_ids[0]
    assert receipt["files"] == {"total": 5, "succeeded": 5, "failed": 0}
    record = read(run_folder / "steps" / "export.json")
    assert record["command"][:4] == ["step", "export", "-", "-"]
    assert [output["path"] for output in record["outputs"]] == [f"/scratch/working/{WORKFLOW}/{EXECUTION}/export.json"]


def test_exports_one_sample_alone(export: Export, run_folder: Path) -> None:
    with fsx_endpoint() as fsx:
        assert export(fsx, "-", "S1").exit_code == 0
    assert fsx.creations[0]["Paths"] == [f"{WORKFLOW}/{EXECUTION}/S1"]
    assert (run_folder / "S1" / "export.json").exists()
    assert not (run_folder / "export.json").exists()


def test_an_export_that_is_done_is_not_done_again(export: Export, run_folder: Path) -> None:
    with fsx_endpoint() as fsx:
        export(fsx)
        asked = len(fsx.requests)
        again = export(fsx)
    assert run_folder.exists()
    assert again.exit_code == 0
    assert "is done already" in again.stderr
    assert len(fsx.requests) == asked


def test_a_retry_takes_up_the_task_of_the_attempt_that_died(export: Export, run_folder: Path) -> None:
    with fsx_endpoint(Outcome(looks=10_000)) as fsx:
        assert export(fsx, EXPORT_WAIT_SECONDS="0.2").exit_code == 75
        fsx.age(60)
        fsx.end_now()
        assert export(fsx).exit_code == 0
    assert len(fsx.task_ids) == 1
    assert read(run_folder / "export.json")["task"] == fsx.task_ids[0]


def test_failed_files_are_bad_data_and_named_by_their_report(export: Export, run_folder: Path) -> None:
    with fsx_endpoint(Outcome(total=5, failed=2)) as fsx:
        result = export(fsx, EXPORT_REPORT="s3://bucket/results/reports")
    assert result.exit_code == 65
    assert "2 of 5 files were not exported" in error_of(result)
    assert f"s3://bucket/results/reports/{fsx.task_ids[0]}/failures.csv" in error_of(result)
    assert not (run_folder / "export.json").exists()
    assert not (run_folder / "steps" / "export.json").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "exit_code", "says"),
    [
        ((), {"FILE_SYSTEM_ID": "fs-1234567"}, 64, "bad FILE_SYSTEM_ID"),
        ((), {"AWS_REGION": ""}, 64, "AWS_REGION is not set"),
        (("-", "S9"), {}, 66, "nothing to export"),
    ],
)
@pytest.mark.usefixtures("run_folder")
def test_refuses_what_makes_no_sense_before_anything_is_sent(
    export: Export, arguments: tuple[str, ...], environment: dict[str, str], exit_code: int, says: str
) -> None:
    with fsx_endpoint() as fsx:
        result = export(fsx, *arguments, **environment)
    assert result.exit_code == exit_code
    assert says in error_of(result)
    assert fsx.requests == []


NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
ROLE = "arn:aws:iam::123456789012:role/export"
IN_CONTAINER = "/scratch/working"


@pytest.fixture
def tls(job_runner: JobRunner) -> ssl.SSLContext:
    """A certificate that the step trusts, by AWS_CA_BUNDLE."""
    return make_certificate(job_runner.working / "ca.pem")


@pytest.mark.usefixtures("run_folder")
def test_talks_to_https_with_a_certificate_that_it_is_told_to_trust(export: Export, tls: ssl.SSLContext) -> None:
    with fsx_endpoint(tls=tls) as fsx:
        assert export(fsx, AWS_CA_BUNDLE=f"{IN_CONTAINER}/ca.pem").exit_code == 0
        fault = error_of(export(fsx, EXPORT_REPORT="s3://bucket/x"))  # another export, not done yet
    assert "certificate verify failed" in fault
    assert "AWS_CA_BUNDLE" in fault


@pytest.mark.usefixtures("run_folder")
def test_takes_the_credentials_of_the_job_s_role(export: Export) -> None:
    with credentials_endpoint() as agent, fsx_endpoint() as fsx:
        result = export(fsx, **NO_KEYS, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{agent}/credentials")
    assert result.exit_code == 0, result.stderr
    assert KEY_ID in fsx.requests[0].authorization


@pytest.mark.usefixtures("run_folder")
def test_assumes_a_role_by_a_web_identity(job_runner: JobRunner, export: Export, tls: ssl.SSLContext) -> None:
    (job_runner.working / "token").write_text("token", encoding="ascii")
    with credentials_endpoint(tls) as sts, fsx_endpoint(tls=tls) as fsx:
        result = export(
            fsx,
            **NO_KEYS,
            AWS_CA_BUNDLE=f"{IN_CONTAINER}/ca.pem",
            AWS_ENDPOINT_URL_STS=sts,
            AWS_ROLE_ARN=ROLE,
            AWS_WEB_IDENTITY_TOKEN_FILE=f"{IN_CONTAINER}/token",
        )
    assert result.exit_code == 0, result.stderr
    assert KEY_ID in fsx.requests[0].authorization


@pytest.mark.usefixtures("run_folder")
def test_assumes_the_role_of_a_profile_with_the_credentials_of_the_job_s_role(
    job_runner: JobRunner, export: Export
) -> None:
    profile = f"[default]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\n"
    (job_runner.working / "config").write_text(profile, encoding="ascii")
    with credentials_endpoint() as agent, fsx_endpoint() as fsx:
        result = export(
            fsx,
            **NO_KEYS,
            AWS_CONFIG_FILE=f"{IN_CONTAINER}/config",
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{agent}/credentials",
            AWS_ENDPOINT_URL_STS=agent,
        )
    assert result.exit_code == 0, result.stderr
    assert KEY_ID in fsx.requests[0].authorization
