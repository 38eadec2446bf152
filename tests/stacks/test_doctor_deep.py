"""`doctor --deep` where something goes wrong; tests/cli/test_local.py has it go well, on this machine."""

from collections.abc import Iterator

import pytest
from support.aws_double import Json
from support.doctor_aws import DoctorAws, PushingTarget, deployed

from toolchain.doctor.deep import BASES, PAIRS, DeepCheck, inputs
from toolchain.doctor.result import CheckResult
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE

TOOLS = jobdefs.names(HERE.jobdefs)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorAws]:
    with deployed(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


def run(aws: DoctorAws, job: Json, patience: float = 60.0) -> list[CheckResult]:
    """The results where every job is described so, and the file systems only import."""
    aws.reset()
    aws.settings('ReferenceLink = "import"\n')

    def described(request: Json) -> Json:
        fixed = {"jobName": "x", "jobQueue": "x", "startedAt": 1, "jobDefinition": "x", "createdAt": 1}
        return {"jobs": [{"jobId": job_id, **fixed, **job} for job_id in request["jobs"]]}

    aws.answer("SubmitJob", lambda request: {"jobName": "x", "jobId": request["jobName"]})
    aws.answer("DescribeJobs", described)
    aws.answer("TerminateJob", lambda _: {})
    target = PushingTarget(checkout=aws.checkout)
    deep = DeepCheck(target=target, account=aws.account, command="x", sleep=lambda _: None, patience=patience)
    return list(deep.run())


def test_each_tool_s_job_goes_through_the_queue_by_its_active_definition(deployment: DoctorAws) -> None:
    results = run(deployment, {"status": "SUCCEEDED"})
    assert [(result.check, result.status) for result in results] == [
        *((f"job of {tool}", "green") for tool in TOOLS),
        ("tiny run", "yellow"),
    ]
    requests = deployment.requests("SubmitJob")
    assert [request["jobDefinition"].rpartition("/")[2] for request in requests] == [
        f"genomics-{tool}:1" for tool in TOOLS
    ]
    assert {request["jobQueue"] for request in requests} == {deployment.context.outputs["JobQueueArn"]}


def test_a_job_that_fails_is_red_with_its_reason(deployment: DoctorAws) -> None:
    failed = {"status": "FAILED", "container": {"exitCode": 74, "reason": "no /scratch"}}
    results = run(deployment, failed)[: len(TOOLS)]
    assert {result.status for result in results} == {"red"}
    assert results[0].what == "is FAILED: exit code 74: no /scratch"


def test_a_job_that_never_starts_is_given_up_and_ended(deployment: DoctorAws) -> None:
    waiting = {"status": "RUNNABLE", "statusReason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"}
    results = run(deployment, waiting, patience=-1.0)
    assert results[0].what == "is RUNNABLE: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    assert len(deployment.requests("TerminateJob")) == len(TOOLS)


def test_an_account_that_refuses_is_one_red_line(deployment: DoctorAws) -> None:
    deployment.reset()
    deployment.refuse("SubmitJob", "AccessDeniedException")
    deployment.answer("PutObject", lambda _: {})
    target = PushingTarget(checkout=deployment.checkout)
    [result] = DeepCheck(target=target, account=deployment.account, command="x").run()
    assert (result.status, result.fix) == ("red", "Ask for this permission, or use another AWS_PROFILE.")
    assert len(deployment.requests("PutObject")) == 3


def test_the_made_up_reads_are_the_same_each_time() -> None:
    reference, r1, _ = inputs()
    assert inputs() == inputs()
    assert (len(reference), PAIRS) == (BASES + len(">tiny\n\n"), 2000)
    assert r1[:2] == b"\x1f\x8b"
