"""Jobs on a real engine, as DescribeJobs and ListJobs show them."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from botocore.exceptions import ClientError
from support.embedded_jobs import QUEUE, Cloud, until

from toolchain.docker.engine import Engine
from toolchain.localaws.batch import submission
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.host import JOB_LABEL, ROOT_LABEL

RETRIES = {
    "attempts": 2,
    "evaluateOnExit": [{"onExitCode": "75", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
}
EXITED, NOT_STARTED = "Essential container in task exited", "Task failed to start"

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _no_container_is_left(cloud: Cloud, engine: Engine) -> Iterator[None]:
    yield
    label = f"{ROOT_LABEL}={cloud.config.root.resolve()}"
    until(lambda: not engine.client.api.containers(all=True, filters={"label": label}))


def start_long_job(cloud: Cloud, shell: str, **request: Any) -> str:
    """A job that runs for 30 s and has written a line; a shell that only begins would not hear that it is to stop."""
    job_id = cloud.submit(shell, "echo here; sleep 30", **request)
    assert until(lambda: cloud.lines(cloud.reaches(job_id, "RUNNING"))) == ["here"]
    return job_id


def resources(**values: Any) -> dict[str, Any]:
    entries = [{"type": kind, "value": str(value)} for kind, value in values.items()]
    return {"containerOverrides": {"resourceRequirements": entries}}


BOTH_VCPUS = resources(VCPU=2)


def test_a_job_that_succeeds_has_its_times_its_variables_and_its_log(cloud: Cloud, shell: str) -> None:
    before = time.time() * 1000
    job = cloud.run(shell, "env | grep ^AWS; echo; echo error >&2; printf end")
    assert (job["status"], job["statusReason"], job["container"]["exitCode"]) == ("SUCCEEDED", EXITED, 0)
    assert before - 1 <= job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] <= time.time() * 1000
    variables = {"JOB_ID": job["jobId"], "JOB_ATTEMPT": "1", "JQ_NAME": QUEUE, "CE_NAME": "spot"}
    lines = ["", "end", "error", *(f"AWS_BATCH_{name}={value}" for name, value in variables.items())]
    assert sorted(cloud.lines(job)) == sorted(lines)
    assert job["container"]["logStreamName"].startswith("tool/default/")


def test_a_container_is_what_the_definition_and_the_submission_say(cloud: Cloud, image: str) -> None:
    definition = cloud.define(
        image,
        user="1000:1000",
        readonlyRootFilesystem=True,
        ulimits=[{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
        linuxParameters={"initProcessEnabled": True, "tmpfs": [{"containerPath": "/small", "size": 1}]},
        environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        parameters={"x": "1"},
    )
    script = "id -u; ulimit -n; touch /x 2>&- || echo read-only; df -m /small | tail -1 | awk '{print $2}'"
    overrides = {
        "command": ["sh", "-c", f"{script}; echo $STEP_VCPUS Ref::x Ref::unknown $A $B"],
        "environment": [{"name": "B", "value": "2"}],
        "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "128"}],
    }
    job = cloud.ended(cloud.submit(definition, parameters={"x": "2"}, containerOverrides=overrides))
    assert cloud.lines(job) == ["1000", "100", "read-only", "1", "2 2 Ref::unknown 1 2"]
    assert job["container"]["command"][2].endswith("echo $STEP_VCPUS 2 Ref::unknown $A $B")
    assert job["container"]["resourceRequirements"] == overrides["resourceRequirements"]
    assert job["container"]["environment"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert cloud.job(job["jobId"]) == job


NO_PROGRAM = {"command": ["/no/such/program"]}
NO_GROUP = {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/no/such/group"}}}


@pytest.mark.parametrize(
    ("script", "properties", "exit_code", "status_reason", "reason"),
    [
        ("kill -9 $$", {}, 137, EXITED, None),
        ("exec dd if=/dev/zero of=/dev/null bs=200M count=1", {}, 137, EXITED, "OutOfMemoryError: Container killed"),
        ("", {**NO_PROGRAM, "logConfiguration": {"logDriver": "awslogs"}}, 127, EXITED, None),  # as the init says
        ("", {**NO_PROGRAM, "linuxParameters": {}}, None, NOT_STARTED, "CannotStartContainerError: "),
        ("", {"image": "no.such/image:1"}, None, NOT_STARTED, "CannotPullContainerError: "),
        ("", NO_GROUP, None, NOT_STARTED, "CannotStartContainerError: Error response from daemon: failed to init"),
    ],
)
def test_a_failure_has_batch_s_words(
    cloud: Cloud,
    image: str,
    script: str,
    properties: dict[str, Any],
    exit_code: int | None,
    status_reason: str,
    reason: str | None,
) -> None:
    job = cloud.run(cloud.define(**{"image": image, **properties}), script)
    container = job["container"]
    assert (job["status"], job["statusReason"], container.get("exitCode")) == ("FAILED", status_reason, exit_code)
    assert container.get("reason", "").startswith(reason) if reason else "reason" not in container


def test_a_lost_host_is_retried_by_a_rule_for_it(cloud: Cloud, image: str, engine: Engine) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    definition = cloud.define(image, retryStrategy={"attempts": 3, "evaluateOnExit": rules})
    job_id = cloud.submit(definition, 'test "$AWS_BATCH_JOB_ATTEMPT" = 2 || sleep 30')
    cloud.reaches(job_id, "RUNNING")
    engine.client.containers.list(filters={"label": f"{JOB_LABEL}={job_id}"})[0].remove(force=True)
    job = cloud.ended(job_id)
    lost, last = job["attempts"]
    assert lost["statusReason"].startswith("Host EC2 (instance i-")
    assert lost["statusReason"].endswith(") terminated.")
    assert "exitCode" not in lost["container"]
    assert (job["status"], last["container"]["exitCode"]) == ("SUCCEEDED", 0)


def test_each_attempt_has_its_end_and_its_log_and_a_submission_s_strategy_counts(cloud: Cloud, image: str) -> None:
    definition = cloud.define(image, retryStrategy=RETRIES)
    attempts = cloud.run(definition, "echo try $AWS_BATCH_JOB_ATTEMPT; exit 75")["attempts"]
    assert [attempt["container"]["exitCode"] for attempt in attempts] == [75, 75]
    assert [cloud.lines(attempt) for attempt in attempts] == [["try 1"], ["try 2"]]
    assert all(attempt["startedAt"] <= attempt["stoppedAt"] for attempt in attempts)
    assert len(cloud.run(definition, "exit 65")["attempts"]) == 1
    job = cloud.run(definition, "exit 65", retryStrategy={"attempts": 2})
    assert (len(job["attempts"]), job["retryStrategy"]["attempts"]) == (2, 2)


def test_an_attempt_that_takes_too_long_is_stopped_and_not_retried(
    cloud: Cloud, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "SHORTEST_TIMEOUT", 1)
    job = cloud.run(shell, "sleep 30", timeout={"attemptDurationSeconds": 1}, retryStrategy={"attempts": 3})
    assert (job["statusReason"], len(job["attempts"])) == ("Job attempt duration exceeded timeout", 1)
    assert 900 < job["stoppedAt"] - job["startedAt"] < 5000


def test_a_running_job_is_terminated_and_not_cancelled_and_its_log_grows(cloud: Cloud, shell: str) -> None:
    job_id = start_long_job(cloud, shell, retryStrategy={"attempts": 3})
    cloud.batch.cancel_job(jobId=job_id, reason="a job that runs is not cancelled")
    for reason in ("no longer needed", "again"):
        cloud.batch.terminate_job(jobId=job_id, reason=reason)
    job = cloud.ended(job_id)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "no longer needed", True)
    assert len(job["attempts"]) == 1


def test_a_job_that_is_terminated_while_it_starts_never_runs(
    cloud: Cloud, shell: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminated = threading.Event()
    monkeypatch.setattr(LocalBatchBackend.host, "engine", lambda: engine if terminated.wait() else None)
    job_id = cloud.submit(shell, retryStrategy={"attempts": 3})
    cloud.reaches(job_id, "STARTING")
    cloud.batch.terminate_job(jobId=job_id, reason="changed my mind")
    terminated.set()
    job = cloud.ended(job_id)
    assert (job["status"], job["statusReason"], len(job["attempts"])) == ("FAILED", "changed my mind", 1)
    assert "startedAt" not in job


def test_a_waiting_job_or_array_ends_without_ever_starting(cloud: Cloud, shell: str) -> None:
    running = start_long_job(cloud, shell, **BOTH_VCPUS)
    for end in (cloud.batch.cancel_job, cloud.batch.terminate_job):
        array: dict[str, Any] = {"arrayProperties": {"size": 2}}
        for status, request in (("RUNNABLE", {}), ("PENDING", array)):
            waiting = cloud.submit(shell, **request)
            cloud.reaches(waiting, status)
            end(jobId=waiting, reason="changed my mind")
            job = cloud.job(waiting)
            assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", "changed my mind", [])
            assert job["isCancelled"] is not job["isTerminated"]
    cloud.batch.terminate_job(jobId=running, reason="enough")
    cloud.ended(running)


@pytest.fixture
def impatient(cloud: Cloud) -> Iterator[Cloud]:
    """A queue that cancels jobs which cannot be placed for a second."""
    reasons = ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    limits = [{"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": 1, "action": "CANCEL"} for reason in reasons]
    cloud.batch.update_job_queue(jobQueue=QUEUE, jobStateTimeLimitActions=limits)
    assert cloud.batch.describe_job_queues(jobQueues=[QUEUE])["jobQueues"][0]["jobStateTimeLimitActions"] == limits
    yield cloud
    cloud.batch.update_job_queue(jobQueue=QUEUE, jobStateTimeLimitActions=[])


def test_jobs_that_can_never_fit_say_why_and_are_cancelled_after_the_queue_s_time_limit(
    impatient: Cloud, shell: str
) -> None:
    for request, reason in (
        (resources(VCPU=8, MEMORY=28000), "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"),
        (resources(MEMORY=28000), "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
    ):
        never = impatient.submit(shell, **request)
        assert impatient.reaches(never, "RUNNABLE")["statusReason"].startswith(f"{reason} - ")
        assert impatient.run(shell)["status"] == "SUCCEEDED"
        job = impatient.ended(never)
        assert (job["status"], job["statusReason"], job["isCancelled"]) == ("FAILED", reason, True)
        assert job["stoppedAt"] - job["createdAt"] >= 1000


def test_a_job_that_fits_when_its_environment_is_enabled_again_is_not_cancelled(impatient: Cloud, shell: str) -> None:
    impatient.batch.update_compute_environment(computeEnvironment="spot", state="DISABLED")
    job_id = impatient.submit(shell, "sleep 1.2")
    assert "MAX_RESOURCE" in impatient.job(job_id)["statusReason"]
    impatient.batch.update_compute_environment(computeEnvironment="spot", state="ENABLED")
    assert impatient.ended(job_id)["status"] == "SUCCEEDED"


def test_a_queue_with_a_scheduling_policy_goes_by_priority(cloud: Cloud, shell: str) -> None:
    policy = cloud.batch.create_scheduling_policy(name="fair")["arn"]
    order = cloud.batch.describe_job_queues(jobQueues=[QUEUE])["jobQueues"][0]["computeEnvironmentOrder"]
    cloud.batch.create_job_queue(
        jobQueueName="fair", state="ENABLED", priority=1, schedulingPolicyArn=policy, computeEnvironmentOrder=order
    )
    running = start_long_job(cloud, shell, **BOTH_VCPUS)
    request = {"jobQueue": "fair", "shareIdentifier": "run1", **BOTH_VCPUS}
    with pytest.raises(ClientError, match="Either schedulingPriority in job definition or schedulingPriorityOverride"):
        cloud.submit(shell, **request)
    for share in ("", "run-1"):
        with pytest.raises(ClientError, match="shareIdentifier must be"):
            cloud.submit(shell, **{**request, "shareIdentifier": share}, schedulingPriorityOverride=1)
    with pytest.raises(ClientError, match="for job queues with a scheduling policy"):
        cloud.submit(shell, shareIdentifier="run1", schedulingPriorityOverride=1)
    low, high = (cloud.submit(shell, schedulingPriorityOverride=priority, **request) for priority in (1, 9))
    cloud.batch.terminate_job(jobId=running, reason="enough")
    assert cloud.ended(low)["startedAt"] > cloud.ended(high)["startedAt"]
    assert (cloud.job(high)["shareIdentifier"], cloud.job(high)["schedulingPriority"]) == ("run1", 9)
    cloud.batch.update_job_queue(jobQueue="fair", state="DISABLED")
    with pytest.raises(ClientError, match="DISABLED job queue"):
        cloud.submit(shell, jobQueue="fair")


def test_an_array_job_is_its_children_each_with_its_index(cloud: Cloud, shell: str) -> None:
    parent = cloud.run(shell, "echo $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 3})
    assert parent["status"] == "SUCCEEDED"
    assert parent["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    children = [cloud.job(f"{parent['jobId']}:{index}") for index in range(3)]
    assert [cloud.lines(child) for child in children] == [["0"], ["1"], ["2"]]
    assert [child["arrayProperties"]["index"] for child in children] == [0, 1, 2]
    assert parent["startedAt"] == min(child["startedAt"] for child in children)
    listed = cloud.batch.list_jobs(arrayJobId=parent["jobId"], jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [job["jobId"] for job in listed] == [child["jobId"] for child in children]
    assert cloud.batch.list_jobs(arrayJobId=children[0]["jobId"])["jobSummaryList"] == []


def test_an_array_job_fails_with_one_child_and_is_terminated_whole(cloud: Cloud, shell: str) -> None:
    failed = cloud.run(shell, 'test "$AWS_BATCH_JOB_ARRAY_INDEX" = 0', arrayProperties={"size": 2})
    assert (failed["status"], failed["statusReason"]) == ("FAILED", "Array Child Job failed")
    job_id = cloud.submit(shell, "echo here; sleep 30", arrayProperties={"size": 3})
    until(lambda: all(cloud.lines(cloud.reaches(f"{job_id}:{index}", "RUNNING")) for index in (0, 1)))
    cloud.batch.terminate_job(jobId=job_id, reason="enough")
    assert cloud.ended(job_id)["arrayProperties"]["statusSummary"]["FAILED"] == 3


def test_jobs_are_listed_by_status_or_name_a_page_at_a_time(cloud: Cloud, shell: str) -> None:
    names = ("listed-0", "listed-1", "listed-2", "other")
    ids = [cloud.ended(cloud.submit(shell, jobName=name))["jobId"] for name in names]
    assert cloud.batch.list_jobs(jobQueue=QUEUE)["jobSummaryList"] == []
    for pattern, expected in (("Listed-*", [[ids[2], ids[1]], [ids[0]]]), ("OTHER", [[ids[3]]])):
        pages = cloud.batch.get_paginator("list_jobs").paginate(
            jobQueue=QUEUE, filters=[{"name": "JOB_NAME", "values": [pattern]}], PaginationConfig={"PageSize": 2}
        )
        summaries = [page["jobSummaryList"] for page in pages]
        assert [[job["jobId"] for job in page] for page in summaries] == expected
        assert summaries[0][0]["container"] == {"exitCode": 0}


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"jobQueue": "none"}, "Job queue none does not exist"),
        ({"jobDefinition": "none"}, "does not exist"),
        ({"jobName": "no blanks"}, "Job name should match valid pattern"),
        ({"arrayProperties": {"size": 1}}, "array size must be between 2 and 10000"),
        ({"dependsOn": [{"jobId": "x"}]}, "no dependsOn"),
        ({"timeout": {"attemptDurationSeconds": 59}}, "at least 60"),
        (resources(VCPU="many"), "cannot be run: ValueError"),
        ({"retryStrategy": {"attempts": 11}}, "retry attempts"),
        ({"retryStrategy": {"evaluateOnExit": [{"action": "EXIT"}]}}, "attempts must be specified"),
        ({"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"action": "EXIT"}] * 6}}, "at most 5"),
        ({"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"action": "STOP"}]}}, "RETRY or EXIT"),
    ],
)
def test_what_batch_refuses_is_refused(cloud: Cloud, shell: str, request_: dict[str, Any], why: str) -> None:
    with pytest.raises(ClientError, match=why):
        cloud.batch.submit_job(**{"jobName": "job", "jobQueue": QUEUE, "jobDefinition": shell, **request_})


def test_a_bad_request_about_jobs_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="Job none does not exist"):
        cloud.batch.terminate_job(jobId="none", reason="x")
    with pytest.raises(ClientError, match="'reason' is a required field"):
        cloud.batch.cancel_job(jobId="none", reason="")
    with pytest.raises(ClientError, match="Job status is not one of"):
        cloud.batch.list_jobs(jobQueue=QUEUE, jobStatus="DONE")
    with pytest.raises(ClientError, match="by JOB_NAME alone"):
        cloud.batch.list_jobs(jobQueue=QUEUE, filters=[{"name": "JOB_DEFINITION", "values": ["x"]}])


def test_a_definition_that_is_no_longer_active_takes_no_jobs(cloud: Cloud, image: str) -> None:
    name = cloud.define(image, "twice")
    cloud.define(image, "twice")
    cloud.batch.deregister_job_definition(jobDefinition=f"{name}:2")
    assert cloud.run(name)["jobDefinition"].endswith("twice:1")
    with pytest.raises(ClientError, match="not active"):
        cloud.submit(f"{name}:2")


def test_a_start_removes_what_a_dead_server_of_the_same_root_left(cloud: Cloud, image: str, engine: Engine) -> None:
    root = str(cloud.config.root.resolve())
    left, other = [
        engine.client.containers.run(image, ["sleep", "60"], detach=True, labels={ROOT_LABEL: label})
        for label in (root, f"{root}-other")
    ]
    try:
        LocalBatchBackend.host.sweep()
        with pytest.raises(docker.errors.NotFound):
            left.reload()
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True)
